//! What a protocol may do during a step ([`Io`]) and once per turn ([`Turn`]).

use std::task::Waker;

use corelane_mempool::Key;

use crate::files::Files;
use crate::id::{ConnId, LaneId, Origin, Peer, Target};
use crate::link::LinkState;
use crate::mail::Full;
use crate::out::{Out, OutQueue};
use crate::services::{Random, Services};
use crate::time::Nanos;
use crate::trace::{Stage, Tracer};

/// One connection's window to the world during a step.
pub struct Io<'a, M> {
    pub(crate) input: &'a [u8],
    pub(crate) consumed: usize,
    pub(crate) out: &'a mut OutQueue,
    pub(crate) state: &'a mut LinkState,
    pub(crate) services: &'a mut Services<M>,
    pub(crate) key: Key,
}

impl<'a, M> Io<'a, M> {
    /// The lane's clock. It is read after the poll, after the flush of each turn and at its end if there
    /// was more to do, and after the flush of each connection accepted and answered at once on an eager
    /// listener. It stands still between.
    #[inline]
    pub fn now(&self) -> Nanos {
        self.services.now
    }

    /// Time since the Unix epoch, for dates, logs and expiry. Follows the system's clock within a
    /// second, and may jump when that is set.
    #[inline]
    pub fn wall(&self) -> Nanos {
        self.services.wall()
    }

    /// Adds a note to the trace of this connection, if it is traced ([`TraceDesk`](crate::TraceDesk)):
    /// that `event`, a word or two that are always the same, is done by now. `detail` is asked only
    /// then, and says sizes, counts and names that the operator chose: nothing that clients send as the
    /// value of a field, or as a body. While no connection of the lane is traced this costs one branch.
    #[inline]
    pub fn note(&self, stage: Stage, event: &'static str, detail: impl FnOnce() -> String) {
        self.services.tracer.note(self.key, self.services.now, stage, event, detail);
    }

    /// A pseudo-random number (splitmix64): for jitter and sampling, not for secrets.
    pub fn random(&mut self) -> u64 {
        self.services.random()
    }

    /// This connection's id.
    pub fn id(&self) -> ConnId {
        ConnId { lane: self.services.post.lane(), key: self.key }
    }

    /// The other end.
    pub fn peer(&self) -> Peer {
        self.state.peer
    }

    /// How this connection came to be: through which listener, or with which tag.
    pub fn origin(&self) -> Origin {
        self.state.origin
    }

