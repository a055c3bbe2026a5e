//! Handlers that panic, wherever they do: the connection is gone, and nothing of it is left.

use corelane::handler::testing::{Simulator, Stage};
use corelane::handler::{Action, Context, EventHandler, Framing, To, Topic};
use corelane_eventloop::Closed;

/// Panics where its first message says, or as the third that comes. Everyone hears of who leaves.
#[derive(Default)]
struct Fragile {
    seen: usize,
}

fn tea() -> Topic {
    Topic::new("tea").unwrap()
}

impl EventHandler for Fragile {
    type Conn = bool;

    fn framing(&self) -> Framing {
        Framing::lines(100)
    }

    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        self.seen += 1;
        if self.seen == 3 {
            assert!(cx.join(tea()));
            panic!("the third");
        }
        Some(false)
    }

    fn on_message<'m>(
        &mut self,
        fragile: &mut bool,
        line: &'m [u8],
        cx: &mut Context<'_>,
    ) -> Action<'m> {
        match line {
            b"join" => {
                cx.join(tea());
                Action::Nothing
            }
            b"panic" => {
                let _ = cx.send(To::All, "its last words");
                panic!("as it was told")
            }
            b"fragile" => {
                *fragile = true;
                Action::Close
            }
            b"tea" => Action::Send(tea().into(), line.into()),
            _ => Action::broadcast(line),
        }
    }

    fn on_disconnect(&mut self, fragile: bool, _: Closed, cx: &mut Context<'_>) {
        // Too late, and without an effect.
        cx.join(tea());
        let _ = cx.send(To::All, "somebody left");
        assert!(!fragile, "as it was told");
    }
}

#[test]
fn nothing_is_left_of_a_connection_whose_handler_panics() {
    let mut stage = Simulator::new(Fragile::default);
    let (ann, bob) = (stage.connect(), stage.connect());
    let third = stage.connect();
    stage.expect_end(third);
    // Who has its place now is a member of nothing, and hears everything once.
    let dan = stage.connect();
    stage.send(ann, b"tea\nhello\n");
    for client in [bob, dan] {
        stage.expect(client, b"hello\n");
    }
    for order in ["join\npanic\n", "join\nfragile\n"] {
        let client = stage.connect();
        stage.send(client, order.as_bytes());
        stage.expect_end(client);
        for hearer in [ann, bob, dan] {
            if order.ends_with("panic\n") {
                stage.expect(hearer, b"its last words\n");
            }
            stage.expect(hearer, b"somebody left\n");
        }
        let next = stage.connect();
        stage.send(ann, b"tea\nagain\n");
        for client in [bob, dan, next] {
            stage.expect(client, b"again\n");
        }
        stage.finish(next);
        stage.expect_end(next);
        for client in [ann, bob, dan] {
            stage.expect(client, b"somebody left\n");
        }
    }
    assert_eq!(stage.lanes().map(|lane| lane.stats().panics).sum::<u64>(), 3);
}
