//! What answers requests.

use corelane_eventloop::{ConnId, Files, Nanos, Turn};
use corelane_parser::http1::{Head, HttpDate};

use crate::config::HttpConfig;
use crate::context::Context;
use crate::metrics::RouteNames;
use crate::reply::{Replied, Reply};

/// Answers the requests of one lane: once per request. Usually that is after its body has arrived whole and
/// been checked; a handler may answer before ([`Handler::wants_body`], [`Intake::Answer`]), or promise to
/// answer later. Answers leave in the order of their requests.
///
/// ```
/// use corelane_http::{Context, Handler, Intake, Replied, Reply};
/// use corelane_parser::http1::Head;
///
/// /// Answers with the path of the request and the size of its body.
/// struct Mirror;
///
/// impl Handler for Mirror {
///     type Request = (String, usize);
///     fn begin(&mut self, head: &Head<'_>, _context: &mut Context<'_>) -> (String, usize) {
///         (head.path().to_owned(), 0)
///     }
///     fn body(&mut self, request: &mut (String, usize), data: &[u8]) -> Intake {
///         request.1 += data.len();
///         Intake::More
///     }
///     fn reply(&mut self, (path, size): (String, usize), reply: Reply<'_>) -> Replied {
///         let body = format!("{path}: {size} bytes\n");
///         reply.send(200, &[("Content-Type", "text/plain")], body.as_bytes())
///     }
/// }
/// ```
pub trait Handler {
    /// What is kept of a request while its body arrives. `()` if nothing is needed. Dropped if the
    /// client leaves first.
    type Request;

    /// Names the routes that answers are counted under ([`Reply::of_route`]). Called once, before the
    /// first request. By default there are none.
    fn name_routes(&mut self, routes: &RouteNames) {
        let _ = routes;
    }

    /// A request's head is there. It is a view of the input, and gone once this returns.
    fn begin(&mut self, head: &Head<'_>, context: &mut Context<'_>) -> Self::Request;

    /// Whether the body of this request, which has one, is wanted. Asked once, after
    /// [`begin`](Handler::begin) and before the client is told to go on (`Expect: 100-continue`). After
    /// [`Intake::Hold`] it is neither told so nor read until that is decided, for which there is no
    /// deadline but the handler's own. After [`Intake::Answer`], [`reply`](Handler::reply) comes at
    /// once, and the connection closes after the answer (RFC 9110 §10.1.1).
    fn wants_body(&mut self, request: &Self::Request) -> Intake {
        let _ = request;
        Intake::More
    }

    /// The next piece of the request's body; none, when [`Wakes::pull`] or [`Wakes::answer`] has named
    /// the connection: a body that was held may go on then, or an answer be due before it is whole.
    fn body(&mut self, request: &mut Self::Request, data: &[u8]) -> Intake {
        let _ = (request, data);
        Intake::More
    }

    /// The request is complete: answer it, or promise to ([`Reply::later`]). The return value is what
    /// the methods of [`Reply`] return, so that no request can be left without an answer.
    fn reply(&mut self, request: Self::Request, reply: Reply<'_>) -> Replied;

    /// The answer that was promised under this ticket, and announced with [`Wakes::answer`], is due.
    /// A handler that is not ready after all may promise again.
    fn resume(&mut self, ticket: Ticket, reply: Reply<'_>) -> Replied {
        let _ = ticket;
        reply.send(500, &[], b"")
    }

    /// The client to whom an answer was promised is gone.
    fn cancel(&mut self, conn: ConnId, ticket: Ticket) {
        let _ = (conn, ticket);
    }

    /// How many requests are worked on by futures, for the metrics.
    fn in_flight(&self) -> usize {
        0
    }

    /// Once per turn: the place to work on what was promised.
    fn turn(&mut self, wakes: &mut Wakes<'_, '_>) {
        let _ = wakes;
    }

    /// A new second has begun; comes before the first answer of that second. The place to set the
    /// date of prerendered answers.
    fn date(&mut self, date: &HttpDate) {
        let _ = date;
    }
}

/// What is to become of a request whose body is arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// Go on with the body.
    More,
    /// Read no more of it before [`Wakes::pull`] or [`Wakes::answer`] names the connection, and
    /// [`Handler::body`], asked again, says otherwise: what has come waits to be worked on.
    Hold,
    /// Answer now. What is missing of the body is not wanted, and the connection closes after the
    /// answer.
    Answer,
}

/// An answer that was promised, by a number of the handler's choice. It must differ from those of
/// other answers that the same connection waits for.
pub type Ticket = u64;

/// What connections of this protocol are told by mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMail {
    /// The answer promised under this ticket is ready.
    Answer(Ticket),
    /// A stream, or the body of a request, can go on.
    Pull,
}

/// A handler's part of the turn: which connections can go on, and when it wants the next one.
pub struct Wakes<'a, 't> {
    pub(crate) turn: &'a mut Turn<'t, HttpMail>,
    pub(crate) backlog: &'a mut Vec<(ConnId, HttpMail)>,
    pub(crate) config: &'a mut HttpConfig,
}

impl Wakes<'_, '_> {
    /// The lane's clock.
    pub fn now(&self) -> Nanos {
        self.turn.now()
    }

    /// Time since the Unix epoch.
    pub fn wall(&self) -> Nanos {
        self.turn.wall()
    }

    /// True once the server was asked to stop.
    pub fn stopping(&self) -> bool {
        self.turn.stopping()
    }

    /// The answer promised to this connection under this ticket is ready:
    /// [`Handler::resume`] will be asked for it.
    pub fn answer(&mut self, conn: ConnId, ticket: Ticket) {
        self.backlog.push((conn, HttpMail::Answer(ticket)));
    }

    /// The stream that this connection sends, or the body that it receives, can go on.
    pub fn pull(&mut self, conn: ConnId) {
        self.backlog.push((conn, HttpMail::Pull));
    }

    /// The files the driver gives access to.
    pub fn files(&mut self) -> &mut dyn Files {
        self.turn.files()
    }

    /// Other limits and timeouts from now on: for requests that begin, and waits that begin.
    pub fn configure(&mut self, config: HttpConfig) {
        *self.config = config;
    }

    /// Asks for a turn at that time at the latest.
    pub fn wake_at(&mut self, at: Nanos) {
        self.turn.wake_at(at);
    }
}
