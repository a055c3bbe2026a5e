//! What tells one state of a file from another: entity tags and dates (RFC 9110 §8.8).

use corelane_eventloop::{Meta, Nanos};
use corelane_parser::http1::HttpDate;

use crate::negotiate::Encoding;

/// A file changed more recently than this may change again without its time showing it: clocks of
/// file systems tick up to 2 s apart (FAT), others by the scheduler's tick.
const SETTLING: Nanos = Nanos::from_secs(2);

/// Times before 1990 were not set by a clock: packagers write 0 or 1 second for the sake of
/// reproducible builds, in every version of a file alike.
const PLAUSIBLE: Nanos = Nanos::from_secs(631_152_000);

/// Whether a file may change unnoticed after having been looked at at that time.
pub(crate) fn is_settling(meta: &Meta, wall: Nanos) -> bool {
    wall.since(meta.modified) < SETTLING
}

/// The validators of one representation of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validators {
    /// As it stands on the wire.
    pub(crate) etag: String,
    /// In seconds since the Unix epoch; `None` where the date would not tell two states apart.
    pub(crate) modified: Option<u64>,
}

impl Validators {
    /// The validators at that time.
    ///
    /// The tag is made of time of change and length, so that servers with copies of the same files
    /// agree. It is strong but for files that are settling: theirs is weak, differs from the strong
    /// one that follows, and comes without Last-Modified; so what a client may have kept of a file
    /// that was changed twice in one tick of the clock never validates once the file has settled.
    /// Where the time of change was not set by a clock, the tag is made of what the kernel sets, and
    /// there is no Last-Modified.
    pub(crate) fn of(meta: &Meta, coding: Encoding, wall: Nanos) -> Validators {
        let is_dated = meta.modified >= PLAUSIBLE;
        let settling = is_settling(meta, wall);
        let (mark, time) = match is_dated {
            true => ("", meta.modified.0),
            false => ("c", meta.changed.0 ^ meta.inode.rotate_left(40)),
        };
        let variant = match coding {
            Encoding::Identity => "",
            coding => coding.as_str(),
        };
        let dash = if variant.is_empty() { "" } else { "-" };
        let (weak, now) = if settling { ("W/", "-now") } else { ("", "") };
        let etag = format!("{weak}\"{mark}{time:x}-{:x}{dash}{variant}{now}\"", meta.len);
        let modified = (is_dated && !settling).then(|| meta.modified.as_secs());
        Validators { etag, modified }
    }

    /// Last-Modified.
    pub(crate) fn date(&self) -> Option<HttpDate> {
        self.modified.map(HttpDate::from_unix_seconds)
    }
}

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag<'a> {
    is_weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTag<'a> {
    /// A weak tag that cannot be written.
    pub(crate) const NOTHING: EntityTag<'static> = EntityTag { is_weak: true, opaque: b" " };

    /// The tag at the front of the text, and what follows it.
    pub(crate) fn parse(text: &'a [u8]) -> Option<(EntityTag<'a>, &'a [u8])> {
        let (is_weak, rest) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let rest = rest.strip_prefix(b"\"")?;
        let end = rest.iter().position(|&byte| byte == b'"')?;
        let (opaque, rest) = rest.split_at(end);
        // etagc: no control bytes, no spaces.
        let good = opaque.iter().all(|&byte| byte > b' ' && byte != 0x7f);
        good.then_some((EntityTag { is_weak, opaque }, &rest[1..]))
    }

    /// §8.8.3.2: both strong, and the same.
    pub(crate) fn is_strongly(self, other: EntityTag<'_>) -> bool {
        !self.is_weak && !other.is_weak && self.opaque == other.opaque
    }

    /// §8.8.3.2: the same, weak or not.
    pub(crate) fn is_weakly(self, other: EntityTag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

#[cfg(test)]
mod tests {
    use corelane_eventloop::FileKind;

    use super::*;

    const DAY: Nanos = Nanos::from_secs(784_111_777);

    fn meta(modified: Nanos) -> Meta {
        Meta { len: 0x1f4, modified, changed: DAY, inode: 7, kind: FileKind::Regular }
    }

    #[test]
    fn a_file_that_rests_has_a_strong_tag_and_a_date() {
        let later = DAY + Nanos::from_secs(2);
        let known = Validators::of(&meta(DAY), Encoding::Identity, later);
        assert_eq!(known.etag, format!("\"{:x}-1f4\"", DAY.0));
        assert_eq!(known.date().unwrap().as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
        let gzip = Validators::of(&meta(DAY), Encoding::Gzip, later);
        assert_eq!(gzip.etag, format!("\"{:x}-1f4-gzip\"", DAY.0));
    }

    #[test]
    fn a_file_just_changed_has_a_weak_tag_that_does_not_outlive_the_moment() {
        // A file of the future stays in that state.
        for now in [DAY + Nanos::from_millis(1_999), DAY, Nanos::ZERO] {
            let young = Validators::of(&meta(DAY), Encoding::Identity, now);
            assert_eq!((&young.etag[..3], young.modified), ("W/\"", None));
            let settled = Validators::of(&meta(DAY), Encoding::Identity, DAY + Nanos::from_secs(9));
            let tag = |known: &str| known.trim_start_matches("W/").to_owned();
            assert_ne!(tag(&young.etag), tag(&settled.etag));
        }
    }

    #[test]
    fn times_that_no_clock_has_set_validate_nothing() {
        let with = |changed: Nanos, inode| {
            let meta = Meta { changed, inode, ..meta(Nanos::from_secs(1)) };
            Validators::of(&meta, Encoding::Identity, DAY + DAY)
        };
        let first = with(DAY, 7);
        assert_eq!(first.modified, None);
        assert!(first.etag.starts_with("\"c"), "{first:?}");
        assert_ne!(first, with(DAY + Nanos(1), 7));
        assert_ne!(first, with(DAY, 8));
    }

    #[test]
    fn entity_tags() {
        let parse = |text: &'static [u8]| EntityTag::parse(text);
        let (strong, rest) = parse(b"\"a\", x").unwrap();
        assert_eq!(rest, b", x");
        let (weak, _) = parse(b"W/\"a\"").unwrap();
        // RFC 9110 §8.8.3.2, its table.
        assert!(!weak.is_strongly(weak) && weak.is_weakly(weak));
        assert!(!weak.is_strongly(strong) && weak.is_weakly(strong));
        assert!(strong.is_strongly(strong) && !strong.is_weakly(parse(b"\"b\"").unwrap().0));
        for text in [&b"a"[..], b"\"a", b"w/\"a\"", b"\"a b\"", b"W/a", b"\"\x01\"", b""] {
            assert_eq!(EntityTag::parse(text), None, "{text:?}");
        }
        assert!(parse(b"\"\"").is_some());
    }
}
