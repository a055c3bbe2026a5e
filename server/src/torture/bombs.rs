//! Messages without end, or without measure: each must be refused or cut before it costs more than
//! a bounded number of bytes and seconds. No RFC asks for that, so all rules are policy.

use std::time::{Duration, Instant};

use super::answer::is_refusal;
use super::report::{Finding, Grade};
use super::target::Target;
use super::wire::{Lack, Sent};

/// Sent at a time, so that an answer is seen while there is more to send.
const PIECE_BYTES: usize = 32 * 1024;
/// After this, a server that neither refuses nor takes more is one that waits for ever.
const TIME_MAX: Duration = Duration::from_secs(20);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// One bomb: a beginning, and what is repeated after it.
#[derive(Debug)]
pub(crate) struct Bomb {
    id: &'static str,
    sent: &'static str,
    /// As [`Target::fill`] reads it.
    begin: &'static str,
    repeat: &'static [u8],
    /// So many bytes at most; a server that took them all has no limit.
    bytes_max: usize,
    /// Sent after the last repetition.
    end: &'static [u8],
}

const fn bomb(
    id: &'static str,
    sent: &'static str,
    begin: &'static str,
    repeat: &'static [u8],
    bytes_max: usize,
) -> Bomb {
    Bomb { id, sent, begin, repeat, bytes_max, end: b"" }
}

const CHUNKED: &str = "{post}Transfer-Encoding: chunked\r\n\r\n";
const LAST_CHUNK: &str = "{post}Transfer-Encoding: chunked\r\n\r\n0\r\n";
/// A chunk extension of 1,000 bytes on a chunk of one byte.
const EXTENDED: &[u8] = &extended();

#[rustfmt::skip]
pub(crate) const BOMBS: &[Bomb] = &[
    bomb("method", "a method without end", "", b"A", 16 * MIB),
    bomb("target", "a target without end", "GET /", b"a", 16 * MIB),
    bomb("version", "a version without end", "GET / HTTP/1.", b"1", 16 * MIB),
    bomb("empty-lines", "empty lines without end", "", b"\r\n", 16 * MIB),
    bomb("empty-lines-lf", "bare LF without end", "", b"\n", 16 * MIB),
    bomb("field-name", "a field name without end", "{get}", b"A", 16 * MIB),
    bomb("field-value", "a field value without end", "{get}A: ", b"a", 16 * MIB),
    bomb("field-space", "white space before a value, without end", "{get}A:", b" ", 16 * MIB),
    bomb("field-folds", "folded lines without end", "{get}A: b", b"\r\n c", 16 * MIB),
    bomb("fields-endless", "fields without end", "{get}", b"A: b\r\n", 16 * MIB),
    Bomb { end: b"\r\n", ..bomb("fields-10000", "10,000 fields, 60 kB", "{get}", b"A: b\r\n",
        60_000) },
    Bomb { end: b"\r\n", ..bomb("cookies-1M", "a head of 1 MiB in lines of 1 kB", "{get}",
        COOKIE, MIB) },
    bomb("chunk-extension", "a chunk extension without end",
        "{post}Transfer-Encoding: chunked\r\n\r\n5;a=", b"a", 16 * MIB),
    bomb("chunk-extensions", "chunks of 1 byte, extensions of 1 kB", CHUNKED, EXTENDED, 32 * MIB),
    bomb("chunk-zeros", "leading zeros of a chunk size, without end", CHUNKED, b"0", 16 * MIB),
    bomb("chunk-tiny", "chunks of 1 byte", CHUNKED, b"1\r\na\r\n", 32 * MIB),
    bomb("chunk-huge", "a chunk of 2^63 - 16 bytes",
        "{post}Transfer-Encoding: chunked\r\n\r\n7ffffffffffffff0\r\n", b"a", 64 * MIB),
    bomb("chunks-endless", "chunks of 1,000 bytes without end", CHUNKED, CHUNK, 64 * MIB),
    bomb("length-huge", "Content-Length: 2^63 - 1",
        "{post}Content-Length: 9223372036854775807\r\n\r\n", b"a", 64 * MIB),
    bomb("trailer-value", "a trailer without end",
        "{post}Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", b"a", 16 * MIB),
    bomb("trailers-endless", "trailers without end", LAST_CHUNK, b"A: b\r\n", 16 * MIB),
];

/// `Cookie: aaa…`, 1,000 bytes.
const COOKIE: &[u8] = &framed(b"Cookie: ");
/// A chunk of 1,000 bytes.
const CHUNK: &[u8] = &chunk();

/// `begin`, letters, CRLF: 1,000 bytes in all.
const fn framed(begin: &[u8]) -> [u8; 1000] {
    let mut line = [b'a'; 1000];
    let mut at = 0;
    while at < begin.len() {
        line[at] = begin[at];
        at += 1;
    }
    line[998] = b'\r';
    line[999] = b'\n';
    line
}

