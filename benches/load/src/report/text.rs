//! A result as text for people: first what went wrong, then how much, then how fast.

use corelane_metrics::HistogramSnapshot;

use crate::outcome::BUSY_MAX;
use crate::record::{Discipline, End, QUANTILES, Record, Usage, per, supports};
use crate::units;

/// Characters of a line of text.
const WIDTH: usize = 98;
/// The rate is said to be missed below this share of it.
const RATE_REACHED: f64 = 0.99;

/// Said when nothing is wrong.
pub(crate) const CLEAN: &str =
    "No faults, no late sends, no sign that the generator was at its limit.";

/// The whole result, as it is printed at the end of a run.
#[must_use]
pub fn text(record: &Record) -> String {
    let mut out = format!("{}\n{}\n\n", record.load.urls.join("\n"), load(record));
    let problems = problems(record);
    if problems.is_empty() {
        out += CLEAN;
        out += "\n";
    } else {
        out += "PROBLEMS\n";
        for Problem { what, detail } in problems {
            out += &wrapped(&format!("  {what:<16} {detail}"), 19);
        }
    }
    out += &format!("\n{}", volume(record));
    out += &format!("\n{}\n\n{}", latencies(record), wrapped(&lesson(record), 0));
    if let Some(side) = &record.server_side {
        out += &format!("\n{}", wrapped(&overlay(record), 0));
        side.notes.iter().for_each(|note| out += &wrapped(note, 0));
    }
    if record.targets.len() > 1 {
        out += &format!("\n{}", targets(record));
    }
    if !record.steps.is_empty() {
        out += &format!("\n{}{}", steps(record), wrapped(&knee(record), 0));
    }
    if !record.environment.warnings.is_empty() {
        out += "\nTHE MACHINE\n";
        record
            .environment
            .warnings
            .iter()
            .for_each(|warning| out += &wrapped(&format!("  {warning}"), 2));
    }
    out
}

/// In lines of at most [`WIDTH`] characters where words allow it, all but the first indented.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let long = word.trim_end().chars().count();
        if used > indent && used + long > WIDTH {
            out.truncate(out.trim_end().len());
            out += &format!("\n{:indent$}", "");
            used = indent;
        }
        out += word;
        used += word.chars().count();
    }
    out + "\n"
}

/// What was asked for, on one line.
pub(crate) fn load(record: &Record) -> String {
    let load = &record.load;
    let discipline = match &load.discipline {
        Discipline::Open { rate, arrivals } => format!("open loop, {rate} {arrivals}"),
        Discipline::Closed => "closed loop".to_owned(),
    };
    let kept = if load.keep_alive { "kept alive" } else { "one request each" };
    let connections = units::several(load.connections as u64, "connection");
    let threads = units::several(load.threads as u64, "thread");
    format!(
        "{}: {discipline}, {connections} ({kept}, {} in flight), {threads}, {:.1} s measured",
        load.method, load.pipeline, record.elapsed_seconds,
    )
}

/// Something that must be known before any figure is believed.
pub(crate) struct Problem {
    pub(crate) what: &'static str,
    pub(crate) detail: String,
}

