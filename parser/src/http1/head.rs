//! Request heads: request line and fields, zero-copy, checked as they are read.
//!
//! `httparse` does the tokenizing. What it lets through and HTTP does not is caught around it:
//!
//! | input | httparse | here |
//! |---|---|---|
//! | bare LF as a line end | accepted | refused |
//! | any number of empty lines in front, also of bare LF | skipped | up to four, CRLF only |
//! | non-ASCII bytes or `#` in the target | accepted if UTF-8 | refused |
//! | HTTP/1.2 to 1.9 | refused as malformed | served as 1.1 (RFC 9110 §2.5) |
//! | HTTP/2.0, also as the preface of HTTP/2 | refused as malformed | refused as unsupported, 505 |

use std::mem::MaybeUninit;

use httparse::Header;

use super::method::METHOD_BYTES_MAX;
use super::scan::{self, Fault, HeadScan};
use super::target::{self, TargetForm};
use super::tokens::{Slots, tokenize};
use super::{BodyKind, Limits, Method, framing};
use crate::Refusal;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0 (RFC 1945): no persistent connections unless asked for, no chunks.
    Http10,
    /// HTTP/1.1 (RFC 9112), and what is later within HTTP/1.
    Http11,
}

/// Room for the fields and the other parts of one head, on the caller's stack. Creating it costs
/// nothing: the slots stay uninitialized, and their memory untouched, until something is written
/// to them. 6.5 KB, of which a head touches 32 bytes for each of its fields.
pub struct FieldSlots<'b> {
    /// In place, because a copy of parts just written stalls until the stores are done: 15 ns.
    parts: MaybeUninit<Parts<'b>>,
    slots: Slots<'b>,
}

impl FieldSlots<'_> {
    /// Empty slots.
    #[inline(always)]
    pub const fn new() -> Self {
        Self { parts: MaybeUninit::uninit(), slots: Slots::new() }
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
    /// arrived since. After a head or an error the parser is back at its start.
    ///
    /// Cost: one pass over the head if it is there whole; about four when it arrives in pieces of
    /// any size, since it is tokenized again only when the input has doubled.
    ///
    /// # Errors
    /// A [`Refusal`]: for a bare CR or LF and for whatever exceeds a limit as soon as it arrives,
    /// for a faulty request line when it ends, for other faults before the input has doubled.
    /// How the input was cut has no influence on which one.
    #[inline]
    pub fn parse<'h, 'b: 'h>(
        &mut self,
        input: &'b [u8],
        slots: &'h mut FieldSlots<'b>,
        limits: &Limits,
    ) -> Result<Progress<Head<'h>>, Refusal> {
        let window = &input[..input.len().min(limits.head_bytes)];
        let begin = match window {
            [b'\r' | b'\n', ..] => match scan::empty_lines(window)? {
                Some(begin) => begin,
                None => return Ok(Progress::Partial),
            },
            _ => 0,
        };
        if self.scan.scanned() != 0 && !self.is_due(window, begin, limits)? {
            return beyond(window, limits);
        }
        let result = Head::read(window, begin, slots, limits);
        match &result {
            Ok(Progress::Complete(_)) => {
                *self = Self::default();
                result
            }
            Ok(Progress::Partial) => self.wait(window, begin, limits),
            Err(refusal) => Err(verdict(window, begin, *refusal, limits)),
        }
    }

    /// Whether tokenizing is worth it: the head's end is there, the request line's end has just
    /// arrived, or the input has doubled since. The latter two refuse garbage while it arrives,
    /// for at most the cost of two more passes.
    #[cold]
    fn is_due(&mut self, window: &[u8], begin: usize, limits: &Limits) -> Result<bool, Refusal> {
        let before = self.scan;
        match self.scan.advance(window, begin, limits) {
            Ok(end) => Ok(end.is_some()
                || before.is_in_first_line(begin) != self.scan.is_in_first_line(begin)
                || window.len().ilog2() > before.scanned().ilog2()),
            Err(fault) => Err(verdict(window, begin, fault.refusal, limits)),
        }
    }

    /// Remembers how far an incomplete head has been searched.
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
        match self.scan.advance(window, begin, limits) {
            Ok(_) => beyond(window, limits),
            Err(fault) => Err(verdict(window, begin, fault.refusal, limits)),
        }
    }
}

/// An incomplete head that fills its limit will never be complete.
fn beyond<T>(window: &[u8], limits: &Limits) -> Result<Progress<T>, Refusal> {
    match window.len() < limits.head_bytes {
        true => Ok(Progress::Partial),
        false => Err(Refusal::HeadTooLarge),
    }
}

