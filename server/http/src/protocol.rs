//! HTTP/1.1 as a [`Protocol`].

use corelane_eventloop::{
    Closed, ConnId, Event, Flow, Io, Luggage, Nanos, Out, OutQueue, Parts, Protocol, Stage, Turn,
};
use corelane_parser::Refusal;
use corelane_parser::http1::{BodyKind, BodyStep, DateCache, FieldSlots, Method, Phase, Progress};

use crate::config::HttpConfig;
use crate::conn::{Conn, Manner, Pending};
use crate::context::Context;
use crate::handler::{Handler, HttpMail, Intake, Wakes};
use crate::lookahead::{is_blank, is_head, waits_its_turn};
use crate::metrics::{HttpCounters, Kind, RouteId, Timeouts};
use crate::notes;
use crate::outstanding::Moved;
use crate::pace::Pace;
use crate::refuse::{self, Answer};
use crate::reply::{Reply, Rest};
use crate::slots::{Slot, State};

/// So many bytes of answers may wait for one before them; then no further request is read.
const HELD: u64 = 64 * 1024;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One lane's HTTP engine, around a handler.
pub struct Http<H> {
    pub(crate) handler: H,
    pub(crate) config: HttpConfig,
    pub(crate) date: DateCache,
    pub(crate) counters: HttpCounters,
    /// Connections to be told something, for which there was no room in the mail yet.
    pub(crate) backlog: Vec<(ConnId, HttpMail)>,
}

/// How one pass over the input ended.
enum Pass {
    /// A request was answered; there may be another.
    Answered,
    /// More input is needed.
    Partial,
    /// The handler has enough of a body for now.
    Held,
    /// The connection is over, after an answer.
    Over(Answer),
}