/// All that went wrong, gravest first.
pub(crate) fn problems(record: &Record) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |what, detail| problems.push(Problem { what, detail });
    match &record.end {
        End::Complete => {}
        End::Interrupted => {
            add("interrupted", "the run was ended early: it covers only the time shown".to_owned());
        }
        End::Failed(why) => add("ended early", format!("the next step could not run: {why}")),
    }
    if record.answered == 0 {
        add("no answer", "not one response came: there is nothing to measure".to_owned());
    }
    let occurred = record.faults.iter().filter(|fault| fault.count > 0);
    let kinds: Vec<_> =
        occurred.map(|fault| format!("{} {}", units::count(fault.count), fault.kind)).collect();
    if !kinds.is_empty() {
        add("faults", format!("{}: {}", units::count(record.fault_count()), kinds.join(", ")));
    }
    if record.lost > 0 {
        add("lost", lost(record));
    }
    record.unknown.iter().for_each(|what| add("not known", what.clone()));
    let sends = &record.sends;
    if record.load.discipline.is_open() {
        let unsent = sends.intended.saturating_sub(sends.sent);
        if unsent > 0 {
            let share = units::share(unsent, sends.intended);
            add(
                "not sent",
                format!(
                    "{} of {} requests ({share}) whose time came were not sent before the end",
                    units::count(unsent),
                    units::count(sends.intended),
                ),
            );
        }
        let asked = per(sends.intended as f64, record.elapsed_seconds);
        if record.rate() < asked * RATE_REACHED {
            add(
                "rate missed",
                format!(
                    "{}/s answered of {}/s asked",
                    units::rate(record.rate()),
                    units::rate(asked),
                ),
            );
        }
        if is_late(record) {
            add("late sends", late(record));
        }
    }
    if let Some(busy) = record.client.saturation.filter(|busy| *busy >= BUSY_MAX) {
        add(
            "generator busy",
            format!(
                "its busiest thread {:.0} % of the time: figures may show its limit, not the server's; add \
             --threads or lower the rate",
                busy * 100.0,
            ),
        );
    }
    problems
}

fn lost(record: &Record) -> String {
    let all = format!(
        "{} of {} requests that were sent had no whole answer",
        units::count(record.lost),
        units::count(record.sends.sent),
    );
    match record.cut_off {
        0 => all,
        cut => {
            let cut = units::count(cut);
            format!("{all}; {cut} of them only because the run was ended: no fault of the server's")
        }
    }
}

fn late(record: &Record) -> String {
    let sends = &record.sends;
    format!(
        "{} of {} ({}) left the generator more than 1 ms after they could have, the latest {} (mean of all \
         {}): it did not get its core in time, or had too much to do; these delays are its own",
        units::count(sends.late),
        units::count(sends.sent),
        units::share(sends.late, sends.sent),
        units::time(sends.late_max as f64),
        units::time(sends.late_mean),
    )
}

/// The command line, as a shell would take it.
pub(crate) fn command(record: &Record) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let quote = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    let words: Vec<_> = record.arguments.iter().map(quote).collect();
    format!("corelane load {}", words.join(" "))
}

fn volume(record: &Record) -> String {
    let mut out = String::new();
    let mut line = |name: &str, detail: String| out += &format!("{name:<12} {detail}\n");
    line("rate", format!("{} responses per second", units::rate(record.rate())));
    let sends = &record.sends;
    let planned = match record.load.discipline.is_open() {
        true => format!("{} planned, ", units::count(sends.intended)),
        false => String::new(),
    };
    line(
        "requests",
        format!(
            "{planned}{} sent, {} answered; {} opened",
            units::count(sends.sent),
            units::count(record.answered),
            units::several(record.connections_opened, "connection"),
        ),
    );
    let statuses: Vec<_> = record
        .statuses
        .iter()
        .map(|(status, count)| format!("{status}: {}", units::count(*count)))
        .collect();
    if !statuses.is_empty() {
        line("statuses", statuses.join(", "));
    }
    let second = |bytes: u64| units::bytes(per(bytes as f64, record.elapsed_seconds));
    line(
        "transfer",
        format!(
            "{}/s received, {}/s sent",
            second(record.bytes_received),
            second(record.bytes_sent),
        ),
    );
    for (name, usage) in [("client CPU", Some(record.client)), ("server CPU", record.server)] {
        let Some(usage) = usage else { continue };
        line(name, used(usage, record.answered));
    }
    out
}

/// What a process used for so many responses.
pub(crate) fn used(usage: Usage, answered: u64) -> String {
    let each = units::time(per(usage.cpu_seconds * 1e9, answered as f64));
    let busy = format!("{each} per response, {:.2} cores busy", usage.cores);
    match usage.waiting {
        None => busy,
        Some(waiting) => format!("{busy}, {waiting:.2} threads waiting for a core on average"),
    }
}

/// Whether response times are others than service times: in a closed loop with kept connections they are
/// the same.
pub(crate) fn has_response_time(record: &Record) -> bool {
    record.load.discipline.is_open() || !record.load.keep_alive
}

