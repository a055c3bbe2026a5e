//! What a request makes its answer depend on, and in which order that is looked at
//! (RFC 9110 §13.2.2).

use std::time::UNIX_EPOCH;

use corelane_eventloop::Nanos;
use corelane_parser::http1::Field;

use super::range::{self, Ranges};
use super::validators::{EntityTag, Validators};

/// The fields of a request that matter here, collected in one pass over its head.
#[derive(Default)]
pub(crate) struct Conditions<'a> {
    /// The lines of a field are one list.
    if_match: Vec<&'a [u8]>,
    if_none_match: Vec<&'a [u8]>,
    if_modified_since: Single<'a>,
    if_unmodified_since: Single<'a>,
    if_range: Single<'a>,
    range: Single<'a>,
}

/// A field that can be there once.
#[derive(Clone, Copy, Default)]
enum Single<'a> {
    #[default]
    Absent,
    Once(&'a [u8]),
    /// There is no telling which one was meant.
    Repeated,
}

impl<'a> Single<'a> {
    fn see(&mut self, value: &'a [u8]) {
        *self = match self {
            Single::Absent => Single::Once(value),
            _ => Single::Repeated,
        };
    }

    fn once(self) -> Option<&'a [u8]> {
        match self {
            Single::Once(value) => Some(value),
            _ => None,
        }
    }
}

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is answered as if there were none.
    Go,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl<'a> Conditions<'a> {
    pub(crate) fn of(fields: impl Iterator<Item = Field<'a>>) -> Conditions<'a> {
        let mut found = Conditions::default();
        for Field { name, value } in fields {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            // Names of other lengths are none of these: most fields are done with here.
            match name.len() {
                5 if is("Range") => found.range.see(value),
                8 if is("If-Match") => found.if_match.push(value),
                8 if is("If-Range") => found.if_range.see(value),
                13 if is("If-None-Match") => found.if_none_match.push(value),
                17 if is("If-Modified-Since") => found.if_modified_since.see(value),
                19 if is("If-Unmodified-Since") => found.if_unmodified_since.see(value),
                _ => {}
            }
        }
        found
    }

    /// Whether any of these fields would be found.
    #[inline]
    pub(crate) fn are_among<'f>(mut fields: impl Iterator<Item = Field<'f>>) -> bool {
        fields.any(|Field { name, .. }| {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            match name.len() {
                5 => is("Range"),
                8 => is("If-Match") || is("If-Range"),
                13 => is("If-None-Match"),
                17 => is("If-Modified-Since"),
                19 => is("If-Unmodified-Since"),
                _ => false,
            }
        })
    }

    /// Steps 1 to 4 of §13.2.2, for GET and HEAD of something that exists.
    #[inline]
    pub(crate) fn judge(&self, known: &Validators) -> Outcome {
        let none = self.if_match.is_empty()
            && self.if_none_match.is_empty()
            && matches!(self.if_modified_since, Single::Absent)
            && matches!(self.if_unmodified_since, Single::Absent);
        if none { Outcome::Go } else { self.judge_preconditions(known) }
    }

    fn judge_preconditions(&self, known: &Validators) -> Outcome {
        let own = own_tag(known);
        if !self.if_match.is_empty() {
            if !names(&self.if_match, |tag| tag.is_strongly(own)) {
                return Outcome::Failed;
            }
        } else if let (Some(since), Some(modified)) =
            (date(self.if_unmodified_since), known.modified)
            && modified > since
        {
            return Outcome::Failed;
        }
        if !self.if_none_match.is_empty() {
            if names(&self.if_none_match, |tag| tag.is_weakly(own)) {
                return Outcome::NotModified;
            }
        } else if let (Some(since), Some(modified)) = (date(self.if_modified_since), known.modified)
            && modified <= since
        {
            return Outcome::NotModified;
        }
        Outcome::Go
    }

    /// Step 5: which part of so many bytes is wanted, for GET.
    pub(crate) fn ranges(&self, known: &Validators, len: u64) -> Ranges {
        let Some(range) = self.range.once() else { return Ranges::Whole };
        let holds = match self.if_range {
            Single::Absent => true,
            Single::Repeated => false,
            Single::Once(value) => match EntityTag::parse(value) {
                Some((tag, rest)) => rest.is_empty() && tag.is_strongly(own_tag(known)),
                // A date counts if it is exactly the one that was sent (§13.1.5). It is a strong
                // validator: none is sent for a file that could still change unnoticed.
                None => parse_date(value).is_some_and(|date| Some(date) == known.modified),
            },
        };
        if holds { range::parse(range, len) } else { Ranges::Whole }
    }
}

/// The tag of what we have. Ours are well-formed; one that were not would match nothing.
fn own_tag(known: &Validators) -> EntityTag<'_> {
    EntityTag::parse(known.etag.as_bytes()).map_or(EntityTag::NOTHING, |(tag, _)| tag)
}

