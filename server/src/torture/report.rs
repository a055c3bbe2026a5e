//! What was found, and how it is shown.

use std::fmt::Write;

use serde_json::{Value, json};

/// How well a server did in one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    /// As it should be.
    Ok,
    /// Allowed by the RFC, but risky, or less than it asks for (a SHOULD).
    Lenient,
    /// Against a MUST; or bytes of one message were taken as another's; or a limit is missing.
    Violation,
}

impl Grade {
    fn name(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Lenient => "lenient",
            Grade::Violation => "VIOLATION",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) id: &'static str,
    /// A section of an RFC, or "policy".
    pub(crate) rule: &'static str,
    /// What was sent, in short.
    pub(crate) sent: &'static str,
    /// What came back.
    pub(crate) got: String,
    pub(crate) grade: Grade,
}

/// The findings of one group.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) group: &'static str,
    pub(crate) findings: Vec<Finding>,
}

impl Section {
    fn count(&self, grade: Grade) -> usize {
        self.findings.iter().filter(|finding| finding.grade == grade).count()
    }

    /// How many rules are violated.
    pub(crate) fn violations(&self) -> usize {
        self.count(Grade::Violation)
    }

    /// The lines of this group, with what was sent only where it matters for reading them.
    pub(crate) fn table(&self) -> String {
        let width = |text: fn(&Finding) -> &str| {
            self.findings.iter().map(|finding| text(finding).chars().count()).max().unwrap_or(0)
        };
        let (id, rule) = (width(|f| f.id), width(|f| f.rule));
        let sent = width(|f| f.sent);
        let mut table = format!("{}\n", self.group);
        for f in &self.findings {
            // Writing to a string does not fail.
            let _ = writeln!(
                table,
                "  {:<9}  {:<id$}  {:<rule$}  {:<sent$}  {}",
                f.grade.name(),
                f.id,
                f.rule,
                f.sent,
                f.got
            );
        }
        table
    }
}

/// Counts per group.
pub(crate) fn summary(sections: &[Section]) -> String {
    let mut text = String::from("group         cases     ok  lenient  violations\n");
    let mut line = |name: &str, [cases, ok, lenient, violations]: [usize; 4]| {
        let _ = writeln!(text, "{name:<12}  {cases:>5}  {ok:>5}  {lenient:>7}  {violations:>10}");
    };
    let mut all = [0; 4];
    for section in sections {
        let grades = [Grade::Ok, Grade::Lenient, Grade::Violation].map(|g| section.count(g));
        let counts = [section.findings.len(), grades[0], grades[1], grades[2]];
        line(section.group, counts);
        all = std::array::from_fn(|n| all[n] + counts[n]);
    }
    line("all", all);
    text
}

/// The same for machines: one object with all lines and the number of violations.
pub(crate) fn json(target: &str, sections: &[Section]) -> Value {
    let lines: Vec<Value> = sections
        .iter()
        .flat_map(|section| section.findings.iter().map(move |finding| (section.group, finding)))
        .map(|(group, f)| {
            json!({
                "group": group, "id": f.id, "rule": f.rule, "sent": f.sent, "got": f.got,
                "grade": f.grade.name().to_ascii_lowercase(),
            })
        })
        .collect();
    let violations: usize = sections.iter().map(Section::violations).sum();
    json!({ "target": target, "violations": violations, "findings": lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let finding = |id, grade| Finding {
            id,
            rule: "9112 §6.3",
            sent: "two lengths",
            got: "400, closed".to_owned(),
            grade,
        };
        let findings = vec![finding("a", Grade::Ok), finding("bcd", Grade::Violation)];
        Section { group: "framing", findings }
    }

    #[test]
    fn columns_line_up() {
        let table = section().table();
        let expected = "framing\n  \
            ok         a    9112 §6.3  two lengths  400, closed\n  \
            VIOLATION  bcd  9112 §6.3  two lengths  400, closed\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn counts_and_json_agree() {
        let sections = [section(), section()];
        let last = summary(&sections).lines().last().unwrap().to_owned();
        let words: Vec<&str> = last.split_whitespace().collect();
        assert_eq!(words, ["all", "4", "2", "0", "2"]);
        let json = json("http://a/", &sections);
        assert_eq!(json["violations"], 2);
        assert_eq!(json["findings"][1]["grade"], "violation");
    }
}