/// Which fault of a faulty head comes first. Tokenizer and search each stop at their own, and
/// which of the two ran first depends on how the head arrived; the answer must not.
#[cold]
fn verdict(window: &[u8], begin: usize, found: Refusal, limits: &Limits) -> Refusal {
    let Err(Fault { refusal, at }) = HeadScan::default().advance(window, begin, limits) else {
        return found;
    };
    let sound = &window[begin..at.max(begin)];
    match tokenize(sound, &mut Slots::new(), limits) {
        Err(earlier) => earlier,
        // 414 is about a target. Where no space has come yet there is none, nor a method.
        Ok(_) if refusal == Refusal::RequestLineTooLong && !sound.contains(&b' ') => {
            Refusal::Method
        }
        Ok(_) => refusal,
    }
}

/// A request head: a view of the input, with what the protocol depends on already read and
/// checked.
#[derive(Clone, Copy, Debug)]
pub struct Head<'h> {
    parts: &'h Parts<'h>,
    fields: &'h [Header<'h>],
}

/// All of a head but its fields.
#[derive(Clone, Copy, Debug)]
struct Parts<'b> {
    method: Method<'b>,
    target: &'b str,
    host: Option<&'b [u8]>,
    body: BodyKind,
    bytes: u32,
    form: TargetForm,
    version: Version,
    keep_alive: bool,
    expects_continue: bool,
    upgrade: bool,
}

impl<'h> Head<'h> {
    #[inline]
    fn read<'b: 'h>(
        window: &'b [u8],
        begin: usize,
        slots: &'h mut FieldSlots<'b>,
        limits: &Limits,
    ) -> Result<Progress<Head<'h>>, Refusal> {
        let FieldSlots { parts, slots } = slots;
        let Some(tokens) = tokenize(&window[begin..], slots, limits)? else {
            return Ok(Progress::Partial);
        };
        let bytes = begin + tokens.bytes;
        // A head shorter than the limit of a line has no line above it; others are searched.
        if bytes > limits.request_line_bytes.min(limits.field_line_bytes) {
            check_lines(&window[..bytes], begin, limits)?;
        }
        let method = Method::from(tokens.method);
        if tokens.method.len() > METHOD_BYTES_MAX {
            return Err(Refusal::MethodTooLong);
        }
        let form = target::check(method, tokens.target, limits)?;
        let framing =
            framing::read(&window[..bytes], tokens.fields, method, tokens.version, limits)?;
        let parts = parts.write(Parts {
            method,
            target: tokens.target,
            host: framing.host,
            body: framing.body,
            bytes: bytes as u32,
            form,
            version: tokens.version,
            keep_alive: framing.keep_alive,
            expects_continue: framing.expects_continue,
            upgrade: framing.upgrade,
        });
        Ok(Progress::Complete(Head { parts, fields: tokens.fields }))
    }

    /// The method.
    #[inline]
    pub fn method(&self) -> Method<'h> {
        self.parts.method
    }

    /// The target as sent: ASCII without controls, or UTF-8 with [`Limits::lenient`].
    #[inline]
    pub fn target(&self) -> &'h str {
        self.parts.target
    }

    /// The form of the target.
    #[inline]
    pub fn form(&self) -> TargetForm {
        self.parts.form
    }

    /// The path of the target, still encoded: `/` if an absolute target has none, the whole
    /// target in authority- and asterisk-form.
    pub fn path(&self) -> &'h str {
        target::path_and_query(self.parts.form, self.parts.target).0
    }

    /// What follows the first `?` of the target, still encoded.
    pub fn query(&self) -> Option<&'h str> {
        target::path_and_query(self.parts.form, self.parts.target).1
    }

    /// The version.
    #[inline]
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The fields in the order they were sent.
    #[inline]
    pub fn fields(&self) -> Fields<'h> {
        Fields(self.fields.iter())
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
    /// [`Limits::lenient`]. With an absolute target it means nothing (RFC 9112 §3.2.2).
    #[inline]
    pub fn host(&self) -> Option<&'h [u8]> {
        self.parts.host
    }

    /// How the end of the body is found.
    #[inline]
    pub fn body(&self) -> BodyKind {
        self.parts.body
    }

    /// Whether the connection may carry another request after this one (RFC 9112 §9.3).
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.parts.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body. Never true without
    /// a body or in HTTP/1.0.
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.parts.expects_continue
    }

    /// Whether the client asks for another protocol: an Upgrade field and the connection option
    /// that belongs to it. The field's value says which.
    #[inline]
    pub fn upgrade(&self) -> bool {
        self.parts.upgrade
    }

    /// The length of the head in the input, empty lines before it included. The body follows.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.parts.bytes as usize
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

/// A long head may hold a line above its limit; the search knows.
#[cold]
fn check_lines(head: &[u8], begin: usize, limits: &Limits) -> Result<(), Refusal> {
    match HeadScan::default().advance(head, begin, limits) {
        Ok(_) => Ok(()),
        Err(fault) => Err(fault.refusal),
    }
}

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
    fn stays_small() {
        assert_eq!(size_of::<HeadParser>(), 8);
        assert_eq!(size_of::<Head<'_>>(), 24);
        assert_eq!(size_of::<FieldSlots<'_>>(), 6488);
    }
}
