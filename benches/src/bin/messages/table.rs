//! The results of one workload.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use corelane_benches::statistics::{Spread, median, paired_ratio, range, spread};

use crate::peer::Peer;
use crate::sample::{Sample, Slow};
use crate::workload::{Clients, Workload};

/// What a column shows: the median over the rounds.
struct Column {
    title: &'static str,
    digits: usize,
    value: fn(&Sample) -> Option<f64>,
}

const fn column(title: &'static str, digits: usize, value: fn(&Sample) -> Option<f64>) -> Column {
    Column { title, digits, value }
}

fn slow(sample: &Sample) -> Option<&Slow> {
    sample.slow.as_ref()
}

/// The first column of each is what ratios are taken of.
const IDLE: &[Column] = &[column("KiB per idle connection", 2, |sample| sample.idle_kibibytes)];
const LOAD: &[Column] = &[
    column("CPU µs per message", 3, |sample| sample.cpu_micros),
    column("messages/s", 0, |sample| sample.messages_per_second),
    column("p50 µs", 0, |sample| sample.p50_micros),
    column("p99 µs", 0, |sample| sample.p99_micros),
    column("at once", 1, |sample| sample.messages_per_receive),
    column("busy %", 0, |sample| sample.server_busy.map(|busy| busy * 100.0)),
];
const SLOW: &[Column] = &[
    column("p50 before", 0, |sample| slow(sample)?.p50_micros_before),
    column("p99 before", 0, |sample| slow(sample)?.p99_micros_before),
    column("memory before, KiB", 0, |sample| Some(slow(sample)?.resident_kibibytes)),
    column("grown KiB for each slow", 1, |sample| Some(slow(sample)?.grown_kibibytes_each)),
    column("offered KiB each", 0, |sample| Some(slow(sample)?.offered_kibibytes_each)),
    column("slow closed", 0, |sample| Some(slow(sample)?.closed)),
    column("lines missed each", 0, |sample| Some(slow(sample)?.missed_lines_each)),
];

/// The results of one workload.
#[derive(Debug)]
pub(crate) struct Table {
    workload: Workload,
    rows: Vec<Row>,
    /// Why servers took no part.
    absent: Vec<String>,
    /// Measurements that failed, and faults.
    failures: Vec<String>,
}

/// One server's samples, one for each round; `None` where the measurement failed.
#[derive(Debug)]
struct Row {
    peer: Peer,
    samples: Vec<Option<Sample>>,
}

impl Row {
    fn values(&self, value: fn(&Sample) -> Option<f64>) -> Vec<Option<f64>> {
        self.samples.iter().map(|sample| sample.as_ref().and_then(value)).collect()
    }

    fn spread(&self, column: &Column) -> Option<Spread> {
        spread(self.values(column.value).into_iter().flatten())
    }

    fn fault_count(&self) -> u64 {
        self.samples.iter().flatten().map(|sample| sample.faults.total()).sum()
    }
}

impl Table {
    pub(crate) fn new(workload: Workload) -> Self {
        Self { workload, rows: Vec::new(), absent: Vec::new(), failures: Vec::new() }
    }

    /// Rounds come in order; every server has one sample in each, or a reason.
    pub(crate) fn add(&mut self, round: usize, peer: Peer, sample: anyhow::Result<Sample>) {
        let mut note = |text: &str| {
            self.failures.push(format!("{peer}, round {}: {text}", round + 1));
        };
        let sample = match sample {
            Ok(sample) => {
                let kinds = sample.faults.kinds().into_iter().filter(|(_, count)| *count > 0);
                let faults: Vec<_> = kinds.map(|(kind, count)| format!("{count} {kind}")).collect();
                if !faults.is_empty() {
                    note(&faults.join(", "));
                }
                Some(sample)
            }
            Err(error) => {
                note(&format!("{error:#}"));
                None
            }
        };
        match self.rows.iter_mut().find(|row| row.peer == peer) {
            Some(row) => row.samples.push(sample),
            None => self.rows.push(Row { peer, samples: vec![sample] }),
        }
    }

    pub(crate) fn leave_out(&mut self, peer: Peer, reason: &str) {
        self.absent.push(format!("without {peer}: {reason}"));
    }

