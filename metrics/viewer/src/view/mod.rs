//! What is on the screen: a pure function of what is known and what was chosen.

mod heat;
mod loops;
mod paint;
mod rates;
mod routes;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::model::{Link, Model};
use crate::text;
use crate::ui::{Ui, View};

use paint::Paint;
pub use paint::Theme;

/// The smallest screen that is drawn on.
pub const WIDTH_MIN: u16 = 80;
/// See [`WIDTH_MIN`].
pub const HEIGHT_MIN: u16 = 24;

/// What each key does, for the help.
const KEYS: [(&str, &str); 13] = [
    ("1 2 3 4", "overview, heat map, loops, routes"),
    ("Tab, arrows", "the next of them, or the one before"),
    ("p, space", "pause, go on"),
    ("+  -", "ask the server less often, more often"),
    ("s", "order routes by the next column"),
    ("r", "turn the order round"),
    ("z", "more time in one column of the heat map"),
    ("up, down", "scroll; also PgUp, PgDn, Home, End"),
    ("e", "write what is shown to a file, as JSON"),
    ("c", "the same as CSV"),
    ("?", "this help; any key closes it"),
    ("q, Esc", "quit; also Ctrl-C"),
    ("", ""),
];

/// Draws everything. On a screen that is too small, says so.
///
/// Returns how far the list on it is scrolled: as far as `ui` says, but no farther than to its end. What
/// keys change begins there: [`Ui::scroll`] is to be set to it.
pub fn draw(
    area: Rect,
    buffer: &mut Buffer,
    model: &Model,
    ui: &Ui,
    theme: Theme,
    address: &str,
) -> usize {
    let mut paint = Paint::new(buffer, area, theme);
    let (width, height) = (paint.width(), paint.height());
    if width < WIDTH_MIN || height < HEIGHT_MIN {
        let least = format!("{WIDTH_MIN}x{HEIGHT_MIN}");
        let text = format!("{width}x{height} is too small, {least} is needed; q quits");
        paint.text(0, 0, &text, Style::new());
        return ui.scroll;
    }
    header(&mut paint.lines(0, 1), model, address);
    tabs(&mut paint.lines(1, 1), model, ui);
    let body = &mut paint.lines(3, height - 4);
    let scroll = match (ui.view, model.sample()) {
        (_, None) => {
            waiting(body, model);
            0
        }
        (View::Overview, _) => overview(body, model, ui),
        (View::Heat, _) => {
            heat::draw(body, model, ui.zoom);
            0
        }
        (View::Loops, _) => loops::draw(body, model, ui.scroll),
        (View::Routes, _) => routes::draw(body, model, ui),
    };
    footer(&mut paint.lines(height - 1, 1), ui);
    if ui.help {
        help(&mut paint);
    }
    scroll
}

/// What is known, for a page that does not move: no titles, no keys. Everything is there that has room.
pub(crate) fn draw_page(
    area: Rect,
    buffer: &mut Buffer,
    model: &Model,
    ui: &Ui,
    theme: Theme,
    address: &str,
) {
    let mut paint = Paint::new(buffer, area, theme);
    header(&mut paint.lines(0, 1), model, address);
    let body = &mut paint.lines(2, area.height);
    match model.sample() {
        None => waiting(body, model),
        Some(_) => {
            overview(body, model, ui);
        }
    }
}

fn header(paint: &mut Paint<'_>, model: &Model, address: &str) {
    let Some(sample) = model.sample() else {
        paint.text(1, 0, address, paint.theme.strong());
        return;
    };
    let title = format!("{} {}", sample.name, sample.version);
    let x = paint.text_within(1, 0, 26, title.trim(), paint.theme.strong());
    let x = paint.text_within(x + 2, 0, 50, address, Style::new());
    let mut facts = format!("up {}", text::age(sample.uptime_seconds));
    match sample.loops {
        1 => facts.push_str("  1 loop"),
        loops => facts.push_str(&format!("  {} loops", text::whole(loops as u64))),
    }
    if model.restarts() > 0 {
        facts.push_str(&format!("  restarts seen: {}", model.restarts()));
    }
    let x = paint.text(x + 2, 0, &facts, Style::new());
    if sample.stopping {
        paint.text(x + 2, 0, "stopping", paint.theme.bad());
    }
    let clock = format!("{} UTC", text::clock(sample.at_unix_ms));
    paint.right(paint.width() - 1, 0, &clock, paint.theme.faint());
}