impl<H: Handler> Http<H> {
    /// An engine that answers with `handler` and counts into `counters`.
    pub fn new(mut handler: H, config: HttpConfig, counters: HttpCounters) -> Http<H> {
        handler.name_routes(counters.routes());
        Http { handler, config, date: DateCache::new(0), counters, backlog: Vec::new() }
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// The handler, to be changed between turns.
    pub fn handler_mut(&mut self) -> &mut H {
        &mut self.handler
    }

    /// Answers what is in the input, as far as this connection's share of the turn goes.
    #[inline]
    pub(crate) fn serve(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, HttpMail>) -> Flow {
        self.tell_date(io);
        let mut answered = 0;
        let flow = loop {
            if io.is_full() {
                break Flow::Read;
            }
            if answered == self.config.turn_requests {
                break Flow::Yield;
            }
            if !self.reads_on(conn) || waits_its_turn(conn, io.input()) {
                break Flow::Pause;
            }
            let pass = match conn.machine.phase() {
                Phase::Head => self.head(conn, io),
                Phase::Body => self.body(conn, io),
            };
            match pass {
                Ok(Pass::Answered) => {
                    answered += 1;
                    if conn.slots.is_some() {
                        match self.advance(conn, io) {
                            Moved::Done => {}
                            Moved::Enough => break Flow::Yield,
                            Moved::Failed => break self.break_off(conn, io),
                        }
                    }
                    if conn.closing {
                        break self.finish(conn, io);
                    }
                    if io.input().is_empty() {
                        break Flow::Read;
                    }
                }
                Ok(Pass::Partial) => break Flow::Read,
                Ok(Pass::Held) => break Flow::Pause,
                Ok(Pass::Over(answer)) => break self.refuse(conn, answer, false, io),
                Err(refusal) => {
                    let head_only = is_head(conn, io.input());
                    break self.refuse(conn, refusal.into(), head_only, io);
                }
            }
        };
        if answered > 0 && conn.is_between() {
            match (&conn.slots, flow) {
                // How long an answer takes is for the handler to limit.
                (Some(_), _) => io.no_deadline(),
                (None, Flow::Read | Flow::Yield) => {
                    io.deadline(self.idle_until(conn, io.now()));
                }
                (None, _) => {}
            }
        }
        if answered > 0 && !conn.unsent.is_empty() {
            io.out().follow();
        }
        flow
    }

    /// Tells the handler that a new second has begun, if it has.
    #[inline]
    pub(crate) fn tell_date(&mut self, io: &Io<'_, HttpMail>) {
        if self.date.refresh(io.wall().as_secs()) {
            self.handler.date(self.date.date());
        }
    }

    /// Whether requests of this connection are read at the moment.
    #[inline]
    fn reads_on(&self, conn: &Conn<H::Request>) -> bool {
        match (&conn.slots, &conn.request) {
            (None, None) => !conn.closing,
            (_, Some(pending)) => !pending.held && !conn.closing,
            (Some(slots), None) => {
                slots.queue.len() < self.config.outstanding.max(1) as usize
                    && slots.bytes() <= HELD
                    && !slots.waits_for_unsafe()
                    && !conn.closing
            }
        }
    }

    /// What a step that changes nothing returns.
    fn standing(&self, conn: &Conn<H::Request>) -> Flow {
        if self.reads_on(conn) { Flow::Read } else { Flow::Pause }
    }

    #[inline]
    fn head(
        &mut self,
        conn: &mut Conn<H::Request>,
        io: &mut Io<'_, HttpMail>,
    ) -> Result<Pass, Refusal> {
        let input = io.input();
        let mut slots = FieldSlots::new();
        let head = match conn.machine.parse_head(input, &mut slots, &self.config.limits)? {
            Progress::Complete(head) => head,
            Progress::Partial => {
                if !input.is_empty() {
                    let detail = || format!("{} bytes so far", input.len());
                    io.note(Stage::Parser, "part of a head", detail);
                }
                if conn.since.is_none() && !is_blank(input) {
                    conn.since = Some(io.received_at());
                    io.deadline(io.now() + self.config.head_time);
                }
                return Ok(Pass::Partial);
            }
        };
        io.consume(head.bytes());
        io.note(Stage::Parser, "head", || notes::head(&head));
        match head.method() {
            Method::Connect => return Ok(Pass::Over(refuse::CONNECT)),
            Method::Trace => return Ok(Pass::Over(refuse::TRACE)),
            _ => {}
        }
        let manner = Manner::of(&head);
        let since = conn.since.unwrap_or(io.received_at());
        let (_, mut context) = surroundings(io, None, since);
        let request = self.handler.begin(&head, &mut context);
        if head.body() == BodyKind::None {
            self.answer(conn, request, manner, io);
            return Ok(Pass::Answered);
        }
        let expects_continue = head.expects_continue();
        self.receive(conn, request, manner, expects_continue, io)
    }

    /// A request with a body begins.
    fn receive(
        &mut self,
        conn: &mut Conn<H::Request>,
        request: H::Request,
        manner: Manner,
        expects_continue: bool,
        io: &mut Io<'_, HttpMail>,
    ) -> Result<Pass, Refusal> {
        let intake = self.handler.wants_body(&request);
        if intake == Intake::Answer {
            // Whether the body comes now is the client's choice, so nothing after the head can be told
            // from it (RFC 9110 §10.1.1).
            self.answer(conn, request, manner.cut_short(), io);
            return Ok(Pass::Answered);
        }
        let held = intake == Intake::Hold;
        if !held && expects_continue && io.input().is_empty() {
            go_ahead(conn, io);
        }
        conn.since.get_or_insert(io.received_at());
        // What came with the head counts.
        let before = io.received().saturating_sub(io.input().len() as u64);
        let pace = Pace::begin(io.now(), before, &self.config);
        let expects = held && expects_continue;
        conn.request = Some(Pending { request, manner, pace, held, expects });
        if held {
            io.no_deadline();
            return Ok(Pass::Held);
        }
        self.body(conn, io)
    }

    fn body(
        &mut self,
        conn: &mut Conn<H::Request>,
        io: &mut Io<'_, HttpMail>,
    ) -> Result<Pass, Refusal> {
        loop {
            let step = conn.machine.advance_body(io.input(), &self.config.limits)?;
            io.consume(step.consumed());
            match step {
                BodyStep::Data { data, .. } => {
                    let Some(pending) = &mut conn.request else { continue };
                    match self.handler.body(&mut pending.request, data) {
                        Intake::More => {}
                        Intake::Hold => {
                            pending.held = true;
                            io.no_deadline();
                            return Ok(Pass::Held);
                        }
                        Intake::Answer => {
                            self.answer_early(conn, io);
                            return Ok(Pass::Answered);
                        }
                    }
                }
                BodyStep::NeedMore { .. } => {
                    io.note(Stage::Parser, "part of a body", || "more is to come".to_owned());
                    if let Some(pending) = &mut conn.request {
                        self.expect_body(pending, io);
                    }
                    return Ok(Pass::Partial);
                }
                BodyStep::Done { .. } => {
                    io.note(Stage::Parser, "body", || "it is whole".to_owned());
                    if let Some(Pending { request, manner, .. }) = conn.request.take() {
                        self.answer(conn, request, manner, io);
                    }
                    return Ok(Pass::Answered);
                }
            }
        }
    }

    /// The handler of a body was named: asks what is to become of it.
    #[cold]
    pub(crate) fn ask_again(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, HttpMail>) {
        let Some(pending) = &mut conn.request else { return };
        match self.handler.body(&mut pending.request, &[]) {
            Intake::Answer => {
                self.tell_date(io);
                self.answer_early(conn, io);
                io.no_deadline();
            }
            Intake::More if pending.held => {
                pending.held = false;
                if std::mem::take(&mut pending.expects) && io.input().is_empty() {
                    go_ahead(conn, io);
                }
                self.excuse(conn, io);
            }
            Intake::More | Intake::Hold => {}
        }
    }

    /// Answers a request though its body is not whole: the connection closes after that.
    #[cold]
    pub(crate) fn answer_early(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, HttpMail>) {
        if let Some(Pending { request, manner, .. }) = conn.request.take() {
            self.answer(conn, request, manner.cut_short(), io);
            conn.unaware = true;
        }
    }

    #[inline]
    fn answer(
        &mut self,
        conn: &mut Conn<H::Request>,
        request: H::Request,
        manner: Manner,
        io: &mut Io<'_, HttpMail>,
    ) {
        conn.answered = conn.answered.saturating_add(1);
        let keep_alive = manner.keep_alive && !io.stopping() && !self.is_worn(conn, io.now());
        conn.closing = !keep_alive;
        conn.unaware = manner.keep_alive && !keep_alive;
        let since = conn.since.take().unwrap_or(io.received_at());
        let mut side = conn.slots.is_some().then(OutQueue::new);
        let mut rest = Rest::None;
        let (out, context) = surroundings(io, side.as_mut(), since);
        let reply = Reply {
            out,
            context,
            connection: manner.connection(keep_alive),
            head_only: manner.head_only,
            until_close: manner.http10,
            whole: manner.whole,
            date: self.date.date(),
            rest: &mut rest,
            route: RouteId::default(),
        };
        let replied = self.handler.reply(request, reply);
        let kind = Kind::of(replied, manner.method, io.origin());
        io.note(Stage::Handler, "answered", || notes::answer(replied, &rest));
        if let Rest::Ended = rest {
            rest = Rest::None;
            conn.closing = true;
        }
        if matches!((&rest, &side), (Rest::None, None)) {
            // The usual case: the answer is in the output.
            conn.unsent.add(kind, since, io.sent() + io.pending(), || io.pending());
            return self.counters.answered(replied, kind);
        }
        if !matches!(rest, Rest::Later(_)) {
            self.counters.answered(replied, kind);
        }
        let answer = Some((since, kind));
        let slot =
            Slot { state: State::of(rest, manner), out: side.unwrap_or_default(), manner, answer };
        self.put_aside(conn, slot);
    }

    /// Whether a connection has reached its limit of requests or age.
    #[inline]
    fn is_worn(&self, conn: &Conn<H::Request>, now: Nanos) -> bool {
        self.config.requests_max.is_some_and(|most| conn.answered >= most)
            || self.config.age_max.is_some_and(|most| now.since(conn.opened) >= most)
    }

    /// When a connection without a request ends.
    #[inline]
    pub(crate) fn idle_until(&self, conn: &Conn<H::Request>, now: Nanos) -> Nanos {
        let idle = now + self.config.idle_time;
        self.config.age_max.map_or(idle, |most| idle.min(conn.opened + most))
    }

    /// Closes after the last answer. What the client still sends must not reset the connection before
    /// it has read that answer (RFC 9112 §9.6): it may be under way where it was not the client that
    /// wanted to close.
    pub(crate) fn finish(&mut self, conn: &Conn<H::Request>, io: &mut Io<'_, HttpMail>) -> Flow {
        if conn.slots.is_some() {
            return Flow::Pause;
        }
        let unread = !io.input().is_empty() || conn.machine.phase() == Phase::Body;
        if unread || conn.unaware { Flow::Linger } else { Flow::Finish }
    }

    #[cold]
    pub(crate) fn refuse(
        &mut self,
        conn: &mut Conn<H::Request>,
        answer: Answer,
        head_only: bool,
        io: &mut Io<'_, HttpMail>,
    ) -> Flow {
        conn.closing = true;
        // Whoever reads its body learns now that no more will come.
        conn.request = None;
        tracing::debug!(peer = %io.peer(), rule = answer.rule, status = answer.status, "refused");
        io.note(Stage::Parser, "refused", || format!("{}: status {}", answer.rule, answer.status));
        self.counters.refused(answer.rule, answer.status);
        let Some(slots) = &mut conn.slots else {
            refuse::write(answer, head_only, self.date.date(), &mut io.out());
            return Flow::Linger;
        };
        // Behind the answers that are still to come.
        let mut out = OutQueue::new();
        refuse::write(answer, head_only, self.date.date(), &mut io.parts(Some(&mut out)).out);
        slots.queue.push_back(Slot {
            state: State::Ready,
            out,
            manner: Manner::LAST,
            answer: None,
        });
        conn.unaware = true;
        io.no_deadline();
        Flow::Pause
    }

    /// Begins anew what the client has time for: it was not read until now.
    pub(crate) fn excuse(&self, conn: &mut Conn<H::Request>, io: &mut Io<'_, HttpMail>) {
        let now = io.now();
        if let Some(pending) = &mut conn.request {
            if pending.held {
                return;
            }
            pending.pace.forgive(now, &self.config);
            return self.expect_body(pending, io);
        }
        if conn.is_between() && conn.slots.is_some() {
            return io.no_deadline();
        }
        io.deadline(match conn.is_idle() {
            // However old it is: what waits for the client is not to be cut off, and a deadline that
            // has passed would come back with every tick.
            true if io.is_held() => now + self.config.idle_time,
            true => self.idle_until(conn, now),
            false => now + self.config.head_time,
        });
    }

    /// Sets the deadline of a body.
    fn expect_body(&self, pending: &mut Pending<H::Request>, io: &mut Io<'_, HttpMail>) {
        match pending.pace.earn(io.now(), io.received(), &self.config) {
            Some(spent_at) => io.deadline(spent_at),
            None => io.no_deadline(),
        }
    }

    /// The deadline passed: idle connections end quietly, others are told.
    fn expired(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, HttpMail>) -> Flow {
        if io.is_held() {
            // How the client takes what waits for it is for the lane to judge.
            self.excuse(conn, io);
            return self.standing(conn);
        }
        if conn.is_idle() {
            let old = self.config.age_max.is_some_and(|most| io.now().since(conn.opened) >= most);
            self.counters.timed_out(if old { Timeouts::Age } else { Timeouts::Idle });
            return Flow::Finish;
        }
        if conn.is_between() || conn.request.as_ref().is_some_and(|pending| pending.held) {
            io.no_deadline();
            return self.standing(conn);
        }
        if conn.slots.is_some() && conn.request.is_some() {
            // Whether the client was told to go on depends on the answers before.
            self.excuse(conn, io);
            return self.standing(conn);
        }
        let (refusal, what) = match conn.machine.phase() {
            Phase::Head => (Refusal::HeadTimeout, Timeouts::Head),
            Phase::Body => (Refusal::BodyTimeout, Timeouts::Body),
        };
        self.counters.timed_out(what);
        self.date.refresh(io.wall().as_secs());
        let head_only = is_head(conn, io.input());
        self.refuse(conn, refusal.into(), head_only, io)
    }

    /// Memory is short, and this connection holds much of it.
    #[cold]
    fn shed(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, HttpMail>) -> Flow {
        if conn.is_idle() && is_blank(io.input()) {
            // What it holds are answers on their way.
            return Flow::Finish;
        }
        if conn.slots.is_some() {
            // Answers to earlier requests would have to come first.
            return Flow::Abort;
        }
        self.date.refresh(io.wall().as_secs());
        let head_only = is_head(conn, io.input());
        self.refuse(conn, refuse::SHED, head_only, io)
    }
}

/// Tells the client to go on with its body: behind the answers that are still to come.
fn go_ahead<R>(conn: &mut Conn<R>, io: &mut Io<'_, HttpMail>) {
    let Some(slots) = &mut conn.slots else { return io.out().put(CONTINUE) };
    let mut out = OutQueue::new();
    io.parts(Some(&mut out)).out.put(CONTINUE);
    slots.queue.push_back(Slot { state: State::Ready, out, manner: Manner::LAST, answer: None });
}

/// The output, or a queue that stands in for it, and what surrounds a request.
#[inline]
pub(crate) fn surroundings<'a>(
    io: &'a mut Io<'_, HttpMail>,
    own: Option<&'a mut OutQueue>,
    since: Nanos,
) -> (Out<'a>, Context<'a>) {
    let (now, wall, stopping) = (io.now(), io.wall(), io.stopping());
    let (peer, origin, conn) = (io.peer(), io.origin(), io.id());
    let Parts { out, files, random, waker, tracer } = io.parts(own);
    (out, Context { now, wall, since, peer, origin, conn, stopping, files, random, waker, tracer })
}

