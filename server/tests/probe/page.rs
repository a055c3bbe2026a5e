//! docs/CONFORMANCE.md: its tables are between marks, the rest is written by hand.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::case::{Case, Verdict};
use crate::client::Outcome;

/// One line of a table.
pub(crate) struct Row {
    pub(crate) id: &'static str,
    rfc: &'static str,
    level: &'static str,
    pub(crate) answer: String,
    pub(crate) verdict: Verdict,
    pub(crate) scored: bool,
}

impl Row {
    pub(crate) fn new(case: &Case, outcome: &Outcome) -> Row {
        Row {
            id: case.id,
            rfc: case.rfc,
            level: case.level.name(),
            answer: outcome.summary(),
            verdict: case.judge(outcome),
            scored: case.scored,
        }
    }
}

/// One test at a time has the page.
static PAGE: Mutex<()> = Mutex::new(());

pub(crate) struct Page {
    path: PathBuf,
    text: String,
    _alone: MutexGuard<'static, ()>,
}

impl Page {
    pub(crate) fn read() -> Page {
        // A test that failed with the page in its hands has not harmed it.
        let alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFORMANCE.md");
        let text = std::fs::read_to_string(&path).unwrap();
        Page { path, text, _alone: alone }
    }

    /// Compares the tables of this name with these rows, or writes them if told to.
    pub(crate) fn check(&mut self, name: &str, rows: &[Row]) {
        let tables = tables(rows);
        if std::env::var_os("CORELANE_BLESS").is_some_and(|value| value == "1") {
            let (before, _, after) = split(&self.text, name);
            self.text = [before, &tables, after].concat();
            std::fs::write(&self.path, &self.text).unwrap();
            return;
        }
        let (_, written, _) = split(&self.text, name);
        let lines = written.lines().zip(tables.lines());
        let differing = lines.into_iter().find(|(written, found)| written != found);
        if let Some((written, found)) = differing {
            panic!(
                "docs/CONFORMANCE.md says\n{written}\nbut it is\n{found}\n\
                 If that is right: CORELANE_BLESS=1 cargo test -p corelane --test probe"
            );
        }
        assert_eq!(written, tables, "the tables differ in length");
    }

    /// Every answer that does not pass must have its reason on the page, beside the tables.
    pub(crate) fn explains(&self, rows: &[Row]) {
        let (before, _, after) = split(&self.text, "http11probe");
        let prose = [before, after].concat();
        for row in rows.iter().filter(|row| row.verdict != Verdict::Pass) {
            let id = format!("`{}`", row.id);
            assert!(prose.contains(&id), "docs/CONFORMANCE.md gives no reason for {id}");
        }
    }
}

/// What stands before, between and after the marks of this name.
fn split<'t>(text: &'t str, name: &str) -> (&'t str, &'t str, &'t str) {
    let begin = format!("<!-- {name}: written by server/tests/probe -->\n");
    let begin = text.find(&begin).expect("the mark of the tables' begin") + begin.len();
    let end = text.find(&format!("<!-- {name}: end -->\n")).expect("the mark of the tables' end");
    (&text[..begin], &text[begin..end], &text[end..])
}

fn tables(rows: &[Row]) -> String {
    let mut text = String::from("\n");
    let unscored = rows.iter().any(|row| !row.scored);
    if unscored {
        summary(&mut text, "Scored", rows.iter().filter(|row| row.scored));
        table(&mut text, rows.iter().filter(|row| row.scored));
        summary(&mut text, "Not scored", rows.iter().filter(|row| !row.scored));
        table(&mut text, rows.iter().filter(|row| !row.scored));
    } else {
        summary(&mut text, "All scored", rows.iter());
        table(&mut text, rows.iter());
    }
    text
}

fn summary<'r>(text: &mut String, title: &str, rows: impl Iterator<Item = &'r Row>) {
    let mut counts = [0; 3];
    for row in rows {
        counts[row.verdict as usize] += 1;
    }
    let [pass, warn, fail] = counts;
    let total = pass + warn + fail;
    writeln!(text, "{title}: **{pass} of {total} pass**, {warn} warn, {fail} fail.\n").unwrap();
}

fn table<'r>(text: &mut String, rows: impl Iterator<Item = &'r Row>) {
    text.push_str("| case | RFC | level | our answer | verdict |\n|---|---|---|---|---|\n");
    for Row { id, rfc, level, answer, verdict, .. } in rows {
        let verdict = verdict.name();
        writeln!(text, "| `{id}` | {rfc} | {level} | {answer} | {verdict} |").unwrap();
    }
    text.push('\n');
}