/// Whether a list of tags is `*` or has one that matches. What follows a malformed one is not looked at.
fn names(lines: &[&[u8]], matches: impl Fn(EntityTag<'_>) -> bool) -> bool {
    lines.iter().any(|line| {
        let mut rest = line.trim_ascii();
        if rest == b"*" {
            return true;
        }
        loop {
            while let [b',' | b' ' | b'\t', after @ ..] = rest {
                rest = after;
            }
            match EntityTag::parse(rest) {
                Some((tag, _)) if matches(tag) => return true,
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    })
}

/// A field that is repeated, or holds no date, counts as absent (§13.1.3, §13.1.4).
fn date(field: Single<'_>) -> Option<u64> {
    parse_date(field.once()?)
}

/// One of the three forms of §5.6.7, in seconds since the Unix epoch.
fn parse_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let since = httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Nanos::from(since).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED: u64 = 784_111_777;
    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn conditions<'a>(fields: &[(&'a str, &'a str)]) -> Conditions<'a> {
        Conditions::of(fields.iter().map(|&(name, value)| Field { name, value: value.as_bytes() }))
    }

    fn known(etag: &str, modified: Option<u64>) -> Validators {
        Validators { etag: etag.to_owned(), modified }
    }

    #[test]
    fn preconditions_in_the_order_of_the_rfc() {
        use Outcome::{Failed, Go, NotModified};
        let im = "If-Match";
        let inm = "if-none-match";
        let ims = "If-Modified-Since";
        let ius = "IF-UNMODIFIED-SINCE";
        let cases: &[(&[(&str, &str)], Outcome)] = &[
            (&[], Go),
            (&[(im, "\"a\"")], Go),
            (&[(im, "*")], Go),
            (&[(im, "\"b\", \"a\"")], Go),
            (&[(im, "\"b\""), (im, "\"a\"")], Go),
            (&[(im, "\"b\"")], Failed),
            (&[(im, "W/\"a\"")], Failed),
            (&[(im, "a")], Failed),
            (&[(im, "")], Failed),
            (&[(ius, DATE)], Go),
            (&[(ius, LATER)], Go),
            (&[(ius, EARLIER)], Failed),
            (&[(ius, "yesterday")], Go),
            (&[(ius, EARLIER), (ius, EARLIER)], Go),
            // If-Match takes the place of If-Unmodified-Since.
            (&[(im, "\"a\""), (ius, EARLIER)], Go),
            (&[(inm, "\"a\"")], NotModified),
            (&[(inm, "W/\"a\"")], NotModified),
            (&[(inm, "*")], NotModified),
            (&[(inm, "\"b\",, W/\"c\" ,\"a\"")], NotModified),
            (&[(inm, "\"b\"")], Go),
            (&[(inm, "\"b\" x \"a\"")], Go),
            (&[(ims, DATE)], NotModified),
            (&[(ims, LATER)], NotModified),
            (&[(ims, "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            (&[(ims, "Sun Nov  6 08:49:37 1994")], NotModified),
            (&[(ims, EARLIER)], Go),
            (&[(ims, "0")], Go),
            (&[(ims, DATE), (ims, DATE)], Go),
            // If-None-Match takes the place of If-Modified-Since.
            (&[(inm, "\"b\""), (ims, DATE)], Go),
            (&[(inm, "\"a\""), (ims, EARLIER)], NotModified),
            // What fails comes before what is not modified.
            (&[(im, "\"b\""), (inm, "\"a\"")], Failed),
            (&[(ius, EARLIER), (ims, DATE)], Failed),
            (&[(im, "\"a\""), (inm, "\"a\"")], NotModified),
        ];
        for (fields, expected) in cases {
            let known = known("\"a\"", Some(MODIFIED));
            assert_eq!(conditions(fields).judge(&known), *expected, "{fields:?}");
        }
        // Without a date of its own a file is judged by its tag alone.
        for field in [(ims, LATER), (ius, EARLIER)] {
            assert_eq!(conditions(&[field]).judge(&known("W/\"a\"", None)), Go);
        }
        assert_eq!(conditions(&[(im, "W/\"a\"")]).judge(&known("W/\"a\"", None)), Failed);
        assert_eq!(conditions(&[(inm, "W/\"a\"")]).judge(&known("W/\"a\"", None)), NotModified);
    }

    #[test]
    fn if_range_wants_the_very_same() {
        let known = known("\"a\"", Some(MODIFIED));
        let cases = [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            ("\"a\", \"b\"", false),
            (DATE, true),
            (EARLIER, false),
            (LATER, false),
            ("", false),
            ("a", false),
        ];
        for (value, expected) in cases {
            let fields = [("Range", "bytes=0-1"), ("If-Range", value)];
            let found = conditions(&fields).ranges(&known, 10) != Ranges::Whole;
            assert_eq!(found, expected, "{value}");
        }
        let weak = Validators { etag: "W/\"a\"".to_owned(), modified: None };
        for value in ["W/\"a\"", "\"a\"", DATE] {
            let fields = [("Range", "bytes=0-1"), ("If-Range", value)];
            assert_eq!(conditions(&fields).ranges(&weak, 10), Ranges::Whole, "{value}");
        }
        let twice = [("Range", "bytes=0-1"), ("Range", "bytes=2-3")];
        assert_eq!(conditions(&twice).ranges(&known, 10), Ranges::Whole);
    }
}
