//! Properties that hold for every input: how it is cut changes nothing, and nothing panics. That
//! what is understood is also right, `differential.rs` tests.

use corelane_parser::http1::{
    Body, BodyKind, BodyStep, FieldSlots, Limits, Phase, Progress, RequestMachine,
};
use proptest::prelude::*;
use proptest::sample::select;

const LIMITS: Limits = Limits { head_bytes: 2048, body_bytes: 1000, ..Limits::DEFAULT };

/// Pieces that requests are made of, whole ones and faulty ones.
const FRAGMENTS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /a?b HTTP/1.1\r\n",
    "PUT /x HTTP/1.0\r\n",
    "GET",
    " ",
    "/",
    "\r\n",
    "\r\n\r\n",
    "Host: h\r\n",
    "Host: example.org:80\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    "X: y\r\n",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
    "hello",
    "5\r\nhello\r\n",
    "1\r\nx\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "a;b=c\r\n0123456789\r\n",
    "\r",
    "\n",
    "\0",
    ":",
    "\t",
    "ä",
    "HTTP/1.1",
    "HTTP/2.0\r\n",
    "T: v\r\n\r\n",
    "GET /p HTTP/1.1\r\nHost: h\r\n\r\n",
    "PUT /l HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    "PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
];

fn input() -> impl Strategy<Value = Vec<u8>> {
    let fragments = prop::collection::vec(select(FRAGMENTS), 1..12);
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2);
    (fragments, flips).prop_map(|(fragments, flips)| {
        let mut bytes = fragments.concat().into_bytes();
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// Everything that is heard of `input`, arriving in pieces that end at `cuts`. The last element
/// is the refusal, if there is one.
fn events(input: &[u8], cuts: &[usize]) -> (Vec<String>, Option<&'static str>) {
    let mut machine = RequestMachine::new();
    let (mut start, mut events, mut data) = (0, Vec::new(), Vec::new());
    for &end in cuts.iter().chain([&input.len()]) {
        loop {
            let pending = &input[start..end];
            let result = match machine.phase() {
                Phase::Head => match machine.parse_head(pending, &mut FieldSlots::new(), &LIMITS) {
                    Ok(Progress::Partial) => break,
                    Ok(Progress::Complete(head)) => {
                        let fields: Vec<_> = head.fields().collect();
                        events.push(format!("{head:?} {fields:?}"));
                        Ok(head.bytes())
                    }
                    Err(refusal) => Err(refusal),
                },
                Phase::Body => match machine.advance_body(pending, &LIMITS) {
                    Ok(BodyStep::NeedMore { consumed }) => {
                        start += consumed;
                        break;
                    }
                    Ok(step) => {
                        match step {
                            BodyStep::Data { data: part, .. } => data.extend_from_slice(part),
                            _ => events.push(format!("end of {:?}", std::mem::take(&mut data))),
                        }
                        Ok(step.consumed())
                    }
                    Err(refusal) => Err(refusal),
                },
            };
            match result {
                Ok(consumed) => start += consumed,
                Err(refusal) => {
                    events.push(format!("data {data:?}"));
                    return (events, Some(refusal.rule()));
                }
            }
        }
    }
    events.push(format!("data {data:?} phase {:?}", machine.phase()));
    (events, None)
}

fn chunked(input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut body = Body::new(BodyKind::Chunked, &LIMITS);
    let (mut data, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        match body.advance(&input[at..end], &LIMITS).map_err(|_| ())? {
            BodyStep::Data { data: part, consumed } => {
                data.extend_from_slice(part);
                at += consumed;
            }
            BodyStep::Done { consumed } => return Ok(Some((data, at + consumed))),
            BodyStep::NeedMore { .. } if end == input.len() => return Ok(None),
            BodyStep::NeedMore { consumed } => {
                at += consumed;
                end = (end + step).min(input.len());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// If the whole is accepted, every arrival is, with the same events. If it is refused, every
    /// arrival is refused by the same rule after the same events.
    #[test]
    fn cuts_change_nothing(
        input in input(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        cuts.sort_unstable();
        let whole = events(&input, &[]);
        let every: Vec<usize> = (1..input.len()).collect();
        for cuts in [&cuts, &every] {
            let cut = events(&input, cuts);
            // Garbage in a head that never ends may be noticed only when more of it arrives.
            match (cut.1, whole.1) {
                (None, Some(_)) => {
                    let common = cut.0.len() - 1;
                    prop_assert_eq!(&cut.0[..common], &whole.0[..whole.0.len() - 1]);
                    prop_assert!(cut.0[common].ends_with("Head"), "{}", cut.0[common]);
                }
                _ => prop_assert_eq!(cut, whole.clone()),
            }
        }
    }

    /// Nothing panics, whatever arrives.
    #[test]
    fn any_bytes_are_survived(input: Vec<u8>, step in 1usize..9) {
        let cuts: Vec<usize> = (step..input.len()).step_by(step).collect();
        let _ = events(&input, &cuts);
        let _ = chunked(&input, step);
    }
}
