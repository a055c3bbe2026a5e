//! A chat of lines: what one says, everyone else hears, on whatever core they are.
//!
//! `cargo run --release --example broadcast_server [address]`, then, in two terminals:
//!
//! ```sh
//! nc 127.0.0.1 8080
//! ```
//!
//! SIGTERM or ctrl-c stops it. `corelane broadcast` is a chat with names, history and policies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use corelane::handler::{Action, Context, EventHandler, Framing, ServerError, To};
use corelane_eventloop::Closed;

/// Each lane has one; they share what is behind an `Arc`.
struct Chat {
    guests: Arc<AtomicU64>,
}

impl EventHandler for Chat {
    /// A guest's number.
    type Conn = u64;

    fn framing(&self) -> Framing {
        Framing::lines(1024)
    }

    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<u64> {
        let number = self.guests.fetch_add(1, Ordering::Relaxed) + 1;
        cx.reply(format!("* you are guest {number}"));
        // Who is slow misses it; `send_with` has other policies.
        let _ = cx.send(To::All, format!("* guest {number} has joined"));
        Some(number)
    }

    fn on_message<'m>(
        &mut self,
        number: &mut u64,
        line: &'m [u8],
        _: &mut Context<'_>,
    ) -> Action<'m> {
        // Control characters would command the terminals of others.
        let text = String::from_utf8_lossy(line).replace(char::is_control, "?");
        Action::broadcast(format!("guest {number}: {text}"))
    }

    fn on_disconnect(&mut self, number: u64, _: Closed, cx: &mut Context<'_>) {
        let _ = cx.send(To::All, format!("* guest {number} has left"));
    }
}

fn main() -> Result<(), ServerError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let guests = Arc::new(AtomicU64::new(0));
    corelane::handler::serve(&address, move || Chat { guests: guests.clone() })
}
