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
                        break self.finish(io);
                    }
                    if io.input().is_empty() {
                        break Flow::Read;
                    }
                }
                Ok(Pass::Partial) => break Flow::Read,
                Ok(Pass::Over(answer)) => break self.refuse(conn, answer, io),
                Err(refusal) => {
                    self.counters.refused(refusal);
                    break self.refuse(conn, refusal.into(), io);
                }
            }
        };
        if answered > 0 && flow == Flow::Read && conn.is_idle() {
            io.deadline(io.now() + self.config.idle_time);
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
                if !input.is_empty() && conn.since.is_none() {
                    conn.since = Some(io.now());
                    io.deadline(io.now() + self.config.head_time);
                }
                return Ok(Pass::Partial);
            }
        };
        io.consume(head.bytes());
        if matches!(head.method(), Method::Connect) {
            return Ok(Pass::Over(refuse::CONNECT));
        }
        let manner = manner(&head);
        let request = self.handler.begin(&head);
        if head.body() == BodyKind::None {
            self.answer(conn, request, manner, io);
            return Ok(Pass::Answered);
        }
        if head.expects_continue() && io.input().is_empty() && !manner.http10 {
            io.out().put(CONTINUE);
        }
        conn.since.get_or_insert(io.now());
        io.deadline(io.now() + self.config.body_time);
        conn.request = Some(Pending { request, manner });
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
                BodyStep::NeedMore { .. } => return Ok(Pass::Partial),
                BodyStep::Done { .. } => {
                    if let Some(Pending { request, manner }) = conn.request.take() {
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
        let keep_alive = manner.keep_alive && !io.stopping();
        let connection = match (keep_alive, manner.http10) {
            (false, _) => Connection::Close,
            (true, true) => Connection::KeepAlive,
            (true, false) => Connection::Implied,
        };
        conn.closing = !keep_alive;
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

    /// Closes after the last answer. What the client still sends must not reset the connection before
    /// it has read that answer (RFC 9112 §9.6).
    fn finish<M>(&mut self, io: &mut Io<'_, M>) -> Flow {
        if io.input().is_empty() { Flow::Finish } else { Flow::Linger }
    }

    #[cold]
    fn refuse<M>(
        &mut self,
        conn: &mut Conn<H::Request>,
        answer: Answer,
        io: &mut Io<'_, M>,
    ) -> Flow {
        conn.closing = true;
        self.counters.response(answer.status);
        refuse::write(answer, self.date.date(), &mut io.out());
        Flow::Linger
    }

    /// The deadline passed: idle connections end quietly, others are told.
    fn expired<M>(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, M>) -> Flow {
        if conn.is_idle() {
            return if io.pending() > 0 { self.judge_reader(conn, io) } else { Flow::Finish };
        }
        let refusal = match conn.machine.phase() {
            Phase::Head => Refusal::HeadTimeout,
            Phase::Body => Refusal::BodyTimeout,
        };
        self.date.refresh(io.wall().as_secs());
        self.counters.refused(refusal);
        self.refuse(conn, refusal.into(), io)
    }

    /// The deadline passed while answers wait to be read: the client may go on as long as it reads at
    /// a decent rate.
    fn judge_reader<M>(&mut self, conn: &mut Conn<H::Request>, io: &mut Io<'_, M>) -> Flow {
        let least = self.config.read_rate.saturating_mul(self.config.idle_time.as_secs().max(1));
        if io.sent() - conn.sent_before < least {
            return Flow::Abort;
        }
        conn.sent_before = io.sent();
        io.deadline(io.now() + self.config.idle_time);
        Flow::Read
    }

    fn sent(&mut self, conn: &mut Conn<H::Request>, now: Nanos) {
        let latency = now.since(conn.unsent_since).0;
        self.counters.latency(latency, u64::from(std::mem::take(&mut conn.unsent)));
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
        io.deadline(io.now() + self.config.idle_time);
        Some(Conn::new())
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
            Event::Opened | Event::Drained | Event::Mail(()) => Flow::Read,
            // What was sent before the end has been answered; what is incomplete never will be.
            Event::Eof => Flow::Finish,
            Event::Timer => self.expired(conn, io),
            Event::Stopping if conn.is_idle() && io.input().is_empty() => Flow::Finish,
            Event::Stopping => Flow::Read,
        }
    }

    fn close(&mut self, _conn: Self::Conn, _why: Closed, _io: &mut Io<'_, ()>) {}

    fn turn(&mut self, _turn: &mut Turn<'_, ()>) {
        self.counters.publish();
    }
}
