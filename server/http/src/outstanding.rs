//! What becomes of answers that could not leave at once.

use corelane_eventloop::{Flow, Full, Io, Parts, Stage, Turn};
use corelane_parser::http1::FieldBlock;

use crate::conn::Conn;
use crate::content::{Produced, Sink, StreamFraming, To};
use crate::handler::{Handler, HttpMail, Ticket};
use crate::lookahead::is_blank;
use crate::metrics::{Kind, RouteId};
use crate::notes;
use crate::protocol::{Http, surroundings};
use crate::reply::{Reply, Rest};
use crate::slots::{Slot, Slots, State};

/// How often in a row a stream may be asked before others have their turn.
const PIECES: u32 = 64;

/// How moving answers into the output ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// As far as it goes for now.
    Done,
    /// There is more at once, but others have their turn.
    Enough,
    /// An answer cannot be completed.
    Failed,
}

impl<H: Handler> Http<H> {
    /// Gives an answer that is not in the output its place in the order. What can leave of it is
    /// moved by the next [`go_on`](Http::go_on).
    #[cold]
    pub(crate) fn put_aside(&mut self, conn: &mut Conn<H::Request>, slot: Slot) {
        conn.closing |= slot.state.ends_connection();
        conn.slots.get_or_insert_default().queue.push_back(slot);
    }

    /// A connection is told something.
    #[cold]
    pub(crate) fn told(
        &mut self,
        conn: &mut Conn<H::Request>,
        mail: HttpMail,
        io: &mut Io<'_, HttpMail>,
    ) -> Flow {
        match mail {
            HttpMail::Answer(ticket) => {
                if conn.slots.as_mut().is_some_and(|slots| slots.waiting(ticket).is_some()) {
                    self.resume(conn, ticket, io);
                } else {
                    self.ask_again(conn, io);
                }
            }
            HttpMail::Pull => {
                if conn.request.as_ref().is_some_and(|pending| pending.held) {
                    self.ask_again(conn, io);
                }
            }
        }
        self.go_on(conn, io)
    }

    /// An answer that was promised is due.
    fn resume(&mut self, conn: &mut Conn<H::Request>, ticket: Ticket, io: &mut Io<'_, HttpMail>) {
        self.tell_date(io);
        let between = conn.is_between() && is_blank(io.input());
        let stopping = io.stopping();
        let Some(slots) = &mut conn.slots else { return };
        let Some(at) = slots.waiting(ticket) else { return };
        let last = at + 1 == slots.queue.len() && (between || conn.closing);
        let Some(slot) = slots.queue.get_mut(at) else { return };
        let manner = slot.manner;
        if last && stopping && !conn.closing {
            conn.closing = true;
            conn.unaware = true;
        }
        let mut rest = Rest::None;
        let own = (at > 0).then_some(&mut slot.out);
        let since = slot.answer.map(|(since, _)| since).unwrap_or_default();
        let (out, context) = surroundings(io, own, since);
        let reply = Reply {
            out,
            context,
            connection: manner.connection(!(last && conn.closing)),
            head_only: manner.head_only,
            until_close: manner.http10,
            whole: manner.whole,
            date: self.date.date(),
            rest: &mut rest,
            route: RouteId::default(),
        };
        let replied = self.handler.resume(ticket, reply);
        let kind = Kind::of(replied, manner.method, io.origin());
        io.note(Stage::Handler, "answered", || notes::answer(replied, &rest));
        if let Rest::Ended = rest {
            rest = Rest::None;
            conn.closing = true;
        }
        if !matches!(rest, Rest::Later(_)) {
            self.counters.answered(replied, kind);
        }
        slot.answer = Some((since, kind));
        slot.state = State::of(rest, manner);
        conn.closing |= slot.state.ends_connection();
    }

    /// Moves what can leave into the output, and goes on with what the connection has sent.
    #[cold]
    pub(crate) fn go_on(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, HttpMail>) -> Flow {
        let moved = self.advance(conn, io);
        if !conn.unsent.is_empty() {
            io.out().follow();
        }
        match moved {
            Moved::Failed => return self.break_off(conn, io),
            Moved::Enough => return Flow::Yield,
            Moved::Done if conn.closing => return self.finish(conn, io),
            Moved::Done => {}
        }
        if conn.slots.is_none() && conn.request.as_ref().is_some_and(|pending| !pending.held) {
            // Its client may have been told to go on only now.
            self.excuse(conn, io);
        }
        let flow = self.serve(conn, io);
        if flow != Flow::Read || conn.slots.is_some() {
            return flow;
        }
        if conn.ended {
            return Flow::Finish;
        }
        if conn.is_between() {
            if io.stopping() && is_blank(io.input()) {
                return Flow::Finish;
            }
            io.deadline(self.idle_until(conn, io.now()));
        }
        flow
    }

