//! What a handler can do, and what it answers with.

use corelane_eventloop::{ConnId, Io, LaneId, ListenerId, Nanos, Origin, Peer};
use corelane_mempool::Shared;

use super::handle::{Handle, SendError};
use super::hub::{HandlerMail, Hub};
use super::topic::{Payload, Slow, To, Topic};

/// What a handler does about a message. What else it wants to do, it does through its [`Context`].
#[derive(Debug)]
pub enum Action<'m> {
    /// Nothing: the next message.
    Nothing,
    /// Answers, framed as messages are.
    Reply(Payload<'m>),
    /// Tells everyone else, on every lane. Who is slow misses it.
    Broadcast(Payload<'m>),
    /// Tells one, or all others in a topic. Who is slow misses it.
    Send(To, Payload<'m>),
    /// The answer comes later, by [`Handle::send`] or [`Context::send`] to this connection: whatever is
    /// sent to it alone, by whomever, is taken for the answer; a reply is not. Until then no further
    /// message of it is handled, and it is not read; a deadline is still heard of, so set one where an
    /// answer may fail to come, or be refused as [`SendError::Full`].
    Later,
    /// Sends what is pending, and closes.
    Close,
    /// Answers, and closes.
    CloseWith(Payload<'m>),
    /// Closes at once; what is pending is lost.
    Abort,
}

impl<'m> Action<'m> {
    /// Answers with this.
    pub fn reply(payload: impl Into<Payload<'m>>) -> Action<'m> {
        Action::Reply(payload.into())
    }

    /// Tells everyone else.
    pub fn broadcast(payload: impl Into<Payload<'m>>) -> Action<'m> {
        Action::Broadcast(payload.into())
    }
}

/// One connection's window to the world, for a handler.
pub struct Context<'a> {
    pub(super) io: Io<'a, HandlerMail>,
    pub(super) hub: &'a mut Hub,
}

impl Context<'_> {
    /// Answers, framed as messages are. Copies what is below 1 KiB.
    pub fn reply<'p>(&mut self, payload: impl Into<Payload<'p>>) {
        let payload = payload.into();
        match self.hub.framing.head(payload.as_slice().len()) {
            Err(error) => self.hub.unsendable(error),
            Ok(head) => {
                let mut out = self.io.out();
                out.put(head.as_slice());
                write(&mut out, payload);
                out.put(self.hub.framing.tail());
            }
        }
    }

    /// Answers with one message that is in parts: a head and a body, say. Copies them.
    pub fn reply_parts(&mut self, parts: &[&[u8]]) {
        match self.hub.framing.head(parts.iter().map(|part| part.len()).sum()) {
            Err(error) => self.hub.unsendable(error),
            Ok(head) => {
                let mut out = self.io.out();
                out.put(head.as_slice());
                parts.iter().for_each(|part| out.put(part));
                out.put(self.hub.framing.tail());
            }
        }
    }

    /// Sends to one, or to all others in a topic or everywhere. Who is slow misses it.
    ///
    /// It leaves at the end of the turn, in one write with whatever else its receivers get then, and
    /// costs no allocation for any of them. Words of 1 KiB and more are not copied either, unless they
    /// are borrowed.
    ///
    /// # Errors
    /// If a single receiver is gone.
    pub fn send<'p>(
        &mut self,
        to: impl Into<To>,
        payload: impl Into<Payload<'p>>,
    ) -> Result<(), SendError> {
        self.send_with(to, payload, Slow::Drop)
    }

    /// As [`send`](Context::send), with what becomes of it where a receiver is slow.
    ///
    /// # Errors
    /// If a single receiver is gone.
    pub fn send_with<'p>(
        &mut self,
        to: impl Into<To>,
        payload: impl Into<Payload<'p>>,
        slow: Slow,
    ) -> Result<(), SendError> {
        if !self.hub.has_said() {
            // This may be after the stage of the turn that would see it: another turn is needed then.
            self.io.waker().wake_by_ref();
        }
        self.hub.say(to.into(), Some(self.io.id()), payload.into(), slow)
    }

    /// Makes this connection hear what is said to a topic from now on. False if it is in 1,024 already.
    pub fn join(&mut self, topic: Topic) -> bool {
        self.hub.members.join(self.io.id().key, topic)
    }

    /// The contrary. False if it was not in it.
    pub fn leave(&mut self, topic: Topic) -> bool {
        self.hub.members.leave(self.io.id().key, topic)
    }

    /// Speaks to connections from anywhere else.
    pub fn handle(&self) -> Handle {
        Handle::new(self.hub.exchange.clone(), self.hub.lane)
    }

    /// This connection's id, by which others reach it.
    pub fn id(&self) -> ConnId {
        self.io.id()
    }

    /// The other end.
    pub fn peer(&self) -> Peer {
        self.io.peer()
    }

    /// Through which listener it came: the position of its address in the plan.
    pub fn listener(&self) -> ListenerId {
        match self.io.origin() {
            Origin::Accepted(listener) => listener,
            Origin::Connected(_) => 0,
        }
    }

    /// The lane that it is on.
    pub fn lane(&self) -> LaneId {
        self.hub.lane
    }

    /// Connections of this lane.
    pub fn connections(&self) -> usize {
        self.hub.members.len()
    }

    /// The lane's clock.
    pub fn now(&self) -> Nanos {
        self.io.now()
    }

    /// Time since the Unix epoch.
    pub fn wall(&self) -> Nanos {
        self.io.wall()
    }

    /// A pseudo-random number: for jitter and sampling, not for secrets.
    pub fn random(&mut self) -> u64 {
        self.io.random()
    }

    /// Sets this connection's one deadline, which brings
    /// [`on_timer`](super::EventHandler::on_timer).
    pub fn wake_in(&mut self, time: Nanos) {
        let at = self.io.now() + time;
        self.io.deadline(at);
    }

    /// Takes the deadline back.
    pub fn no_deadline(&mut self) {
        self.io.no_deadline();
    }

    /// Bytes that have come in.
    pub fn received(&self) -> u64 {
        self.io.received()
    }

    /// Bytes that wait to be sent.
    pub fn pending(&self) -> u64 {
        self.io.pending()
    }

    /// True if more waits than the high watermark allows: whoever produces much stops here, and goes on
    /// in [`on_drained`](super::EventHandler::on_drained).
    pub fn is_full(&self) -> bool {
        self.io.is_full()
    }

    /// True once the server was asked to stop.
    pub fn stopping(&self) -> bool {
        self.io.stopping()
    }
}

fn write(out: &mut corelane_eventloop::Out<'_>, payload: Payload<'_>) {
    use corelane_eventloop::{COPY_LIMIT, Chunk};
    match payload {
        Payload::Borrowed(bytes) => out.put(bytes),
        Payload::Static(bytes) => out.push(Chunk::Static(bytes)),
        Payload::Shared(bytes) => out.push(Chunk::Shared(bytes)),
        Payload::Owned(bytes) if bytes.len() < COPY_LIMIT => out.put(&bytes),
        Payload::Owned(bytes) => out.push(Chunk::Shared(Shared::from(bytes))),
    }
}
