//! Formatting lines and packing them into datagrams.

use std::io::Write;

use super::StatsdError;
use super::families::fits_tag;

/// The longest datagram in bytes: what fits an Ethernet frame of 1,500 without being cut on the
/// way, with room for IPv6 and tunnel headers; the size that StatsD's documentation recommends.
pub const DATAGRAM_MAX: usize = 1_432;

/// The longest name or prefix in bytes.
pub(super) const NAME_MAX: usize = 128;
/// The longest list of tags in bytes, for all lines.
pub(super) const TAGS_MAX: usize = 384;
/// The same, together with the tags of one line.
const LINE_TAGS_MAX: usize = 432;

// A negative gauge takes two lines, which must not be parted: at worst prefix, dot, name, colon, 20
// digits, type and tags, twice, with a newline between.
const _: () = assert!(2 * (NAME_MAX + 1 + NAME_MAX + 1 + 20 + 2 + LINE_TAGS_MAX) < DATAGRAM_MAX);

/// A name that cannot break the format: 1 to 128 printable ASCII characters other than space, `:`,
/// `|`, `@` and `#`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsdName {
    name: Box<str>,
    /// Joined by commas; checked by whoever gives them.
    tags: Box<str>,
}

impl StatsdName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`StatsdError::Name`].
    pub fn new(name: &str) -> Result<Self, StatsdError> {
        let allowed =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'|' | b'@' | b'#');
        if !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(allowed) {
            Ok(Self { name: name.into(), tags: "".into() })
        } else {
            Err(StatsdError::Name { name: name.to_owned() })
        }
    }

    /// A name with tags of its own, joined by commas.
    pub(super) fn with_tags(name: &str, tags: &str) -> Option<Self> {
        Some(Self { tags: tags.into(), ..Self::new(name).ok()? })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// Formats lines and packs as many as fit into each datagram. Touches no socket.
///
/// ```
/// use corelane_metrics::expose::statsd::{StatsdEncoder, StatsdName};
///
/// let mut encoder = StatsdEncoder::new("corelane", &[("env".to_owned(), "prod".to_owned())])?;
/// encoder.gauge(&StatsdName::new("rps")?, 12_345);
/// encoder.counter(&StatsdName::new("requests")?, 12_400);
/// let datagrams: Vec<_> = encoder.datagrams().collect();
/// assert_eq!(
///     datagrams,
///     [b"corelane.rps:12345|g|#env:prod\ncorelane.requests:12400|c|#env:prod"]
/// );
/// # Ok::<(), corelane_metrics::expose::statsd::StatsdError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StatsdEncoder {
    /// With its dot, or empty.
    prefix: Box<str>,
    /// With its `|#`, or empty.
    tags: Box<str>,
    /// All datagrams, one after the other.
    bytes: Vec<u8>,
    /// Where each datagram ends but the last, which ends with `bytes`.
    ends: Vec<usize>,
}

impl StatsdEncoder {
    /// An encoder whose lines all begin with `prefix` and a dot (unless it is empty) and end with
    /// the DogStatsD `tags` (if there are any).
    ///
    /// # Errors
    ///
    /// [`StatsdError::Name`], [`StatsdError::Tag`] and [`StatsdError::TagsTooLong`].
    pub fn new(prefix: &str, tags: &[(String, String)]) -> Result<Self, StatsdError> {
        let prefix = match prefix {
            "" => String::new(),
            prefix => format!("{}.", StatsdName::new(prefix)?.as_str()),
        };
        Ok(Self {
            prefix: prefix.into(),
            tags: tags_of(tags)?.into(),
            bytes: Vec::new(),
            ends: Vec::new(),
        })
    }

    /// Writes a level: `name:value|g`.
    ///
    /// StatsD takes a gauge with a sign as a change, not as a level. So before a negative one a
    /// line in the same datagram sets it to zero.
    ///
    /// Returns whether it was written: not if the name's own tags are too long beside those of all
    /// lines.
    pub fn gauge(&mut self, name: &StatsdName, level: i64) -> bool {
        if !self.fits(name) {
            return false;
        }
        let start = self.begin_line();
        if level < 0 {
            self.line(name, 0, 'g');
            self.bytes.push(b'\n');
        }
        self.line(name, level, 'g');
        self.end_line(start);
        true
    }

