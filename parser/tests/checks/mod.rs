//! What must hold for any bytes: used by the fuzz targets, by the test that replays what they have
//! found, and by the tests that make up near-valid messages.
//!
//! The first bytes of an input say how the rest is cut. Cutting must change nothing, and what comes
//! out is compared with the slow [`reference`], heads also with `httparse`.

#![allow(dead_code, reason = "each fuzz target uses one of the checks")]

pub(crate) mod reference;
mod seen;

use corelane_parser::http1::{Body, BodyKind, BodyStep, FieldSlots, HeadParser, Limits, Progress};

use reference::{Framing, Read};

/// Small, so that short inputs exceed them.
pub(crate) const LIMITS: Limits = Limits {
    head_bytes: 1024,
    request_line_bytes: 200,
    field_line_bytes: 300,
    fields: 12,
    body_bytes: 500,
    chunk_extension_bytes: 40,
    trailer_bytes: 60,
    lenient: false,
};

/// Which limits an input is judged by: its first byte says.
fn limits(choice: u8) -> Limits {
    match choice & 3 {
        0 => LIMITS,
        1 => Limits { lenient: true, ..LIMITS },
        _ => Limits::DEFAULT,
    }
}

/// A head: the same however it arrives, and as the two other parsers read it.
pub(crate) fn head(input: &[u8]) {
    let Some((step, input)) = input.split_first() else { return };
    let limits = &limits(*step);
    let step = usize::from(step >> 2).max(1);
    let whole = parse(&mut HeadParser::new(), input, limits);
    let mut parser = HeadParser::new();
    let ends = (step..input.len()).step_by(step).chain([input.len()]);
    let pieces = ends
        .map(|end| parse(&mut parser, &input[..end], limits))
        .find(|result| !matches!(result, Ok(None)))
        .unwrap_or(Ok(None));
    // A fault in a head without an end may go unnoticed until more of it is there.
    if pieces != Ok(None) || whole.is_ok() {
        assert_eq!(pieces, whole);
    }
    compare_with_reference(input, &whole, limits);
    compare_with_httparse(input, &whole, limits);
}

/// The head and its length, `None` if it is not complete, or the rule it breaks.
type Parsed = Result<Option<(reference::Head, usize)>, &'static str>;

fn parse(parser: &mut HeadParser, input: &[u8], limits: &Limits) -> Parsed {
    match parser.parse(input, &mut FieldSlots::new(), limits) {
        Ok(Progress::Complete(head)) => Ok(Some((seen::head(&head), head.bytes()))),
        Ok(Progress::Partial) => Ok(None),
        Err(refusal) => Err(refusal.rule()),
    }
}

fn compare_with_reference(input: &[u8], ours: &Parsed, limits: &Limits) {
    match (ours, reference::head(input, limits)) {
        (Ok(Some((head, bytes))), Read::Whole(theirs, their_bytes)) => {
            assert_eq!((head, *bytes), (&theirs, their_bytes));
        }
        (Err(_), Read::Refused) | (Ok(None), Read::Beginning) => {}
        // Refused before its end is there: no end must make it a head.
        (Err(rule), Read::Beginning) => seen::assert_hopeless(input, rule, limits),
        (ours, theirs) => panic!("{ours:?}, reference: {theirs:?}: {}", input.escape_ascii()),
    }
}

