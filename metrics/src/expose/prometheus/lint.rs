//! Checks an exposition as `promtool check metrics` and OpenMetrics do, and stricter: for tests of
//! what a server says when it is scraped. Only what [`super::render`] writes is understood:
//! counters, gauges and classic histograms, without timestamps and exemplars.
//!
//! 1. Every family has a name in lower case, HELP with words, TYPE, and in OpenMetrics UNIT where
//!    its name ends in a unit, in this order, once and before its samples; its samples follow each
//!    other.
//! 2. Counters end in `_total` and are not negative; nothing else ends so. Units are base units, and
//!    last. No name says what kind it is.
//! 3. No series comes twice, no label key twice in a series, none is reserved.
//! 4. Buckets are in order and cumulative, the last is `+Inf` and equals `_count`; `_sum` is there.
//! 5. OpenMetrics ends with `# EOF`, the text format has none.

use std::collections::BTreeSet;
use std::fmt;

use super::Format;

/// The metrics of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name, in the text format with the `_total` of counters.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What it is, for people.
    pub help: String,
    /// The base unit, where OpenMetrics says one.
    pub unit: String,
    /// In the order of their lines.
    pub samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name, with its suffix.
    pub name: String,
    /// In the order of the line.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// The labels without one of them.
    fn labels_but(&self, key: &str) -> Vec<&(String, String)> {
        self.labels.iter().filter(|(k, _)| k != key).collect()
    }
}

/// What is wrong, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1; 0 when it is no line's fault.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Problem {}

/// Reads an exposition.
///
/// # Errors
///
/// The first rule it breaks.
pub fn check(format: Format, text: &str) -> Result<Vec<Family>, Problem> {
    let mut reader = Reader { format, families: Vec::new(), names: BTreeSet::new(), ended: false };
    let all = |what: &str| Problem { line: 0, what: what.to_owned() };
    let body = match text.strip_suffix('\n') {
        Some(body) => body,
        None if text.is_empty() && format == Format::Text => return Ok(Vec::new()),
        None => return Err(all("the last line does not end")),
    };
    for (index, line) in body.split('\n').enumerate() {
        reader.line(line).map_err(|what| Problem { line: index + 1, what })?;
    }
    if reader.ended != (format == Format::OpenMetrics) {
        return Err(all("`# EOF` ends OpenMetrics, and nothing else"));
    }
    for family in &reader.families {
        check_family(format, family)
            .map_err(|what| all(&format!("family {}: {what}", family.name)))?;
    }
    Ok(reader.families)
}

struct Reader {
    format: Format,
    families: Vec<Family>,
    names: BTreeSet<String>,
    ended: bool,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if self.ended {
            return Err("something follows `# EOF`".to_owned());
        }
        if line == "# EOF" {
            self.ended = true;
            return Ok(());
        }
        let Some(comment) = line.strip_prefix("# ") else { return self.sample(line) };
        let mut words = comment.splitn(3, ' ');
        let (keyword, name) = (words.next(), words.next().unwrap_or_default());
        let rest = words.next().ok_or("a description says nothing")?;
        if keyword == Some("HELP") {
            if !self.names.insert(name.to_owned()) {
                return Err(format!("{name} comes twice"));
            }
            let quotes = self.format == Format::OpenMetrics;
            self.families.push(Family {
                name: name.to_owned(),
                kind: String::new(),
                help: unescaped(rest, quotes)?,
                unit: String::new(),
                samples: Vec::new(),
            });
            return Ok(());
        }
        let family = self.families.last_mut().filter(|family| family.name == name);
        let family = family.ok_or_else(|| format!("{name} is described before its HELP"))?;
        let part = match keyword {
            Some("TYPE") => &mut family.kind,
            Some("UNIT") if !family.kind.is_empty() && self.format == Format::OpenMetrics => {
                &mut family.unit
            }
            _ => return Err("not a line of this format".to_owned()),
        };
        if !part.is_empty() || !family.samples.is_empty() {
            return Err("a description comes twice or after its samples".to_owned());
        }
        *part = rest.to_owned();
        Ok(())
    }

    fn sample(&mut self, line: &str) -> Result<(), String> {
        let sample = read_sample(line)?;
        let family = self.families.last_mut().ok_or("a sample without a family")?;
        let suffix = sample.name.strip_prefix(&*family.name);
        let good = match (&*family.kind, self.format) {
            ("counter", Format::OpenMetrics) => suffix == Some("_total"),
            ("counter" | "gauge", _) => suffix == Some(""),
            ("histogram", _) => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
            (kind, _) => return Err(format!("{} is of no known type: {kind:?}", family.name)),
        };
        if !good {
            return Err(format!("sample {} in family {}", sample.name, family.name));
        }
        family.samples.push(sample);
        Ok(())
    }
}

