//! What the user has chosen, and what keys change about it.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::interval::RouteShare;

/// The shortest and the longest time between two questions to the server.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// See [`INTERVAL_MIN`].
pub const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// The intervals that keys step through, in milliseconds.
const INTERVALS_MS: [u64; 9] = [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
/// The numbers of columns in one cell of the heat map that a key steps through.
const ZOOMS: [u64; 5] = [1, 2, 5, 10, 30];

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Rates, latency, heat map and loops together.
    #[default]
    Overview,
    /// The heat map alone.
    Heat,
    /// What each loop does.
    Loops,
    /// What each route answers.
    Routes,
}

impl View {
    /// All of them, in the order of their keys.
    pub const ALL: [View; 4] = [View::Overview, View::Heat, View::Loops, View::Routes];

    /// As it is called on the screen.
    pub fn title(self) -> &'static str {
        match self {
            View::Overview => "Overview",
            View::Heat => "Heat map",
            View::Loops => "Loops",
            View::Routes => "Routes",
        }
    }
}

/// What routes are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Requests per second, most first.
    #[default]
    Rate,
    /// The median latency, longest first.
    Median,
    /// The 99th percentile, longest first.
    P99,
    /// The longest latency, longest first.
    Max,
    /// Requests since the start, most first.
    Total,
    /// The name, from A.
    Name,
}

impl Sort {
    /// All of them, in the order in which a key steps through them.
    pub const ALL: [Sort; 6] =
        [Sort::Rate, Sort::Median, Sort::P99, Sort::Max, Sort::Total, Sort::Name];

    /// As it is called on the screen.
    pub fn title(self) -> &'static str {
        match self {
            Sort::Rate => "req/s",
            Sort::Median => "p50",
            Sort::P99 => "p99",
            Sort::Max => "max",
            Sort::Total => "total",
            Sort::Name => "route",
        }
    }

    /// Orders routes; equal ones by name.
    pub fn order(self, reversed: bool, routes: &mut [&RouteShare]) {
        routes.sort_by(|a, b| {
            let order = match self {
                Sort::Rate => b.requests.total_cmp(&a.requests),
                Sort::Median => b.latency.quantile(0.5).cmp(&a.latency.quantile(0.5)),
                Sort::P99 => b.latency.quantile(0.99).cmp(&a.latency.quantile(0.99)),
                Sort::Max => b.latency.max().cmp(&a.latency.max()),
                Sort::Total => b.total.cmp(&a.total),
                Sort::Name => std::cmp::Ordering::Equal,
            };
            let order = order.then_with(|| a.name.cmp(&b.name));
            if reversed { order.reverse() } else { order }
        });
    }
}

/// A form in which what is shown can be written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object.
    Json,
    /// A line for each figure.
    Csv,
}

/// What a key asks of the program around the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    None,
    /// End.
    Quit,
    /// Write what is shown to a file.
    Export(Format),
    /// Ask the server this often.
    Interval(Duration),
    /// Stop asking the server, or go on.
    Pause(bool),
    /// Draw everything again: something else has written on the terminal.
    Redraw,
}

/// What the user has chosen.
#[derive(Clone, Debug)]
pub struct Ui {
    /// What fills the screen.
    pub view: View,
    /// Nothing new is shown.
    pub paused: bool,
    /// What routes are ordered by.
    pub sort: Sort,
    /// The order is turned round.
    pub reversed: bool,
    /// How many lines of a list are above the screen. A key may set it beyond the end of the list:
    /// [`draw`](crate::view::draw) says how far it goes.
    pub scroll: usize,
    /// How many columns of the heat map are in one cell.
    pub zoom: u64,
    /// The help is shown.
    pub help: bool,
    /// The time between two questions to the server.
    pub interval: Duration,
    /// Something to be said once, until the next key.
    pub note: Option<String>,
}

impl Ui {
    /// The first screen.
    pub fn new(interval: Duration) -> Ui {
        Ui {
            view: View::default(),
            paused: false,
            sort: Sort::default(),
            reversed: false,
            scroll: 0,
            zoom: 1,
            help: false,
            interval,
            note: None,
        }
    }

