//! The protocol that a handler is run by.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use corelane_eventloop::{Closed, ConnId, Event, Flow, Io, LaneId, Nanos, Protocol, Turn};

use super::batch::{Batch, Run, Words};
use super::context::{Action, Context};
use super::counters::{Count, HandlerCounters};
use super::exchange::{Exchange, Presence};
use super::framing::{Frame, FrameError, Framing};
use super::handler::EventHandler;
use super::hub::{HOLD_TIME, HandlerMail, Hub, Letter};
use super::topic::Slow;

/// Messages of one connection handled in one step, before the others have their turn.
const STEP_MESSAGES: usize = 1024;
/// Senders that one receiver holds at most.
const HOLDS: usize = 64;

/// How many watermarks may wait for a receiver for whom senders are held: what they say until they hear
/// of it.
const HELD_WATERMARKS: u64 = 4;

/// Runs a handler on a lane.
pub struct Events<H> {
    handler: H,
    hub: Hub,
}

/// One connection of a handler.
pub struct Conn<C> {
    own: C,
    /// Input that was searched for the end of a message.
    searched: usize,
    /// The peer will send no more, and whether the handler knows.
    ended: bool,
    told: bool,
    /// An answer is to come.
    awaited: bool,
    /// The connection closes once it has come.
    closes: bool,
    /// Another lane is waited for.
    stalled: bool,
    /// Until when a slow receiver keeps it from being read, and how many do.
    held_until: Option<Nanos>,
    holds: u32,
    /// As a slow receiver: since when, and whom it keeps from being read.
    slow: Option<Box<Slowness>>,
}

struct Slowness {
    since: Nanos,
    /// Senders, and since when.
    holding: Vec<(ConnId, Nanos)>,
}

impl<H: EventHandler> Events<H> {
    /// A lane's engine. `exchange` is that of all lanes.
    pub(crate) fn new(
        handler: H,
        lane: LaneId,
        counters: HandlerCounters,
        exchange: Arc<Exchange>,
    ) -> Events<H> {
        let hub = Hub::new(handler.framing(), lane, counters, exchange);
        Events { handler, hub }
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }
}

type Window<'a> = Io<'a, HandlerMail>;

impl<H: EventHandler> Protocol for Events<H> {
    type Conn = Conn<H::Conn>;
    type Mail = HandlerMail;

    fn open(&mut self, io: &mut Window<'_>) -> Option<Self::Conn> {
        let key = io.id().key;
        self.hub.watermark(io.high());
        self.hub.members.enter(key);
        self.hub.present(key, Presence::Open);
        let Events { handler, hub } = self;
        let own = catch_unwind(AssertUnwindSafe(|| handler.on_connection(&mut context(io, hub))));
        // Nobody closes what was never open: it is forgotten here, also if the handler panics.
        let own = own.unwrap_or_else(|panic| {
            self.forget(io.id());
            resume_unwind(panic)
        });
        let Some(own) = own else {
            self.forget(io.id());
            tracing::info!(target: "corelane::handler", conn = %io.id(), peer = %io.peer(), "connection refused");
            return None;
        };
        tracing::info!(target: "corelane::handler", conn = %io.id(), peer = %io.peer(), "connected");
        Some(Conn {
            own,
            searched: 0,
            ended: false,
            told: false,
            awaited: false,
            closes: false,
            stalled: false,
            held_until: None,
            holds: 0,
            slow: None,
        })
    }

