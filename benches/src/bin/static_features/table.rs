//! The table, and the document that it is in.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::cell::Cell;

const BEGIN: &str = "<!-- static_features: begin -->";
const END: &str = "<!-- static_features: end -->";

/// What was found.
#[derive(Debug)]
pub(crate) struct Table {
    date: String,
    /// Names and versions.
    columns: Vec<(String, String)>,
    text: String,
}

impl Table {
    pub(crate) fn new(date: String, columns: Vec<(String, String)>) -> Self {
        Self { date, columns, text: String::new() }
    }

    /// Begins a group of lines.
    pub(crate) fn begin(&mut self, group: &str) {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        let rule = "|---".repeat(names.len() + 1);
        let _ = write!(self.text, "\n### {group}\n\n| | {} |\n{rule}|\n", names.join(" | "));
    }

    /// Adds a line, and gives it back.
    pub(crate) fn add(&mut self, feature: &str, cells: Vec<Cell>) -> String {
        let cells: Vec<_> = cells.iter().map(ToString::to_string).collect();
        let row = format!("| {feature} | {} |", cells.join(" | "));
        self.text.push_str(&row);
        self.text.push('\n');
        row
    }

    /// Puts the table between the marks of a document.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let document =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let renewed = self.put_into(&document).with_context(|| path.display().to_string())?;
        fs::write(path, renewed).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written: {}", path.display());
        Ok(())
    }

    fn put_into(&self, document: &str) -> anyhow::Result<String> {
        let (before, rest) = document.split_once(BEGIN).context("it has no begin mark")?;
        let (_, after) = rest.split_once(END).context("it has no end mark")?;
        let columns = self.columns.iter().map(|(name, version)| format!("{name} {version}"));
        let columns: Vec<_> = columns.collect();
        let Self { date, text, .. } = self;
        Ok(format!("{before}{BEGIN}\nOf {date}: {}.\n{text}{END}{after}", columns.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_renewed() {
        let columns = vec![("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        let mut table = Table::new("2026-11-21".to_owned(), columns);
        table.begin("Group");
        let row = table.add("feature", vec![Cell::yes(), Cell::no("404")]);
        assert_eq!(row, "| feature | yes | **no**: 404 |");
        let renewed = table.put_into(&format!("x\n{BEGIN}\nold\n{END}\ny\n")).unwrap();
        let expected = format!(
            "x\n{BEGIN}\nOf 2026-11-21: a 1, b 2.\n\n### Group\n\n| | a | b |\n|---|---|---|\n{row}\n{END}\ny\n"
        );
        assert_eq!(renewed, expected);
        assert!(table.put_into("no marks").is_err());
    }
}
