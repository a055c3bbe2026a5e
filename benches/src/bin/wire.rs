//! `wire`: echo and broadcast by our event-handler framework, for `messages`.
//!
//! The same as the rivals in `benches/rivals` serve: `wire --echo --port N` sends back every byte,
//! `wire --broadcast --port N` tells each line to everyone else, unchanged. On one lane, on the
//! thread that calls.

use std::sync::atomic::AtomicBool;

use clap::Parser;
use corelane::handler::{Action, Context, EventHandler, Framing, InlineServer};

/// Bytes of a line at most, as of the rivals.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Serves messages for the comparison.
#[derive(Debug, Parser)]
#[command(group = clap::ArgGroup::new("service").required(true).args(["echo", "broadcast"]))]
struct Arguments {
    /// Send back every byte
    #[arg(long)]
    echo: bool,
    /// Tell each line to everyone else
    #[arg(long)]
    broadcast: bool,
    /// Listens here on 127.0.0.1
    #[arg(long)]
    port: u16,
}

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

struct Broadcast;

impl EventHandler for Broadcast {
    type Conn = ();

    fn framing(&self) -> Framing {
        Framing::lines(LINE_BYTES_MAX)
    }

    fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
        Some(())
    }

    fn on_message<'m>(&mut self, _: &mut (), line: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
        Action::broadcast(line)
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let address = format!("127.0.0.1:{}", arguments.port);
    let never = AtomicBool::new(false);
    if arguments.echo {
        InlineServer::new(&address, Echo)?.run(&never)?;
    } else {
        InlineServer::new(&address, Broadcast)?.run(&never)?;
    }
    Ok(())
}