    fn step(
        &mut self,
        conn: &mut Self::Conn,
        event: Event<HandlerMail>,
        io: &mut Window<'_>,
    ) -> Flow {
        let input = matches!(event, Event::Bytes | Event::Eof);
        let mut flow = match event {
            Event::Bytes => self.read(conn, io),
            Event::Eof => {
                conn.ended = true;
                self.read(conn, io)
            }
            Event::Timer => {
                let action = self.handler.on_timer(&mut conn.own, &mut context(io, &mut self.hub));
                self.act(conn, action, io)
            }
            Event::Drained => {
                let action =
                    self.handler.on_drained(&mut conn.own, &mut context(io, &mut self.hub));
                self.act(conn, action, io)
            }
            Event::Stopping => {
                let action =
                    self.handler.on_stopping(&mut conn.own, &mut context(io, &mut self.hub));
                match action {
                    Action::Close if conn.awaited => {
                        conn.closes = true;
                        Flow::Pause
                    }
                    action => self.act(conn, action, io),
                }
            }
            Event::Nudged => self.hear(conn, io),
            Event::Mail(HandlerMail(Letter::Hold)) => {
                conn.holds += 1;
                if conn.held_until.is_none() {
                    let until = io.now() + HOLD_TIME;
                    conn.held_until = Some(until);
                    self.hub.hold(io.id().key, until);
                }
                conn.standing()
            }
            Event::Mail(HandlerMail(Letter::Release)) => {
                conn.holds = conn.holds.saturating_sub(1);
                if conn.holds == 0 {
                    conn.held_until = None;
                }
                conn.standing()
            }
            // `open` has run what there is to run first, and who is shed is closed without a word: which
            // words its protocol has for that is not known here.
            Event::Shed | Event::Opened => conn.standing(),
            Event::Sent(_) => {
                self.caught_up(conn, io);
                conn.standing()
            }
            Event::Mail(HandlerMail(Letter::Batch(_))) => conn.standing(),
        };
        if conn.closes && !conn.awaited && matches!(flow, Flow::Read | Flow::Pause) {
            flow = Flow::Linger;
        }
        if flow == Flow::Read && conn.ended && !conn.told && !input {
            // Nothing comes in any more that would bring it back to what it has not handled.
            flow = self.read(conn, io);
        }
        if matches!(flow, Flow::Finish | Flow::Linger | Flow::Abort) {
            self.forget(io.id());
        }
        flow
    }

    fn close(&mut self, mut conn: Self::Conn, why: Closed, io: &mut Window<'_>) {
        self.forget(io.id());
        self.caught_up(&mut conn, io);
        tracing::info!(target: "corelane::handler", conn = %io.id(), peer = %io.peer(), reason = %why, "disconnected");
        self.handler.on_disconnect(conn.own, why, &mut context(io, &mut self.hub));
    }

    fn mail(&mut self, mail: HandlerMail, _turn: &mut Turn<'_, HandlerMail>) {
        if let HandlerMail(Letter::Batch(parted)) = mail {
            self.hub.arrived(&parted);
        }
    }

    fn turn(&mut self, turn: &mut Turn<'_, HandlerMail>) {
        self.hub.turn(turn);
    }
}

impl<C> Conn<C> {
    /// Whether it is to be read.
    fn standing(&self) -> Flow {
        let waits = self.awaited || self.stalled || self.held_until.is_some();
        if waits { Flow::Pause } else { Flow::Read }
    }
}

/// Input.
impl<H: EventHandler> Events<H> {
    /// Handles the messages that have arrived.
    fn read(&mut self, conn: &mut Conn<H::Conn>, io: &mut Window<'_>) -> Flow {
        for _ in 0..STEP_MESSAGES {
            if io.is_full() || conn.standing() != Flow::Read {
                return conn.standing();
            }
            if self.hub.is_stuck() {
                conn.stalled = true;
                self.hub.stall(io.id().key);
                return conn.standing();
            }
            if self.hub.is_full() {
                return Flow::Yield;
            }
            let input = io.input();
            let frame = match self.next(conn, input) {
                Ok(Some(frame)) => frame,
                Ok(None) if conn.told => return conn.standing(),
                Ok(None) if conn.ended => {
                    conn.told = true;
                    if !io.input().is_empty() {
                        self.hub.counters.add(Count::Refused, 1);
                        tracing::debug!(conn = %io.id(), peer = %io.peer(), "half a message at the end");
                    }
                    let action =
                        self.handler.on_end(&mut conn.own, &mut context(io, &mut self.hub));
                    // Who reads no more than to its end has nothing that a reset could lose.
                    return match self.act(conn, action, io) {
                        Flow::Linger => Flow::Finish,
                        flow => flow,
                    };
                }
                Ok(None) => return Flow::Read,
                Err(error) => return self.refuse(conn, error, io),
            };
            io.consume(frame.len);
            self.hub.counters.add(Count::Received, 1);
            let message = &input[frame.message];
            let action =
                self.handler.on_message(&mut conn.own, message, &mut context(io, &mut self.hub));
            match self.act(conn, action, io) {
                Flow::Read => {}
                flow => return flow,
            }
        }
        Flow::Yield
    }