fn read_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (key, after) = rest.split_once("=\"").ok_or("a label without a value")?;
            let end = end_of_quoted(after).ok_or("a label value does not end")?;
            labels.push((key.to_owned(), unescaped(&after[..end], true)?));
            rest = &after[end + 1..];
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.strip_prefix(',').ok_or("labels are not parted by commas")?;
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let plain = value.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let value = value.parse().ok().filter(|_| plain).ok_or("the value is not a number")?;
    let keys: BTreeSet<_> = labels.iter().map(|(key, _)| key).collect();
    if keys.len() != labels.len() || keys.iter().any(|key| !word(key, "_") || key.starts_with("__"))
    {
        return Err("a label key is malformed, reserved or repeated".to_owned());
    }
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// Where the first quotation mark is that is not escaped.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    })
}

fn unescaped(text: &str, quotes: bool) -> Result<String, String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                Some('"') if quotes => '"',
                other => return Err(format!("unknown escape \\{other:?}")),
            },
            '"' if quotes => return Err("a quotation mark is not escaped".to_owned()),
            c => c,
        });
    }
    Ok(plain)
}

/// Letters, digits and some others, no digit first.
fn word(text: &str, others: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    !text.is_empty() && text.chars().all(good) && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn check_family(format: Format, family: &Family) -> Result<(), String> {
    let name = &*family.name;
    if family.help.trim().is_empty() || family.samples.is_empty() {
        return Err("there is no help or no sample".to_owned());
    }
    if !word(name, "_:") || name.chars().any(|c| c.is_ascii_uppercase()) {
        return Err("the name is malformed".to_owned());
    }
    let counter = family.kind == "counter";
    if name.ends_with("_total") != (counter && format == Format::Text) {
        return Err("`_total` is the end of counters, and of nothing else".to_owned());
    }
    let parts: Vec<_> = name.split('_').filter(|part| *part != "total").collect();
    let last = parts.last().copied().unwrap_or_default();
    let odd =
        ["nanoseconds", "ns", "microseconds", "milliseconds", "ms", "minutes", "hours", "bits"];
    let kinds = ["counter", "gauge", "histogram"];
    if let Some(part) = parts.iter().find(|part| odd.contains(part) || kinds.contains(part)) {
        return Err(format!("{part} in a name: use base units, and no kind"));
    }
    let unit = if ["seconds", "bytes"].contains(&last) { last } else { "" };
    let said = if format == Format::OpenMetrics { unit } else { "" };
    if family.unit != said {
        return Err(format!("UNIT says {:?}", family.unit));
    }
    if family.kind != "histogram" && ["count", "sum", "bucket", "created", "info"].contains(&last) {
        return Err(format!("the suffix _{last} means something else"));
    }
    if family.kind != "gauge" && family.samples.iter().any(|sample| sample.value < 0.0) {
        return Err("a count is negative".to_owned());
    }
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.sort();
        if !seen.insert((&sample.name, labels)) {
            return Err(format!("{sample:?} comes twice"));
        }
    }
    if family.kind == "histogram" { check_histogram(family) } else { Ok(()) }
}