/// What httparse refuses is refused, and what is accepted it reads alike: but for versions, of which
/// it knows two.
fn compare_with_httparse(input: &[u8], ours: &Parsed, limits: &Limits) {
    let mut known = input.to_vec();
    let text = known.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(0);
    let line = known[text..].split_mut(|byte| b"\r\n".contains(byte)).next();
    let version = line.and_then(|line| line.rsplit_mut(|&byte| byte == b' ').next());
    match version {
        Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9']) => *minor = b'1',
        // It refuses another major version at once; we wait to see whether it is a version at all.
        Some([b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9']) => *major = b'1',
        Some([b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.']) => *major = b'1',
        _ => {}
    }
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields[..limits.fields]);
    match (ours, request.parse(&known)) {
        (Ok(Some((head, bytes))), Ok(httparse::Status::Complete(their_bytes))) => {
            assert_eq!(*bytes, their_bytes);
            assert_eq!(Some(&*head.method), request.method);
            assert_eq!(Some(&*head.target), request.path);
            assert_eq!(Some(u8::from(!head.http10)), request.version);
            let theirs = request.headers.iter().map(|field| (field.name, field.value));
            assert!(head.fields.iter().map(|(name, value)| (&**name, &**value)).eq(theirs));
        }
        (Ok(Some(_)), theirs) => panic!("accepted: {theirs:?}: {}", input.escape_ascii()),
        (Ok(None), Err(error)) => panic!("waiting: {error}: {}", input.escape_ascii()),
        (Ok(None), Ok(status)) => assert!(status.is_partial(), "{}", input.escape_ascii()),
        (Err(_), _) => {}
    }
}

/// A body of any kind, whose length the first bytes say.
pub(crate) fn body(input: &[u8]) {
    let Some((&[step, kind, length], input)) = input.split_first_chunk() else { return };
    let length = u64::from(length);
    let (kind, framing) = match kind % 4 {
        0 => (BodyKind::None, Framing::None),
        1 => (BodyKind::Length(length), Framing::Length(length)),
        2 => (BodyKind::Chunked, Framing::Chunked),
        _ => {
            let ours = decode(BodyKind::UntilClose, input, step.into(), &LIMITS);
            return assert_eq!(ours, (input.to_vec(), Read::Beginning));
        }
    };
    let ours = decode(kind, input, step.into(), &LIMITS);
    assert_eq!(ours, reference::body(framing, input, &LIMITS), "{}", input.escape_ascii());
}

/// A chunked body: data, verdict and length are those of the reference.
pub(crate) fn chunked(input: &[u8]) {
    let Some((step, input)) = input.split_first() else { return };
    let limits = &limits(*step);
    for step in [usize::from(step >> 2), input.len()] {
        let ours = decode(BodyKind::Chunked, input, step, limits);
        assert_eq!(ours, reference::chunked(input, limits), "{}", input.escape_ascii());
    }
}

/// What follows the last chunk.
pub(crate) fn trailers(input: &[u8]) {
    let Some((step, input)) = input.split_first() else { return };
    let all = [b"0\r\n", input].concat();
    let theirs = match reference::trailers(input, &LIMITS) {
        Read::Whole((), bytes) => Read::Whole((), 3 + bytes),
        other => other,
    };
    for step in [usize::from(*step), input.len()] {
        let (data, ours) = decode(BodyKind::Chunked, &all, step, &LIMITS);
        assert_eq!((data, ours), (Vec::new(), theirs.clone()), "{}", input.escape_ascii());
    }
}

/// A whole connection: requests one after the other, with their bodies.
pub(crate) fn connection(input: &[u8]) {
    let Some((&[first, second, third], input)) = input.split_first_chunk() else { return };
    let limits = &limits(first);
    let theirs = reference::conversation(input, limits);
    let steps = [first >> 2, second, third].map(|step| usize::from(step).max(1));
    for steps in [&steps[..], &[1], &[input.len().max(1)]] {
        let ours = seen::conversation(input, steps, limits);
        seen::compare(input, &ours, &theirs, limits);
    }
}

/// The data as far as it is there, and whether that is all of the body.
fn decode(kind: BodyKind, input: &[u8], step: usize, limits: &Limits) -> (Vec<u8>, Read<()>) {
    let mut body = Body::new(kind, limits);
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        match body.advance(&input[at..end], limits) {
            Ok(BodyStep::Data { data: part, consumed }) => {
                assert!(!part.is_empty() && part.len() <= consumed);
                data.extend_from_slice(part);
                at += consumed;
            }
            Ok(BodyStep::Done { consumed }) => return (data, Read::Whole((), at + consumed)),
            Ok(BodyStep::NeedMore { consumed }) => {
                at += consumed;
                assert_eq!(at, end, "all of the input is consumed");
                if end == input.len() {
                    return (data, Read::Beginning);
                }
                end = (end + step.max(1)).min(input.len());
            }
            Err(_) => return (data, Read::Refused),
        }
    }
}
