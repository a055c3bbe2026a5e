//! The results of one measure: a row for each figure, a column for each server.

use std::fmt;

use corelane_benches::server::Server;

/// One thing measured on one server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Figure {
    name: String,
    value: String,
    goal: &'static str,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: impl fmt::Display) -> Self {
        Self { name: name.into(), value: value.to_string(), goal: "" }
    }

    /// Bytes, as KiB.
    pub(crate) fn kibibytes(name: impl Into<String>, bytes: f64) -> Self {
        Self::new(name, format!("{:.1}", bytes / 1024.0))
    }

    /// What corelane should reach.
    pub(crate) fn goal(self, goal: &'static str) -> Self {
        Self { goal, ..self }
    }
}

/// The results of one measure.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    explanation: &'static str,
    servers: Vec<Server>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Row {
    name: String,
    goal: &'static str,
    values: Vec<(Server, String)>,
}

impl Table {
    pub(crate) fn new(title: String, explanation: &'static str) -> Self {
        Self { title, explanation, servers: Vec::new(), rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn add(&mut self, server: Server, figures: Vec<Figure>) {
        self.servers.push(server);
        for Figure { name, value, goal } in figures {
            let index = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
                self.rows.push(Row { name, goal, values: Vec::new() });
                self.rows.len() - 1
            });
            self.rows[index].values.push((server, value));
        }
    }

    pub(crate) fn fail(&mut self, server: Server, reason: &str) {
        self.notes.push(format!("{server}: {reason}"));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "## {}\n\n{}\n", self.title, self.explanation)?;
        if !self.servers.is_empty() {
            write!(out, "| |")?;
            self.servers.iter().try_for_each(|server| write!(out, " {server} |"))?;
            writeln!(out, " goal |\n|---|{}---|", "--:|".repeat(self.servers.len()))?;
        }
        for row in &self.rows {
            write!(out, "| {} |", row.name)?;
            for &server in &self.servers {
                let value = row.values.iter().find(|(owner, _)| *owner == server);
                write!(out, " {} |", value.map_or("–", |(_, value)| value))?;
            }
            writeln!(out, " {} |", row.goal)?;
        }
        if !self.notes.is_empty() {
            writeln!(out)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "- {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_stand_side_by_side() {
        let mut table = Table::new("idle".to_owned(), "What it is.");
        table.add(Server::Corelane, vec![Figure::kibibytes("each, KiB", 512.0).goal("≤ 1")]);
        let more = Figure::new("closed", "7 of 9");
        table.add(Server::Nginx, vec![Figure::kibibytes("each, KiB", 1536.0), more]);
        table.fail(Server::H2o, "did not start");
        let expected = "## idle\n\nWhat it is.\n\n| | corelane | nginx | goal |\n|---|--:|--:|---|\n\
                        | each, KiB | 0.5 | 1.5 | ≤ 1 |\n| closed | – | 7 of 9 |  |\n\n\
                        - h2o: did not start\n";
        assert_eq!(table.to_string(), expected);
    }
}