    /// Ends a connection in the middle of an answer, so that it does not look whole: without its last
    /// chunk it does not, and what is before it still arrives; without chunks only a reset tells.
    #[cold]
    pub(crate) fn break_off(
        &mut self,
        conn: &mut Conn<H::Request>,
        io: &mut Io<'_, HttpMail>,
    ) -> Flow {
        let Some(slots) = conn.slots.take() else { return Flow::Abort };
        let chunked = slots.queue.front().is_some_and(|front| {
            matches!(front.state, State::Streaming(_, StreamFraming::Chunked))
        });
        self.abandon(*slots, io);
        conn.closing = true;
        if chunked { Flow::Linger } else { Flow::Abort }
    }

    /// Moves answers from the front into the output, as far as they are there and it takes them.
    pub(crate) fn advance(
        &mut self,
        conn: &mut Conn<H::Request>,
        io: &mut Io<'_, HttpMail>,
    ) -> Moved {
        let Some(slots) = &mut conn.slots else { return Moved::Done };
        while let Some(front) = slots.queue.front_mut() {
            io.append(&mut front.out);
            let ended = match &mut front.state {
                State::Waiting(_) => return Moved::Done,
                State::Ready => false,
                State::Streaming(stream, framing) => {
                    let framing = *framing;
                    for asked in 0.. {
                        if io.is_full() {
                            return Moved::Done;
                        }
                        if asked == PIECES {
                            return Moved::Enough;
                        }
                        match produce(&mut **stream, framing, io) {
                            Produced::More => {}
                            Produced::Yield => return Moved::Enough,
                            Produced::Wait => return Moved::Done,
                            Produced::Failed => return Moved::Failed,
                            Produced::End => break,
                        }
                    }
                    framing == StreamFraming::UntilClose
                }
            };
            if let Some(slot) = slots.queue.pop_front()
                && let Some((since, kind)) = slot.answer
            {
                conn.unsent.add(kind, since, io.sent() + io.pending(), || io.pending());
            }
            if ended {
                break;
            }
        }
        // Whatever is behind an answer that ends with the connection has no place any more.
        if let Some(slots) = conn.slots.take() {
            self.abandon(*slots, io);
        }
        Moved::Done
    }

    /// Lets go of answers that nobody will receive.
    #[cold]
    pub(crate) fn abandon(&mut self, mut slots: Slots, io: &mut Io<'_, HttpMail>) {
        for mut slot in slots.queue.drain(..) {
            io.discard(&mut slot.out);
            match slot.state {
                State::Waiting(ticket) => self.handler.cancel(io.id(), ticket),
                State::Ready | State::Streaming(..) if slot.answer.is_some() => {
                    self.counters.unsent(1);
                }
                State::Ready | State::Streaming(..) => {}
            }
        }
    }

    /// Tells connections what they wait for; what finds no room is told next turn.
    #[cold]
    pub(crate) fn tell(&mut self, turn: &mut Turn<'_, HttpMail>) {
        let mut told = 0;
        for &(conn, mail) in &self.backlog {
            if let Err(Full(_)) = turn.post(conn, mail) {
                turn.wake_at(turn.now());
                break;
            }
            told += 1;
        }
        self.backlog.drain(..told);
    }
}

/// Asks a stream for its next piece.
fn produce(
    stream: &mut dyn crate::content::Produce,
    framing: StreamFraming,
    io: &mut Io<'_, HttpMail>,
) -> Produced {
    let (now, conn, stopping) = (io.now(), io.id(), io.stopping());
    let Parts { out, files, .. } = io.parts(None);
    let to = To::Out(out, framing);
    let mut sink = Sink { to, files, now, conn, stopping, trailers: FieldBlock::new(), bytes: 0 };
    let produced = stream.produce(&mut sink);
    if produced == Produced::End {
        sink.end();
    }
    produced
}
