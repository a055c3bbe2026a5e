//! Spans of time as text.

use std::time::Duration;

/// Reads `500ms`, `10s`, `2m`, `1h`, `1.5s`, or a plain number of seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 =
        number.parse().map_err(|_| "expected a time such as 10s, 500ms or 2m".to_owned())?;
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit `{unit}`: use us, ms, s, m or h")),
    };
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("`{text}` is out of range"))
}

/// Reads the length of a time-out. Zero is refused, since many would read it as "off".
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => {
            Err("a time-out of zero would let nothing happen; use 1ms or more".into())
        }
        span => Ok(span),
    }
}

/// The shortest text that [`parse`] reads as this span, in whole microseconds.
pub(crate) fn text(span: Duration) -> String {
    let micros = span.as_micros();
    let (number, unit) = match micros {
        0 => (0, "s"),
        _ if micros.is_multiple_of(3_600_000_000) => (micros / 3_600_000_000, "h"),
        _ if micros.is_multiple_of(60_000_000) => (micros / 60_000_000, "m"),
        _ if micros.is_multiple_of(1_000_000) => (micros / 1_000_000, "s"),
        _ if micros.is_multiple_of(1_000) => (micros / 1_000, "ms"),
        _ => (micros, "us"),
    };
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units() {
        for (text, millis) in
            [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1.5s", 1_500), ("7", 7_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn texts_are_read_as_what_they_were() {
        for expected in ["0s", "7us", "1500us", "500ms", "1500ms", "59s", "1m", "90m", "2h", "48h"]
        {
            assert_eq!(text(parse(expected).unwrap()), expected);
        }
    }

    #[test]
    fn says_what_it_expects() {
        assert!(parse("soon").unwrap_err().contains("500ms"), "not that `soon` is no unit");
        assert!(parse("5 parsecs").unwrap_err().contains("500ms"));
        assert!(parse("5parsecs").unwrap_err().contains("use us, ms, s, m or h"));
    }

    #[test]
    fn refuses_what_is_no_span() {
        for text in ["", "s", "-1s", "10x", "1e999s", "nan", "inf"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
