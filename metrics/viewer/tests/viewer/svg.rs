//! A screen as a picture, for documents: the same bytes on every machine.

use std::fmt::Write;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

/// The size of a cell, and of letters in it.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const FONT: f64 = 14.0;
/// The colours of the terminal itself.
const BACKGROUND: &str = "#16191d";
const FOREGROUND: &str = "#d8dee6";

/// A picture of what is on a screen.
pub(crate) fn svg(buffer: &Buffer) -> String {
    let area = buffer.area;
    let (width, height) =
        (f64::from(area.width) * WIDTH + 24.0, f64::from(area.height) * HEIGHT + 24.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"{FONT}\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g transform=\"translate(12 12)\">\n"
    );
    for y in 0..area.height {
        let line: Vec<&Cell> = (0..area.width).map(|x| &buffer[(x, y)]).collect();
        let top = f64::from(y) * HEIGHT;
        for (half, hue) in [(0.0, upper as fn(&Cell) -> Option<String>), (HEIGHT / 2.0, lower)] {
            for (from, to, color) in runs(&line, hue) {
                let _ = writeln!(
                    text,
                    "<rect x=\"{:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"{color}\"/>",
                    from as f64 * WIDTH,
                    top + half,
                    (to - from) as f64 * WIDTH + 0.3,
                    HEIGHT / 2.0,
                );
            }
        }
        for (from, to, style) in runs(&line, lettering) {
            let letters: String = line[from..to].iter().map(|cell| cell.symbol()).collect();
            let letters = letters.replace('&', "&amp;").replace('<', "&lt;");
            let _ = writeln!(
                text,
                "<text x=\"{:.1}\" y=\"{}\" textLength=\"{:.1}\" {style}>{letters}</text>",
                from as f64 * WIDTH,
                top + HEIGHT - 4.5,
                (to - from) as f64 * WIDTH,
            );
        }
    }
    text + "</g>\n</svg>\n"
}

/// Neighbours of a line that look alike: from, to, and how they look.
fn runs<T: PartialEq>(line: &[&Cell], look: impl Fn(&Cell) -> Option<T>) -> Vec<(usize, usize, T)> {
    let mut runs: Vec<(usize, usize, T)> = Vec::new();
    for (x, cell) in line.iter().enumerate() {
        let Some(looks) = look(cell) else { continue };
        match runs.last_mut() {
            Some((_, to, before)) if *to == x && *before == looks => *to = x + 1,
            _ => runs.push((x, x + 1, looks)),
        }
    }
    runs
}

/// What fills the upper half of a cell.
fn upper(cell: &Cell) -> Option<String> {
    if cell.symbol() == "▀" { hex(cell.fg) } else { lower(cell) }
}

/// What fills the lower half of a cell.
fn lower(cell: &Cell) -> Option<String> {
    match cell.modifier.contains(Modifier::REVERSED) {
        true => Some(FOREGROUND.to_owned()),
        false => hex(cell.bg),
    }
}

/// How a cell's letter is drawn, if there is one.
fn lettering(cell: &Cell) -> Option<String> {
    if [" ", "▀"].contains(&cell.symbol()) {
        return None;
    }
    let color = match cell.modifier.contains(Modifier::REVERSED) {
        true => BACKGROUND.to_owned(),
        false => hex(cell.fg).unwrap_or(FOREGROUND.to_owned()),
    };
    let mut style = format!("fill=\"{color}\"");
    if cell.modifier.contains(Modifier::BOLD) {
        style += " font-weight=\"bold\"";
    }
    if cell.modifier.contains(Modifier::DIM) {
        style += " opacity=\".62\"";
    }
    Some(style)
}

/// A colour as xterm shows it; none for the terminal's own.
fn hex(color: Color) -> Option<String> {
    let (red, green, blue) = match color {
        Color::Indexed(index @ 16..=231) => {
            let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
            let cube = index - 16;
            (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        Color::Indexed(index @ 232..) => {
            let level = 8 + 10 * (index - 232);
            (level, level, level)
        }
        Color::Green => (74, 194, 107),
        Color::Red => (255, 123, 114),
        _ => return None,
    };
    Some(format!("#{red:02x}{green:02x}{blue:02x}"))
}
