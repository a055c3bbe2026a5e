//! What others named, as a terminal may show it, and figures as people read them.

use std::fmt::Write;

/// The longest name that is kept, in characters.
const NAME_MAX: usize = 120;

/// A name that leaves the terminal as it is: control characters, and those that reorder or hide text,
/// become escapes such as `\x1b` and `\u{202e}`. Cut to `NAME_MAX` characters.
pub fn clean(name: &str) -> String {
    let mut text = String::new();
    for (index, character) in name.chars().enumerate() {
        if index == NAME_MAX {
            text.push('~');
            break;
        }
        match character {
            '\0'..='\x1f' | '\x7f' => {
                let _ = write!(text, "\\x{:02x}", character as u32);
            }
            // The second set of control characters; what has no width, reorders or breaks lines; tags.
            '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}' => text.extend(character.escape_unicode()),
            _ => text.push(character),
        }
    }
    text
}

/// Only characters of ASCII; others become `?`.
pub fn ascii(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii() { character } else { '?' }).collect()
}

/// A whole number with its thousands apart: `1,234,567`.
pub fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: `0`, `0.25`, `7.5`, `12,345`, `123.4 M`.
pub fn rate(per_second: f64) -> String {
    if !per_second.is_finite() || per_second <= 0.0 {
        return "0".to_owned();
    }
    match per_second {
        0.0..1.0 => format!("{per_second:.2}"),
        1.0..9.95 => format!("{per_second:.1}"),
        9.95..9_999_999.5 => whole(per_second.round() as u64),
        _ => scaled(per_second, 1e6, &["M", "G", "T", "P", "E"]),
    }
}

/// An amount of bytes, in powers of 1,000: `512 B`, `1.25 kB`, `33.1 MB`.
pub fn bytes(amount: f64) -> String {
    if !amount.is_finite() || amount <= 0.0 {
        return "0 B".to_owned();
    }
    if amount < 999.5 {
        return format!("{amount:.0} B");
    }
    scaled(amount, 1e3, &["kB", "MB", "GB", "TB", "PB", "EB"])
}

/// A time given in nanoseconds: `850 ns`, `12.3 us`, `1.25 ms`, `61.2 s`.
pub fn nanoseconds(time: u64) -> String {
    match time {
        0..1_000 => format!("{time} ns"),
        1_000..100_000_000_000 => scaled(time as f64, 1e3, &["us", "ms", "s"]),
        _ => format!("{} s", whole(time / 1_000_000_000)),
    }
}

/// Three digits and a unit: `units[0]` is for `base`, each that follows for a thousand times more.
fn scaled(amount: f64, base: f64, units: &[&str]) -> String {
    let mut scaled = amount / base;
    let mut unit = 0;
    // What would be rounded to 1,000 belongs to the next unit.
    while scaled >= 999.5 && unit + 1 < units.len() {
        scaled /= 1e3;
        unit += 1;
    }
    let decimals = match scaled {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.decimals$} {}", units[unit])
}

/// How long something has been going on: `45s`, `12m 05s`, `3h 12m`, `8d 04h`.
pub fn age(seconds: f64) -> String {
    // A cast brings what is no number, or too large, into range.
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The time of day in UTC: `12:34:56`.
pub fn clock(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_touch_the_terminal() {
        for (name, expected) in [
            ("/users/{id}", "/users/{id}"),
            ("\x1b[2J\x07", "\\x1b[2J\\x07"),
            ("a\nb\u{7f}", "a\\x0ab\\x7f"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("\u{202e}gnp.exe\u{200b}", "\\u{202e}gnp.exe\\u{200b}"),
            ("Zürich 東京", "Zürich 東京"),
        ] {
            assert_eq!(clean(name), expected);
        }
        let long = clean(&"x".repeat(1_000_000));
        assert_eq!(long.len(), NAME_MAX + 1);
        assert_eq!(ascii("Zürich"), "Z?rich");
    }

    #[test]
    fn figures_are_short_and_rounded() {
        for (number, expected) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(whole(number), expected);
        }
        assert_eq!(whole(u64::MAX), "18,446,744,073,709,551,615");
        for (per_second, expected) in [
            (0.0, "0"),
            (-1.0, "0"),
            (f64::NAN, "0"),
            (0.25, "0.25"),
            (7.46, "7.5"),
            (9.96, "10"),
            (12_345.6, "12,346"),
            (123_400_000.0, "123 M"),
        ] {
            assert_eq!(rate(per_second), expected);
        }
        for (time, expected) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (12_345, "12.3 us"),
            (999_999, "1.00 ms"),
            (1_500_000, "1.50 ms"),
            (61_200_000_000, "61.2 s"),
            (100_000_000_000, "100 s"),
            (u64::MAX, "18,446,744,073 s"),
        ] {
            assert_eq!(nanoseconds(time), expected);
        }
        for (amount, expected) in
            [(0.0, "0 B"), (512.0, "512 B"), (999.9, "1.00 kB"), (33_123_456.0, "33.1 MB")]
        {
            assert_eq!(bytes(amount), expected);
        }
        for (seconds, expected) in
            [(59.9, "59s"), (725.0, "12m 05s"), (11_520.0, "3h 12m"), (705_600.0, "8d 04h")]
        {
            assert_eq!(age(seconds), expected);
        }
        assert_eq!(clock(1_795_264_245_678), "12:30:45");
    }
}
