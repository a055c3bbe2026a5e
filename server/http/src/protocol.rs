//! HTTP/1.1 as a [`Protocol`].

use corelane_eventloop::{Closed, Event, Flow, Io, Nanos, Protocol, Turn};
use corelane_parser::Refusal;
use corelane_parser::http1::encode::Connection;
use corelane_parser::http1::{
    BodyKind, BodyStep, DateCache, FieldSlots, Head, Method, Phase, Progress, Version,
};

use crate::config::HttpConfig;
use crate::conn::{Conn, Manner, Pending};
use crate::handler::Handler;
use crate::metrics::HttpCounters;
use crate::pace::Pace;
use crate::refuse::{self, Answer};
use crate::reply::Reply;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One lane's HTTP engine, around a handler.
pub struct Http<H> {
    handler: H,
    config: HttpConfig,
    date: DateCache,
    counters: HttpCounters,
}

/// How one pass over the input ended.
enum Pass {
    /// A request was answered; there may be another.
    Answered,
    /// More input is needed.
    Partial,
    /// The connection is over, after an answer.
    Over(Answer),
}

impl<H: Handler> Http<H> {
    /// An engine that answers with `handler` and counts into `counters`.
    pub fn new(handler: H, config: HttpConfig, counters: HttpCounters) -> Http<H> {
        Http { handler, config, date: DateCache::new(0), counters }
    }

    /// The handler.
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Answers what is in the input, as far as this connection's share of the turn goes.
    #[inline]
    fn serve<M>(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, M>) -> Flow {
        if self.date.refresh(io.wall().as_secs()) {
            self.handler.date(self.date.date());
        }
        let mut answered = 0;
        let flow = loop {
            if io.is_full() {
                break Flow::Read;
            }
            if answered == self.config.turn_requests {
                break Flow::Yield;
            }
            let pass = match conn.machine.phase() {
                Phase::Head => self.head(conn, io),
                Phase::Body => self.body(conn, io),
            };
            match pass {
                Ok(Pass::Answered) => {
                    answered += 1;
                    if conn.closing {
                        break self.finish(conn, io);
                    }
                    if io.input().is_empty() {
                        break Flow::Read;
                    }
                }
                Ok(Pass::Partial) => break Flow::Read,
                Ok(Pass::Over(answer)) => break self.refuse(conn, answer, false, io),
                Err(refusal) => {
                    let head_only = is_head(conn, io.input());
                    break self.refuse(conn, refusal.into(), head_only, io);
                }
            }
        };
        if answered > 0 && flow == Flow::Read && conn.is_idle() {
            io.deadline(self.idle_until(conn, io.now()));
        }
        if answered > 0 && conn.unsent > 0 {
            io.out().mark();
        }
        flow
    }

    #[inline]
    fn head<M>(
        &mut self,
        conn: &mut Conn<H::Request>,
        io: &mut Io<'_, M>,
    ) -> Result<Pass, Refusal> {
        let input = io.input();
        let mut slots = FieldSlots::new();
        let head = match conn.machine.parse_head(input, &mut slots, &self.config.limits)? {
            Progress::Complete(head) => head,
            Progress::Partial => {
                if conn.since.is_none() && !is_blank(input) {
                    conn.since = Some(io.now());
                    io.deadline(io.now() + self.config.head_time);
                }
                return Ok(Pass::Partial);
            }
        };
        io.consume(head.bytes());
        match head.method() {
            Method::Connect => return Ok(Pass::Over(refuse::CONNECT)),
            Method::Trace => return Ok(Pass::Over(refuse::TRACE)),
            _ => {}
        }
        let manner = manner(&head);
        let request = self.handler.begin(&head);
        if head.body() == BodyKind::None {
            self.answer(conn, request, manner, io);
            return Ok(Pass::Answered);
        }
        let expects_continue = head.expects_continue();
        self.receive(conn, request, manner, expects_continue, io)
    }