    /// The next message, if it is whole.
    fn next(
        &mut self,
        conn: &mut Conn<H::Conn>,
        input: &[u8],
    ) -> Result<Option<Frame>, FrameError> {
        let Framing::Custom { max } = self.hub.framing else {
            return self.hub.framing.find(input, &mut conn.searched);
        };
        if input.is_empty() {
            return Ok(None);
        }
        match self.handler.is_data_complete(&mut conn.own, input)? {
            Some(len) if len > max => Err(FrameError::TooLong { limit: max }),
            Some(len) if (1..=input.len()).contains(&len) => {
                Ok(Some(Frame { message: 0..len, len }))
            }
            None if input.len() >= max => Err(FrameError::TooLong { limit: max }),
            None => Ok(None),
            Some(_) => Err(FrameError::Custom("a message of no bytes, or of more than there are")),
        }
    }

    fn refuse(&mut self, conn: &mut Conn<H::Conn>, error: FrameError, io: &mut Window<'_>) -> Flow {
        self.hub.counters.add(Count::Refused, 1);
        tracing::debug!(conn = %io.id(), peer = %io.peer(), %error, "input refused");
        let action = self.handler.on_refused(&mut conn.own, error, &mut context(io, &mut self.hub));
        match self.act(conn, action, io) {
            // What follows cannot be understood.
            Flow::Read | Flow::Pause => Flow::Linger,
            flow => flow,
        }
    }

    fn act(&mut self, conn: &mut Conn<H::Conn>, action: Action<'_>, io: &mut Window<'_>) -> Flow {
        let mut cx = context(io, &mut self.hub);
        match action {
            Action::Nothing => {}
            Action::Reply(payload) => cx.reply(payload),
            // A receiver that is gone is counted.
            Action::Broadcast(payload) => drop(cx.send(super::To::All, payload)),
            Action::Send(to, payload) => drop(cx.send(to, payload)),
            Action::Later => conn.awaited = true,
            Action::Close => return Flow::Linger,
            Action::CloseWith(payload) => {
                cx.reply(payload);
                return Flow::Linger;
            }
            Action::Abort => return Flow::Abort,
        }
        conn.standing()
    }
}

/// Words of others.
impl<H: EventHandler> Events<H> {
    /// Takes what this turn has for the connection.
    fn hear(&mut self, conn: &mut Conn<H::Conn>, io: &mut Window<'_>) -> Flow {
        if conn.held_until.is_some_and(|until| until <= io.now()) {
            (conn.held_until, conn.holds) = (None, 0);
        }
        conn.stalled &= self.hub.is_stuck();
        let key = io.id().key;
        let inbox = self.hub.members.take(key);
        let mut result = Some(());
        for (batch, run) in &inbox {
            let Some(batch) = self.hub.batch(*batch) else { continue };
            let Some(run) = batch.runs().get(*run as usize) else { continue };
            if matches!(run.to, super::To::Conn(_)) {
                conn.awaited = false;
            }
            result = result.and_then(|()| self.take(conn, &batch, run, io));
        }
        if !inbox.is_empty() {
            self.hub.heard();
        }
        self.hub.members.put_back(key, inbox);
        if result.is_none() { Flow::Abort } else { conn.standing() }
    }