    /// Input that has not been consumed. Its lifetime is that of the step, so it can be held while
    /// output is written.
    #[inline]
    pub fn input(&self) -> &'a [u8] {
        &self.input[self.consumed..]
    }

    /// Marks the first `n` bytes of [`Io::input`] as done with; more than there are counts as all.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        self.consumed = (self.consumed + n).min(self.input.len());
    }

    /// Has the `n` bytes behind [`Io::input`] dropped unread, wherever they are: on Linux inside the
    /// kernel, which copies nothing then. They count as [received](Io::received). When all of them are
    /// gone, [`Event::Bytes`](crate::Event::Bytes) comes, and input that follows is shown as ever; if
    /// the peer ends before, [`Event::Eof`](crate::Event::Eof). For who is told the length of what it
    /// need not see, such as a body that is only counted. Not for hosted protocols, whose input is not
    /// that of the connection.
    pub fn skip(&mut self, n: u64) {
        self.services.skips.add(self.key, n);
    }

    /// Writes output.
    #[inline]
    pub fn out(&mut self) -> Out<'_> {
        Out { queue: self.out, pool: &mut self.services.pool, stash: &mut self.services.stash }
    }

    /// As [`Io::out`], into a queue of the protocol's own, together with the files and the random
    /// numbers that may be needed to decide what to write.
    #[inline]
    pub fn parts<'b>(&'b mut self, own: Option<&'b mut OutQueue>) -> Parts<'b> {
        let services = &mut *self.services;
        Parts {
            out: Out {
                queue: own.unwrap_or(self.out),
                pool: &mut services.pool,
                stash: &mut services.stash,
            },
            files: &mut *services.files,
            random: &mut services.random,
            waker: services.post.waker(),
            tracer: &services.tracer,
        }
    }

    /// Moves what a queue of the protocol's own holds to the end of the output.
    pub fn append(&mut self, own: &mut OutQueue) {
        let services = &mut *self.services;
        if let Some(why) = own.broken() {
            self.out.break_off(why);
        }
        while let Some(chunk) = Out::new(own, &mut services.pool, &mut services.stash).pop() {
            Out::new(self.out, &mut services.pool, &mut services.stash).push(chunk);
        }
    }

    /// Drops what a queue of the protocol's own holds.
    pub fn discard(&mut self, own: &mut OutQueue) {
        own.clear(&mut self.services.pool, &mut self.services.stash);
    }

    /// Bytes received on this connection so far.
    pub fn received(&self) -> u64 {
        self.state.received
    }

    /// When the last of [`Io::input`] came: the end of the poll before its receive, by the lane's clock.
    /// The lane receives nothing for a connection that leaves input and does not ask for more, so this
    /// is when all of it came but for the beginning of a message that was incomplete before.
    #[inline]
    pub fn received_at(&self) -> Nanos {
        self.state.received_at
    }

    /// Bytes of output handed to the kernel so far.
    pub fn sent(&self) -> u64 {
        self.out.sent()
    }

    /// Bytes of output not yet handed to the kernel.
    #[inline]
    pub fn pending(&self) -> u64 {
        self.out.pending()
    }

    /// True if pending output exceeds the high watermark: stop producing and return. The connection
    /// is not stepped with input again before [`Event::Drained`](crate::Event::Drained).
    #[inline]
    pub fn is_full(&self) -> bool {
        self.out.exceeds(self.services.limits.high)
    }

    /// The high watermark, in bytes.
    pub fn high(&self) -> u64 {
        self.services.limits.high
    }

    /// True from the high watermark until the low one: so long the lane does not read the connection,
    /// and nothing that was expected from the peer can be late.
    pub fn is_held(&self) -> bool {
        self.state.full
    }

    /// Sets this connection's one deadline, which brings [`Event::Timer`](crate::Event::Timer); it
    /// fires at most a millisecond and one turn late, never early. Moving it later costs about a
    /// nanosecond.
    #[inline]
    pub fn deadline(&mut self, at: Nanos) {
        self.services.wheel.set(self.key.index(), at.0);
    }

    /// Takes the deadline back.
    pub fn no_deadline(&mut self) {
        self.services.wheel.clear(self.key.index());
    }

    /// Sends mail to a connection, on whichever lane it lives. Delivered in a later stage of the
    /// turn or in a later turn, in order per sender; dropped and counted if the connection is gone by
    /// then. Refused, with the mail given back, if the queue is full.
    pub fn post(&mut self, conn: ConnId, mail: M) -> Result<(), Full<M>> {
        self.state.mailed = self.services.post.epoch();
        self.services.post_mail(conn, mail)
    }

    /// Sends mail to a lane; it arrives at [`Protocol::mail`](crate::Protocol::mail) there.
    pub fn send(&mut self, lane: LaneId, mail: M) -> Result<(), Full<M>> {
        self.state.mailed = self.services.post.epoch();
        self.services.send_mail(lane, mail)
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.services.post.lanes()
    }

    /// Has this lane take a turn, from any thread: see [`LaneHandle::waker`](crate::LaneHandle::waker).
    pub fn waker(&self) -> &Waker {
        self.services.post.waker()
    }

    /// True once the lane was asked to stop.
    pub fn stopping(&self) -> bool {
        self.services.stopping
    }

    /// The files the driver gives access to.
    pub fn files(&mut self) -> &mut dyn Files {
        &mut *self.services.files
    }

    /// An [`Io`] for a protocol hosted inside this one (TLS hosts HTTP): the same connection, clock
    /// and mail, but input and output of its own.
    pub fn host<'b>(&'b mut self, input: &'b [u8], out: &'b mut OutQueue) -> Io<'b, M> {
        Io { input, consumed: 0, out, state: self.state, services: self.services, key: self.key }
    }

    /// The same window, for a shorter time: to be kept in a structure of the protocol's own. What is
    /// consumed through it is not consumed here.
    pub fn reborrow(&mut self) -> Io<'_, M> {
        Io {
            input: &self.input[self.consumed..],
            consumed: 0,
            out: self.out,
            state: self.state,
            services: self.services,
            key: self.key,
        }
    }

    /// How much of the input has been consumed in this step.
    pub fn consumed(&self) -> usize {
        self.consumed
    }
}