    /// A request with a body begins.
    fn receive<M>(
        &mut self,
        conn: &mut Conn<H::Request>,
        request: H::Request,
        manner: Manner,
        expects_continue: bool,
        io: &mut Io<'_, M>,
    ) -> Result<Pass, Refusal> {
        if !self.handler.wants_body(&request) {
            // Whether the body comes now is the client's choice, so nothing after the head can be told
            // from it (RFC 9110 §10.1.1).
            self.answer(conn, request, Manner { keep_alive: false, ..manner }, io);
            return Ok(Pass::Answered);
        }
        if expects_continue && io.input().is_empty() {
            io.out().put(CONTINUE);
        }
        conn.since.get_or_insert(io.now());
        // What came with the head counts.
        let before = io.received().saturating_sub(io.input().len() as u64);
        let pace = Pace::begin(io.now(), before, &self.config);
        conn.request = Some(Pending { request, manner, pace });
        self.body(conn, io)
    }

    fn body<M>(
        &mut self,
        conn: &mut Conn<H::Request>,
        io: &mut Io<'_, M>,
    ) -> Result<Pass, Refusal> {
        loop {
            let step = conn.machine.advance_body(io.input(), &self.config.limits)?;
            io.consume(step.consumed());
            match step {
                BodyStep::Data { data, .. } => {
                    if let Some(pending) = &mut conn.request {
                        self.handler.body(&mut pending.request, data);
                    }
                }
                BodyStep::NeedMore { .. } => {
                    if let Some(pending) = &mut conn.request {
                        self.expect_body(pending, io);
                    }
                    return Ok(Pass::Partial);
                }
                BodyStep::Done { .. } => {
                    if let Some(Pending { request, manner, .. }) = conn.request.take() {
                        self.answer(conn, request, manner, io);
                    }
                    return Ok(Pass::Answered);
                }
            }
        }
    }

    #[inline]
    fn answer<M>(
        &mut self,
        conn: &mut Conn<H::Request>,
        request: H::Request,
        manner: Manner,
        io: &mut Io<'_, M>,
    ) {
        conn.answered = conn.answered.saturating_add(1);
        let keep_alive = manner.keep_alive && !io.stopping() && !self.is_worn(conn, io.now());
        let connection = match (keep_alive, manner.http10) {
            (false, _) => Connection::Close,
            (true, true) => Connection::KeepAlive,
            (true, false) => Connection::Implied,
        };
        conn.closing = !keep_alive;
        conn.unaware = manner.keep_alive && !keep_alive;
        let since = conn.since.take().unwrap_or(io.now());
        if conn.unsent == 0 {
            conn.unsent_since = since;
        }
        conn.unsent += 1;
        let reply = Reply {
            out: io.out(),
            connection,
            head_only: manner.head_only,
            date: self.date.date(),
        };
        let replied = self.handler.reply(request, reply);
        self.counters.answered(replied);
    }

    /// Whether a connection has reached its limit of requests or age.
    #[inline]
    fn is_worn(&self, conn: &Conn<H::Request>, now: Nanos) -> bool {
        self.config.requests_max.is_some_and(|most| conn.answered >= most)
            || self.config.age_max.is_some_and(|most| now.since(conn.opened) >= most)
    }

    /// When a connection without a request ends.
    #[inline]
    fn idle_until(&self, conn: &Conn<H::Request>, now: Nanos) -> Nanos {
        let idle = now + self.config.idle_time;
        self.config.age_max.map_or(idle, |most| idle.min(conn.opened + most))
    }

    /// Closes after the last answer. What the client still sends must not reset the connection before
    /// it has read that answer (RFC 9112 §9.6): it may be under way where it was not the client that
    /// wanted to close.
    fn finish<M>(&mut self, conn: &Conn<H::Request>, io: &mut Io<'_, M>) -> Flow {
        let unread = !io.input().is_empty() || conn.machine.phase() == Phase::Body;
        if unread || conn.unaware { Flow::Linger } else { Flow::Finish }
    }

    #[cold]
    fn refuse<M>(
        &mut self,
        conn: &mut Conn<H::Request>,
        answer: Answer,
        head_only: bool,
        io: &mut Io<'_, M>,
    ) -> Flow {
        conn.closing = true;
        tracing::debug!(peer = %io.peer(), rule = answer.rule, status = answer.status, "refused");
        self.counters.refused(answer.rule);
        self.counters.response(answer.status);
        refuse::write(answer, head_only, self.date.date(), &mut io.out());
        Flow::Linger
    }

