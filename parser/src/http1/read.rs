//! A whole head read and judged in one pass.
//!
//! Only heads without a fault are read here; what is wrong with others, [`fault`](super::fault) says.

use super::framing::{Conclusion, Framing, Said, is_token_byte};
use super::method::METHOD_BYTES_MAX;
use super::scan::HeadScan;
use super::target::{self, TargetForm};
use super::{BodyKind, Limits, Version};
use crate::Refusal;
use crate::scan::{self, Classify, Line, Lines, Slots, Task};

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

impl Parts<'_> {
    /// Those of no head.
    pub(super) const EMPTY: Self = Self {
        method: "",
        target: "",
        host: None,
        body: BodyKind::None,
        bytes: 0,
        said: Said::NOTHING,
        form: TargetForm::Origin,
        version: Version::Http11,
    };
}

/// Reads the head that begins behind `begin` bytes of `window` into `parts` and `slots`. False if it
/// is not complete, or cannot be cut into its parts.
///
/// # Errors
/// The first rule that a head breaks of which each part stands where it should.
#[inline(always)]
pub(super) fn whole<'h>(
    window: &'h [u8],
    begin: usize,
    parts: &mut Parts<'h>,
    slots: &mut Slots<'h>,
    limits: &Limits,
) -> Result<bool, Refusal> {
    #[cfg(test)]
    super::scan::work::add(window.len() - begin);
    scan::run(Whole { window, begin, parts, slots, limits })
}

struct Whole<'t, 'h> {
    window: &'h [u8],
    begin: usize,
    parts: &'t mut Parts<'h>,
    slots: &'t mut Slots<'h>,
    limits: &'t Limits,
}

impl Task for Whole<'_, '_> {
    type Output = Result<bool, Refusal>;

    #[inline(always)]
    fn run<C: Classify>(self, classify: C) -> Result<bool, Refusal> {
        let Whole { window, begin, parts, slots, limits } = self;
        let mut framing = Framing::default();
        let input = &window[begin..];
        let Some(bytes) = cut(input, parts, slots, &mut framing, limits, classify) else {
            return Ok(false);
        };
        let bytes = begin + bytes;
        parts.bytes = bytes as u32;
        // A head shorter than the limit of a line has no line above it; others are searched.
        if bytes > limits.request_line_bytes.min(limits.field_line_bytes) {
            check_lines(&window[..bytes], begin, limits)?;
        }
        // RFC 9112 §3: longer than any method there is.
        if parts.method.len() > METHOD_BYTES_MAX {
            return Err(Refusal::MethodTooLong);
        }
        parts.form = target::check(parts.method, parts.target, limits)?;
        let Conclusion { host, body, said } =
            framing.conclude(parts.method, parts.version, limits)?;
        parts.host = host;
        parts.body = body;
        parts.said = said;
        Ok(true)
    }
}

/// Cuts a head into its parts, takes in what the protocol depends on, and says how long it is.
#[inline(always)]
fn cut<'h, C: Classify>(
    input: &'h [u8],
    parts: &mut Parts<'h>,
    slots: &mut Slots<'h>,
    framing: &mut Framing<'h>,
    limits: &Limits,
    classify: C,
) -> Option<usize> {
    let (line, mut lines) = Lines::new(input, classify)?;
    cut_request_line(line, parts)?;
    let mut fields = slots.fill(limits.fields);
    loop {
        match lines.next()? {
            Line::Field(field) => {
                framing.field(field.name.as_bytes(), field.value, limits);
                fields.push(field)?;
            }
            Line::End(bytes) => {
                fields.finish();
                return Some(bytes);
            }
        }
    }
}

/// `method SP request-target SP HTTP-version` (RFC 9112 §3). A later 1.x is a 1.1 to us, as it is to
/// everyone who implements 1.1 (RFC 9110 §2.5).
#[inline(always)]
fn cut_request_line<'h>(line: &'h [u8], parts: &mut Parts<'h>) -> Option<()> {
    let (method, behind) = match line {
        [b'G', b'E', b'T', b' ', behind @ ..] => ("GET", behind),
        _ => cut_method(line)?,
    };
    let (behind, [minor]) = behind.split_last_chunk()?;
    let (target, version) = behind.split_last_chunk()?;
    if version != b" HTTP/1." || !minor.is_ascii_digit() {
        return None;
    }
    parts.method = method;
    parts.target = target::cut(target)?;
    parts.version = if *minor == b'0' { Version::Http10 } else { Version::Http11 };
    Some(())
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