fn check_histogram(family: &Family) -> Result<(), String> {
    let mut rest = &family.samples[..];
    while let Some(first) = rest.first() {
        let labels = first.labels_but("le");
        let one = rest.iter().take_while(|sample| sample.labels_but("le") == labels).count();
        let (samples, after) = rest.split_at(one);
        let ([buckets @ .., sum, count], true) = (samples, one > 2) else {
            return Err(format!("{labels:?} lacks a part"));
        };
        if !(sum.name.ends_with("_sum") && count.name.ends_with("_count")) {
            return Err("buckets, sum, count is the order".to_owned());
        }
        let mut last = (f64::NEG_INFINITY, 0.0);
        for bucket in buckets {
            let le = bucket.labels.iter().find(|(key, _)| key == "le").map(|(_, value)| &**value);
            let bound = match le.ok_or("a bucket has no bound")? {
                "+Inf" => f64::INFINITY,
                bound => bound.parse().map_err(|_| format!("the bound {bound:?} is no number"))?,
            };
            if bound <= last.0 || bucket.value < last.1 || bucket.value.fract() != 0.0 {
                return Err(format!("{bucket:?} is not above the one before"));
            }
            last = (bound, bucket.value);
        }
        if last != (f64::INFINITY, count.value) {
            return Err("the last bucket is not all values".to_owned());
        }
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# HELP a_seconds_total A \\\"quote\\\".
# TYPE a_seconds_total counter
a_seconds_total{x=\"\\\\\\n\\\"\"} 1.5
a_seconds_total{x=\"\"} 0
# HELP g G.
# TYPE g gauge
g -3
# HELP h_bytes H.
# TYPE h_bytes histogram
h_bytes_bucket{x=\"1\",le=\"63\"} 1
h_bytes_bucket{x=\"1\",le=\"+Inf\"} 3
h_bytes_sum{x=\"1\"} 900
h_bytes_count{x=\"1\"} 3
";

    /// What the text format says, as OpenMetrics.
    fn open_metrics(text: &str) -> String {
        let text = text.replace("HELP a_seconds_total", "HELP a_seconds");
        let text = text
            .replace(
                "TYPE a_seconds_total counter",
                "TYPE a_seconds counter\n# UNIT a_seconds seconds",
            )
            .replace("h_bytes histogram", "h_bytes histogram\n# UNIT h_bytes bytes");
        format!("{text}# EOF\n")
    }

    #[test]
    fn what_follows_the_rules_is_read() {
        let text = GOOD.replace("\\\"quote\\\"", "quote");
        let families = check(Format::Text, &text).unwrap();
        assert_eq!(families.len(), 3);
        assert_eq!(families[0].samples[0].labels, [("x".to_owned(), "\\\n\"".to_owned())]);
        assert_eq!((families[1].samples[0].value, &*families[2].kind), (-3.0, "histogram"));
        let families = check(Format::OpenMetrics, &open_metrics(GOOD)).unwrap();
        assert_eq!((&*families[0].help, &*families[2].unit), ("A \"quote\".", "bytes"));
        assert_eq!(check(Format::Text, ""), Ok(Vec::new()));
        assert_eq!(check(Format::OpenMetrics, "# EOF\n"), Ok(Vec::new()));
    }

    #[test]
    fn each_broken_rule_is_found() {
        let good = open_metrics(GOOD);
        assert!(check(Format::OpenMetrics, &good).is_ok());
        for (part, bad) in [
            ("# EOF\n", ""),
            ("# EOF\n", "# EOF"),
            ("# EOF\n", "# EOF\n# EOF\n"),
            ("# HELP g G.\n", ""),
            ("# HELP g G.\n", "# HELP g \n"),
            ("# HELP g G.\n", "# HELP g \\x\n"),
            ("# HELP g G.\n", "# HELP g \"\n"),
            ("# HELP g G.\n", "# HELP g\n"),
            ("# HELP g G.\n", "# HELP a_seconds G.\n"),
            ("# TYPE g gauge\n", ""),
            ("# TYPE g gauge\n", "# TYPE g summary\n"),
            ("# TYPE g gauge\n", "# TYPE g gauge\n# TYPE g gauge\n"),
            ("# TYPE g gauge\n", "# TYPE g gauge\n# UNIT g seconds\n"),
            ("# UNIT h_bytes bytes\n", ""),
            ("g -3\n", ""),
            ("g -3\n", "\n"),
            ("g -3\n", "g 1e3\n"),
            ("g -3\n", "g  3\n"),
            ("g -3\n", "g\n"),
            ("g -3\n", "g 1\ng 2\n"),
            ("g -3\n", "f 1\n"),
            ("g -3\n", "g_total 1\n"),
            ("g -3\n", "g{} 1\n"),
            ("g -3\n", "g{__a=\"\"} 1\n"),
            ("g -3\n", "g{a=\"\",a=\"\"} 1\n"),
            ("g -3\n", "g{a=\"\"b=\"\"} 1\n"),
            ("g -3\n", "g{a=\"\n"),
            ("g -3\n", "g{a=\"\"}1\n"),
            ("a_seconds_total{x=\"\"} 0", "a_seconds_total{x=\"\"} -1"),
            ("x=\"\"}", "x=\"\\\\\\n\\\"\"}"),
            ("le=\"63\"} 1", "le=\"63\"} 4"),
            ("le=\"63\"} 1", "le=\"63\"} 0.5"),
            ("le=\"63\"", "le=\"a\""),
            ("le=\"63\"", "l=\"63\""),
            ("le=\"+Inf\"} 3", "le=\"+Inf\"} 2"),
            ("le=\"+Inf\"", "le=\"9000\""),
            ("h_bytes_sum{x=\"1\"} 900\n", ""),
            ("h_bytes_count{x=\"1\"} 3\n", ""),
        ] {
            assert!(good.contains(part), "{part}");
            let text = good.replacen(part, bad, 1);
            assert!(check(Format::OpenMetrics, &text).is_err(), "{text}");
        }
        for name in ["a_nanoseconds", "a_gauge", "A", "a_total", "a_count", "1a", "a_ms"] {
            let text =
                good.replace(" g ", &format!(" {name} ")).replace("g -3", &format!("{name} 1"));
            assert!(check(Format::OpenMetrics, &text).is_err(), "{text}");
        }
        assert!(check(Format::Text, &good).is_err());
    }
}