/// Service and response time side by side; one column where they are the same.
fn latencies(record: &Record) -> String {
    let mut columns = vec![("service time", &record.service_time)];
    if has_response_time(record) {
        columns.push(("response time", &record.response_time));
    }
    if let Some(side) = &record.server_side {
        columns.push(("in the server", &side.latency));
    }
    table(&columns)
}

/// Quantiles below each other, one column for each distribution.
pub(crate) fn table(columns: &[(&str, &HistogramSnapshot)]) -> String {
    let mut out = format!("{:<9}", "");
    columns.iter().for_each(|(name, _)| out += &format!("{name:>15}"));
    for (name, value) in rows() {
        out += &format!("\n{name:<9}");
        for (_, distribution) in columns {
            let cell = value(distribution).map_or("–".to_owned(), units::time);
            out += &format!("{cell:>15}");
        }
    }
    out
}

/// A figure of a distribution, if it has it.
type Figure = Box<dyn Fn(&HistogramSnapshot) -> Option<f64>>;

/// The names and the values of a table of latencies. A quantile with fewer than ten values beyond it
/// has none: it would say little that the maximum does not.
pub(crate) fn rows() -> Vec<(&'static str, Figure)> {
    let mut rows: Vec<(&str, Figure)> =
        vec![("min", Box::new(|d: &HistogramSnapshot| (!d.is_empty()).then(|| d.min() as f64)))];
    for (name, quantile) in QUANTILES {
        let value =
            move |d: &HistogramSnapshot| supports(d, quantile).then(|| d.quantile(quantile) as f64);
        rows.push((name, Box::new(value)));
    }
    rows.push(("max", Box::new(|d: &HistogramSnapshot| (!d.is_empty()).then(|| d.max() as f64))));
    rows.push(("mean", Box::new(|d: &HistogramSnapshot| (!d.is_empty()).then(|| d.mean()))));
    rows
}

/// A quantile as a cell of a table, or `–` where it has fewer than ten values beyond it; 1 is the maximum.
pub(crate) fn time_at(distribution: &HistogramSnapshot, quantile: f64) -> String {
    let has = supports(distribution, quantile) || (quantile >= 1.0 && !distribution.is_empty());
    match has {
        true => units::time(distribution.quantile(quantile) as f64),
        false => "–".to_owned(),
    }
}

/// The one sentence that says how to read the two columns, or what one column cannot show.
#[must_use]
pub(crate) fn lesson(record: &Record) -> String {
    let times = |quantile| {
        let of = |histogram: &HistogramSnapshot| histogram.quantile(quantile) as f64;
        (of(&record.service_time), of(&record.response_time))
    };
    if !record.load.discipline.is_open() {
        let closed = "Closed loop: each connection waits for an answer before it asks again, so while the \
                      server stands still nothing is asked and one request per connection sees it; what \
                      others would have waited is not in these figures. To see it, give a --rate.";
        if record.load.keep_alive {
            return closed.to_owned();
        }
        let (service, response) = times(0.5);
        return format!(
            "Each request has a connection of its own: service time counts from the moment it was sent, \
             response time from the moment its connection was begun. They differ by the handshake: by {} at \
             the median. {closed}",
            units::time((response - service).max(0.0)),
        );
    }
    let meaning = "Service time counts from the moment a request was sent, response time from the moment it \
                   should have been sent";
    let differ = |(_, quantile): &(&str, f64)| {
        let (service, response) = times(*quantile);
        response - service
    };
    let most = QUANTILES
        .into_iter()
        .filter(|(_, quantile)| supports(&record.response_time, *quantile))
        .max_by(|one, other| differ(one).total_cmp(&differ(other)))
        .filter(|(_, quantile)| {
            let (service, response) = times(*quantile);
            response > service * 1.1 + 50_000.0
        });
    let Some((name, quantile)) = most else {
        return format!("{meaning}; they hardly differ, because requests left on time.");
    };
    let own = if is_late(record) { ", or for the generator itself (see late sends)" } else { "" };
    let connection = match record.load.keep_alive {
        true => "a connection that was not busy with an earlier answer",
        false => "the handshake of a connection of their own",
    };
    format!(
        "{meaning}. At {name} they differ by {}: so long requests waited in the generator for \
         {connection}{own}. Users who come by the clock wait as long; a test that \
         waits for answers does not show it.",
        units::time(differ(&(name, quantile))),
    )
}

