//! What must hold for any bytes: used by the fuzz targets, and by the test that replays what they
//! have found.

use corelane_parser::http1::{Body, BodyKind, BodyStep, FieldSlots, HeadParser, Limits, Progress};

/// A head that is accepted is accepted whichever way it arrives; one that is refused whole is
/// never accepted in pieces. The first byte of `input` is the size of the pieces.
#[allow(dead_code, reason = "each fuzz target uses one of the checks")]
pub(crate) fn head(input: &[u8]) {
    let Some((step, input)) = input.split_first() else { return };
    let step = usize::from(*step).max(1);
    let whole = parse(&mut HeadParser::new(), input);
    let mut parser = HeadParser::new();
    let ends = (step..input.len()).step_by(step).chain([input.len()]);
    let pieces = ends
        .map(|end| parse(&mut parser, &input[..end]))
        .find(|result| !matches!(result, Ok(None)))
        .unwrap_or(Ok(None));
    // A fault in a head without an end may go unnoticed until more of it is there.
    if pieces != Ok(None) || whole.is_ok() {
        assert_eq!(pieces, whole);
    }
    if let Ok(Some((bytes, _))) = whole {
        assert!(input[..bytes].ends_with(b"\r\n\r\n"));
    }
}

/// A chunked body gives the same data, verdict and length whichever way it arrives.
#[allow(dead_code, reason = "each fuzz target uses one of the checks")]
pub(crate) fn body(input: &[u8]) {
    let Some((step, input)) = input.split_first() else { return };
    assert_eq!(decode(input, usize::from(*step).max(1)), decode(input, input.len().max(1)));
}

/// The length and the parts of a head; `None` if it is not complete.
fn parse(
    parser: &mut HeadParser,
    input: &[u8],
) -> Result<Option<(usize, String)>, corelane_parser::Refusal> {
    match parser.parse(input, &mut FieldSlots::new(), &Limits::DEFAULT)? {
        Progress::Complete(head) => Ok(Some((head.bytes(), format!("{head:?}")))),
        Progress::Partial => Ok(None),
    }
}

/// The data, the bytes consumed, and how it ended.
fn decode(input: &[u8], step: usize) -> (Vec<u8>, String) {
    let mut body = Body::new(BodyKind::Chunked, &Limits::DEFAULT);
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        match body.advance(&input[at..end], &Limits::DEFAULT) {
            Ok(BodyStep::Data { data: part, consumed }) => {
                assert!(!part.is_empty() && part.len() <= consumed);
                data.extend_from_slice(part);
                at += consumed;
            }
            Ok(BodyStep::Done { consumed }) => return (data, format!("done at {}", at + consumed)),
            Ok(BodyStep::NeedMore { consumed }) => {
                at += consumed;
                assert_eq!(at, end, "all of the input is consumed");
                if end == input.len() {
                    return (data, "incomplete".to_owned());
                }
                end = (end + step).min(input.len());
            }
            Err(refusal) => return (data, refusal.rule().to_owned()),
        }
    }
}
