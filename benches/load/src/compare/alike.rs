//! Whether two results are of the same load.

use crate::outcome::{BUSY_MAX, LATE_SHARE_MAX};
use crate::record::{Discipline, Load, NOT_KEPT, Record, per};

/// Why two results cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unlike {
    /// The loads differ: each difference in words.
    #[error("the two are results of different loads, so their figures say nothing about each other:\n  {}", .0.join("\n  "))]
    Loads(Vec<String>),
    /// There is not enough to tell a difference from chance.
    #[error(
        "the {which} result has only {seconds} seconds: too few to tell a difference from chance, 8 is \
             the least, 30 are better"
    )]
    Short {
        /// Which of the two.
        which: &'static str,
        /// How many it has.
        seconds: usize,
    },
}

/// A name, and how what it names is read.
type Row<T> = (&'static str, fn(&T) -> String);

/// What was asked for must be the same; who was asked may differ.
pub(super) fn check(first: &Record, second: &Record) -> Result<(), Unlike> {
    let rows: [Row<Load>; 10] = [
        ("loop", discipline),
        ("URLs", |load| load.urls.iter().map(|url| path(url)).collect::<Vec<_>>().join(" ")),
        ("weights", |load| format!("{:?}", load.weights)),
        ("method", |load| load.method.clone()),
        ("fields", |load| load.fields.join(", ")),
        ("body", |load| load.body.clone()),
        ("connections", |load| load.connections.to_string()),
        ("in flight", |load| load.pipeline.to_string()),
        ("keep-alive", |load| load.keep_alive.to_string()),
        ("threads", |load| load.threads.to_string()),
    ];
    match differences(rows.map(|(name, of)| (name, of(&first.load), of(&second.load)))) {
        none if none.is_empty() => Ok(()),
        differences => Err(Unlike::Loads(differences)),
    }
}

/// What else may explain a difference.
pub(super) fn conditions(first: &Record, second: &Record) -> Vec<String> {
    let rows: [Row<Record>; 10] = [
        ("generator", |record| record.generator.clone()),
        ("system", |record| record.environment.system.clone()),
        ("processor", |record| record.environment.processor.clone()),
        ("cores", |record| record.environment.cores.to_string()),
        ("client's cores", |record| format!("{:?}", record.load.cores)),
        ("looks for work without a pause", |record| record.load.spin.to_string()),
        ("warm-up in seconds", |record| record.load.warm_up_seconds.to_string()),
        ("timeout in seconds", |record| record.load.timeout_seconds.to_string()),
        ("seconds measured", |record| format!("{:.0}", record.elapsed_seconds)),
        ("end", |record| format!("{:?}", record.end)),
    ];
    let mut said = differences(rows.map(|(name, of)| (name, of(first), of(second))));
    let Load { urls, fields, .. } = &first.load;
    // They are the same in the second, as far as they were kept.
    let left_out: Vec<_> = fields
        .iter()
        .chain(urls)
        .filter(|part| part.contains(NOT_KEPT))
        .map(String::as_str)
        .collect();
    if !left_out.is_empty() {
        said.push(format!(
            "values of credentials, which were not compared: {}",
            left_out.join(", ")
        ));
    }
    for (which, record) in [("first", first), ("second", second)] {
        let limits = at_its_limit(record);
        if !limits.is_empty() {
            said.push(format!("the generator of the {which} was at its limit: {limits}"));
        }
    }
    said
}

/// Signs that the generator, and not the server, made the figures.
fn at_its_limit(record: &Record) -> String {
    let busy = record.client.saturation.filter(|busy| *busy >= BUSY_MAX);
    let busy = busy.map(|busy| format!("busy {:.0} % of the time", busy * 100.0));
    let late = per(record.sends.late as f64, record.sends.sent as f64);
    let late = (late > LATE_SHARE_MAX).then(|| format!("{:.1} % sent late", late * 100.0));
    [busy, late].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn differences<const N: usize>(rows: [(&str, String, String); N]) -> Vec<String> {
    rows.into_iter()
        .filter(|(_, first, second)| first != second)
        .map(|(name, first, second)| format!("{name}: {first}, {second}"))
        .collect()
}

fn discipline(load: &Load) -> String {
    match &load.discipline {
        Discipline::Closed => "closed".to_owned(),
        Discipline::Open { rate, arrivals } => format!("open at {rate} {arrivals}"),
    }
}

/// A URL without scheme and authority.
fn path(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |slash| &rest[slash..]).to_owned()
}