/// Even one late send can be what the highest quantiles show.
fn is_late(record: &Record) -> bool {
    record.sends.late > 0
}

/// The sentence about the server's own histogram.
pub(crate) fn overlay(record: &Record) -> String {
    let Some(side) = &record.server_side else { return String::new() };
    let (client, server) = (record.service_time.quantile(0.5), side.latency.quantile(0.5));
    let between = match client.checked_sub(server) {
        Some(between) => format!("{} at the median", units::time(between as f64)),
        None => "nothing that can be told at the median".to_owned(),
    };
    // Its figures are read once before a ramp, and then each step warms up.
    let more = record.steps.len() > 1 && record.load.warm_up_seconds > 0.0;
    let warm_ups = if more { ", those of the warm-ups of later steps included" } else { "" };
    let counted = format!(
        "{} counted {} requests{warm_ups}; the client had {} answers.",
        side.server,
        units::count(side.latency.count()),
        units::count(record.answered),
    );
    format!(
        "{counted} What lies between the server's time and the service time ({between}) is the network, \
         both kernels and the client's own event loop; what lies between service and response time \
         happened before anything was sent.",
    )
}

/// A row for each rate of a ramp.
fn steps(record: &Record) -> String {
    let mut out = format!(
        "{:<14}{:>14}{:>12}{:>12}{:>12}{:>9}{:>9}\n",
        "asked", "answered", "p50", "p99", "max", "faults", "late"
    );
    for step in &record.steps {
        let time = |quantile| time_at(&step.response_time, quantile);
        out += &format!(
            "{:<14}{:>14}{:>12}{:>12}{:>12}{:>9}{:>9}\n",
            format!("{}/s", units::rate(step.rate)),
            format!("{}/s", units::rate(step.answered_rate())),
            time(0.5),
            time(0.99),
            time(1.0),
            units::count(step.fault_count),
            units::count(step.late),
        );
    }
    out
}

/// The sentence about where a ramp stopped being served.
pub(crate) fn knee(record: &Record) -> String {
    let rate = |index: usize| format!("{}/s", units::rate(record.steps[index].rate));
    let last = record.steps.len().saturating_sub(1);
    match record.knee() {
        None if record.end != End::Complete => format!(
            "Of the {} that {} run, it kept up at every rate, up to {}.",
            units::several(record.steps.len() as u64, "step"),
            if last == 0 { "was" } else { "were" },
            rate(last),
        ),
        None => format!("It kept up at every rate, up to {}.", rate(last)),
        Some(index) => {
            let step = &record.steps[index];
            let busy = step.saturation.is_some_and(|busy| busy >= BUSY_MAX)
                || step.late > step.answered / 100;
            let whose = if busy { " The generator was at its own limit there." } else { "" };
            let good = match index {
                0 => format!("It did not keep up even at {}", rate(0)),
                _ => format!(
                    "The last rate at which it kept up was {}; at {} it did not",
                    rate(index - 1),
                    rate(index),
                ),
            };
            format!("{good}: {}.{whose}", record.shortfalls(index).join(", and "))
        }
    }
}

fn targets(record: &Record) -> String {
    let mut out = format!(
        "{:>8} {:>12} {:>8} {:>10} {:>10}  url\n",
        "weight", "answered", "wrong", "p50", "p99"
    );
    for target in &record.targets {
        let time = |quantile| time_at(&target.response_time, quantile);
        out += &format!(
            "{:>8} {:>12} {:>8} {:>10} {:>10}  {}\n",
            target.weight,
            units::count(target.answered),
            units::count(target.wrong),
            time(0.5),
            time(0.99),
            target.url,
        );
    }
    out
}
