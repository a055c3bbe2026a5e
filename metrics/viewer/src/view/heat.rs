//! The heat map: time from left to right, latency upwards, the number of requests as colour.

use ratatui::style::{Color, Style};

use crate::heat::{Heat, Window};
use crate::model::Model;
use crate::text;
use crate::view::paint::Paint;

/// From few to many, where there are no colours. The first is for none.
const CHARACTERS: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];

/// From few to many: dark to bright, and told apart by those who do not tell red from green. The first,
/// nearly black, is for none, so that it looks alike on dark and on light terminals.
const COLORS: [u8; 10] = [233, 54, 60, 24, 30, 36, 71, 113, 148, 226];

/// The room for labels at the left.
const LABELS: u16 = 9;

/// Draws the map with its title above and its times below.
pub(super) fn draw(paint: &mut Paint<'_>, model: &Model, zoom: u64) {
    let (width, height) = (paint.width(), paint.height());
    if height < 3 || width <= LABELS {
        return;
    }
    let heat = model.heat();
    let faint = paint.theme.faint();
    let mut x = paint.text(1, 0, "latency over time", paint.theme.strong());
    let cells = width - LABELS - 1;
    let window = heat.last(cells.into(), zoom).filter(|_| !heat.is_empty());
    let Some(window) = window else {
        let why = model.no_heat().unwrap_or("no request yet");
        paint.text(x + 2, 0, why, faint);
        return;
    };
    let per_line = if paint.theme.color && paint.theme.unicode { 2 } else { 1 };
    let scale = Scale::of(heat, &window, usize::from(height - 2) * per_line);
    let seconds = heat.column_ms().saturating_mul(zoom) as f64 / 1e3;
    x = paint.text(x + 2, 0, &format!("1 column = {seconds} s   "), faint);
    legend(paint, x, &scale);
    for line in 0..height - 2 {
        // The lines of the screen go down, those of the map up.
        let top = (usize::from(height - 2 - line)) * per_line - 1;
        if (height - 2 - line) % 2 == 1 {
            let (lowest, _) = scale.rows(heat, top + 1 - per_line);
            paint.right(LABELS - 1, line + 1, &text::nanoseconds(lowest), faint);
        }
        for (cell, counts) in window.counts.iter().enumerate() {
            let x = LABELS + cell as u16;
            match per_line {
                2 => {
                    let (upper, lower) = (scale.level(counts, top), scale.level(counts, top - 1));
                    let style = Style::new().bg(color(lower));
                    match upper == lower {
                        true => paint.put(x, line + 1, ' ', style),
                        false => paint.put(x, line + 1, '▀', style.fg(color(upper))),
                    }
                }
                _ => {
                    let level = scale.level(counts, top);
                    let style = match paint.theme.color {
                        true => Style::new().bg(color(level)),
                        false => Style::new(),
                    };
                    let character = if paint.theme.color { ' ' } else { CHARACTERS[level] };
                    paint.put(x, line + 1, character, style);
                }
            }
        }
    }
    let begin = text::clock(window.begin_unix_ms);
    let end = text::clock(window.end_unix_ms);
    paint.text(LABELS, height - 1, &begin, faint);
    paint.right(width - 1, height - 1, &format!("{end} UTC"), faint);
}

fn color(level: usize) -> Color {
    Color::Indexed(COLORS[level])
}

/// What the colours stand for.
fn legend(paint: &mut Paint<'_>, x: u16, scale: &Scale) {
    let mut x = paint.text(x, 0, "1 ", paint.theme.faint());
    for (level, character) in CHARACTERS.iter().enumerate().skip(1) {
        match paint.theme.color {
            true => paint.put(x, 0, ' ', Style::new().bg(color(level))),
            false => paint.put(x, 0, *character, Style::new()),
        }
        x += 1;
    }
    paint.text(x + 1, 0, &format!("{} requests", text::whole(scale.most)), paint.theme.faint());
}

/// Which rows of the map are shown, and what the colours stand for.
struct Scale {
    /// The first row of the map that is shown.
    first: usize,
    /// How many rows of the map are in one row that is shown.
    group: usize,
    /// The largest count of any cell that is shown.
    most: u64,
}

impl Scale {
    /// Rows from the lowest to the highest that anything is in, put together where there are too many.
    fn of(heat: &Heat, window: &Window, height: usize) -> Scale {
        let used =
            |row: &usize| window.counts.iter().any(|cell| cell.get(*row).is_some_and(|n| *n > 0));
        let rows = heat.rows().len();
        let lowest = (0..rows).find(used).unwrap_or(0);
        let highest = (0..rows).rfind(used).unwrap_or(0);
        let span = highest - lowest + 1;
        let height = height.max(1);
        let group = span.div_ceil(height).max(1);
        // Spare rows stand around what is used.
        let spare = (group * height - span) / 2;
        let first = lowest.saturating_sub(spare).min(rows.saturating_sub(group * height));
        let mut scale = Scale { first, group, most: 0 };
        let counts = window.counts.iter();
        let most = counts.flat_map(|cell| (0..height).map(|row| scale.count(cell, row))).max();
        scale.most = most.unwrap_or(0);
        scale
    }

    /// How many requests one row that is shown has of a cell in time.
    fn count(&self, cell: &[u64], row: usize) -> u64 {
        let from = (self.first + row * self.group).min(cell.len());
        let to = (from + self.group).min(cell.len());
        cell[from..to].iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// 0 for none, then 1 to 9 by the logarithm of the count.
    fn level(&self, cell: &[u64], row: usize) -> usize {
        let count = self.count(cell, row);
        if count == 0 {
            return 0;
        }
        let share = (count as f64).ln() / (self.most.max(2) as f64).ln();
        1 + ((share * 8.0).round() as usize).min(8)
    }

    /// The lowest and highest latency of a row that is shown.
    fn rows(&self, heat: &Heat, row: usize) -> (u64, u64) {
        let from = self.first + row * self.group;
        let lowest = heat.rows().get(from).or(heat.rows().last()).map_or(0, |row| row.0);
        let to = (from + self.group).saturating_sub(1);
        let highest = heat.rows().get(to).or(heat.rows().last()).map_or(0, |row| row.1);
        (lowest, highest)
    }
}
