//! What the parser makes of an input, in the reference's terms.

use corelane_parser::http1::{
    BodyKind, BodyStep, FieldSlots, Head, Limits, Phase, Progress, RequestMachine, Version,
};

use super::reference::{self, Conversation, Framing, Read};

pub(crate) fn head(head: &Head<'_>) -> reference::Head {
    reference::Head {
        method: head.method().to_string(),
        target: head.target().to_owned(),
        http10: head.version() == Version::Http10,
        fields: head.fields().map(|field| (field.name.to_owned(), field.value.to_vec())).collect(),
        framing: match head.body() {
            BodyKind::None => Framing::None,
            BodyKind::Length(length) => Framing::Length(length),
            BodyKind::Chunked => Framing::Chunked,
            BodyKind::UntilClose => panic!("no request ends with its connection"),
        },
        keep_alive: head.keep_alive(),
        expects_continue: head.expects_continue(),
        upgrade: head.upgrade(),
    }
}

/// Feeds `input` in pieces of these sizes, over and over.
pub(crate) fn conversation(input: &[u8], steps: &[usize], limits: &Limits) -> Conversation {
    let mut machine = RequestMachine::new();
    let mut seen = Conversation::default();
    let mut steps = steps.iter().cycle();
    let (mut at, mut end) = (0, 0);
    loop {
        match advance(&mut machine, &input[at..end], &mut seen, limits) {
            Some((consumed, more)) => {
                at += consumed;
                if machine.phase() == Phase::Head {
                    seen.at = at;
                }
                if more && end == input.len() {
                    break;
                }
                if more {
                    end = (end + steps.next().unwrap_or(&1)).min(input.len());
                }
            }
            None => {
                seen.refused = true;
                break;
            }
        }
    }
    seen.in_body = machine.phase() == Phase::Body;
    seen
}

/// One step: the bytes consumed, and whether it takes more input to go on. `None` is a refusal.
fn advance(
    machine: &mut RequestMachine,
    input: &[u8],
    seen: &mut Conversation,
    limits: &Limits,
) -> Option<(usize, bool)> {
    if machine.phase() == Phase::Head {
        let mut slots = FieldSlots::new();
        return match machine.parse_head(input, &mut slots, limits).ok()? {
            Progress::Complete(parsed) => {
                assert!(input[..parsed.bytes()].ends_with(b"\r\n\r\n"));
                seen.requests.push((head(&parsed), Vec::new()));
                // The body's first step says where it begins.
                seen.at += parsed.bytes();
                Some((parsed.bytes(), false))
            }
            Progress::Partial => Some((0, true)),
        };
    }
    let step = machine.advance_body(input, limits).ok()?;
    if let BodyStep::Data { data, .. } = step
        && let Some((_, body)) = seen.requests.last_mut()
    {
        body.extend_from_slice(data);
    }
    Some((step.consumed(), matches!(step, BodyStep::NeedMore { .. })))
}

/// The same requests, bodies and verdict.
pub(crate) fn compare(input: &[u8], ours: &Conversation, theirs: &Conversation, limits: &Limits) {
    if ours == theirs {
        return;
    }
    // In a head that is not complete, a fault may be noticed or not: but it must be one.
    let in_head = Conversation { refused: false, ..ours.clone() } == *theirs && !theirs.in_body;
    assert!(in_head, "{ours:#?}\nreference: {theirs:#?}\n{}", input.escape_ascii());
    assert_hopeless(&input[theirs.at..], "", limits);
}

/// What a head could still need to be complete, from any place in it.
const ENDS: &[&str] = &[
    "",
    "\n",
    "\r\n",
    "\n\r\n",
    "\r\n\r\n",
    ":\r\n\r\n",
    "h\r\n\r\n",
    "0\r\n\r\n",
    "chunked\r\n\r\n",
    ": h\r\n\r\n",
    "Host: h\r\n\r\n",
    "a: b\r\n\r\n",
    "\nHost: h\r\n\r\n",
    "\r\nHost: h\r\n\r\n",
    "1\r\nHost: h\r\n\r\n",
    ".1\r\nHost: h\r\n\r\n",
    "/1.1\r\nHost: h\r\n\r\n",
    "HTTP/1.1\r\nHost: h\r\n\r\n",
    " HTTP/1.1\r\nHost: h\r\n\r\n",
    "/ HTTP/1.1\r\nHost: h\r\n\r\n",
    " / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
];

/// No end makes a head of what was refused before its end was there.
pub(crate) fn assert_hopeless(begun: &[u8], rule: &str, limits: &Limits) {
    for end in ENDS {
        let whole = [begun, end.as_bytes()].concat();
        let read = reference::head(&whole, limits);
        assert!(
            !matches!(read, Read::Whole(..)),
            "refused early, {rule}: {} becomes {}",
            begun.escape_ascii(),
            whole.escape_ascii()
        );
    }
}
