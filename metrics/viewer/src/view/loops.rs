//! The balance between loops.

use ratatui::style::Style;

use crate::interval::LoopShare;
use crate::model::Model;
use crate::text::{bytes, rate, whole};
use crate::view::paint::Paint;

/// The columns of figures: where they end and what they are called.
const COLUMNS: [(u16, &str); 7] = [
    (5, "loop"),
    (15, "req/s"),
    (41, "busy"),
    (49, "conns"),
    (59, "in/s"),
    (69, "out/s"),
    (79, "turns/s"),
];
/// The bars: where they begin, and how wide they are.
const BARS: (u16, u16) = (18, 16);

/// Draws a line for each loop, beneath a line of titles. Returns how many are above the screen.
pub(super) fn draw(paint: &mut Paint<'_>, model: &Model, scroll: usize) -> usize {
    let height = usize::from(paint.height());
    for (end, name) in COLUMNS {
        paint.right(end, 0, name, paint.theme.faint());
    }
    paint.text(BARS.0, 0, "beside the most", paint.theme.faint());
    let Some(interval) = model.interval() else {
        paint.text(1, 1, "waiting for a second answer", paint.theme.faint());
        return scroll;
    };
    let loops = &interval.loops;
    let most = loops.iter().map(|share| share.requests).fold(0.0, f64::max);
    let scroll = scroll.min((loops.len() + 1).saturating_sub(height));
    for (y, (index, share)) in (1..).zip(loops.iter().enumerate().skip(scroll)) {
        if y >= paint.height() {
            break;
        }
        line(paint, y, index, share, most);
    }
    scroll
}

fn line(paint: &mut Paint<'_>, y: u16, index: usize, share: &LoopShare, most: f64) {
    let busy = share.busy.map_or_else(|| "-".to_owned(), |busy| format!("{:.0} %", busy * 100.0));
    let figures = [
        index.to_string(),
        rate(share.requests),
        busy,
        whole(share.connections.max(0) as u64),
        bytes(share.bytes_in),
        bytes(share.bytes_out),
        rate(share.turns),
    ];
    for ((end, _), figure) in COLUMNS.into_iter().zip(figures) {
        paint.right(end, y, &figure, Style::new());
    }
    let (x, width) = BARS;
    paint.bar(x, y, width, if most > 0.0 { share.requests / most } else { 0.0 });
}

/// Draws the balance in one line: as many loops as there is room for.
pub(super) fn draw_short(paint: &mut Paint<'_>, model: &Model) {
    paint.text(1, 0, "loops", paint.theme.strong());
    let Some(interval) = model.interval() else { return };
    let loops = &interval.loops;
    let mut x = 14;
    for (index, share) in loops.iter().enumerate() {
        let busy = share.busy.map_or_else(String::new, |busy| format!(" {:.0} %", busy * 100.0));
        let text = format!("{index}: {}/s{busy}", rate(share.requests));
        if usize::from(x) + text.len() + 12 > usize::from(paint.width()) {
            let more = format!("and {} more", loops.len() - index);
            paint.text(x, 0, &more, paint.theme.faint());
            return;
        }
        x = paint.text(x, 0, &text, Style::new()) + 3;
    }
}