    /// Writes what was counted since the last report: `name:count|c`. Above 2⁶³ − 1, which a
    /// server may not be able to read, it counts as that. Returns whether it was written, as
    /// [`Self::gauge`] does.
    pub fn counter(&mut self, name: &StatsdName, count: u64) -> bool {
        if !self.fits(name) {
            return false;
        }
        let start = self.begin_line();
        self.line(name, i64::try_from(count).unwrap_or(i64::MAX), 'c');
        self.end_line(start);
        true
    }

    /// The datagrams written since [`Self::clear`], none longer than [`DATAGRAM_MAX`].
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied().chain(std::iter::once(self.bytes.len()));
        starts.zip(ends).map(|(start, end)| &self.bytes[start..end]).filter(|d| !d.is_empty())
    }

    /// Forgets what was written, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn datagram_start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Separates the next line from what is in the datagram already; returns where the line and its
    /// separator begin.
    fn begin_line(&mut self) -> usize {
        let start = self.bytes.len();
        if start > self.datagram_start() {
            self.bytes.push(b'\n');
        }
        start
    }

    /// Moves the line that began at `start` to a datagram of its own if it is too much for this.
    fn end_line(&mut self, start: usize) {
        if self.bytes.len() - self.datagram_start() > DATAGRAM_MAX {
            // The separator goes: between datagrams there is none.
            self.bytes.remove(start);
            self.ends.push(start);
        }
    }

    fn line(&mut self, name: &StatsdName, value: i64, kind: char) {
        let (prefix, tags, own) = (&self.prefix, &self.tags, &name.tags);
        let between = match (tags.is_empty(), own.is_empty()) {
            (_, true) => "",
            (true, false) => "|#",
            (false, false) => ",",
        };
        let name = name.as_str();
        write!(self.bytes, "{prefix}{name}:{value}|{kind}{tags}{between}{own}")
            .expect("a Vec takes all");
    }

    /// With what stands before them, tags of a line must leave room for the rest of it.
    fn fits(&self, name: &StatsdName) -> bool {
        self.tags.len() + 2 + name.tags.len() <= LINE_TAGS_MAX
    }

    /// What every name begins with, without its dot.
    pub(super) fn prefix(&self) -> &str {
        self.prefix.strip_suffix('.').unwrap_or("")
    }
}

