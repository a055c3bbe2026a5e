//! Properties that hold for every input: how it is cut changes nothing, whatever is accepted here
//! httparse accepts and understands alike, and the chunked decoder agrees with a naive one.

use corelane_parser::http1::{
    Body, BodyKind, BodyStep, FieldSlots, HeadParser, Limits, Phase, Progress, RequestMachine,
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

/// A decoder of chunked bodies as one would write it from the RFC with everything at hand: the
/// data and the length of the whole body, `Ok(None)` if it is not complete.
fn naive_chunked(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = input[at..].windows(2).position(|pair| pair == b"\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&input[at..at + line]).map_err(|_| ())?;
        let digits = text.split([';', ' ', '\t']).next().unwrap_or_default();
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && digits.len() <= 16;
        let size = u64::from_str_radix(digits, 16).map_err(|_| ())?;
        if !plain || size > LIMITS.body_bytes {
            return Err(());
        }
        at += line + 2;
        if size == 0 {
            let Some(end) = input[at..].windows(2).position(|pair| pair == b"\r\n") else {
                return Ok(None);
            };
            if end == 0 {
                return Ok(Some((data, at + 2)));
            }
            let Some(end) = input[at..].windows(4).position(|pair| pair == b"\r\n\r\n") else {
                return Ok(None);
            };
            return Ok(Some((data, at + end + 4)));
        }
        let size = size as usize;
        if input.len() < at + size + 2 {
            return Ok(None);
        }
        data.extend_from_slice(&input[at..at + size]);
        if &input[at + size..at + size + 2] != b"\r\n" {
            return Err(());
        }
        at += size + 2;
    }
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

    #[test]
    fn what_is_accepted_httparse_understands_alike(input in input()) {
        let mut slots = FieldSlots::new();
        let ours = HeadParser::new().parse(&input, &mut slots, &LIMITS);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        // It does not know the versions 1.2 to 1.9, which are 1.1 to us.
        let mut known = input.clone();
        let minor = known.windows(8).position(|window| window == b" HTTP/1.").map(|at| at + 8);
        if let Some(minor @ b'2'..=b'9') = minor.and_then(|at| known.get_mut(at)) {
            *minor = b'1';
        }
        let theirs = request.parse(&known);
        match (ours, theirs) {
            (Ok(Progress::Complete(head)), Ok(httparse::Status::Complete(bytes))) => {
                prop_assert_eq!(head.bytes(), bytes);
                prop_assert_eq!(Some(head.method().as_str()), request.method);
                prop_assert_eq!(Some(head.target()), request.path);
                let theirs = request.headers.iter().map(|field| (field.name, field.value));
                prop_assert!(head.fields().map(|field| (field.name, field.value)).eq(theirs));
                prop_assert!(input[..bytes].ends_with(b"\r\n\r\n"));
            }
            (Ok(Progress::Complete(_)), theirs) => prop_assert!(false, "accepted: {theirs:?}"),
            (Ok(Progress::Partial), Err(error)) => prop_assert!(false, "waiting: {error:?}"),
            (Ok(Progress::Partial), Ok(status)) => prop_assert!(status.is_partial()),
            (Err(_), _) => {}
        }
    }

    /// What we accept, the naive decoder decodes alike; what it refuses, so do we.
    #[test]
    fn chunks_agree_with_a_naive_decoder(
        parts in prop::collection::vec(select(&[
            "5\r\nhello\r\n", "a\r\n0123456789\r\n", "1\r\nx\r\n", "0\r\n\r\n", "0\r\n", "\r\n",
            "2\r\n\r\n\r\n", "05\r\n12345\r\n", "5;a=b\r\nhello\r\n", "T: v\r\n", "x", "3e9\r\n",
            "00000000000000001\r\n", "g", "5\r\nhell\r\n",
        ][..]), 1..10),
        step in 1usize..20,
    ) {
        let input = parts.concat().into_bytes();
        let (ours, naive) = (chunked(&input, step), naive_chunked(&input));
        prop_assert_eq!(&ours, &chunked(&input, input.len()));
        match &ours {
            Ok(None) => prop_assert_eq!(&naive, &Ok(None)),
            Ok(Some(_)) => prop_assert_eq!(&ours, &naive),
            // We refuse a line by its first wrong byte, and what the naive one lets through.
            Err(()) => {}
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
