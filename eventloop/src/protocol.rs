//! What a protocol is: one closed set of events in, bytes and a [`Flow`] out.

use std::fmt;
use std::io;

use crate::id::ConnId;
use crate::io::{Io, Turn};
use crate::moving::Luggage;
use crate::out::Mark;

/// One lane's protocol engine.
///
/// `self` is what the connections of a lane share; `Conn` is one connection's state, as plain data.
/// An implementation never touches a socket, a disk or a clock: everything comes and goes through
/// [`Io`] and [`Turn`], which is what lets the same code run under a real network and a simulated
/// one.
///
/// The smallest useful protocol:
///
/// ```
/// use corelane_eventloop::{Closed, Event, Flow, Io, Protocol};
///
/// /// Sends back every byte.
/// struct Echo;
///
/// impl Protocol for Echo {
///     type Conn = ();
///     type Mail = ();
///     fn open(&mut self, _io: &mut Io<'_, ()>) -> Option<()> {
///         Some(())
///     }
///     fn step(&mut self, _conn: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
///         match event {
///             Event::Bytes => {
///                 let input = io.input();
///                 io.out().put(input);
///                 io.consume(input.len());
///                 Flow::Read
///             }
///             Event::Eof | Event::Stopping => Flow::Finish,
///             _ => Flow::Read,
///         }
///     }
///     fn close(&mut self, _conn: (), _why: Closed, _io: &mut Io<'_, ()>) {}
/// }
/// ```
pub trait Protocol {
    /// The state of one connection. Keep it small: an idle connection costs this and little more.
    type Conn;
    /// What connections and lanes send each other.
    type Mail: Send + 'static;

    /// Admits a connection, or refuses it with `None` (it is then closed without a word).
    /// There is no input yet; output is sent.
    fn open(&mut self, io: &mut Io<'_, Self::Mail>) -> Option<Self::Conn>;

    /// Takes one event and says what happens next.
    fn step(
        &mut self,
        conn: &mut Self::Conn,
        event: Event<Self::Mail>,
        io: &mut Io<'_, Self::Mail>,
    ) -> Flow;

    /// The connection is gone. Called exactly once for every `Conn` that `open` returned: also after
    /// a panic in `step`, a reset, a failed connect; on the lane where it is then, if it has moved.
    /// Output written here is lost.
    fn close(&mut self, conn: Self::Conn, why: Closed, io: &mut Io<'_, Self::Mail>);

    /// A connection is to move to another lane: takes its state apart, into something that can be sent
    /// to that lane, or gives it back to have it stay. The default is that no connection moves.
    ///
    /// Asked only while nothing of the connection is under way that the lane can see: all of its input
    /// is consumed, all of its output has left, no mark is awaited, it is not paused. What else may be
    /// under way (a task, a promised answer, a place in a table of `self`) is for the protocol to know.
    /// `id` is the connection's id until now; mail to it follows the connection, in order. The deadline
    /// moves along, and the clocks of all lanes of a process agree.
    ///
    /// After `Ok` this lane is done with the connection: [`close`](Protocol::close) is not called
    /// here for it. If this panics, the connection is closed, and its state is lost.
    fn depart(&mut self, conn: Self::Conn, id: ConnId) -> Result<Luggage, Self::Conn> {
        let _ = id;
        Err(conn)
    }

    /// A connection has come from another lane, with what [`depart`](Protocol::depart) made of it
    /// there. Its id is now [`Io::id`]; mail to the ids it had before arrives here. `None` ends it: then,
    /// as after a panic, [`close`](Protocol::close) is not called, since there is nothing to call it
    /// with.
    fn arrive(&mut self, luggage: Luggage, io: &mut Io<'_, Self::Mail>) -> Option<Self::Conn> {
        let _ = (luggage, io);
        None
    }

    /// Mail to the lane rather than to one of its connections.
    fn mail(&mut self, mail: Self::Mail, turn: &mut Turn<'_, Self::Mail>) {
        let _ = (mail, turn);
    }

    /// Called once per turn, after all steps: the place for work that is shared by all connections of
    /// the turn, such as one disk write for many replies. Output leaves after it, but for that of
    /// connections just accepted on an eager listener; what must wait for this stage stands behind a
    /// gate ([`Chunk::Gate`](crate::Chunk::Gate)).
    fn turn(&mut self, turn: &mut Turn<'_, Self::Mail>) {
        let _ = turn;
    }

    /// Called once per turn, after what the kernel takes of the output has left and
    /// [`Event::Sent`] was told: the place to publish what was counted.
    fn settled(&mut self) {}
}

/// Why a connection is stepped. Closed on purpose: everything that can happen can be logged,
/// recorded and replayed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<M> {
    /// The connection is established. The first event of every connection.
    Opened,
    /// [`Io::input`] holds bytes that may not have been seen before.
    Bytes,
    /// The peer will send no more. Unconsumed input is still in [`Io::input`]; output still goes out.
    Eof,
    /// The deadline set with [`Io::deadline`] has passed.
    Timer,
    /// Output had exceeded the high watermark and has fallen to the low one.
    Drained,
    /// Every byte up to this mark has been handed to the kernel (so have those of all earlier marks).
    /// May still come after [`Flow::Finish`] or [`Flow::Linger`]; the flow returned then is ignored.
    Sent(Mark),
    /// The lane is asked to stop: finish what is in flight. Comes once per connection.
    Stopping,
    /// Memory is short, and this connection is among those that hold most of it: answer if that can
    /// be done in a few bytes, and return [`Flow::Finish`], [`Flow::Linger`] or [`Flow::Abort`].
    /// After any other flow the connection is closed with [`Closed::OutOfMemory`].
    Shed,
    /// [`Turn::nudge`](crate::Turn::nudge) asked for this step.
    Nudged,
    /// Mail from another connection or lane.
    Mail(M),
}

/// What a connection wants after a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// More input. If this step consumed some input and left some, it is stepped again at once with
    /// the rest; if it consumed none, when more has arrived.
    Read,
    /// No input until a later step (mail, timer, drained, sent) returns `Read`. A reset of the peer ends
    /// the connection all the same.
    Pause,
    /// Step again next turn: this connection has had its share of this one.
    Yield,
    /// Send what is pending, then close.
    Finish,
    /// Send what is pending, shut down writing, discard what still comes in (bounded in bytes and
    /// time), then close. Keeps an early answer from being lost to a reset (RFC 9112 §9.6).
    Linger,
    /// Close now; pending output is dropped.
    Abort,
}

