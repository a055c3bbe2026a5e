//! Request heads: request line and fields, zero-copy, checked as they are read.
//!
//! A head that is there whole and has no fault is read in one pass: the bytes are classified in blocks
//! and cut into fields where their classes change (`crate::scan`), and what the protocol depends on is
//! judged on the way (`read.rs`). Only what cannot be cut is looked at a second time, to say what is
//! wrong with it (`fault.rs`). There `httparse` does the looking, and around it, where it differs:
//!
//! | input | httparse | here |
//! |---|---|---|
//! | bare LF as a line end | accepted | refused |
//! | any number of empty lines in front, also of bare LF | skipped | up to four, CRLF only |
//! | non-ASCII bytes or `#` in the target | accepted if UTF-8 | refused |
//! | HTTP/1.2 to 1.9 | refused as malformed | served as 1.1 (RFC 9110 §2.5) |
//! | HTTP/2.0, also as the preface of HTTP/2 | refused as malformed | refused as unsupported, 505 |

use std::fmt;

use httparse::Header;

use super::fault::fault_of;
use super::read::{self, Parts};
use super::scan::{self, Fault, HeadScan};
use super::target::{self, TargetForm};
use super::{BodyKind, Limits, Method};
use crate::Refusal;
use crate::scan::{Filled, Slots};

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0 (RFC 1945): no persistent connections unless asked for, no chunks.
    Http10,
    /// HTTP/1.1 (RFC 9112), and what is later within HTTP/1.
    Http11,
}

/// Room for the fields and the other parts of one head, on the caller's stack. Creating it costs
/// nothing: the slots stay uninitialized, and their memory untouched, until something is written to
/// them. It serves one call; a head that was not complete is parsed with a new one.
/// 3.3 KB, of which a head touches 88 bytes and 32 for each of its fields.
pub struct FieldSlots<'h> {
    slots: Slots<'h, Parts<'h>>,
}

impl FieldSlots<'_> {
    /// Empty slots.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { slots: Slots::new() }
    }
}

impl Default for FieldSlots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// A result, or the need for more input. Incomplete is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// All of it is there.
    Complete(T),
    /// Call again with the same input and more behind it.
    Partial,
}

/// Parses one request head, over as many calls as its bytes need to arrive. Plain data, 8 bytes;
/// a default value starts the next head.
///
/// ```
/// use corelane_parser::http1::{FieldSlots, HeadParser, Limits, Method, Progress};
///
/// let mut parser = HeadParser::default();
/// let limits = Limits::default();
/// let input = b"GET /a?b HTTP/1.1\r\nHost: example.org\r\n\r\nthe rest";
///
/// let early = parser.parse(&input[..20], &mut FieldSlots::new(), &limits).unwrap().is_partial();
/// assert!(early);
///
/// let mut slots = FieldSlots::new();
/// let Ok(Progress::Complete(head)) = parser.parse(input, &mut slots, &limits) else { panic!() };
/// assert_eq!(head.method(), Method::Get);
/// assert_eq!((head.path(), head.query()), ("/a", Some("b")));
/// assert_eq!(head.header("host"), Some(&b"example.org"[..]));
/// assert_eq!(&input[head.bytes()..], b"the rest");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadParser {
    scan: HeadScan,
}

impl<T> Progress<T> {
    /// Whether more input is needed.
    pub fn is_partial(&self) -> bool {
        matches!(self, Progress::Partial)
    }
}

impl HeadParser {
    /// A parser at the start of a head.
    pub const fn new() -> Self {
        Self { scan: HeadScan::new() }
    }

