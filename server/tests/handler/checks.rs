//! What holds for any bytes: shared by the tests and the fuzz target.

use corelane::handler::testing::{Simulator, Stage};
use corelane::handler::{Action, Context, EventHandler, FrameError, Framing, Width};
use corelane_eventloop::{Faults, LaneConfig};

const MAX: usize = 300;

/// Sends every message back as a message.
struct Mirror(Framing);

impl EventHandler for Mirror {
    type Conn = ();

    fn framing(&self) -> Framing {
        self.0
    }

    fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
        Some(())
    }

    fn on_message<'m>(&mut self, _: &mut (), bytes: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
        Action::reply(bytes)
    }

    fn on_refused(&mut self, _: &mut (), _: FrameError, _: &mut Context<'_>) -> Action<'static> {
        Action::Close
    }
}

fn framing(choice: u8) -> Framing {
    match choice % 8 {
        0 => Framing::lines(MAX),
        1 => Framing::Delimited { delimiter: b"\r\n\r\n", max: MAX },
        2 => Framing::Delimited { delimiter: b"aab", max: MAX },
        3 => Framing::Fixed { size: 7 },
        4 => Framing::prefixed(Width::U8, MAX),
        5 => Framing::prefixed(Width::U16, MAX),
        6 => Framing::prefixed(Width::U32, MAX),
        _ => Framing::prefixed(Width::Varint, MAX),
    }
}

/// A message as it is sent, by a second way to say it.
fn encoded(framing: Framing, message: &[u8]) -> Vec<u8> {
    let len = message.len();
    let (head, tail): (Vec<u8>, &[u8]) = match framing {
        Framing::Lines { .. } => (Vec::new(), b"\n"),
        Framing::Delimited { delimiter, .. } => (Vec::new(), delimiter),
        Framing::Prefixed { width: Width::U8, .. } if len > 255 => return Vec::new(),
        Framing::Prefixed { width: Width::U8, .. } => (vec![len as u8], b""),
        Framing::Prefixed { width: Width::U16, .. } => ((len as u16).to_be_bytes().into(), b""),
        Framing::Prefixed { width: Width::U32, .. } => ((len as u32).to_be_bytes().into(), b""),
        Framing::Prefixed { .. } if len < 128 => (vec![len as u8], b""),
        Framing::Prefixed { .. } => (vec![len as u8 | 0x80, (len >> 7) as u8], b""),
        _ => (Vec::new(), b""),
    };
    [&head, message, tail].concat()
}

/// Takes the first byte as a framing, the second as how the rest is cut, and checks that messages are
/// the same however they come, and that a server gives back just those.
pub(crate) fn messages(input: &[u8]) {
    let [choice, cut, stream @ ..] = input else { return };
    let framing = framing(*choice);
    let (mut expected, mut at) = (Vec::new(), 0);
    let refused = loop {
        match framing.find(&stream[at..], &mut 0) {
            Ok(Some(frame)) => {
                assert!(frame.len > 0 && frame.message.end <= frame.len);
                let message = &stream[at..][frame.message];
                assert!(message.len() <= MAX);
                expected.extend(encoded(framing, message));
                at += frame.len;
            }
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(refused || stream.len() - at < framing.input_max(), "more is kept than may be");
    let faults = if cut % 2 == 0 { Faults::NONE } else { Faults::LOSSLESS };
    let limits = LaneConfig { high: 1 << 20, ..LaneConfig::default() };
    let mut stage = Simulator::with(u64::from(*cut), faults, 1, limits, move || Mirror(framing));
    let client = stage.connect();
    stage.send(client, stream);
    stage.expect(client, &expected);
    if !refused {
        stage.finish(client);
    }
    stage.expect_end(client);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_messages_or_refused(
            choice in any::<u8>(),
            cut in any::<u8>(),
            stream in prop::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(b'b'), Just(0), any::<u8>()],
                0..900,
            ),
        ) {
            super::messages(&[&[choice, cut][..], &stream].concat());
        }
    }
}
