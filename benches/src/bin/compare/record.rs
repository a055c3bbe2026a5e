//! The record of a run: markdown for people, JSON with every sample for programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

use corelane_benches::environment::Environment;

use crate::table::Table;

/// The record of a run.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) environment: Environment,
    pub(crate) tables: Vec<Table>,
    pub(crate) rounds: u32,
    pub(crate) seconds: u32,
}

impl Record {
    /// `benches/records/DATE-compare`, with a number behind it if that day has one already.
    pub(crate) fn default_path(&self, root: &Path) -> PathBuf {
        let directory = root.join("benches/records");
        let name = |count: u32| match count {
            1 => format!("{}-compare", self.environment.date),
            _ => format!("{}-compare-{count}", self.environment.date),
        };
        let taken = |count: &u32| directory.join(name(*count)).with_extension("md").exists();
        let free = (1..).find(|count| !taken(count)).unwrap_or(u32::MAX);
        directory.join(name(free))
    }

    /// Writes `path`.md and `path`.json.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let json = json!({
            "environment": self.environment.to_json(),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "workloads": self.tables.iter().map(Table::to_json).collect::<Vec<_>>(),
        });
        let json = serde_json::to_string_pretty(&json)? + "\n";
        for (extension, text) in [("md", self.markdown()), ("json", json)] {
            let file = path.with_extension(extension);
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            println!("written: {}", file.display());
        }
        Ok(())
    }

    fn markdown(&self) -> String {
        let Self { environment, rounds, seconds, .. } = self;
        let mut text = format!(
            "# Comparison of {}\n\n\
             `cargo run --release --bin compare`: {rounds} interleaved rounds of {seconds} s, server \
             and load on one core each. Figures are medians over the rounds; ratios are medians of \
             the ratios inside each round. \"(n idle)\" counts the rounds in which the server was \
             idle for more than 10 % of the time.\n\n{environment}",
            environment.date,
        );
        for table in &self.tables {
            text.push('\n');
            text.push_str(&table.to_string());
        }
        text
    }
}
