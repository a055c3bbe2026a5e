//! The results of one workload.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use corelane_benches::server::Server;
use corelane_benches::statistics::{Spread, median, paired_ratio, range, spread, with_unit};

use crate::measure::Sample;
use crate::workload::Workload;

/// Below this the server waited for the client, and its CPU time per response contains the price
/// of going idle and waking up.
const BUSY_MIN: f64 = 0.9;

/// The results of one workload.
#[derive(Debug)]
pub(crate) struct Table {
    workload: Workload,
    rows: Vec<Row>,
    /// Why servers took no part, and which.
    absent: Vec<(String, Vec<Server>)>,
    /// Measurements that failed.
    failures: Vec<String>,
}

/// One server's samples, one for each round; `None` where the measurement failed.
#[derive(Debug)]
struct Row {
    server: Server,
    samples: Vec<Option<Sample>>,
}

impl Row {
    fn values(&self, value: impl Fn(&Sample) -> Option<f64>) -> Vec<Option<f64>> {
        self.samples.iter().map(|sample| sample.as_ref().and_then(&value)).collect()
    }

    fn spread(&self, value: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        spread(self.values(value).into_iter().flatten())
    }

    /// What ratios are taken of.
    fn costs(&self) -> Vec<Option<f64>> {
        self.values(|sample| sample.cpu_micros.or(sample.idle_kibibytes))
    }

    fn faults(&self) -> u64 {
        self.samples.iter().flatten().map(|sample| sample.faults).sum()
    }

    fn waiting_count(&self) -> usize {
        let busy = self.values(|sample| sample.server_busy);
        busy.into_iter().flatten().filter(|&busy| busy < BUSY_MIN).count()
    }
}

impl Table {
    pub(crate) fn new(workload: Workload) -> Self {
        Self { workload, rows: Vec::new(), absent: Vec::new(), failures: Vec::new() }
    }

    pub(crate) fn add(&mut self, round: usize, server: Server, sample: Sample) {
        self.put(round, server, Some(sample));
    }

    pub(crate) fn fail(&mut self, round: usize, server: Server, reason: &str) {
        self.failures.push(format!("{server}, round {}: {reason}", round + 1));
        self.put(round, server, None);
    }

    pub(crate) fn leave_out(&mut self, server: Server, reason: String) {
        match self.absent.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, servers)) => servers.push(server),
            None => self.absent.push((reason, vec![server])),
        }
    }

    /// Who took no part, then what failed, a line each.
    fn notes(&self) -> Vec<String> {
        let absent = self.absent.iter().map(|(reason, servers)| {
            let names: Vec<_> = servers.iter().map(Server::to_string).collect();
            format!("without {}: {reason}", names.join(", "))
        });
        absent.chain(self.failures.iter().cloned()).collect()
    }

    fn put(&mut self, round: usize, server: Server, sample: Option<Sample>) {
        let index = self.rows.iter().position(|row| row.server == server).unwrap_or_else(|| {
            self.rows.push(Row { server, samples: Vec::new() });
            self.rows.len() - 1
        });
        let samples = &mut self.rows[index].samples;
        samples.resize(samples.len().max(round + 1), None);
        samples[round] = sample;
    }

    fn row(&self, server: Server) -> Option<&Row> {
        self.rows.iter().find(|row| row.server == server)
    }

    fn ratio(&self, row: &Row, reference: Server) -> Option<Spread> {
        paired_ratio(&row.costs(), &self.row(reference)?.costs())
    }

    /// All samples and what was made of them.
    pub(crate) fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "server": row.server.to_string(),
                "cpu_micros": row.values(|sample| sample.cpu_micros),
                "responses_per_second": row.values(|sample| sample.responses_per_second),
                "p50_micros": row.values(|sample| sample.p50_micros),
                "p99_micros": row.values(|sample| sample.p99_micros),
                "server_busy": row.values(|sample| sample.server_busy),
                "client_busy": row.values(|sample| sample.client_busy),
                "idle_kibibytes": row.values(|sample| sample.idle_kibibytes),
                "faults": row.faults(),
                "ratio_to_floor": self.ratio(row, Server::Floor).map(|ratio| ratio.median),
                "ratio_to_h2o": self.ratio(row, Server::H2o).map(|ratio| ratio.median),
            })
        });
        json!({
            "workload": self.workload.to_string(),
            "notes": self.notes(),
            "servers": rows.collect::<Vec<_>>(),
        })
    }

    fn write_load(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| server | CPU µs per request | min–max | × floor | × h2o | requests/s | p50 µs | p99 µs \
             | busy | faults |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
        )?;
        for row in &self.rows {
            let cpu = row.spread(|sample| sample.cpu_micros);
            let rate = row.spread(|sample| sample.responses_per_second);
            let p50 = row.spread(|sample| sample.p50_micros);
            let p99 = row.spread(|sample| sample.p99_micros);
            let busy = row.spread(|sample| sample.server_busy.map(|busy| busy * 100.0));
            let waiting = match row.waiting_count() {
                0 => String::new(),
                count => format!(" ({count} idle)"),
            };
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {}{waiting} | {} |",
                row.server,
                median(cpu, 2),
                range(cpu, 2),
                median(self.ratio(row, Server::Floor), 2),
                median(self.ratio(row, Server::H2o), 2),
                median(rate, 0),
                median(p50, 1),
                median(p99, 1),
                with_unit(median(busy, 0), "%"),
                row.faults(),
            )?;
        }
        Ok(())
    }

    fn write_idle(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| server | KiB per idle connection | min–max | × h2o |\n|---|--:|--:|--:|")?;
        for row in &self.rows {
            let memory = row.spread(|sample| sample.idle_kibibytes);
            let ratio = self.ratio(row, Server::H2o);
            let (middle, extent) = (median(memory, 2), range(memory, 2));
            writeln!(out, "| {} | {middle} | {extent} | {} |", row.server, median(ratio, 2))?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "## {}\n", self.workload)?;
        match self.workload {
            Workload::Idle => self.write_idle(out)?,
            _ => self.write_load(out)?,
        }
        let notes = self.notes();
        if !notes.is_empty() {
            out.write_char('\n')?;
        }
        for note in notes {
            writeln!(out, "- {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu: f64, busy: f64) -> Sample {
        Sample { cpu_micros: Some(cpu), server_busy: Some(busy), ..Sample::default() }
    }

    #[test]
    fn a_table_shows_ratios_idle_rounds_and_failures() {
        let mut table = Table::new(Workload::Plaintext64);
        for round in 0..3 {
            table.add(round, Server::Floor, sample(2.0, 0.99));
            table.add(round, Server::Corelane, sample(3.0, if round == 1 { 0.5 } else { 0.95 }));
        }
        table.fail(0, Server::Nginx, "no response");
        table.leave_out(Server::May, "a reason".to_owned());
        table.leave_out(Server::H2o, "a reason".to_owned());
        let text = table.to_string();
        assert!(text.contains("| floor | 2.00 | 2.00–2.00 | 1.00 | – |"), "{text}");
        assert!(text.contains("| corelane | 3.00 | 3.00–3.00 | 1.50 | – |"), "{text}");
        assert!(text.contains("| 95 % (1 idle) | 0 |"), "{text}");
        assert!(text.contains("- nginx, round 1: no response"), "{text}");
        assert!(text.contains("- without may, h2o: a reason"), "{text}");
        let json = table.to_json();
        assert_eq!(json["servers"][1]["ratio_to_floor"], 1.5);
        assert_eq!(json["servers"][2]["cpu_micros"][0], Value::Null);
    }
}