    /// Begins anew what the client has time for: it was not read until now.
    fn excuse<M>(&self, conn: &mut Conn<H::Request>, io: &mut Io<'_, M>) {
        let now = io.now();
        if let Some(pending) = &mut conn.request {
            pending.pace.forgive(now, &self.config);
            return self.expect_body(pending, io);
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
    fn expect_body<M>(&self, pending: &mut Pending<H::Request>, io: &mut Io<'_, M>) {
        match pending.pace.earn(io.now(), io.received(), &self.config) {
            Some(spent_at) => io.deadline(spent_at),
            None => io.no_deadline(),
        }
    }

    /// The deadline passed: idle connections end quietly, others are told.
    fn expired<M>(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, M>) -> Flow {
        if io.is_held() {
            // How the client takes what waits for it is for the lane to judge.
            self.excuse(conn, io);
            return Flow::Read;
        }
        if conn.is_idle() {
            return Flow::Finish;
        }
        let refusal = match conn.machine.phase() {
            Phase::Head => Refusal::HeadTimeout,
            Phase::Body => Refusal::BodyTimeout,
        };
        self.date.refresh(io.wall().as_secs());
        let head_only = is_head(conn, io.input());
        self.refuse(conn, refusal.into(), head_only, io)
    }

    /// Memory is short, and this connection holds much of it.
    #[cold]
    fn shed<M>(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, M>) -> Flow {
        if conn.is_idle() && is_blank(io.input()) {
            // What it holds are answers on their way.
            return Flow::Finish;
        }
        self.date.refresh(io.wall().as_secs());
        let head_only = is_head(conn, io.input());
        self.refuse(conn, refuse::SHED, head_only, io)
    }

    fn sent(&mut self, conn: &mut Conn<H::Request>, now: Nanos) {
        let latency = now.since(conn.unsent_since).0;
        self.counters.latency(latency, u64::from(std::mem::take(&mut conn.unsent)));
    }
}

/// Whether `input` is the rest of empty lines, which begin no request: some clients send one behind a body
/// (RFC 9112 §2.2), and then nothing for as long as a connection may be idle.
fn is_blank(input: &[u8]) -> bool {
    input.iter().all(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Whether the request under way, which cannot be answered as asked, is HEAD.
#[cold]
fn is_head<R>(conn: &Conn<R>, input: &[u8]) -> bool {
    match &conn.request {
        Some(pending) => pending.manner.head_only,
        None => {
            let line = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
            line.is_some_and(|at| input[at..].starts_with(b"HEAD "))
        }
    }
}

fn manner(head: &Head<'_>) -> Manner {
    Manner {
        keep_alive: head.keep_alive(),
        http10: head.version() == Version::Http10,
        head_only: matches!(head.method(), Method::Head),
    }
}

impl<H: Handler> Protocol for Http<H> {
    type Conn = Conn<H::Request>;
    type Mail = ();

    fn open(&mut self, io: &mut Io<'_, ()>) -> Option<Self::Conn> {
        let conn = Conn::new(io.now());
        io.deadline(self.idle_until(&conn, io.now()));
        Some(conn)
    }

    #[inline]
    fn step(&mut self, conn: &mut Self::Conn, event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        match event {
            Event::Bytes => self.serve(conn, io),
            Event::Sent(_) => {
                // Later answers may still wait: then a later mark is still to come.
                if io.pending() == 0 {
                    self.sent(conn, io.now());
                }
                Flow::Read
            }
            Event::Drained => {
                self.excuse(conn, io);
                Flow::Read
            }
            Event::Opened | Event::Mail(()) => Flow::Read,
            // What was sent before the end has been answered; what is incomplete never will be.
            Event::Eof => Flow::Finish,
            Event::Timer => self.expired(conn, io),
            Event::Shed => self.shed(conn, io),
            Event::Stopping if conn.is_idle() && is_blank(io.input()) => Flow::Finish,
            Event::Stopping => Flow::Read,
        }
    }

    fn close(&mut self, _conn: Self::Conn, _why: Closed, _io: &mut Io<'_, ()>) {}

    fn turn(&mut self, _turn: &mut Turn<'_, ()>) {
        self.counters.publish();
    }
}