impl<H: Handler> Protocol for Http<H> {
    type Conn = Conn<H::Request>;
    type Mail = HttpMail;

    fn open(&mut self, io: &mut Io<'_, HttpMail>) -> Option<Self::Conn> {
        let conn = Conn::new(io.now());
        io.deadline(self.idle_until(&conn, io.now()));
        Some(conn)
    }

    #[inline]
    fn step(
        &mut self,
        conn: &mut Self::Conn,
        event: Event<HttpMail>,
        io: &mut Io<'_, HttpMail>,
    ) -> Flow {
        match event {
            Event::Bytes if conn.slots.is_none() => self.serve(conn, io),
            Event::Bytes => self.go_on(conn, io),
            Event::Sent(mark) => {
                conn.unsent.sent(mark.0, io.now(), &mut self.counters);
                self.standing(conn)
            }
            Event::Drained => {
                self.excuse(conn, io);
                // What is there may have been left because the output was full.
                let waits = conn.slots.is_some() || !io.input().is_empty();
                if waits { self.go_on(conn, io) } else { self.standing(conn) }
            }
            Event::Mail(mail) => self.told(conn, mail, io),
            Event::Opened | Event::Nudged => Flow::Read,
            // What was sent before the end has been answered, or will be; what is incomplete never
            // will be.
            Event::Eof => {
                conn.ended = true;
                let held = conn.request.as_ref().is_some_and(|pending| pending.held);
                if conn.slots.is_some() || held { Flow::Pause } else { Flow::Finish }
            }
            Event::Timer => self.expired(conn, io),
            Event::Shed => self.shed(conn, io),
            Event::Stopping if conn.is_idle() && is_blank(io.input()) => Flow::Finish,
            Event::Stopping => self.standing(conn),
        }
    }

