//! A whole head read and judged in one pass.
//!
//! Only heads without a fault are read here; what is wrong with others, [`fault`](super::fault) says.

use super::framing::{Conclusion, Framing, Said, is_token_byte};
use super::host;
use super::method::METHOD_BYTES_MAX;
use super::scan::HeadScan;
use super::target::{self, TargetForm};
use super::{BodyKind, Limits, Version};
use crate::Refusal;
use crate::scan::{self, Filling, Line, Lines, Slots, Task, Way};

/// What a head says, but for its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'h> {
    pub(super) method: &'h str,
    pub(super) target: &'h str,
    pub(super) host: Option<&'h [u8]>,
    pub(super) body: BodyKind,
    pub(super) bytes: u32,
    pub(super) said: Said,
    pub(super) form: TargetForm,
    pub(super) version: Version,
}

/// Reads the head that begins behind `begin` bytes of `window` into `slots`. These stay empty if it is
/// not complete, or cannot be cut into its parts.
///
/// # Errors
/// The first rule that a head breaks of which each part stands where it should.
#[inline(always)]
pub(super) fn whole<'h>(
    window: &'h [u8],
    begin: usize,
    slots: &mut Slots<'h, Parts<'h>>,
    limits: &Limits,
) -> Result<(), Refusal> {
    #[cfg(test)]
    super::scan::work::add(window.len() - begin);
    scan::run(Whole { window, begin, slots, limits })
}

struct Whole<'t, 'h> {
    window: &'h [u8],
    begin: usize,
    slots: &'t mut Slots<'h, Parts<'h>>,
    limits: &'t Limits,
}

impl Task for Whole<'_, '_> {
    type Output = Result<(), Refusal>;

    #[inline(always)]
    fn run<W: Way>(self, way: W) -> Result<(), Refusal> {
        let Whole { window, begin, slots, limits } = self;
        let input = &window[begin..];
        let mut fields = slots.fill(limits.fields);
        let mut framing = Framing::default();
        let cut = cut(input, &mut fields, &mut framing, limits, way);
        let Some((RequestLine { method, target, version }, bytes)) = cut else { return Ok(()) };
        let bytes = begin + bytes;
        // A head shorter than the limit of a line has no line above it; others are searched.
        if bytes > limits.request_line_bytes.min(limits.field_line_bytes) {
            check_lines(&window[..bytes], begin, limits)?;
        }
        // RFC 9112 §3: longer than any method there is.
        if method.len() > METHOD_BYTES_MAX {
            return Err(Refusal::MethodTooLong);
        }
        let form = target::check(method, &target, limits)?;
        let is_host = |host: &[u8]| host::is_authority_in(input, host, way);
        let Conclusion { host, body, said } = framing.conclude(method, version, is_host, limits)?;
        let (bytes, target) = (bytes as u32, target.text);
        fields.finish(Parts { method, target, host, body, bytes, said, form, version });
        Ok(())
    }
}

struct RequestLine<'h> {
    method: &'h str,
    target: target::Cut<'h>,
    version: Version,
}

/// Cuts a head into its parts, takes in what the protocol depends on, and says how long it is.
#[inline(always)]
fn cut<'h, W: Way>(
    input: &'h [u8],
    fields: &mut Filling<'_, 'h, Parts<'h>>,
    framing: &mut Framing<'h>,
    limits: &Limits,
    way: W,
) -> Option<(RequestLine<'h>, usize)> {
    let (line, mut lines) = way.lines(input)?;
    let line = cut_request_line(input, line, way)?;
    loop {
        match lines.next()? {
            Line::Field(field) => {
                framing.field(field.name.as_bytes(), field.value, limits);
                fields.push(field)?;
            }
            Line::End(bytes) => return Some((line, bytes)),
        }
    }
}

/// `method SP request-target SP HTTP-version` (RFC 9112 §3). A later 1.x is a 1.1 to us, as it is to
/// everyone who implements 1.1 (RFC 9110 §2.5).
#[inline(always)]
fn cut_request_line<'h, W: Way>(head: &[u8], line: &'h [u8], way: W) -> Option<RequestLine<'h>> {
    let (method, behind) = match line {
        [b'G', b'E', b'T', b' ', behind @ ..] => ("GET", behind),
        _ => cut_method(line)?,
    };
    let (behind, [minor]) = behind.split_last_chunk()?;
    let (target, version) = behind.split_last_chunk()?;
    if version != b" HTTP/1." || !minor.is_ascii_digit() || target.is_empty() {
        return None;
    }
    let version = if *minor == b'0' { Version::Http10 } else { Version::Http11 };
    Some(RequestLine { method, target: target::cut(head, target, way)?, version })
}

#[inline(never)]
fn cut_method(line: &[u8]) -> Option<(&str, &[u8])> {
    let bytes = line.iter().position(|&byte| !is_token_byte(byte))?;
    match line.split_at(bytes) {
        (method, [b' ', behind @ ..]) if bytes != 0 => Some((str::from_utf8(method).ok()?, behind)),
        _ => None,
    }
}

/// A long head may hold a line above its limit; the search knows.
#[cold]
fn check_lines(head: &[u8], begin: usize, limits: &Limits) -> Result<(), Refusal> {
    match HeadScan::default().advance(head, begin, limits) {
        Ok(_) => Ok(()),
        Err(fault) => Err(fault.refusal),
    }
}
