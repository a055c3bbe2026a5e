//! What a response must be, checked as it comes.

use crate::plan::Expect;

/// What about a response was not as expected: the first of these.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    Status,
    Field,
    Body,
}

/// What is expected of the responses to one request, prepared.
#[derive(Debug)]
pub(crate) struct Checks {
    expect: Expect,
    /// Of the bytes that a body is to contain: for each of their beginnings, the length of the longest
    /// shorter one that it ends with (Knuth, Morris, Pratt 1977).
    failure: Vec<usize>,
}

/// What of one response has been seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    lacks_field: bool,
    length: u64,
    differs: bool,
    /// How many of the bytes to be contained stand at the end of what has been read.
    matched: usize,
    contains: bool,
}

impl Checks {
    pub(crate) fn new(expect: &Expect) -> Self {
        let needle = expect.contains.as_deref().unwrap_or_default();
        let mut failure = vec![0; needle.len()];
        for at in 1..needle.len() {
            failure[at] = follow(needle, &failure, failure[at - 1], needle[at]);
        }
        Self { expect: expect.clone(), failure }
    }

    /// Nothing of the body is looked at but its length.
    pub(crate) fn only_length(&self) -> bool {
        let Expect { body, contains, length, .. } = &self.expect;
        length.is_some() && body.is_none() && contains.is_none()
    }

    /// A head has come, whose fields `field` gives.
    pub(crate) fn begin<'head>(&self, field: impl FnOnce(&str) -> Option<&'head [u8]>) -> Seen {
        let has = match &self.expect.field {
            None => true,
            Some((name, None)) => field(name).is_some(),
            Some((name, Some(value))) => field(name) == Some(value.as_bytes()),
        };
        Seen { lacks_field: !has, ..Seen::default() }
    }

    /// A response has come whole. One without body by its nature has none to be judged.
    pub(crate) fn judge(&self, status: u16, seen: Seen, head_only: bool) -> Option<Wrong> {
        let Expect { status: wanted, body, contains, length, .. } = &self.expect;
        let status_is_right =
            wanted.map_or((200..400).contains(&status), |wanted| wanted == status);
        let same = |body: &Vec<u8>| !seen.differs && seen.length == body.len() as u64;
        let body_is_right = head_only
            || (body.as_ref().is_none_or(same)
                && length.is_none_or(|length| seen.length == length)
                && contains.as_ref().is_none_or(|bytes| seen.contains || bytes.is_empty()));
        match () {
            () if !status_is_right => Some(Wrong::Status),
            () if seen.lacks_field => Some(Wrong::Field),
            () if !body_is_right => Some(Wrong::Body),
            () => None,
        }
    }
}

impl Seen {
    /// The next bytes of the body.
    pub(crate) fn read(&mut self, data: &[u8], checks: &Checks) {
        if let Some(body) = &checks.expect.body {
            let at = usize::try_from(self.length).unwrap_or(usize::MAX);
            let same = body.get(at..).is_some_and(|rest| rest.starts_with(data));
            self.differs |= !same;
        }
        if let Some(needle) = &checks.expect.contains {
            for &byte in data {
                if self.contains {
                    break;
                }
                self.matched = follow(needle, &checks.failure, self.matched, byte);
                self.contains = self.matched == needle.len();
            }
        }
        self.length += data.len() as u64;
    }

    /// The next bytes of the body, which nobody has seen.
    pub(crate) fn skip(&mut self, length: u64) {
        self.length += length;
    }
}

/// How many bytes of `needle` stand at the end after one more byte.
fn follow(needle: &[u8], failure: &[usize], matched: usize, byte: u8) -> usize {
    let mut matched = matched;
    loop {
        if needle.get(matched) == Some(&byte) {
            return matched + 1;
        }
        if matched == 0 {
            return 0;
        }
        matched = failure[matched - 1];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn judge(expect: &Expect, status: u16, body: &[u8], cut: usize) -> Option<Wrong> {
        let checks = Checks::new(expect);
        let mut seen = checks.begin(|name| (name == "a").then_some(&b"b"[..]));
        body.chunks(cut).for_each(|piece| seen.read(piece, &checks));
        checks.judge(status, seen, false)
    }

    #[test]
    fn each_expectation_is_checked() {
        let any = Expect::default();
        let field = |value: Option<&str>| Some(("a".to_owned(), value.map(str::to_owned)));
        for (expect, status, wrong) in [
            (any.clone(), 200, None),
            (any.clone(), 404, Some(Wrong::Status)),
            (Expect { status: Some(404), ..any.clone() }, 404, None),
            (Expect { status: Some(404), ..any.clone() }, 200, Some(Wrong::Status)),
            (Expect { body: Some(b"hello".to_vec()), ..any.clone() }, 200, None),
            (Expect { body: Some(b"hell".to_vec()), ..any.clone() }, 200, Some(Wrong::Body)),
            (Expect { body: Some(b"hello!".to_vec()), ..any.clone() }, 200, Some(Wrong::Body)),
            (Expect { length: Some(5), ..any.clone() }, 200, None),
            (Expect { length: Some(6), ..any.clone() }, 200, Some(Wrong::Body)),
            (Expect { contains: Some(b"ell".to_vec()), ..any.clone() }, 200, None),
            (Expect { contains: Some(Vec::new()), ..any.clone() }, 200, None),
            (Expect { contains: Some(b"elo".to_vec()), ..any.clone() }, 200, Some(Wrong::Body)),
            (Expect { field: field(None), ..any.clone() }, 200, None),
            (Expect { field: field(Some("b")), ..any.clone() }, 200, None),
            (Expect { field: field(Some("c")), ..any.clone() }, 200, Some(Wrong::Field)),
            (
                Expect { field: Some(("c".to_owned(), None)), ..any.clone() },
                200,
                Some(Wrong::Field),
            ),
        ] {
            for cut in 1..=5 {
                assert_eq!(judge(&expect, status, b"hello", cut), wrong, "{expect:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_contained_is_found_however_it_is_cut(
            body in "[ab]{0,40}", needle in "[ab]{0,6}", cut in 1_usize..8,
        ) {
            let expect = Expect { contains: Some(needle.clone().into_bytes()), ..Expect::default() };
            let found = judge(&expect, 200, body.as_bytes(), cut).is_none();
            prop_assert_eq!(found, body.contains(&needle));
        }
    }
}
