//! Byte ranges (RFC 9110 §14).

/// More ranges than this in one request are answered with the whole file.
pub(crate) const RANGES_MAX: usize = 16;

/// Bytes `start` to `end`, without the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl ByteRange {
    pub(crate) fn len(self) -> u64 {
        self.end - self.start
    }
}

/// What a Range header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// Everything: the header is malformed, of another unit, or asks for what is better sent whole.
    Whole,
    One(ByteRange),
    /// At least two, in the order they were asked for, none of them empty.
    Several(Vec<ByteRange>),
    /// Nothing that there is: 416.
    Unsatisfiable,
}

/// What is asked for of so many bytes.
///
/// A server may ignore the header (§14.2), and is advised to where it does harm (§17.15). So the
/// answer is the whole file if there are more than [`RANGES_MAX`] ranges, or if together they are as
/// long as the file: no answer is larger than the file and some part headers, however the ranges
/// overlap.
pub(crate) fn parse(value: &[u8], len: u64) -> Ranges {
    let Some(specs) = specs(value) else { return Ranges::Whole };
    let mut ranges = Vec::new();
    let (mut count, mut bytes) = (0, 0u64);
    for spec in specs.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        // An empty member of a list is none (§5.6.1.2).
        if spec.is_empty() {
            continue;
        }
        count += 1;
        if count > RANGES_MAX {
            return Ranges::Whole;
        }
        match resolve(spec, len) {
            Spec::Malformed => return Ranges::Whole,
            Spec::Beyond => {}
            Spec::Range(range) => {
                bytes = bytes.saturating_add(range.len());
                ranges.push(range);
            }
        }
    }
    match (count, &ranges[..]) {
        (0, _) => Ranges::Whole,
        // Nothing can be sent in part; what asks for its end asks for all of it.
        (_, []) if len == 0 && has_suffix(specs) => Ranges::Whole,
        (_, []) => Ranges::Unsatisfiable,
        (_, &[range]) => Ranges::One(range),
        _ if bytes >= len => Ranges::Whole,
        _ => Ranges::Several(ranges),
    }
}

/// What follows `bytes=`; `None` for another unit.
fn specs(value: &[u8]) -> Option<&[u8]> {
    let equals = value.iter().position(|&byte| byte == b'=')?;
    let (unit, specs) = value.split_at(equals);
    unit.eq_ignore_ascii_case(b"bytes").then(|| &specs[1..])
}

fn has_suffix(specs: &[u8]) -> bool {
    specs.split(|&byte| byte == b',').any(|spec| {
        let spec = spec.trim_ascii();
        spec.first() == Some(&b'-') && spec[1..].iter().any(|&digit| digit != b'0')
    })
}

enum Spec {
    Malformed,
    /// There are no such bytes.
    Beyond,
    Range(ByteRange),
}

/// `first-pos "-" [ last-pos ]` or `"-" suffix-length`.
fn resolve(spec: &[u8], len: u64) -> Spec {
    let Some(dash) = spec.iter().position(|&byte| byte == b'-') else { return Spec::Malformed };
    let (first, last) = (number(&spec[..dash]), number(&spec[dash + 1..]));
    let range = match (first, last) {
        (Some(Number::None), Some(Number::Of(suffix))) => {
            ByteRange { start: len.saturating_sub(suffix), end: len }
        }
        (Some(Number::Of(first)), Some(Number::None)) => ByteRange { start: first, end: len },
        (Some(Number::Of(first)), Some(Number::Of(last))) if first <= last => {
            ByteRange { start: first, end: last.saturating_add(1).min(len) }
        }
        _ => return Spec::Malformed,
    };
    if range.start < range.end { Spec::Range(range) } else { Spec::Beyond }
}

enum Number {
    /// No digits.
    None,
    Of(u64),
}

