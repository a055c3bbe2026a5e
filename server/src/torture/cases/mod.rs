//! Messages that a server must refuse, may take, or must understand, as data.
//!
//! A row says where the rule stands and what may come back. RFC 9112 §2.2 and RFC 9110 §2.2 let a
//! recipient repair much of what is malformed; rows that rest on them are lenient when taken. But where
//! the length of the message depends on the repair, two recipients in a row may disagree on it, which is
//! how requests are smuggled: such rows must be refused.

mod chunks;
mod lengths;
mod lines;

/// One message. Behind it follows, on the same connection, the marker: a plain GET that closes.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) id: &'static str,
    pub(crate) rule: &'static str,
    /// What is special about it, in short.
    pub(crate) sent: &'static str,
    pub(crate) expect: Expect,
    /// As [`Target::fill`](super::target::Target::fill) reads it.
    pub(crate) message: &'static str,
}

/// What a server may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Refuse it and end the connection: where the message ends cannot be known.
    Refuse,
    /// As above; whoever answers before it reads the body may also break off in silence later.
    BreakOff,
    /// Refuse it. Where it ends is clear, so the connection may go on.
    Reject,
    /// Better refuse it; the RFC lets it be taken, if the marker is then understood.
    RejectOrTake,
    /// Better refuse it; the RFC lets it be answered, if the connection then ends.
    RejectOrClose,
    /// Better refuse it; it may be answered as HTTP/0.9 was, without a head, if the connection then ends.
    RejectOrBare,
    /// It is the beginning of a longer message, of which the marker is a part.
    Unmarked,
    /// It is valid; who refuses it for safety is right too.
    Either,
    /// It is valid and must be understood.
    Take,
}

const fn case(
    id: &'static str,
    rule: &'static str,
    sent: &'static str,
    expect: Expect,
    message: &'static str,
) -> Case {
    Case { id, rule, sent, expect, message }
}

/// Where a message ends: lengths, codings, chunks.
pub(crate) fn framing() -> impl Iterator<Item = &'static Case> {
    lengths::CASES.iter().chain(chunks::CASES)
}

/// Everything else about lines: their ends, fields, Host, the request line.
pub(crate) fn lines() -> impl Iterator<Item = &'static Case> {
    lines::CASES.iter()
}

/// A whole request of 35 (hexadecimal 23) bytes, to be hidden in the body of another.
macro_rules! hidden {
    () => {
        "GET /hidden HTTP/1.1\r\nHost: abc\r\n\r\n"
    };
}
use hidden;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_rules_named() {
        let all: Vec<&Case> = framing().chain(lines()).collect();
        assert!(framing().count() >= 60 && lines().count() >= 30);
        for (index, case) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.id != case.id), "{} twice", case.id);
            let known = ["9110 §", "9112 §", "policy"].iter().any(|r| case.rule.starts_with(r));
            assert!(known, "{}: {}", case.id, case.rule);
            assert!(case.sent.chars().count() <= 48, "{} is long", case.id);
        }
    }

    #[test]
    fn the_hidden_request_is_as_long_as_the_messages_say() {
        assert_eq!(hidden!().len(), 35);
        assert_eq!(format!("{:x}", hidden!().len()), "23");
    }
}