const fn extended() -> [u8; 1003] {
    let mut bytes = [b'\r'; 1003];
    let line = framed(b"1;a=");
    let mut at = 0;
    while at < 1000 {
        bytes[at] = line[at];
        at += 1;
    }
    bytes[1000] = b'a';
    bytes[1002] = b'\n';
    bytes
}

const fn chunk() -> [u8; 1007] {
    let mut bytes = [b'a'; 1007];
    let begin = b"3e8\r\n";
    let mut at = 0;
    while at < begin.len() {
        bytes[at] = begin[at];
        at += 1;
    }
    bytes[1005] = b'\r';
    bytes[1006] = b'\n';
    bytes
}

/// Tries one bomb.
pub(crate) fn check(target: &Target, bomb: &'static Bomb) -> Finding {
    let (grade, got) = match throw(target, bomb) {
        Ok(result) => result,
        Err(error) => (Grade::Violation, error),
    };
    Finding { id: bomb.id, rule: "policy", sent: bomb.sent, got, grade }
}

fn throw(target: &Target, bomb: &Bomb) -> Result<(Grade, String), String> {
    let mut wire = target.connect()?;
    let begun = Instant::now();
    let mut bytes = target.fill(bomb.begin);
    let mut sent = 0;
    let mut last = false;
    loop {
        let end = wire.send(&bytes);
        sent += bytes.len();
        // Other answers may come early, and the body still be read.
        let refused = wire.first_status().is_some_and(is_refusal);
        if refused || end != Sent::All || last || begun.elapsed() > TIME_MAX {
            break;
        }
        let times = (PIECE_BYTES / bomb.repeat.len()).max(1);
        let left = (bomb.bytes_max.saturating_sub(sent) / bomb.repeat.len()).min(times);
        last = left == 0;
        bytes = if last { bomb.end.to_vec() } else { bomb.repeat.repeat(left) };
    }
    let answer = wire.last_answer(false);
    let lack = match &answer {
        Ok(_) => wire.rest(),
        Err(lack) => *lack,
    };
    let status = answer.ok().map(|answer| answer.status);
    let (grade, remark) = judge(status, lack, !bomb.end.is_empty());
    let status = status.map(|status| format!("{status} after ")).unwrap_or_default();
    let seconds = begun.elapsed().as_secs();
    Ok((grade, format!("{status}{} in {seconds} s, {lack}{remark}", size(sent))))
}

/// `whole` says that the bomb has an end, so that an answer other than a refusal means it was read.
fn judge(status: Option<u16>, end: Lack, whole: bool) -> (Grade, &'static str) {
    match (status, end) {
        (_, Lack::Garbled) => (Grade::Violation, ": no HTTP"),
        // It may linger for what we still send.
        (Some(status), _) if is_refusal(status) => (Grade::Ok, ""),
        (Some(_), _) if whole => (Grade::Violation, ": taken"),
        // Answered without being read, as an application may, then cut; or cut without a word.
        (_, Lack::Ended(_)) => (Grade::Ok, ""),
        (_, Lack::Quiet) => (Grade::Violation, ": taken"),
    }
}

/// A number of bytes, rounded.
fn size(bytes: usize) -> String {
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{} KiB", bytes / KIB),
        _ => format!("{} MiB", bytes / MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::End;
    use super::*;

    #[test]
    fn repeated_parts_are_what_they_say() {
        assert!(COOKIE.starts_with(b"Cookie: a") && COOKIE.ends_with(b"a\r\n"));
        assert!(EXTENDED.starts_with(b"1;a=a") && EXTENDED.ends_with(b"a\r\na\r\n"));
        assert!(CHUNK.starts_with(b"3e8\r\na") && CHUNK.ends_with(b"a\r\n"));
        assert_eq!(CHUNK.len() - 7, 0x3e8);
        assert!(BOMBS.len() >= 15);
    }

    #[test]
    fn only_refusals_and_cuts_are_right() {
        const CLOSED: Lack = Lack::Ended(End::Closed);
        let grade = |status, end, whole| judge(status, end, whole).0;
        for (status, whole) in [(Some(431), true), (Some(413), false), (None, false)] {
            assert_eq!(grade(status, CLOSED, whole), Grade::Ok, "{status:?}");
        }
        assert_eq!(grade(Some(405), CLOSED, false), Grade::Ok, "answered early, then cut");
        assert_eq!(grade(Some(200), CLOSED, true), Grade::Violation);
        assert_eq!(grade(Some(200), Lack::Quiet, false), Grade::Violation);
        assert_eq!(grade(None, Lack::Quiet, false), Grade::Violation);
        assert_eq!(grade(Some(400), Lack::Quiet, true), Grade::Ok);
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!([5, 2047, MIB * 3].map(size), ["5 B", "1 KiB", "3 MiB"]);
    }
}