/// Digits, or nothing. Beyond what 64 bits hold lies the end of every file.
fn number(digits: &[u8]) -> Option<Number> {
    if digits.is_empty() {
        return Some(Number::None);
    }
    digits
        .iter()
        .try_fold(0u64, |value, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            Some(value.saturating_mul(10).saturating_add(digit))
        })
        .map(Number::Of)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_and_what_they_ask_for() {
        let one = |start, end| Ranges::One(ByteRange { start, end });
        let many = |pairs: &[(u64, u64)]| {
            Ranges::Several(pairs.iter().map(|&(start, end)| ByteRange { start, end }).collect())
        };
        use Ranges::{Unsatisfiable, Whole};
        let cases = [
            ("bytes=0-0", one(0, 1)),
            ("bytes=2-4", one(2, 5)),
            ("BYTES=2-4", one(2, 5)),
            ("bytes=5-", one(5, 10)),
            ("bytes=-3", one(7, 10)),
            ("bytes=-99", one(0, 10)),
            ("bytes=0-99999999999999999999999", one(0, 10)),
            ("bytes=9-9", one(9, 10)),
            ("bytes= 1-2 ", one(1, 3)),
            ("bytes=0-1,4-5", many(&[(0, 2), (4, 6)])),
            ("bytes=4-5 , , 0-1", many(&[(4, 6), (0, 2)])),
            ("bytes=0-1,-1,20-", many(&[(0, 2), (9, 10)])),
            ("bytes=0-0,20-", one(0, 1)),
            ("bytes=0-3,2-5", many(&[(0, 4), (2, 6)])),
            // As much as the whole.
            ("bytes=0-4,5-9", Whole),
            ("bytes=0-,0-,0-", Whole),
            ("bytes=0-9,0-9", Whole),
            ("bytes=0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0,0-0", Whole),
            // Beyond the end.
            ("bytes=10-", Unsatisfiable),
            ("bytes=10-20", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=99999999999999999999999-", Unsatisfiable),
            ("bytes=10-,11-,-0", Unsatisfiable),
            // Malformed, all of it is ignored.
            ("bytes=", Whole),
            ("bytes", Whole),
            ("", Whole),
            ("bytes=,", Whole),
            ("bytes=-", Whole),
            ("bytes=5", Whole),
            ("bytes=5-3", Whole),
            ("bytes=0-1,5-3", Whole),
            ("bytes=0-1,x", Whole),
            ("bytes=1 -2", Whole),
            ("bytes=--1", Whole),
            ("bytes=+1-2", Whole),
            ("bytes =0-1", Whole),
            ("lines=0-1", Whole),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(value.as_bytes(), 10), expected, "{value}");
        }
        for (value, expected) in [("bytes=0-", Unsatisfiable), ("bytes=-5", Whole)] {
            assert_eq!(parse(value.as_bytes(), 0), expected, "{value} of nothing");
        }
        let bomb = |count| format!("bytes={}0-0", "0-0,".repeat(count - 1));
        assert!(matches!(parse(bomb(RANGES_MAX).as_bytes(), 1000), Ranges::Several(_)));
        assert_eq!(parse(bomb(RANGES_MAX + 1).as_bytes(), 1000), Whole);
    }

    /// Which bytes each range names, the slow way.
    fn naive(specs: &[(Option<u64>, Option<u64>)], len: u64) -> Vec<Vec<u64>> {
        let wanted = |&(first, last): &(Option<u64>, Option<u64>)| -> Vec<u64> {
            (0..len)
                .filter(|&at| match (first, last) {
                    (Some(first), Some(last)) => first <= at && at <= last,
                    (Some(first), None) => first <= at,
                    (None, Some(suffix)) => at + suffix >= len,
                    (None, None) => false,
                })
                .collect()
        };
        specs.iter().map(wanted).filter(|bytes| !bytes.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_a_naive_reference(
            specs in prop::collection::vec((prop::option::of(0u64..40), 0u64..40), 1..8),
            open: u8,
            len in 1u64..30,
        ) {
            let specs: Vec<_> = specs
                .into_iter()
                .enumerate()
                .map(|(at, (first, last))| match first {
                    Some(first) if open >> (at % 8) & 1 == 1 => (Some(first), None),
                    Some(first) => (Some(first), Some(first.max(last))),
                    None => (None, Some(last)),
                })
                .collect();
            let text = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
            let members: Vec<_> =
                specs.iter().map(|&(first, last)| format!("{}-{}", text(first), text(last))).collect();
            let value = format!("bytes={}", members.join(","));
            let expected = naive(&specs, len);
            let bytes = |range: &ByteRange| (range.start..range.end).collect::<Vec<_>>();
            let total: usize = expected.iter().map(Vec::len).sum();
            match parse(value.as_bytes(), len) {
                Ranges::Unsatisfiable => prop_assert!(expected.is_empty()),
                Ranges::One(range) => prop_assert_eq!(&expected[..], &[bytes(&range)]),
                Ranges::Several(ranges) => {
                    let found: Vec<_> = ranges.iter().map(bytes).collect();
                    prop_assert_eq!(&found, &expected);
                    prop_assert!((total as u64) < len);
                }
                Ranges::Whole => prop_assert!(expected.len() > 1 && total as u64 >= len),
            }
        }

        #[test]
        fn nothing_makes_it_panic_or_leave_the_file(value: Vec<u8>, len: u64) {
            let value = [b"bytes=", &value[..]].concat();
            let inside = |range: &ByteRange| range.start < range.end && range.end <= len;
            match parse(&value, len) {
                Ranges::One(range) => prop_assert!(inside(&range)),
                Ranges::Several(ranges) => prop_assert!(ranges.iter().all(inside)),
                Ranges::Whole | Ranges::Unsatisfiable => {}
            }
        }
    }
}
