//! Dates on the wire: IMF-fixdate (RFC 9110 §5.6.7), always in GMT.
//!
//! The civil calendar is computed by Howard Hinnant's `civil_from_days`
//! (<https://howardhinnant.github.io/date_algorithms.html>): years begin in March, so that the
//! leap day is the last of its year.

use std::fmt;

/// The last second of the year 9999, the last that four digits of a year can express.
const SECONDS_MAX: u64 = 253_402_300_799;

const SECONDS_PER_DAY: u64 = 86_400;

/// A date as it stands in a field, `Sun, 06 Nov 1994 08:49:37 GMT`: 29 bytes.
///
/// ```
/// use corelane_parser::http1::HttpDate;
///
/// assert_eq!(HttpDate::from_unix_seconds(784_111_777).as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HttpDate([u8; Self::BYTES]);

impl HttpDate {
    /// The length of every date.
    pub const BYTES: usize = 29;

    /// The date of a Unix time. Times beyond the year 9999 become its last second. Cost: about
    /// 15 ns; render once a second, not once a response (see [`DateCache`]).
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        let seconds = if seconds > SECONDS_MAX { SECONDS_MAX } else { seconds };
        let (days, second) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        // 1970 began on a Thursday.
        put_name(&mut text, 0, b"ThuFriSatSunMonTueWed", days % 7);
        put_two_digits(&mut text, 5, day);
        put_name(&mut text, 8, b"JanFebMarAprMayJunJulAugSepOctNovDec", month - 1);
        put_two_digits(&mut text, 12, year / 100);
        put_two_digits(&mut text, 14, year % 100);
        put_two_digits(&mut text, 17, second / 3600);
        put_two_digits(&mut text, 20, second / 60 % 60);
        put_two_digits(&mut text, 23, second % 60);
        Self(text)
    }

    /// The bytes, ASCII.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Every byte above is ASCII, so there is no other case.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The date of now, rendered when the second changes. It reads no clock: the caller passes the
/// time it has.
///
/// ```
/// use corelane_parser::http1::DateCache;
///
/// let mut cache = DateCache::new(0);
/// assert!(!cache.refresh(0));
/// assert!(cache.refresh(1), "a new second: whoever holds rendered heads patches them now");
/// assert_eq!(cache.date().as_str(), "Thu, 01 Jan 1970 00:00:01 GMT");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateCache {
    seconds: u64,
    date: HttpDate,
}

impl DateCache {
    /// A cache that holds the date of `unix_seconds`.
    pub const fn new(unix_seconds: u64) -> Self {
        Self { seconds: unix_seconds, date: HttpDate::from_unix_seconds(unix_seconds) }
    }

    /// Sets the time, and tells whether the date changed.
    #[inline]
    pub fn refresh(&mut self, unix_seconds: u64) -> bool {
        let changed = unix_seconds != self.seconds;
        if changed {
            *self = Self::new(unix_seconds);
        }
        changed
    }

    /// The date of the last refresh.
    #[inline]
    pub fn date(&self) -> &HttpDate {
        &self.date
    }
}

const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    const DAYS_PER_ERA: u64 = 146_097;
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / DAYS_PER_ERA, shifted % DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, day)
}

const fn put_two_digits(text: &mut [u8; HttpDate::BYTES], at: usize, value: u64) {
    text[at] = b'0' + (value / 10) as u8;
    text[at + 1] = b'0' + (value % 10) as u8;
}

const fn put_name(text: &mut [u8; HttpDate::BYTES], at: usize, names: &[u8], index: u64) {
    let from = index as usize * 3;
    text[at] = names[from];
    text[at + 1] = names[from + 1];
    text[at + 2] = names[from + 2];
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    fn reference(seconds: u64) -> String {
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn agrees_with_httpdate_at_the_edges() {
        for seconds in [
            0,
            1,
            59,
            60,
            3599,
            3600,
            86_399,
            86_400,
            68_169_599,
            68_169_600,
            68_255_999,
            68_256_000,
            951_782_399,
            951_782_400,
            951_868_800,
            4_107_542_399,
            4_107_542_400,
            SECONDS_MAX,
        ] {
            assert_eq!(HttpDate::from_unix_seconds(seconds).as_str(), reference(seconds));
        }
        let last = HttpDate::from_unix_seconds(SECONDS_MAX);
        assert_eq!(HttpDate::from_unix_seconds(u64::MAX), last);
    }

    #[test]
    fn agrees_with_httpdate_on_every_day_for_centuries() {
        for day in 0..200_000 {
            let seconds = day * SECONDS_PER_DAY + day % SECONDS_PER_DAY;
            assert_eq!(HttpDate::from_unix_seconds(seconds).as_str(), reference(seconds));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_httpdate(seconds in 0..=SECONDS_MAX) {
            let date = HttpDate::from_unix_seconds(seconds);
            prop_assert_eq!(date.as_str(), reference(seconds));
        }
    }
}
