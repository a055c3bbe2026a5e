//! Protocols of one's own: an [`EventHandler`] says what happens, [`EventServer`] runs it on all cores.
//!
//! ```
//! use corelane::handler::{Action, Context, EventHandler, EventServer, Framing};
//! use std::io::{BufRead, BufReader, Write};
//!
//! /// Turns each line around.
//! struct Reverse;
//!
//! impl EventHandler for Reverse {
//!     type Conn = ();
//!     fn framing(&self) -> Framing {
//!         Framing::lines(1024)
//!     }
//!     fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
//!         Some(())
//!     }
//!     fn on_message<'m>(&mut self, _: &mut (), line: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
//!         Action::reply(line.iter().rev().copied().collect::<Vec<u8>>())
//!     }
//! }
//!
//! let server = EventServer::new("127.0.0.1:0", || Reverse)?.start()?;
//! let mut client = std::net::TcpStream::connect(server.addresses()[0].tcp().unwrap())?;
//! client.write_all(b"stressed\n")?;
//! let mut answer = String::new();
//! BufReader::new(client).read_line(&mut answer)?;
//! assert_eq!(answer, "desserts\n");
//! server.stop()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod context;
mod counters;
mod events;
mod exchange;
mod framing;
mod handle;
#[expect(clippy::module_inception, reason = "the trait of the module, in a file of its own")]
mod handler;
mod hub;
mod members;
mod server;
pub mod testing;
mod topic;

pub use corelane_eventloop::{Closed, ConnId, LaneConfig, Nanos, Peer};

pub use self::context::{Action, Context};
pub use self::counters::{HandlerCounters, HandlerMetrics};
pub use self::events::{Conn, Events};
pub use self::framing::{Frame, FrameError, Framing, Width};
pub use self::handle::{Handle, SendError};
pub use self::handler::EventHandler;
pub use self::hub::{HOLD_TIME, HandlerMail};
#[cfg(feature = "signals")]
pub use self::server::serve;
pub use self::server::{EventServer, InlineServer, Running, ServerError};
pub use self::topic::{Payload, Slow, TOPIC_BYTES_MAX, To, Topic};