    /// What a key changes.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        if key.kind == KeyEventKind::Release {
            return Wish::None;
        }
        self.note = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Wish::Quit,
                KeyCode::Char('l') => Wish::Redraw,
                _ => Wish::None,
            };
        }
        if std::mem::take(&mut self.help) {
            // Whatever key it is, it closes the help.
            return if key.code == KeyCode::Char('q') { Wish::Quit } else { Wish::None };
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.help = true,
            KeyCode::Char(digit @ '1'..='4') => self.turn_to(usize::from(digit as u8 - b'1')),
            KeyCode::Tab | KeyCode::Right => self.turn_to(self.view as usize + 1),
            KeyCode::BackTab | KeyCode::Left => self.turn_to(self.view as usize + 3),
            KeyCode::Char('p' | ' ') => {
                self.paused = !self.paused;
                return Wish::Pause(self.paused);
            }
            KeyCode::Char('s') => self.sort = next(&Sort::ALL, &self.sort),
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Char('z') => self.zoom = next(&ZOOMS, &self.zoom),
            KeyCode::Char('e') => return Wish::Export(Format::Json),
            KeyCode::Char('c') => return Wish::Export(Format::Csv),
            KeyCode::Char('-') => return self.change_interval(false),
            KeyCode::Char('+' | '=') => return self.change_interval(true),
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(10),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(10),
            KeyCode::Home => self.scroll = 0,
            KeyCode::End => self.scroll = usize::MAX,
            _ => {}
        }
        Wish::None
    }

    fn turn_to(&mut self, index: usize) {
        self.view = View::ALL[index % View::ALL.len()];
        self.scroll = 0;
    }

    fn change_interval(&mut self, longer: bool) -> Wish {
        let now = self.interval.as_millis() as u64;
        let next = match longer {
            true => INTERVALS_MS.iter().find(|ms| **ms > now),
            false => INTERVALS_MS.iter().rfind(|ms| **ms < now),
        };
        let Some(ms) = next else { return Wish::None };
        self.interval = Duration::from_millis(*ms);
        Wish::Interval(self.interval)
    }
}

/// The one after `current`, in a circle.
fn next<T: Copy + PartialEq>(all: &[T], current: &T) -> T {
    let index = all.iter().position(|each| each == current).map_or(0, |index| index + 1);
    all[index % all.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(ui: &mut Ui, code: KeyCode) -> Wish {
        ui.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn keys_do_what_the_help_says() {
        let mut ui = Ui::new(Duration::from_secs(1));
        press(&mut ui, KeyCode::Char('4'));
        assert_eq!(ui.view, View::Routes);
        press(&mut ui, KeyCode::Tab);
        assert_eq!(ui.view, View::Overview);
        press(&mut ui, KeyCode::BackTab);
        assert_eq!(ui.view, View::Routes);
        press(&mut ui, KeyCode::Char('s'));
        press(&mut ui, KeyCode::Char('r'));
        assert_eq!((ui.sort, ui.reversed), (Sort::Median, true));
        assert_eq!(press(&mut ui, KeyCode::Char(' ')), Wish::Pause(true));
        assert_eq!(press(&mut ui, KeyCode::Char('p')), Wish::Pause(false));
        assert_eq!(press(&mut ui, KeyCode::Char('e')), Wish::Export(Format::Json));
        assert_eq!(press(&mut ui, KeyCode::Char('c')), Wish::Export(Format::Csv));
        let longer = Duration::from_secs(2);
        assert_eq!(press(&mut ui, KeyCode::Char('+')), Wish::Interval(longer));
        press(&mut ui, KeyCode::End);
        press(&mut ui, KeyCode::Down);
        assert_eq!(ui.scroll, usize::MAX);
        press(&mut ui, KeyCode::Char('?'));
        assert!(ui.help);
        assert_eq!(press(&mut ui, KeyCode::Char('p')), Wish::None);
        assert!(!ui.help && !ui.paused);
        assert_eq!(press(&mut ui, KeyCode::Esc), Wish::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(ui.key(interrupt), Wish::Quit);
    }

    #[test]
    fn the_interval_stays_in_its_range() {
        let mut ui = Ui::new(Duration::from_millis(700));
        for _ in 0..20 {
            press(&mut ui, KeyCode::Char('-'));
        }
        assert_eq!(ui.interval, INTERVAL_MIN);
        for _ in 0..20 {
            press(&mut ui, KeyCode::Char('+'));
        }
        assert_eq!(ui.interval, Duration::from_secs(60));
    }

    #[test]
    fn routes_are_ordered_with_equals_by_name() {
        let route = |name: &str, requests, total| RouteShare {
            name: name.to_owned(),
            requests,
            total,
            ..RouteShare::default()
        };
        let all = [route("b", 1.0, 9), route("a", 1.0, 5), route("c", 2.0, 7)];
        for (sort, reversed, expected) in [
            (Sort::Rate, false, ["c", "a", "b"]),
            (Sort::Name, false, ["a", "b", "c"]),
            (Sort::Name, true, ["c", "b", "a"]),
            (Sort::Total, false, ["b", "c", "a"]),
            (Sort::P99, false, ["a", "b", "c"]),
        ] {
            let mut routes: Vec<_> = all.iter().collect();
            sort.order(reversed, &mut routes);
            let names: Vec<_> = routes.iter().map(|route| route.name.as_str()).collect();
            assert_eq!(names, expected, "{sort:?} {reversed}");
        }
    }
}
