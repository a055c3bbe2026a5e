//! Timers: the server asks whoever is silent for a sign of life, and disconnects who gives none.
//!
//! `cargo run --release --example heartbeat [address] [seconds]`, then write something now and then, or
//! nothing:
//!
//! ```sh
//! nc 127.0.0.1 8080
//! ```
//!
//! SIGTERM or ctrl-c stops it.

use corelane::handler::{Action, Context, EventHandler, Framing, ServerError};
use corelane_eventloop::Nanos;

/// Pings in a row that may stay without an answer.
const MISSED_MAX: u32 = 2;

struct Heartbeat {
    /// Between a sign of life and a ping, and between two pings.
    period: Nanos,
}

impl EventHandler for Heartbeat {
    /// Pings that had no answer yet.
    type Conn = u32;

    fn framing(&self) -> Framing {
        Framing::lines(1024)
    }

    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<u32> {
        cx.wake_in(self.period);
        Some(0)
    }

    fn on_message<'m>(
        &mut self,
        missed: &mut u32,
        _: &'m [u8],
        cx: &mut Context<'_>,
    ) -> Action<'m> {
        *missed = 0;
        // One deadline per connection, which this moves: that costs next to nothing.
        cx.wake_in(self.period);
        Action::Nothing
    }

    fn on_timer(&mut self, missed: &mut u32, cx: &mut Context<'_>) -> Action<'static> {
        if *missed == MISSED_MAX {
            return Action::CloseWith("no sign of life; bye".into());
        }
        *missed += 1;
        cx.wake_in(self.period);
        Action::reply("ping")
    }
}

fn main() -> Result<(), ServerError> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    corelane::handler::serve(&address, move || Heartbeat { period: Nanos::from_secs(seconds) })
}
