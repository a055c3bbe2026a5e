//! Numbers as people read them.

/// Nanoseconds with three figures and a unit: `873 ns`, `52.1 µs`, `1.04 s`.
pub(crate) fn time(nanos: f64) -> String {
    // Above what is shown as 999.5 of a unit, the next one is used.
    for (unit, size) in [("ns", 1.0), ("µs", 1e3), ("ms", 1e6)] {
        if nanos < 999.5 * size {
            return scaled(nanos, unit, size);
        }
    }
    scaled(nanos, "s", 1e9)
}

/// Three figures and a unit; the smallest unit is whole.
fn scaled(number: f64, unit: &str, size: f64) -> String {
    let number = number / size;
    let decimals = match number {
        number if number >= 99.95 || size == 1.0 => 0,
        number if number >= 9.995 => 1,
        _ => 2,
    };
    format!("{number:.decimals$} {unit}")
}

/// With a comma between thousands: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 warning`, `2 warnings`.
pub(crate) fn several(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A rate: whole numbers from 100 on, one decimal below.
pub(crate) fn rate(number: f64) -> String {
    if number >= 99.95 { count(number.round() as u64) } else { format!("{number:.1}") }
}

/// Bytes with a decimal unit: `12.3 MB`.
pub(crate) fn bytes(number: f64) -> String {
    for (unit, size) in [("B", 1.0), ("kB", 1e3), ("MB", 1e6)] {
        if number < 999.5 * size {
            return scaled(number, unit, size);
        }
    }
    scaled(number, "GB", 1e9)
}

/// A share of a whole: `0.20 %`, and never `0 %` or `100 %` for what is not.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    if part == whole {
        return "100 %".to_owned();
    }
    match 100.0 * part as f64 / whole as f64 {
        percent if percent < 0.01 => "below 0.01 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.2} %"),
        percent if percent > 99.9 => "above 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// Milliseconds of Unix time as a date: `2026-11-21 23:43:07 UTC`.
pub(crate) fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    // Days since 0000-03-01, so that the leap day is the last of its year (400 years: 146,097 days).
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let clock = [seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60];
    format!(
        "{:04}-{month:02}-{date:02} {:02}:{:02}:{:02} UTC",
        era * 400 + year + next,
        clock[0],
        clock[1],
        clock[2],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let said = [0, 1, 2, 1_000].map(|number| several(number, "connection"));
        assert_eq!(said, ["0 connections", "1 connection", "2 connections", "1,000 connections"]);
    }

    #[test]
    fn numbers_have_three_figures_and_a_unit() {
        let times = [
            (0.0, "0 ns"),
            (873.0, "873 ns"),
            (999.6, "1.00 µs"),
            (52_140.0, "52.1 µs"),
            (9_996.0, "10.0 µs"),
            (999_600.0, "1.00 ms"),
            (1_040_000_000.0, "1.04 s"),
            (3_600e9, "3600 s"),
        ];
        for (nanos, text) in times {
            assert_eq!(time(nanos), text);
        }
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5.0, 99.96, 1_234.4].map(rate), ["5.0", "100", "1,234"]);
        assert_eq!([12.0, 12_340.0, 5e9].map(bytes), ["12 B", "12.3 kB", "5.00 GB"]);
    }

    #[test]
    fn a_date_is_that_of_the_calendar() {
        let dates = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_800_000_000_999, "2027-01-15 08:00:00 UTC"),
            (4_107_542_399_000, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00 UTC"),
        ];
        for (millis, date) in dates {
            assert_eq!(utc(millis), date);
        }
    }

    #[test]
    fn a_share_is_never_rounded_to_nothing_or_to_all() {
        let shares = [(0, 7), (1, 1_000_000), (20, 10_000), (1, 2), (99_999, 100_000), (3, 3)];
        let texts = ["0 %", "below 0.01 %", "0.20 %", "50.0 %", "above 99.9 %", "100 %"];
        assert_eq!(shares.map(|(part, whole)| share(part, whole)), texts);
    }
}