fn tabs(paint: &mut Paint<'_>, model: &Model, ui: &Ui) {
    let mut x = 1;
    for (number, view) in (1..).zip(View::ALL) {
        let style = if view == ui.view { paint.theme.chosen() } else { Style::new() };
        x = paint.text(x, 0, &format!(" {number} {} ", view.title()), style) + 1;
    }
    let end = paint.width() - 1;
    match (ui.paused, model.link()) {
        (true, _) => paint.right(end, 0, "PAUSED", paint.theme.bad()),
        (_, Link::Live) => {
            let every = format!("every {} s", ui.interval.as_secs_f64());
            paint.right(end, 0, &every, paint.theme.good());
        }
        (_, Link::Connecting) => paint.right(end, 0, "connecting", paint.theme.faint()),
        (_, Link::Lost { attempts, .. }) => {
            paint.right(end, 0, &format!("LOST, tried {attempts} x"), paint.theme.bad());
        }
    }
    if let Link::Lost { why, .. } = model.link() {
        let y = 0;
        paint.text_within(x + 1, y, end.saturating_sub(18), why, paint.theme.bad());
    }
}

fn waiting(paint: &mut Paint<'_>, model: &Model) {
    match model.link() {
        Link::Lost { why, retry, .. } => {
            paint.text(1, 0, "no answer yet:", paint.theme.strong());
            paint.text(1, 1, why, paint.theme.bad());
            let next = format!("the next attempt comes after {:.1} s", retry.as_secs_f64());
            paint.text(1, 3, &next, paint.theme.faint());
        }
        _ => {
            paint.text(1, 0, "waiting for the first answer", paint.theme.faint());
        }
    }
}

/// Rates, latency, heat map, loops; and routes, where there is room. Returns how far these are scrolled.
fn overview(paint: &mut Paint<'_>, model: &Model, ui: &Ui) -> usize {
    let height = paint.height();
    rates::draw(&mut paint.lines(0, rates::RATES), model);
    rates::draw_latency(&mut paint.lines(rates::RATES + 1, rates::LATENCY), model);
    let top = rates::RATES + rates::LATENCY + 2;
    let rest = height.saturating_sub(top);
    let routes = model.interval().map_or(0, |interval| interval.routes.len()) as u16;
    // Half of what is beyond the smallest screen is for routes.
    let table = match rest.saturating_sub(10) / 2 {
        _ if routes == 0 => 0,
        0..3 => 0,
        room => room.min(routes.saturating_add(1)),
    };
    let below = if table > 0 { table + 1 } else { 0 };
    let map = rest.saturating_sub(2 + below);
    heat::draw(&mut paint.lines(top, map), model, ui.zoom);
    loops::draw_short(&mut paint.lines(top + map + 1, 1), model);
    match table {
        0 => 0,
        _ => routes::draw(&mut paint.lines(top + map + 3, table), model, ui),
    }
}

fn footer(paint: &mut Paint<'_>, ui: &Ui) {
    match &ui.note {
        Some(note) => paint.text(1, 0, note, paint.theme.strong()),
        None => {
            let keys = "? help   p pause   s sort   r reverse   z zoom   e export   q quit";
            paint.text(1, 0, keys, paint.theme.faint())
        }
    };
}

fn help(paint: &mut Paint<'_>) {
    let height = KEYS.len() as u16 + 3;
    let mut window = paint.middle(58, height);
    for x in 0..window.width() {
        window.put(x, 0, ' ', window.theme.chosen());
    }
    window.text(2, 0, "Keys", window.theme.chosen());
    for (y, (key, what)) in (2..).zip(KEYS) {
        window.text(2, y, key, window.theme.strong());
        window.text(16, y, what, Style::new());
    }
}
