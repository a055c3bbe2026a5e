//! Times as text, rendered once a second.

use corelane_eventloop::Nanos;
use corelane_parser::http1::HttpDate;

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// The last second that was rendered. All times are in UTC.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    second: u64,
    /// `21/Nov/2026:13:24:07 +0000`
    common: [u8; 26],
    /// `2026-11-21T13:24:07`
    iso: [u8; 19],
}

impl Clock {
    pub(super) fn new() -> Clock {
        let mut clock = Clock {
            second: 0,
            common: *b"00/Jan/0000:00:00:00 +0000",
            iso: *b"0000-00-00T00:00:00",
        };
        clock.render(0);
        clock
    }

    /// The time as the common log format has it.
    pub(super) fn common(&mut self, time: Nanos) -> &[u8; 26] {
        self.refresh(time);
        &self.common
    }

    /// The time as ISO 8601 has it, to the second and without a zone.
    pub(super) fn iso(&mut self, time: Nanos) -> &[u8; 19] {
        self.refresh(time);
        &self.iso
    }

    fn refresh(&mut self, time: Nanos) {
        if time.as_secs() != self.second {
            self.render(time.as_secs());
        }
    }

    #[cold]
    fn render(&mut self, second: u64) {
        self.second = second;
        let date = HttpDate::from_unix_seconds(second);
        // `Sun, 06 Nov 1994 08:49:37 GMT`
        let text = date.as_bytes();
        let (day, month, year, time) = (&text[5..7], &text[8..11], &text[12..16], &text[17..25]);
        let number = MONTHS.chunks(3).position(|name| name == month).unwrap_or_default() as u8 + 1;
        self.common[..2].copy_from_slice(day);
        self.common[3..6].copy_from_slice(month);
        self.common[7..11].copy_from_slice(year);
        self.common[12..20].copy_from_slice(time);
        self.iso[..4].copy_from_slice(year);
        self.iso[5..7].copy_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
        self.iso[8..10].copy_from_slice(day);
        self.iso[11..].copy_from_slice(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_some_days() {
        let mut clock = Clock::new();
        for (second, common, iso) in [
            (0, "01/Jan/1970:00:00:00 +0000", "1970-01-01T00:00:00"),
            (784_111_777, "06/Nov/1994:08:49:37 +0000", "1994-11-06T08:49:37"),
            (1_709_164_799, "28/Feb/2024:23:59:59 +0000", "2024-02-28T23:59:59"),
            (1_709_164_800, "29/Feb/2024:00:00:00 +0000", "2024-02-29T00:00:00"),
            (1_798_761_599, "31/Dec/2026:23:59:59 +0000", "2026-12-31T23:59:59"),
        ] {
            let time = Nanos::from_secs(second) + Nanos(999_999_999);
            assert_eq!(std::str::from_utf8(clock.common(time)), Ok(common));
            assert_eq!(std::str::from_utf8(clock.iso(time)), Ok(iso));
        }
    }
}
