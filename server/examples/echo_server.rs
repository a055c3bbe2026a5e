//! A server that sends back every byte.
//!
//! `cargo run --release --example echo_server [address]`, then:
//!
//! ```sh
//! nc 127.0.0.1 8080
//! head -c 10M /dev/urandom > sent; nc -N 127.0.0.1 8080 < sent | cmp - sent
//! ```
//!
//! SIGTERM or ctrl-c stops it. `corelane echo` is the same with limits and admin pages.

use corelane::handler::{Action, Context, EventHandler, Framing, ServerError};

struct Echo;

impl EventHandler for Echo {
    type Conn = ();

    fn framing(&self) -> Framing {
        Framing::Raw
    }

    fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
        Some(())
    }

    fn on_message<'m>(&mut self, _: &mut (), bytes: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
        Action::reply(bytes)
    }
}

fn main() -> Result<(), ServerError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    corelane::handler::serve(&address, || Echo)
}
