//! What a run looks like while it goes on: drawn on a terminal, or a line for each second.

use std::io::{self, IsTerminal, Stderr, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corelane_metrics::HistogramSnapshot;
use corelane_metrics::heat::{ROWS, row_bounds, row_of};

use crate::outcome::Interval;
use crate::progress::{Phase, Progress};
use crate::units;

/// A terminal that does not tell its size is taken to be of this one.
const SIZE: (usize, usize) = (80, 24);
/// Lines above the heat map, and the least that the heat map needs.
const HEAD_LINES: usize = 13;
const MAP_LINES_MIN: usize = 4;
/// Columns left of the heat map, for its scale.
const MARGIN: usize = 9;
/// From few to many: what is seen without colour.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
/// The same in colours of the 256 (viridis from dark to bright).
const COLOURS: [u8; 8] = [60, 61, 31, 30, 36, 71, 149, 220];

/// Shows how a run goes on.
pub(super) enum View {
    /// Nothing.
    Quiet,
    /// A line for each interval that is over; how many have been written.
    Lines(usize),
    /// A picture on a terminal.
    Screen(Screen),
}

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// A picture on a terminal, else a line each second.
    Auto,
    /// A picture.
    Live,
    /// A line each second.
    Lines,
    /// Nothing.
    None,
}

impl View {
    /// A view on standard error. Without colour if `NO_COLOR` is set, or the terminal has none.
    pub(super) fn new(mode: Mode, title: String) -> Self {
        let terminal = io::stderr().is_terminal() && !is_set_to("TERM", "dumb");
        match mode {
            Mode::None => Self::Quiet,
            Mode::Lines => Self::Lines(0),
            Mode::Auto if !terminal => Self::Lines(0),
            Mode::Auto | Mode::Live => {
                let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
                Self::Screen(Screen::open(title, colour))
            }
        }
    }

    /// Shows how far the run is. A terminal that is gone is no reason to end the run.
    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        match self {
            Self::Quiet => {}
            Self::Lines(written) => {
                write_lines(progress.intervals, *written);
                *written = progress.intervals.len();
            }
            Self::Screen(screen) => screen.draw(progress),
        }
    }

    /// Shows the rest of the lines, and gives a terminal back.
    pub(super) fn end(self, intervals: &[Interval]) {
        if let Self::Lines(written) = self {
            write_lines(intervals, written);
        }
    }
}

/// Writes all but the first `written`.
fn write_lines(intervals: &[Interval], written: usize) {
    for interval in intervals.iter().skip(written) {
        let _ = writeln!(io::stderr(), "{}", line(interval));
    }
}

fn is_set_to(name: &str, value: &str) -> bool {
    std::env::var_os(name).is_some_and(|is| is == value)
}

/// One interval on one line.
fn line(interval: &Interval) -> String {
    let end = (interval.at + interval.length).as_secs_f64();
    let rate = interval.answered as f64 / interval.length.as_secs_f64().max(1e-9);
    let time = |quantile| units::time(interval.response_time.quantile(quantile) as f64);
    let latency = match interval.response_time.is_empty() {
        true => "no answer".to_owned(),
        false => format!("p50 {}, p99 {}, max {}", time(0.5), time(0.99), time(1.0)),
    };
    format!("{end:>6.0} s  {:>9}/s  {latency}  faults {}", units::rate(rate), interval.faults)
}

/// A terminal on which a picture is drawn; given back as it was when dropped.
pub(super) struct Screen {
    out: Stderr,
    title: String,
    colour: bool,
}

impl Screen {
    fn open(title: String, colour: bool) -> Self {
        let screen = Self { out: io::stderr(), title, colour };
        TAKEN.store(true, Ordering::Relaxed);
        // The other screen, no cursor.
        let _ = write!(&screen.out, "\x1b[?1049h\x1b[?25l");
        screen
    }

    fn draw(&mut self, progress: &Progress<'_>) {
        let size = rustix::termios::tcgetwinsize(&self.out)
            .map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)))
            .ok()
            .filter(|(width, height)| *width > 0 && *height > 0)
            .unwrap_or(SIZE);
        let lines = picture(progress, &self.title, size, self.colour);
        // One write, so that no half picture is seen; each line cleared behind its end.
        let mut bytes = "\x1b[H".to_owned();
        for (index, line) in lines.iter().enumerate() {
            bytes += if index == 0 { "" } else { "\r\n" };
            bytes += line;
            bytes += "\x1b[K";
        }
        bytes += "\x1b[J";
        let _ = self.out.write_all(bytes.as_bytes());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether there is a picture on the terminal.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back if there is a picture on it: also for a thread that ends the program.