    fn columns(&self) -> impl Iterator<Item = &'static Column> {
        let (first, second): (_, &[Column]) = match self.workload.clients() {
            Clients::Idle(_) => (IDLE, &[]),
            Clients::Room(plan) if plan.slow > 0 => (LOAD, SLOW),
            _ => (LOAD, &[]),
        };
        first.iter().chain(second)
    }

    /// How the first column of `row` compares with that of `reference`, round by round.
    fn ratio(&self, row: &Row, reference: Peer) -> Option<Spread> {
        let value = self.columns().next()?.value;
        let reference = self.rows.iter().find(|row| row.peer == reference)?;
        paired_ratio(&row.values(value), &reference.values(value))
    }

    /// All samples and what was made of them.
    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "server": row.peer.to_string(),
                "samples": row.samples,
                "ratio_to_mio": self.ratio(row, Peer::Mio).map(|ratio| ratio.median),
                "ratio_to_tokio": self.ratio(row, Peer::Tokio).map(|ratio| ratio.median),
            })
        });
        json!({
            "workload": self.workload.to_string(),
            "notes": self.absent.iter().chain(&self.failures).collect::<Vec<_>>(),
            "servers": rows.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = self.columns().collect();
        let Some((first, others)) = columns.split_first() else { return Ok(()) };
        write!(
            out,
            "## {}\n\n| server | {} | min–max | × mio | × tokio |",
            self.workload, first.title
        )?;
        for column in others {
            write!(out, " {} |", column.title)?;
        }
        writeln!(out, " faults |\n|---|{}", "--:|".repeat(others.len() + 5))?;
        for row in &self.rows {
            let (cost, digits) = (row.spread(first), first.digits);
            write!(out, "| {} | {} | {} |", row.peer, median(cost, digits), range(cost, digits))?;
            for reference in [Peer::Mio, Peer::Tokio] {
                write!(out, " {} |", median(self.ratio(row, reference), 2))?;
            }
            for column in others {
                write!(out, " {} |", median(row.spread(column), column.digits))?;
            }
            writeln!(out, " {} |", row.fault_count())?;
        }
        if !(self.absent.is_empty() && self.failures.is_empty()) {
            out.write_char('\n')?;
        }
        for note in self.absent.iter().chain(&self.failures) {
            writeln!(out, "- {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Faults;

    fn sample(cpu: f64, faults: Faults) -> anyhow::Result<Sample> {
        Ok(Sample { cpu_micros: Some(cpu), faults, ..Sample::default() })
    }

    #[test]
    fn a_table_shows_paired_ratios_faults_and_failures() {
        let mut table = Table::new(Workload::Echo64);
        for (round, scale) in [1.0, 2.0, 4.0].into_iter().enumerate() {
            table.add(round, Peer::Mio, sample(2.0 * scale, Faults::default()));
            let faults = Faults { lost: round as u64, ..Faults::default() };
            table.add(round, Peer::Tokio, sample(3.0 * scale, faults));
        }
        table.add(0, Peer::Node, Err(anyhow::anyhow!("no message")));
        table.leave_out(Peer::Corelane, "a reason");
        let text = table.to_string();
        assert!(text.contains("| mio | 4.000 | 2.000–8.000 | 1.00 | 0.67 |"), "{text}");
        assert!(text.contains("| tokio | 6.000 | 3.000–12.000 | 1.50 | 1.00 |"), "{text}");
        for line in [
            "- without corelane: a reason",
            "- tokio, round 3: 2 lost",
            "- node, round 1: no message",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        let json = table.to_json();
        assert_eq!(json["servers"][1]["ratio_to_mio"], 1.5);
        assert_eq!(json["servers"][1]["samples"][2]["faults"]["lost"], 2);
        assert_eq!(json["servers"][2]["samples"][0], Value::Null);
    }

    #[test]
    fn each_kind_of_workload_has_columns_of_its_own() {
        let widths = [Workload::Idle, Workload::Broadcast1000, Workload::Broadcast1000Slow]
            .map(|workload| Table::new(workload).columns().count());
        assert_eq!(widths, [IDLE.len(), LOAD.len(), LOAD.len() + SLOW.len()]);
    }
}