    /// Parses the head at the front of `input`, which may go on beyond it.
    ///
    /// After [`Progress::Partial`] call again with all of that input, unconsumed, and what has
    /// arrived since. After a head the parser is back at its start; after an error it is of no
    /// further use.
    ///
    /// Cost: one pass over the head if it is there whole; about four when it arrives in pieces of
    /// any size, since it is tokenized again only when the input has doubled.
    ///
    /// # Errors
    /// A [`Refusal`]: for a bare CR or LF and for whatever exceeds a limit as soon as it arrives,
    /// for a faulty request line when it ends, for other faults before the input has doubled.
    /// How the input was cut has no influence on which one.
    #[inline]
    pub fn parse<'h>(
        &mut self,
        input: &'h [u8],
        slots: &'h mut FieldSlots<'h>,
        limits: &Limits,
    ) -> Result<Progress<Head<'h>>, Refusal> {
        let window = &input[..input.len().min(limits.head_bytes)];
        match window {
            [..=b'\r', ..] => self.parse_behind_empty_lines(window, slots, limits),
            _ => self.parse_at(window, 0, slots, limits),
        }
    }

    /// Skips empty lines first: RFC 9112 §2.2.
    #[cold]
    #[inline(never)]
    fn parse_behind_empty_lines<'h>(
        &mut self,
        window: &'h [u8],
        slots: &'h mut FieldSlots<'h>,
        limits: &Limits,
    ) -> Result<Progress<Head<'h>>, Refusal> {
        match scan::empty_lines(window)? {
            Some(begin) => self.parse_at(window, begin, slots, limits),
            None => beyond(window, window.len(), limits),
        }
    }

    /// Parses the head that begins behind `begin` bytes of empty lines.
    #[inline(always)]
    fn parse_at<'h>(
        &mut self,
        window: &'h [u8],
        begin: usize,
        slots: &'h mut FieldSlots<'h>,
        limits: &Limits,
    ) -> Result<Progress<Head<'h>>, Refusal> {
        if self.scan.scanned() != 0 && !self.is_whole(window, begin, limits)? {
            return beyond(window, begin, limits);
        }
        match read::whole(window, begin, &mut slots.slots, limits) {
            Ok(()) => match slots.slots.filled() {
                Some(filled) => {
                    *self = Self::default();
                    Ok(Progress::Complete(Head { filled }))
                }
                None => self.wait(window, begin, limits),
            },
            Err(refusal) => Err(verdict(window, begin, refusal, limits)),
        }
    }

    /// Whether the head's end is there, which was not before. Faults are looked for when the request
    /// line's end has just arrived, when the input has doubled since, and when there is no room for
    /// more of it: so garbage is refused while it arrives, for at most the cost of three more passes.
    #[cold]
    fn is_whole(&mut self, window: &[u8], begin: usize, limits: &Limits) -> Result<bool, Refusal> {
        let before = self.scan;
        let is_whole = match self.scan.advance(window, begin, limits) {
            Ok(end) => end.is_some(),
            Err(fault) => return Err(verdict(window, begin, fault.refusal, limits)),
        };
        let is_due = before.is_in_first_line(begin) != self.scan.is_in_first_line(begin)
            || window.len() == limits.head_bytes
            || window.len().ilog2() > before.scanned().ilog2();
        match is_due && !is_whole {
            true => check(window, begin, limits).map(|()| false),
            false => Ok(is_whole),
        }
    }

    /// Remembers how far a head has been searched that is incomplete, if nothing is wrong with it.
    #[cold]
    fn wait<T>(
        &mut self,
        window: &[u8],
        begin: usize,
        limits: &Limits,
    ) -> Result<Progress<T>, Refusal> {
        if window.is_empty() {
            return Ok(Progress::Partial);
        }
        check(window, begin, limits)?;
        match self.scan.advance(window, begin, limits) {
            Ok(_) => beyond(window, begin, limits),
            Err(fault) => Err(verdict(window, begin, fault.refusal, limits)),
        }
    }
}

/// Checks that so far nothing is wrong with a head, but for what the search looks at.
fn check(window: &[u8], begin: usize, limits: &Limits) -> Result<(), Refusal> {
    match fault_of(&window[begin..], limits) {
        Some(refusal) => Err(verdict(window, begin, refusal, limits)),
        None => Ok(()),
    }
}

/// An incomplete head that fills its limit will never be complete.
fn beyond<T>(window: &[u8], begin: usize, limits: &Limits) -> Result<Progress<T>, Refusal> {
    match window.len() < limits.head_bytes {
        true => Ok(Progress::Partial),
        // Where the whole head may not be longer than its first line, that is what is too long:
        // 414 is then a MUST (RFC 9112 §3).
        false if is_within_target(&window[begin..]) => Err(Refusal::RequestLineTooLong),
        false => Err(Refusal::HeadTooLarge),
    }
}

/// Whether a head that is not complete has a method and no end of its first line.
#[cold]
fn is_within_target(head: &[u8]) -> bool {
    head.contains(&b' ') && !head.contains(&b'\r')
}

