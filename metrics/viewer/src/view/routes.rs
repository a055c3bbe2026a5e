//! What each route answers.

use ratatui::style::Style;

use crate::interval::RouteShare;
use crate::model::Model;
use crate::text::{nanoseconds, rate, whole};
use crate::ui::{Sort, Ui};
use crate::view::paint::Paint;

/// The room for figures at the right, and where each ends in it.
const FIGURES: u16 = 56;
const ENDS: [(u16, Sort); 5] =
    [(10, Sort::Rate), (20, Sort::Median), (30, Sort::P99), (40, Sort::Max), (56, Sort::Total)];

/// Draws a line for each route, beneath a line of titles. Returns how many are above the screen.
pub(super) fn draw(paint: &mut Paint<'_>, model: &Model, ui: &Ui) -> usize {
    let left = paint.width().saturating_sub(FIGURES + 1);
    let heading = |paint: &Paint<'_>, sort: Sort| {
        let arrow = match (ui.reversed, paint.theme.unicode) {
            (false, true) => '\u{25bc}',
            (true, true) => '\u{25b2}',
            (false, false) => 'v',
            (true, false) => '^',
        };
        match sort == ui.sort {
            true => (format!("{} {arrow}", sort.title()), paint.theme.strong()),
            false => (sort.title().to_owned(), paint.theme.faint()),
        }
    };
    let (name, style) = heading(paint, Sort::Name);
    paint.text(1, 0, &name, style);
    for (end, sort) in ENDS {
        let (name, style) = heading(paint, sort);
        paint.right(left + end, 0, &name, style);
    }
    let Some(interval) = model.interval() else {
        paint.text(1, 1, "waiting for a second answer", paint.theme.faint());
        return ui.scroll;
    };
    let mut routes: Vec<&RouteShare> = interval.routes.iter().collect();
    if routes.is_empty() {
        paint.text(1, 1, "this server has no routes", paint.theme.faint());
        return 0;
    }
    ui.sort.order(ui.reversed, &mut routes);
    let scroll = ui.scroll.min((routes.len() + 1).saturating_sub(paint.height().into()));
    for (y, route) in (1..paint.height()).zip(routes.into_iter().skip(scroll)) {
        line(paint, y, left, route);
    }
    scroll
}

fn line(paint: &mut Paint<'_>, y: u16, left: u16, route: &RouteShare) {
    let latency = &route.latency;
    let time = |time: u64| if latency.is_empty() { "-".to_owned() } else { nanoseconds(time) };
    let idle = route.requests <= 0.0;
    let style = if idle { paint.theme.faint() } else { Style::new() };
    paint.text_within(1, y, left, &route.name, style);
    let figures = [
        rate(route.requests),
        time(latency.quantile(0.5)),
        time(latency.quantile(0.99)),
        time(latency.max()),
        whole(route.total),
    ];
    for ((end, _), figure) in ENDS.iter().zip(figures) {
        paint.right(left + end, y, &figure, style);
    }
}