/// Why a connection was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closed {
    /// The protocol finished, and all of its output was handed to the kernel.
    Finished,
    /// The protocol returned [`Flow::Abort`].
    Aborted,
    /// The peer reset the connection, or the network lost it.
    Lost(io::ErrorKind),
    /// An outbound connection could not be made.
    ConnectFailed(io::ErrorKind),
    /// A wait that the lane bounds ran out: connecting, standing at a gate at the end, or lingering.
    TimedOut,
    /// Output waited, and the peer took it at less than
    /// [`LaneConfig::read_rate`](crate::LaneConfig::read_rate).
    SlowReader,
    /// The peer sent more than the protocol may leave unconsumed.
    InputOverflow,
    /// The memory budget refused, or was nearly used up and the connection was shed without an answer.
    OutOfMemory,
    /// A file was shorter than the output promised.
    FileTruncated,
    /// A step panicked.
    Panicked,
    /// The lane was cut, at the end of its drain time.
    Stopped,
}

impl Closed {
    /// Every reason's name, in the order of [`Closed::index`]: fit for a metric's label.
    pub const NAMES: [&'static str; 11] = [
        "finished",
        "aborted",
        "lost",
        "connect_failed",
        "timed_out",
        "slow_reader",
        "input_overflow",
        "out_of_memory",
        "file_truncated",
        "panicked",
        "stopped",
    ];

    /// A dense number for the reason, below `Closed::NAMES.len()`.
    pub const fn index(self) -> usize {
        match self {
            Closed::Finished => 0,
            Closed::Aborted => 1,
            Closed::Lost(_) => 2,
            Closed::ConnectFailed(_) => 3,
            Closed::TimedOut => 4,
            Closed::SlowReader => 5,
            Closed::InputOverflow => 6,
            Closed::OutOfMemory => 7,
            Closed::FileTruncated => 8,
            Closed::Panicked => 9,
            Closed::Stopped => 10,
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Closed::Lost(kind) | Closed::ConnectFailed(kind) => {
                write!(f, "{}: {kind}", Closed::NAMES[self.index()])
            }
            _ => f.write_str(Closed::NAMES[self.index()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_name() {
        let mut names = Closed::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Closed::NAMES.len());
        assert_eq!(Closed::NAMES[Closed::Stopped.index()], "stopped");
        assert_eq!(
            Closed::Lost(io::ErrorKind::ConnectionReset).to_string(),
            "lost: connection reset"
        );
    }
}