/// Joins tags as `|#key:value,key:value`. A value may contain colons: DogStatsD parts at the first.
fn tags_of(tags: &[(String, String)]) -> Result<String, StatsdError> {
    let mut joined = String::new();
    for (key, value) in tags {
        let tag = format!("{key}:{value}");
        if key.is_empty() || value.is_empty() || key.contains(':') || !tag.chars().all(fits_tag) {
            return Err(StatsdError::Tag { tag });
        }
        joined.push_str(if joined.is_empty() { "|#" } else { "," });
        joined.push_str(&tag);
    }
    if joined.len() > TAGS_MAX {
        return Err(StatsdError::TagsTooLong { length: joined.len() });
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> StatsdName {
        StatsdName::new(name).unwrap()
    }

    fn text(encoder: &StatsdEncoder) -> Vec<&str> {
        encoder.datagrams().map(|datagram| std::str::from_utf8(datagram).unwrap()).collect()
    }

    #[test]
    fn lines_are_as_the_format_says() {
        let mut encoder = StatsdEncoder::new("corelane", &[]).unwrap();
        assert_eq!(text(&encoder), [""; 0]);
        encoder.gauge(&name("rps"), 12_345);
        assert_eq!(text(&encoder), ["corelane.rps:12345|g"]);
        encoder.counter(&name("requests"), u64::MAX);
        assert_eq!(
            text(&encoder),
            ["corelane.rps:12345|g\ncorelane.requests:9223372036854775807|c"]
        );
        encoder.clear();
        assert_eq!(text(&encoder), [""; 0]);

        let mut bare = StatsdEncoder::new("", &[]).unwrap();
        bare.gauge(&name("rps"), 0);
        assert_eq!(text(&bare), ["rps:0|g"]);
    }

    #[test]
    fn a_negative_gauge_is_set_to_zero_first() {
        let mut encoder = StatsdEncoder::new("c", &[("a".into(), "b".into())]).unwrap();
        encoder.gauge(&name("n"), -5);
        assert_eq!(text(&encoder), ["c.n:0|g|#a:b\nc.n:-5|g|#a:b"]);
    }

    #[test]
    fn names_that_would_break_the_format_are_refused() {
        for bad in ["", "a:b", "a|b", "a@b", "a#b", "a\nb", "a b", "é", "\0", &"x".repeat(129)] {
            assert!(StatsdName::new(bad).is_err(), "{bad:?}");
        }
        assert!(StatsdEncoder::new("a:b", &[]).is_err());
        assert_eq!(name(&"x".repeat(128)).as_str().len(), 128);
    }

    #[test]
    fn tags_that_would_break_the_format_are_refused() {
        let encoder =
            |key: &str, value: &str| StatsdEncoder::new("", &[(key.into(), value.into())]);
        for (key, value) in [("", "v"), ("k", ""), ("k:", "v"), ("k", "a,b"), ("k", "a|b")] {
            assert!(matches!(encoder(key, value), Err(StatsdError::Tag { .. })), "{key} {value}");
        }
        for value in ["a\nb", "a#b", "a b", "a\u{85}b"] {
            assert!(encoder("k", value).is_err(), "{value:?}");
        }
        assert!(encoder("url", "http://é").is_ok());
        let error = encoder("k", &"v".repeat(TAGS_MAX)).unwrap_err();
        assert!(error.to_string().contains("take 388 bytes"), "{error}");
    }

    #[test]
    fn the_longest_line_fits_a_datagram() {
        let tag = ("k".to_owned(), "v".repeat(TAGS_MAX - 4));
        let mut encoder = StatsdEncoder::new(&"p".repeat(NAME_MAX), &[tag]).unwrap();
        let longest = name(&"n".repeat(NAME_MAX));
        encoder.gauge(&longest, i64::MIN);
        encoder.gauge(&longest, i64::MIN);
        assert_eq!(encoder.datagrams().count(), 2);
        assert!(encoder.datagrams().all(|datagram| datagram.len() <= DATAGRAM_MAX));
    }

    proptest! {
        #[test]
        fn packing_loses_nothing_and_parts_no_line(
            levels in prop::collection::vec((1_usize..=NAME_MAX, any::<i64>()), 0..60),
        ) {
            let mut encoder = StatsdEncoder::new("p", &[]).unwrap();
            let mut expected = Vec::new();
            for (length, level) in levels {
                let name = name(&"n".repeat(length));
                encoder.gauge(&name, level);
                let lines = if level < 0 { vec![0, level] } else { vec![level] };
                expected.push(lines.iter().map(|n| format!("p.{}:{n}|g", name.as_str())).collect());
            }
            let expected: Vec<Vec<String>> = expected;
            let datagrams = text(&encoder);
            prop_assert!(datagrams.iter().all(|datagram| datagram.len() <= DATAGRAM_MAX));
            prop_assert_eq!(datagrams.join("\n"), expected.concat().join("\n"));
            for lines in expected {
                let joined = lines.join("\n");
                prop_assert!(datagrams.iter().any(|datagram| datagram.contains(&joined)));
            }
            // No datagram could have taken the next one's first line.
            for pair in datagrams.windows(2) {
                let unit = pair[1].split('\n').take(2).map(|line| line.len() + 1).sum::<usize>();
                prop_assert!(pair[0].len() + unit > DATAGRAM_MAX);
            }
        }
    }
}