    /// Takes a run. `None` if the receiver is to be disconnected.
    fn take(
        &mut self,
        conn: &mut Conn<H::Conn>,
        batch: &Batch,
        run: &Run,
        io: &mut Window<'_>,
    ) -> Option<()> {
        let id = io.id();
        let to_itself = matches!(run.to, super::To::Conn(_));
        let silent = to_itself || !batch.speaks(run, id);
        if silent && self.fits(run.len(), io) {
            batch.write(run, &mut io.out());
            self.hub.counters.add(Count::Delivered, run.count() as u64);
            return Some(());
        }
        for words in batch.words(run).filter(|words| to_itself || words.from() != Some(id)) {
            if self.fits(words.len(), io) || self.is_kept(conn, &words, io) {
                words.write(&mut io.out());
                self.hub.counters.add(Count::Delivered, 1);
                continue;
            }
            self.fell_behind(conn, io);
            if words.slow() == Slow::Disconnect {
                self.hub.counters.add(Count::Disconnected, 1);
                return None;
            }
            self.hub.counters.add(Count::Dropped, 1);
        }
        Some(())
    }

    /// Whether the receiver may have so much more. Who has taken all of the last turn gets all of this
    /// one, which [`Hub::is_full`] bounds as far as others make the handler speak.
    fn fits(&self, len: usize, io: &Window<'_>) -> bool {
        io.pending() == 0 || io.pending() + len as u64 <= io.high()
    }

    /// Whether a message that does not fit is kept because its sender can be held.
    fn is_kept(
        &mut self,
        conn: &mut Conn<H::Conn>,
        words: &Words<'_>,
        io: &mut Window<'_>,
    ) -> bool {
        if words.slow() != Slow::Hold {
            return false;
        }
        let now = io.now();
        let slow = self.fell_behind(conn, io);
        let in_time = now.since(slow.since) < HOLD_TIME;
        if in_time
            && let Some(sender) = words.from()
            && !slow.holding.iter().any(|(held, _)| *held == sender)
            && slow.holding.len() < HOLDS
            && io.post(sender, HandlerMail(Letter::Hold)).is_ok()
        {
            slow.holding.push((sender, now));
        }
        in_time && io.pending() + words.len() as u64 <= io.high() * HELD_WATERMARKS
    }

    /// A receiver has not taken what waits for it, until it has taken all of that.
    fn fell_behind<'c>(
        &mut self,
        conn: &'c mut Conn<H::Conn>,
        io: &mut Window<'_>,
    ) -> &'c mut Slowness {
        conn.slow.get_or_insert_with(|| {
            self.hub.present(io.id().key, Presence::Full);
            // Reported when what waits now has left.
            io.out().mark();
            Box::new(Slowness { since: io.now(), holding: Vec::new() })
        })
    }

    /// A receiver has room again, or is gone.
    fn caught_up(&mut self, conn: &mut Conn<H::Conn>, io: &mut Window<'_>) {
        if let Some(slow) = conn.slow.take() {
            // Also reported of those who are done, and have been forgotten.
            if self.hub.members.has(io.id().key) {
                self.hub.present(io.id().key, Presence::Open);
            }
            // A sender goes on by itself in time, and may then be held by somebody else.
            let now = io.now();
            let held = slow.holding.into_iter().filter(|(_, since)| now.since(*since) < HOLD_TIME);
            for (sender, _) in held {
                let _ = io.post(sender, HandlerMail(Letter::Release));
            }
        }
    }

    /// Whoever is done hears no more.
    fn forget(&mut self, id: ConnId) {
        self.hub.members.leave_all(id.key);
        self.hub.present(id.key, Presence::Gone);
    }
}

fn context<'a>(io: &'a mut Window<'_>, hub: &'a mut Hub) -> Context<'a> {
    Context { io: io.reborrow(), hub }
}