pub(super) fn give_back() {
    if TAKEN.swap(false, Ordering::Relaxed) {
        let _ = write!(io::stderr(), "\x1b[?25h\x1b[?1049l");
    }
}

/// The picture: no more lines, and none longer, than there is room for.
fn picture(
    progress: &Progress<'_>,
    title: &str,
    (width, height): (usize, usize),
    colour: bool,
) -> Vec<String> {
    let paint = Paint(colour);
    let mut lines = vec![
        paint.bold(&cut(title, width)),
        bar(progress, width, paint),
        String::new(),
        trouble(progress, width, paint),
        cut(&rates(progress), width),
        cut(&pending(progress), width),
        String::new(),
    ];
    lines.extend(quantiles(progress).iter().map(|line| cut(line, width)));
    lines.truncate(height);
    let left = height.saturating_sub(HEAD_LINES);
    if left >= MAP_LINES_MIN && width > MARGIN + 10 {
        lines.push(String::new());
        lines.extend(heat_map(progress.intervals, width - MARGIN, left - 2, paint));
    }
    lines
}

/// Whether there is colour.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn bold(self, text: &str) -> String {
        if self.0 { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn alarm(self, text: &str) -> String {
        if self.0 { format!("\x1b[1;31m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A cell of the heat map, of a share of the fullest from 0 to 1.
    fn cell(self, share: f64) -> String {
        let of = |count: usize| ((share * count as f64) as usize).min(count - 1);
        if self.0 {
            format!("\x1b[38;5;{}m█\x1b[0m", COLOURS[of(COLOURS.len())])
        } else {
            SHADES[of(SHADES.len())].to_string()
        }
    }
}

/// As much of a line as there is room for. Control characters, which a URL might bring, are replaced.
fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn bar(progress: &Progress<'_>, width: usize, paint: Paint) -> String {
    let label = match progress.phase {
        Phase::WarmUp => "warming up".to_owned(),
        Phase::Measuring => {
            format!("{:>3.0} %  {}", progress.share * 100.0, clock(progress.elapsed))
        }
        Phase::Draining => "waiting for the last answers".to_owned(),
    };
    let room = width.saturating_sub(label.chars().count() + 2).min(50);
    let share = if progress.phase == Phase::WarmUp { 0.0 } else { progress.share };
    let full = ((share * room as f64) as usize).min(room);
    let bar = format!("{}{}", "━".repeat(full), "─".repeat(room - full));
    format!("{}  {}", paint.bold(&bar), cut(&label, width.saturating_sub(room + 2)))
}

fn clock(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{}:{:02} min", seconds / 60, seconds % 60),
    }
}

/// What is wrong comes first, and in red.
fn trouble(progress: &Progress<'_>, width: usize, paint: Paint) -> String {
    let mut parts = Vec::new();
    if progress.faults.total() > 0 {
        parts.push(format!("faults {}", progress.faults));
    }
    if progress.late.count > 0 {
        let worst = units::time(progress.late.worst.as_nanos() as f64);
        parts.push(format!("{} late sends, by {worst}", units::count(progress.late.count)));
    }
    if progress.backlog > 0 {
        parts.push(format!("{} wait for a connection", units::count(progress.backlog)));
    }
    match parts.is_empty() {
        true => cut("no faults, no late sends, nothing waits", width),
        false => paint.alarm(&cut(&parts.join("; "), width)),
    }
}

fn rates(progress: &Progress<'_>) -> String {
    let second = |count: u64| units::rate(count as f64 / progress.elapsed.as_secs_f64().max(1e-9));
    let now = progress.intervals.last().map_or("–".to_owned(), |interval| {
        units::rate(interval.answered as f64 / interval.length.as_secs_f64().max(1e-9))
    });
    format!(
        "answered {now}/s now, {}/s so far; asked {}/s",
        second(progress.answered),
        second(progress.intended),
    )
}

fn pending(progress: &Progress<'_>) -> String {
    format!(
        "{} answers, {} in flight on {} connections, {} received",
        units::count(progress.answered),
        units::count(progress.in_flight),
        units::count(progress.connections),
        units::bytes(progress.bytes_received as f64),
    )
}

/// Response times of the last interval and of all, and service times, side by side.
fn quantiles(progress: &Progress<'_>) -> Vec<String> {
    let none = HistogramSnapshot::default();
    let last = progress.intervals.last().map_or(&none, |interval| &interval.response_time);
    let columns = [last, progress.response_time, progress.service_time];
    let head = format!("{:<8}{:>14}{:>14}{:>14}", "", "now", "response", "service");
    let rows = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    let row = |(name, quantile)| {
        let cells = columns.map(|histogram| match histogram.is_empty() {
            true => "–".to_owned(),
            false => units::time(histogram.quantile(quantile) as f64),
        });
        format!("{name:<8}{:>14}{:>14}{:>14}", cells[0], cells[1], cells[2])
    };
    [head].into_iter().chain(rows.map(row)).collect()
}

/// One column for each interval, the newest to the right; latency upwards, by powers of two.
fn heat_map(intervals: &[Interval], width: usize, height: usize, paint: Paint) -> Vec<String> {
    let shown = &intervals[intervals.len().saturating_sub(width)..];
    let mut cells = vec![[0_u64; ROWS]; shown.len()];
    for (column, interval) in cells.iter_mut().zip(shown) {
        for bucket in interval.response_time.buckets() {
            column[row_of(bucket.lowest)] += bucket.count;
        }
    }
    let used = |row: &usize| cells.iter().any(|column| column[*row] > 0);
    let (Some(first), Some(last)) = ((0..ROWS).find(used), (0..ROWS).rfind(used)) else {
        return Vec::new();
    };
    // So many bands share a line that all of them have room.
    let each = (last - first + 1).div_ceil(height);
    let lines = (last - first + 1).div_ceil(each);
    let sum = |column: &[u64; ROWS], line: usize| -> u64 {
        column.iter().skip(first + line * each).take(each).sum()
    };
    let all = cells.iter().flat_map(|column| (0..lines).map(move |line| sum(column, line)));
    let most = all.max().unwrap_or(1).max(2) as f64;
    let text = |line: usize| {
        let lowest = row_bounds(first + line * each).map_or(0, |(lowest, _)| lowest);
        let mut text = format!("{:>8} ", units::time(lowest as f64));
        for column in &cells {
            match sum(column, line) {
                0 => text.push(' '),
                count => text += &paint.cell((count as f64).ln() / most.ln()),
            }
        }
        text
    };
    (0..lines).rev().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Faults;
    use crate::outcome::Late;

    fn interval(at: u64, nanos: u64) -> Interval {
        let mut response_time = HistogramSnapshot::default();
        response_time.record_n(nanos, 900);
        response_time.record_n(nanos * 50, 1);
        let (at, length) = (Duration::from_secs(at), Duration::from_secs(1));
        Interval {
            at,
            length,
            answered: 901,
            intended: 1_000,
            response_time,
            ..Interval::default()
        }
    }

    /// Shows it halfway through a run of which so many seconds are over.
    fn drawn(seconds: u64, size: (usize, usize), colour: bool) -> Vec<String> {
        let intervals: Vec<_> = (0..seconds).map(|at| interval(at, 100_000)).collect();
        let mut whole = HistogramSnapshot::default();
        intervals.iter().for_each(|interval| whole.merge(&interval.response_time));
        let progress = Progress {
            phase: Phase::Measuring,
            elapsed: Duration::from_secs(seconds),
            share: 0.5,
            intended: seconds * 1_000,
            sent: seconds * 950,
            answered: seconds * 901,
            lost: 0,
            faults: Faults { timeouts: 3, ..Faults::default() },
            late: Late::default(),
            in_flight: 9,
            backlog: 50,
            connections: 16,
            bytes_received: 1_000_000,
            bytes_sent: 0,
            response_time: &whole,
            service_time: &whole,
            intervals: &intervals,
        };
        picture(&progress, "http://a/\x1b[2J", size, colour)
    }

    #[test]
    fn it_fits_on_any_terminal() {
        for size in [(80, 24), (200, 60), (40, 10), (80, 5), (10, 3), (1, 1)] {
            for seconds in [0, 1, 30, 600] {
                let lines = drawn(seconds, size, false);
                assert!(lines.len() <= size.1, "{size:?}: {} lines", lines.len());
                for line in &lines {
                    assert!(line.chars().count() <= size.0, "{size:?}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn everything_is_there_at_80_by_24_without_colour() {
        let text = drawn(30, (80, 24), false).join("\n");
        for part in [
            "http://a/?[2J",
            " 50 %  30 s",
            "faults 3: 3 timeouts; 50 wait for a connection",
            "answered 901/s now, 901/s so far; asked 1,000/s",
            "p99.9",
            "100 µs",
            "5.00 ms",
            "██████",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\x1b'), "{text:?}");
        let coloured = drawn(30, (80, 24), true).join("\n");
        assert!(coloured.contains("\x1b[1;31mfaults"), "{coloured:?}");
    }

    #[test]
    fn a_line_has_the_second_the_rate_and_the_latency() {
        assert_eq!(
            line(&interval(4, 100_000)),
            "     5 s        901/s  p50 100 µs, p99 100 µs, max 5.00 ms  faults none",
        );
    }
}