/// Which fault of a faulty head comes first. Tokenizer and search each stop at their own, and
/// which of the two ran first depends on how the head arrived; the answer must not.
#[cold]
fn verdict(window: &[u8], begin: usize, found: Refusal, limits: &Limits) -> Refusal {
    let Err(Fault { refusal, at }) = HeadScan::default().advance(window, begin, limits) else {
        return found;
    };
    let sound = &window[begin..at.max(begin)];
    match fault_of(sound, limits) {
        Some(earlier) => earlier,
        // 414 is about a target. Where no space has come yet there is none, nor a method.
        None if refusal == Refusal::RequestLineTooLong && !sound.contains(&b' ') => Refusal::Method,
        None => refusal,
    }
}

/// A request head: a view of the input, with what the protocol depends on already read and
/// checked.
#[derive(Clone, Copy)]
pub struct Head<'h> {
    /// One pointer: wider ones go through memory when they are returned, and stall there.
    filled: Filled<'h, 'h, Parts<'h>>,
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields().collect();
        f.debug_struct("Head").field("parts", self.parts()).field("fields", &fields).finish()
    }
}

impl<'h> Head<'h> {
    #[inline(always)]
    fn parts(&self) -> &'h Parts<'h> {
        self.filled.parts()
    }

    /// The method. Cost: a comparison with `GET`, and for others with the rest.
    #[inline]
    pub fn method(&self) -> Method<'h> {
        Method::from(self.parts().method)
    }

    /// The target as sent: ASCII without controls, or UTF-8 with [`Limits::lenient`].
    #[inline]
    pub fn target(&self) -> &'h str {
        self.parts().target
    }

    /// The form of the target.
    #[inline]
    pub fn form(&self) -> TargetForm {
        self.parts().form
    }

    /// The path of the target, still encoded: `/` if an absolute target has none, the whole
    /// target in authority- and asterisk-form.
    pub fn path(&self) -> &'h str {
        target::path_and_query(self.parts().form, self.parts().target).0
    }

    /// What follows the first `?` of the target, still encoded.
    pub fn query(&self) -> Option<&'h str> {
        target::path_and_query(self.parts().form, self.parts().target).1
    }

    /// The version.
    #[inline]
    pub fn version(&self) -> Version {
        self.parts().version
    }

    /// The fields in the order they were sent.
    #[inline]
    pub fn fields(&self) -> Fields<'h> {
        Fields(self.filled.fields().iter())
    }

    /// The value of the first field named `name`, in any case. Cost: a comparison of lengths
    /// for each field, of bytes where lengths agree.
    #[inline]
    pub fn header(&self, name: &str) -> Option<&'h [u8]> {
        self.headers(name).next()
    }

    /// The values of all fields named `name`, in any case.
    #[inline]
    pub fn headers<'n>(&self, name: &'n str) -> impl Iterator<Item = &'h [u8]> + use<'h, 'n> {
        self.fields()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The value of Host: always there and a valid authority in HTTP/1.1, or empty with
    /// [`Limits::lenient`]. With an absolute target it means nothing (RFC 9112 §3.2.2):
    /// [`authority`](Head::authority) is what to go by.
    #[inline]
    pub fn host(&self) -> Option<&'h [u8]> {
        self.parts().host
    }

    /// Whom the request is for (RFC 9110 §7.1): the authority in the target where its form has
    /// one, whatever Host says then (RFC 9112 §3.2.2), and else the value of Host. Absent in
    /// HTTP/1.0 only; empty where [`host`](Head::host) is.
    ///
    /// ```
    /// use corelane_parser::http1::{FieldSlots, HeadParser, Limits, Progress};
    ///
    /// let input = b"GET http://a.example:81/ HTTP/1.1\r\nHost: b.example\r\n\r\n";
    /// let mut slots = FieldSlots::new();
    /// let progress = HeadParser::new().parse(input, &mut slots, &Limits::DEFAULT)?;
    /// let Progress::Complete(head) = progress else { panic!("the head is whole") };
    /// assert_eq!(head.authority(), Some(&b"a.example:81"[..]));
    /// # Ok::<(), corelane_parser::Refusal>(())
    /// ```
    pub fn authority(&self) -> Option<&'h [u8]> {
        target::authority(self.parts().form, self.parts().target).map(str::as_bytes).or(self.host())
    }

    /// How the end of the body is found.
    #[inline]
    pub fn body(&self) -> BodyKind {
        self.parts().body
    }

    /// Whether the connection may carry another request after this one (RFC 9112 §9.3).
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.parts().said.keep_alive(self.parts().version)
    }

    /// Whether the client waits for `100 Continue` before it sends the body. Never true without
    /// a body or in HTTP/1.0.
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.parts().said.expects_continue(self.parts().version, self.parts().body)
    }

    /// Whether the client asks for another protocol: an Upgrade field and the connection option
    /// that belongs to it. The field's value says which.
    #[inline]
    pub fn upgrade(&self) -> bool {
        self.parts().said.upgrade(self.parts().version)
    }

    /// The length of the head in the input, empty lines before it included. The body follows.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.parts().bytes as usize
    }
}

