//! The record of a run: markdown for people, JSON with every sample for programs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::environment::Environment;

/// The record of a run.
#[derive(Debug)]
pub struct Record {
    /// The program whose run it was.
    pub program: &'static str,
    /// How it measured: what stands between the title and the environment.
    pub introduction: String,
    /// Where it took place.
    pub environment: Environment,
    /// How often each server was measured.
    pub rounds: u32,
    /// How long each measurement was.
    pub seconds: u32,
    /// A workload each: for people, and for programs.
    pub tables: Vec<(String, Value)>,
}

impl Record {
    /// `benches/records/DATE-PROGRAM`, with a number behind it if that day has one already.
    #[must_use]
    pub fn default_path(&self, root: &Path) -> PathBuf {
        let directory = root.join("benches/records");
        let name = |count: u32| match count {
            1 => format!("{}-{}", self.environment.date, self.program),
            _ => format!("{}-{}-{count}", self.environment.date, self.program),
        };
        let taken = |count: &u32| directory.join(name(*count)).with_extension("md").exists();
        let free = (1..).find(|count| !taken(count)).unwrap_or(u32::MAX);
        directory.join(name(free))
    }

    /// Writes it where it was asked for, else to its [default path](Self::default_path), else, for a trial,
    /// nowhere.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep(&self, asked: Option<&Path>, trial: bool, root: &Path) -> anyhow::Result<()> {
        match (asked, trial) {
            (Some(path), _) => self.write(path),
            (None, true) => Ok(()),
            (None, false) => self.write(&self.default_path(root)),
        }
    }

    /// Writes `path`.md and `path`.json.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let json = json!({
            "environment": self.environment.to_json(),
            "rounds": self.rounds,
            "seconds": self.seconds,
            "workloads": self.tables.iter().map(|(_, json)| json).collect::<Vec<_>>(),
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
        let Self { environment, introduction, .. } = self;
        let mut text = format!(
            "# Comparison of {}\n\n`cargo run --release --bin {}`: {introduction}\n\n{environment}",
            environment.date, self.program,
        );
        for (table, _) in &self.tables {
            text.push('\n');
            text.push_str(table);
        }
        text
    }
}