/// Output, files and random numbers, to be used side by side. From [`Io::parts`].
pub struct Parts<'a> {
    /// Writes output.
    pub out: Out<'a>,
    /// The files the driver gives access to.
    pub files: &'a mut (dyn Files + Send),
    /// Pseudo-random numbers: for jitter and sampling, not for secrets.
    pub random: &'a mut Random,
    /// Has the lane take a turn, from any thread.
    pub waker: &'a Waker,
    /// What is traced: for notes, as [`Io::note`] adds them.
    pub tracer: &'a Tracer,
}

/// A lane's window to the world once per turn, for what concerns no single connection.
pub struct Turn<'a, M> {
    pub(crate) services: &'a mut Services<M>,
}

impl<M> Turn<'_, M> {
    /// The lane's clock.
    pub fn now(&self) -> Nanos {
        self.services.now
    }

    /// Time since the Unix epoch.
    pub fn wall(&self) -> Nanos {
        self.services.wall()
    }

    /// Adds a note to the trace of a connection of this lane, as [`Io::note`] does.
    #[inline]
    pub fn note(
        &mut self,
        conn: Key,
        stage: Stage,
        event: &'static str,
        detail: impl FnOnce() -> String,
    ) {
        if self.services.tracer.is_on() {
            self.services.tracer.visited(conn);
            self.services.tracer.note(conn, self.services.now, stage, event, detail);
        }
    }

    /// A pseudo-random number (splitmix64): for jitter and sampling, not for secrets.
    pub fn random(&mut self) -> u64 {
        self.services.random()
    }

    /// This lane's number.
    pub fn lane(&self) -> LaneId {
        self.services.post.lane()
    }

    /// True once the lane was asked to stop.
    pub fn stopping(&self) -> bool {
        self.services.stopping
    }

    /// Opens an outbound connection. [`Protocol::open`](crate::Protocol::open) is called for it with
    /// [`Origin::Connected`]`(tag)`, then [`Event::Opened`](crate::Event::Opened) once it is
    /// established, or `close` if it failed. Gives the target back if too many are being started.
    /// A lane that is full at that moment opens nothing, as when the protocol refuses.
    pub fn connect(&mut self, target: Target, tag: u64) -> Result<(), Full<Target>> {
        if self.services.connects.len() >= self.services.limits.connects {
            return Err(Full(target));
        }
        self.services.connects.push((target, tag));
        Ok(())
    }

    /// Opens all gates up to `level`: output held behind them leaves in this turn. Levels only rise.
    pub fn open_gates(&mut self, level: u64) {
        let services = &mut *self.services;
        if level > services.gates_open {
            services.gates_open = level;
            services.gates_moved = true;
        }
    }

    /// The level up to which gates are open.
    pub fn gates_open(&self) -> u64 {
        self.services.gates_open
    }

    /// Asks for a turn at that time at the latest, even if nothing else happens. Of several requests
    /// the earliest counts, and is kept until its time has come.
    pub fn wake_at(&mut self, at: Nanos) {
        self.services.wake_at = self.services.wake_at.min(at);
    }

    /// Has this lane take a turn, from any thread: see [`LaneHandle::waker`](crate::LaneHandle::waker).
    pub fn waker(&self) -> &Waker {
        self.services.post.waker()
    }

    /// Has a connection of this lane stepped with [`Event::Nudged`](crate::Event::Nudged) before the
    /// output of this turn leaves: how one connection's words reach many others, since a step that
    /// writes them is all that each takes. A connection that is gone, or done, is passed over; one
    /// that is nudged twice is stepped twice.
    pub fn nudge(&mut self, conn: Key) {
        self.services.nudged.push(conn);
    }

    /// Sends mail to a connection, as [`Io::post`] does.
    pub fn post(&mut self, conn: ConnId, mail: M) -> Result<(), Full<M>> {
        self.services.post_mail(conn, mail)
    }

    /// Sends mail to a lane, as [`Io::send`] does.
    pub fn send(&mut self, lane: LaneId, mail: M) -> Result<(), Full<M>> {
        self.services.send_mail(lane, mail)
    }

    /// The files the driver gives access to.
    pub fn files(&mut self) -> &mut dyn Files {
        &mut *self.services.files
    }
}