/// One field line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'h> {
    /// The name as sent: a token in any case.
    pub name: &'h str,
    /// The value without white space around it. It may be empty, and hold tabs and bytes above
    /// 127, but no other control byte.
    pub value: &'h [u8],
}

/// The fields of a head, in order.
#[derive(Clone, Debug)]
pub struct Fields<'h>(pub(super) std::slice::Iter<'h, Header<'h>>);

impl<'h> Iterator for Fields<'h> {
    type Item = Field<'h>;

    #[inline]
    fn next(&mut self) -> Option<Field<'h>> {
        self.0.next().map(|field| Field { name: field.name, value: field.value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}

#[cfg(test)]
mod tests {
    use super::super::limits::FIELDS_MAX;
    use super::*;

    /// A head of `bytes` bytes, in lines of 100.
    fn head_of(bytes: usize) -> Vec<u8> {
        let mut head = b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec();
        while head.len() + 100 < bytes {
            head.extend_from_slice(format!("X: {}\r\n", "v".repeat(95)).as_bytes());
        }
        head.extend_from_slice(
            format!("Y: {}\r\n\r\n", "v".repeat(bytes - head.len() - 7)).as_bytes(),
        );
        head
    }

    /// The bytes looked at when `head` arrives in pieces of `step` bytes.
    fn work_of(head: &[u8], step: usize) -> usize {
        let limits = Limits { fields: FIELDS_MAX, ..Limits::default() };
        let mut parser = HeadParser::new();
        scan::work::take();
        for end in (step..head.len()).step_by(step).chain([head.len()]) {
            let mut slots = FieldSlots::new();
            let progress = parser.parse(&head[..end], &mut slots, &limits).unwrap();
            assert_eq!(progress.is_partial(), end < head.len());
        }
        scan::work::take()
    }

    #[test]
    fn a_head_in_pieces_costs_a_few_passes_whatever_its_size() {
        for bytes in [512, 1024, 2048, 4096, 8192] {
            let head = head_of(bytes);
            assert_eq!(head.len(), bytes);
            for step in [1, 2, 7, 64, 1000] {
                let work = work_of(&head, step);
                assert!(work <= 5 * bytes, "{bytes} bytes by {step}: looked at {work}");
            }
            assert_eq!(work_of(&head, bytes), bytes, "whole: one pass");
        }
    }

    #[test]
    fn garbage_is_refused_before_the_input_has_doubled() {
        let limits = Limits::default();
        let mut head = head_of(1000);
        head[300] = 0;
        let mut parser = HeadParser::new();
        let refused = (1..head.len())
            .find(|&end| parser.parse(&head[..end], &mut FieldSlots::new(), &limits).is_err());
        assert!(refused.is_some_and(|end| end <= 600), "{refused:?}");
    }

    #[test]
    fn what_fills_its_limit_is_refused_alike_however_it_arrives() {
        // No power of two, so that the input has not doubled when it fills the limit.
        let limits = Limits { head_bytes: 1500, ..Limits::default() };
        let mut faulty = head_of(2000);
        faulty[1400] = 0;
        for (head, expect) in
            [(faulty, Refusal::FieldValue), (head_of(2000), Refusal::HeadTooLarge)]
        {
            for step in [1, 7, 100, 1499, 2000] {
                let mut parser = HeadParser::new();
                let ends = (step..head.len()).step_by(step).chain([head.len()]);
                let refusal = ends.into_iter().find_map(|end| {
                    parser.parse(&head[..end], &mut FieldSlots::new(), &limits).err()
                });
                assert_eq!(refusal, Some(expect), "by {step}");
            }
        }
    }

    #[test]
    fn stays_small() {
        assert_eq!(size_of::<HeadParser>(), 8);
        assert_eq!(size_of::<Head<'_>>(), 8);
        assert_eq!(size_of::<Result<Progress<Head<'_>>, Refusal>>(), 16);
        assert_eq!(size_of::<FieldSlots<'_>>(), 3280);
    }
}
