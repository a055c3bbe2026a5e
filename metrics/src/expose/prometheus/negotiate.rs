//! Which format a client wants: `Accept` of RFC 9110, section 12.5.1.

use super::Format;

/// The format that an `Accept` field asks for; several fields are joined by commas.
///
/// OpenMetrics is for those that name it, in version 1.0.0 or without one, and do not give the text
/// format more weight. Everyone else gets the text format: browsers, `curl`, and also those that
/// accept neither, since refusing would help nobody.
///
/// ```
/// use corelane_metrics::expose::prometheus::{Format, negotiate};
///
/// let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3,*/*;q=0.1";
/// assert_eq!(negotiate(prometheus), Format::OpenMetrics);
/// assert_eq!(negotiate("text/html,*/*;q=0.8"), Format::Text);
/// assert_eq!(negotiate(""), Format::Text);
/// ```
pub fn negotiate(accept: &str) -> Format {
    let ranges = || split(accept, ',').filter_map(Range::parse);
    let open_metrics = ranges()
        .filter(|range| range.is("application/openmetrics-text", "1.0.0"))
        .map(|range| range.weight)
        .max();
    // Of the ranges that match, the most specific counts.
    let weight = |name| ranges().filter(|r| r.is(name, "0.0.4")).map(|range| range.weight).max();
    let text = ["text/plain", "text/*", "*/*"].into_iter().find_map(weight);
    match open_metrics {
        Some(weight) if weight > 0 && weight >= text.unwrap_or(0) => Format::OpenMetrics,
        _ => Format::Text,
    }
}

/// One media range with its weight.
#[derive(Clone, Copy, Debug)]
struct Range<'a> {
    name: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    weight: u16,
}

impl<'a> Range<'a> {
    /// `None` if the weight is malformed.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = split(text, ';').map(str::trim);
        let mut range = Range { name: parts.next()?, version: None, weight: 1_000 };
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            match (name.trim_end(), value.trim_start()) {
                (name, value) if name.eq_ignore_ascii_case("q") => range.weight = weight(value)?,
                (name, value) if name.eq_ignore_ascii_case("version") => {
                    range.version = Some(value.trim_matches('"'));
                }
                _ => {}
            }
        }
        Some(range)
    }

    fn is(&self, name: &str, version: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) && self.version.is_none_or(|own| own == version)
    }
}

/// `0.5` as 500: `qvalue` of the RFC is at most 1, with at most three digits after the point.
fn weight(text: &str) -> Option<u16> {
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.len() > 3 {
        return None;
    }
    let thousandths: u16 = format!("{digits:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

/// Splits at a separator that is not within a quoted string.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c: char| {
        let here = c == separator && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        here
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPEN: &str = "application/openmetrics-text";

    #[test]
    fn scrapers_get_what_they_prefer_and_others_text() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,\
             */*;q=0.2";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,\
             */*;q=0.2";
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, expected) in [
            (prometheus_2, Format::OpenMetrics),
            (prometheus_3, Format::OpenMetrics),
            (browser, Format::Text),
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("application/*", Format::Text),
            ("image/png", Format::Text),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily",
                Format::Text,
            ),
        ] {
            assert_eq!(negotiate(accept), expected, "{accept}");
        }
    }

    #[test]
    fn weights_and_versions_count() {
        for (rest, expected) in [
            ("", Format::OpenMetrics),
            (" ; VERSION = \"1.0.0\" ; q=0.001", Format::OpenMetrics),
            (",text/plain", Format::OpenMetrics),
            (";q=0.5,text/plain;q=0.5", Format::OpenMetrics),
            (";q=0.5,text/plain;q=0.500;version=9", Format::OpenMetrics),
            (";q=0.5,text/plain;q=0.1,*/*", Format::OpenMetrics),
            (";q=0.5,text/*;q=0.6", Format::Text),
            (";q=0.5,text/plain;q=0.51", Format::Text),
            (";q=0.5,*/*", Format::Text),
            (";q=0", Format::Text),
            (";q=0.000,*/*;q=0", Format::Text),
            (";version=0.0.1", Format::Text),
            (";version=2.0.0,text/plain;q=0.1", Format::Text),
            // Weights that are none.
            (";q=1.001", Format::Text),
            (";q=2", Format::Text),
            (";q=0.1234", Format::Text),
            (";q=-1", Format::Text),
            (";q=", Format::Text),
            (";q=0.+1", Format::Text),
            // Not a range of its own.
            ("x", Format::Text),
            (";a=\";q=0,\\\";\";q=0.7,text/plain;q=0.6", Format::OpenMetrics),
        ] {
            let accept = format!("{OPEN}{rest}");
            assert_eq!(negotiate(&accept), expected, "{accept}");
        }
        assert_eq!(negotiate(&OPEN.to_uppercase()), Format::OpenMetrics);
        assert_eq!(negotiate(&format!("text/html;a=\"{OPEN},{OPEN}")), Format::Text);
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in "([a-z*/;=,\"\\\\ q0-9.]|version|\\PC){0,60}") {
            negotiate(&text);
            prop_assert_eq!(negotiate(&format!("{text}\",{OPEN};q=0")), Format::Text);
        }
    }
}
