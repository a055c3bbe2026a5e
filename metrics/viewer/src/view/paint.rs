//! A part of the screen, and how things look on it.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};

use crate::text;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Colours, of the 256 that terminals have in common.
    pub color: bool,
    /// Characters beyond ASCII.
    pub unicode: bool,
}

impl Theme {
    /// What is only there to guide the eye.
    pub(crate) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What is to be read first.
    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is chosen.
    pub(crate) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What goes well.
    pub(crate) fn good(self) -> Style {
        self.colored(Color::Green)
    }

    /// What wants attention: bold, too, where there are no colours.
    pub(crate) fn bad(self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Lines and bars.
    pub(crate) fn line(self) -> Style {
        self.colored(Color::Indexed(36))
    }

    fn colored(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }
}

/// A part of the screen. What does not fit is cut off; nothing is drawn outside.
pub(crate) struct Paint<'b> {
    buffer: &'b mut Buffer,
    area: Rect,
    pub(crate) theme: Theme,
}

impl<'b> Paint<'b> {
    pub(crate) fn new(buffer: &'b mut Buffer, area: Rect, theme: Theme) -> Paint<'b> {
        let area = area.intersection(buffer.area);
        Paint { buffer, area, theme }
    }

    pub(crate) fn width(&self) -> u16 {
        self.area.width
    }

    pub(crate) fn height(&self) -> u16 {
        self.area.height
    }

    /// The lines from `y` on, at most so many.
    pub(crate) fn lines(&mut self, y: u16, height: u16) -> Paint<'_> {
        let y = y.min(self.area.height);
        let area =
            Rect { y: self.area.y + y, height: height.min(self.area.height - y), ..self.area };
        Paint { buffer: self.buffer, area, theme: self.theme }
    }

    /// A rectangle in the middle, emptied.
    pub(crate) fn middle(&mut self, width: u16, height: u16) -> Paint<'_> {
        let (width, height) = (width.min(self.area.width), height.min(self.area.height));
        let area = Rect {
            x: self.area.x + (self.area.width - width) / 2,
            y: self.area.y + (self.area.height - height) / 2,
            width,
            height,
        };
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                self.buffer[(x, y)].reset();
            }
        }
        Paint { buffer: self.buffer, area, theme: self.theme }
    }

    /// Writes text from a column on; the column after it.
    pub(crate) fn text(&mut self, x: u16, y: u16, text: &str, style: Style) -> u16 {
        self.text_within(x, y, self.area.width, text, style)
    }

    /// Writes text from a column on, up to another; the column after it.
    pub(crate) fn text_within(
        &mut self,
        x: u16,
        y: u16,
        end: u16,
        text: &str,
        style: Style,
    ) -> u16 {
        let end = end.min(self.area.width);
        if x >= end || y >= self.area.height {
            return x.min(end);
        }
        let (left, top) = (self.area.x + x, self.area.y + y);
        let room = usize::from(end - x);
        let (after, _) = match self.theme.unicode {
            true => self.buffer.set_stringn(left, top, text, room, style),
            false => self.buffer.set_stringn(left, top, text::ascii(text), room, style),
        };
        after - self.area.x
    }

    /// Writes short text so that it ends before a column.
    pub(crate) fn right(&mut self, end: u16, y: u16, text: &str, style: Style) {
        let length = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
        self.text_within(end.saturating_sub(length), y, end, text, style);
    }

    /// Puts one character somewhere.
    pub(crate) fn put(&mut self, x: u16, y: u16, character: char, style: Style) {
        if x < self.area.width && y < self.area.height {
            let at = Position { x: self.area.x + x, y: self.area.y + y };
            self.buffer[at].set_char(character).set_style(style);
        }
    }

    /// A bar for a share of 0 to 1, from a column on, over so many columns.
    pub(crate) fn bar(&mut self, x: u16, y: u16, width: u16, share: f64) {
        const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
        let style = self.theme.line();
        let eighths = (share.clamp(0.0, 1.0) * f64::from(width) * 8.0).round() as u16;
        for column in 0..width {
            let left = eighths.saturating_sub(column * 8);
            let character = match (left, self.theme.unicode) {
                (8.., true) => '█',
                (_, true) => EIGHTHS[usize::from(left)],
                (4.., false) => '#',
                (_, false) => '.',
            };
            if character != ' ' {
                self.put(x + column, y, character, style);
            }
        }
    }

    /// The last of these values as a line of small bars, from a column on, over so many columns.
    pub(crate) fn spark(
        &mut self,
        x: u16,
        y: u16,
        width: u16,
        values: impl DoubleEndedIterator<Item = f64>,
    ) {
        const UNICODE: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        const ASCII: [char; 8] = ['.', '.', ':', ':', '-', '=', '+', '#'];
        let shown: Vec<f64> = values.rev().take(width.into()).collect();
        let most = shown.iter().copied().fold(0.0, f64::max);
        let levels = if self.theme.unicode { UNICODE } else { ASCII };
        for (index, value) in shown.iter().enumerate() {
            let share = if most > 0.0 { value / most } else { 0.0 };
            let level = levels[((share * 7.0).round() as usize).min(7)];
            self.put(x + width - 1 - index as u16, y, level, self.theme.line());
        }
    }
}
