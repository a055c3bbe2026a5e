//! Speaking to connections from any thread.

use std::fmt;
use std::sync::Arc;

use corelane_eventloop::{ConnId, LaneId};

use super::exchange::{Exchange, Parcel, Presence};
use super::topic::{Payload, Slow, To};

/// Speaks to connections from any thread or task: to one, to a topic, to all, on every lane.
///
/// A message waits in a bounded queue of the lane that the handle was made for, which is woken at most
/// once per turn however much is sent; nothing blocks. What one handle, and its clones used by one
/// thread, send to a connection arrives in the order it was sent, directly or through topics.
///
/// ```
/// use corelane::handler::{Action, Context, EventHandler, EventServer, Framing, To};
/// use corelane_eventloop::ConnId;
/// use std::io::{BufRead, BufReader, Write};
///
/// /// Answers each line from a thread of its own.
/// struct Slowly;
///
/// impl EventHandler for Slowly {
///     type Conn = ();
///     fn framing(&self) -> Framing {
///         Framing::lines(1024)
///     }
///     fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
///         Some(())
///     }
///     fn on_message<'m>(&mut self, _: &mut (), line: &'m [u8], cx: &mut Context<'_>) -> Action<'m> {
///         let (handle, id, line) = (cx.handle(), cx.id(), line.to_vec());
///         std::thread::spawn(move || handle.send(id, line.to_ascii_uppercase()));
///         Action::Later
///     }
/// }
///
/// let server = EventServer::new("127.0.0.1:0", || Slowly)?.start()?;
/// let handle = server.handle();
/// let mut client = std::net::TcpStream::connect(server.addresses()[0].tcp().unwrap())?;
/// client.write_all(b"hello\n")?;
/// let mut lines = BufReader::new(client).lines();
/// assert_eq!(lines.next().unwrap()?, "HELLO");
/// handle.send(To::All, "good bye")?;
/// assert_eq!(lines.next().unwrap()?, "good bye");
/// server.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    exchange: Arc<Exchange>,
    home: LaneId,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("home", &self.home).finish_non_exhaustive()
    }
}

/// Why words were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is closed, or the server has ended, or at least the lane that the handle was made
    /// for: for good when the server stops, and for a moment when a lane is restarted.
    #[error("nobody is there any more")]
    Gone,
    /// More waits for the connection than the high watermark allows, or the queue of the lane is full:
    /// 1,024 messages, or 16 MiB.
    #[error("too much waits already")]
    Full,
}

impl Handle {
    pub(super) fn new(exchange: Arc<Exchange>, home: LaneId) -> Handle {
        Handle { exchange, home }
    }

    /// Sends a message, framed as the handler's are. A receiver among many that does not keep up misses
    /// it: [`send_with`](Handle::send_with) has other policies.
    ///
    /// `Ok` says that it is queued; the connection may still close before it leaves.
    ///
    /// # Errors
    /// If a single receiver is gone or full, the queue is full, or the server has ended.
    pub fn send(
        &self,
        to: impl Into<To>,
        payload: impl Into<Payload<'static>>,
    ) -> Result<(), SendError> {
        self.send_with(to, payload, Slow::Drop)
    }

    /// As [`send`](Handle::send), with what becomes of it where a receiver is slow. There is no sender
    /// that [`Slow::Hold`] could stop reading: it then only allows four times as much to wait.
    ///
    /// # Errors
    /// As of [`send`](Handle::send).
    pub fn send_with(
        &self,
        to: impl Into<To>,
        payload: impl Into<Payload<'static>>,
        slow: Slow,
    ) -> Result<(), SendError> {
        let to = to.into();
        if let To::Conn(conn) = to {
            match self.exchange.presence(conn) {
                Presence::Gone => return Err(SendError::Gone),
                Presence::Full => return Err(SendError::Full),
                Presence::Open => {}
            }
        }
        let place = self.exchange.lane(self.home).ok_or(SendError::Gone)?;
        place.put(Parcel { to, words: payload.into().into_shared(), slow })
    }

    /// Whether the connection was open a moment ago.
    pub fn is_open(&self, conn: ConnId) -> bool {
        self.exchange.presence(conn) != Presence::Gone
    }
}