    fn close(&mut self, mut conn: Self::Conn, why: Closed, io: &mut Io<'_, HttpMail>) {
        if why == Closed::SlowReader {
            self.counters.timed_out(Timeouts::SlowReader);
        }
        // What left with the last flush is not told to who is closed by then.
        conn.unsent.end(io.sent(), io.now(), &mut self.counters);
        if let Some(slots) = conn.slots.take() {
            self.abandon(*slots, io);
        }
    }

    /// Connections move between two requests, with all answers sent.
    fn depart(&mut self, conn: Self::Conn, _id: ConnId) -> Result<Luggage, Self::Conn> {
        conn.pack()
    }

    fn arrive(&mut self, luggage: Luggage, _io: &mut Io<'_, HttpMail>) -> Option<Self::Conn> {
        Conn::unpack(&luggage)
    }

    fn turn(&mut self, turn: &mut Turn<'_, HttpMail>) {
        let Http { handler, backlog, config, .. } = self;
        handler.turn(&mut Wakes { turn, backlog, config });
        if !self.backlog.is_empty() {
            self.tell(turn);
        }
        self.counters.publish_answered();
        self.counters.futures(self.handler.in_flight());
    }

    #[inline]
    fn settled(&mut self) {
        self.counters.publish_latencies();
    }
}
