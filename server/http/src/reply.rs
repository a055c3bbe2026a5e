//! One answer, and the ways to give it.

use corelane_eventloop::{COPY_LIMIT, Chunk, Out};
use corelane_mempool::Shared;
use corelane_parser::http1::encode::{Connection, EncodeError, ResponseHead};
use corelane_parser::http1::{FieldBlock, HttpDate, Prerendered};

use crate::content::{Content, Produce};
use crate::context::Context;
use crate::handler::Ticket;
use crate::metrics::RouteId;

/// The chance to answer one request, used up by answering.
///
/// The protocol decides about the connection, leaves the body out of answers to HEAD, and writes Date
/// and framing; a handler cannot get those wrong.
pub struct Reply<'a> {
    pub(crate) out: Out<'a>,
    pub(crate) context: Context<'a>,
    pub(crate) connection: Connection,
    pub(crate) head_only: bool,
    /// The client knows no chunks: a body of unknown length ends with the connection.
    pub(crate) until_close: bool,
    /// All of the request's body has come.
    pub(crate) whole: bool,
    pub(crate) date: &'a HttpDate,
    pub(crate) rest: &'a mut Rest,
    /// What the answer is counted under.
    pub(crate) route: RouteId,
}

/// What remains of an answer after its handler returned.
#[derive(Default)]
pub(crate) enum Rest {
    /// Nothing: it is in the output.
    #[default]
    None,
    /// All of it: it was promised.
    Later(Ticket),
    /// What is made while it is sent.
    Stream(Box<dyn Produce>),
    /// Nothing, but its head says that the connection ends with it.
    Ended,
}

/// Proof that a request was answered, or that the answer was promised.
#[derive(Clone, Copy, Debug)]
#[must_use = "a handler returns it, to show that it has answered"]
pub struct Replied {
    pub(crate) status: u16,
    pub(crate) route: RouteId,
    pub(crate) fault: Fault,
}

/// What was wrong with a handler, whose answer was replaced by another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Its answer was malformed.
    Malformed,
    /// It panicked.
    Panicked,
    /// It took too long.
    TimedOut,
}

impl Replied {
    /// The status that was sent: 500 if the answer was malformed; 0 if it was promised.
    pub fn status(self) -> u16 {
        self.status
    }
}

/// Room for what a head has besides the handler's fields: status line, Date, framing, connection.
const HEAD_ROOM: usize = 256;

/// Bodies below this many bytes are copied behind their head: it costs less than another piece to
/// gather. More than elsewhere, because otherwise the head would be a piece of its own.
pub(crate) const BEHIND_HEAD: usize = 2 * COPY_LIMIT;

/// What stands in the place of an answer that the handler got wrong.
pub(crate) const MALFORMED: &[u8] = b"the handler's answer was malformed\n";

/// Whether [`Reply::respond`] makes a 500 of a response with this status and content.
pub(crate) fn refuses(status: u16, content: &Content) -> bool {
    match content.len() {
        _ if !(200..600).contains(&status) => true,
        Some(0) => false,
        Some(_) => matches!(status, 204 | 205),
        None => matches!(status, 204 | 205 | 304) || !matches!(content, Content::Stream(_)),
    }
}

impl<'a> Reply<'a> {
    /// What surrounds the request.
    pub fn context(&mut self) -> &mut Context<'a> {
        &mut self.context
    }

    /// Has the answer counted under this route ([`RouteNames::route`](crate::RouteNames::route)).
    pub fn of_route(mut self, route: RouteId) -> Reply<'a> {
        self.route = route;
        self
    }

    /// What shows that it was answered.
    #[inline]
    pub(crate) fn replied(&self, status: u16) -> Replied {
        Replied { status, route: self.route, fault: Fault::None }
    }

    /// Whether all of the request's body has come: not if it was not wanted, or the handler answers
    /// early.
    pub fn body_is_whole(&self) -> bool {
        self.whole
    }

    /// Answers with a response rendered in advance: one copy. Its date is the caller's to keep
    /// ([`Handler::date`](crate::Handler::date)); `status` is what is counted.
    ///
    /// Heads whose body is elsewhere ([`Prerendered::without_body`]) make the answer a 500.
    #[inline]
    pub fn prerendered(mut self, response: &Prerendered, status: u16) -> Replied {
        if response.body().len() as u64 != response.content_bytes() {
            return self.malformed();
        }
        if self.connection == Connection::Implied && !self.head_only {
            self.out.put(response.response());
        } else {
            self.out.put(response.head(self.connection));
            if !self.head_only {
                self.out.put(response.body());
            }
        }
        self.replied(status)
    }

    /// Answers with heads rendered in advance ([`Prerendered::without_body`]) and a body that many
    /// answers share: it is sent from where it is.
    ///
    /// A body of another length than the heads announce makes the answer a 500.
    pub fn shared(mut self, heads: &Prerendered, status: u16, body: &Shared) -> Replied {
        if body.len() as u64 != heads.content_bytes() {
            return self.malformed();
        }
        self.out.put(heads.head(self.connection));
        if !self.head_only {
            self.out.push(Chunk::Shared(body.clone()));
        }
        self.replied(status)
    }

    /// Answers with these fields and this body. Date, Content-Length and Connection are added.
    ///
    /// A field that is malformed, or belongs to the protocol, makes the answer a 500, which is
    /// counted: nothing of what the handler wrote is sent then.
    pub fn send(mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) -> Replied {
        let lines = fields.iter().map(|(name, value)| name.len() + value.len() + 4);
        let framing = Framing::of(status, Some(body.len() as u64));
        let fields = |head: &mut ResponseHead<'_>| {
            for (name, value) in fields {
                head.field(name, value.as_bytes());
            }
        };
        if self.head(status, HEAD_ROOM + lines.sum::<usize>(), fields, framing).is_err() {
            return self.malformed();
        }
        if self.has_body(status) {
            self.out.put(body);
        }
        self.replied(status)
    }

    /// Answers with these fields and this content. Date, framing and Connection are added.
    ///
    /// Content where the status allows none (204, 205, and 304 if its length is unknown), and a status
    /// below 200 or above 599, make the answer a 500, which is counted.
    pub fn respond(mut self, status: u16, fields: &FieldBlock, content: Content) -> Replied {
        // Chunks around a part of unknown length cannot be told from the parts.
        if refuses(status, &content) {
            return self.malformed();
        }
        let framing = match content.len() {
            Some(len) => Framing::of(status, Some(len)),
            None if self.until_close => Framing::UntilClose,
            None => Framing::Chunked,
        };
        let mut room = HEAD_ROOM + fields.as_bytes().len();
        let body = self.has_body(status);
        // A small body stands behind its head: one page for both.
        let small = match &content {
            Content::Bytes(bytes) => &bytes[..],
            Content::Shared(bytes) => bytes,
            _ => &[],
        };
        let small = if body && small.len() < BEHIND_HEAD { small } else { &[] };
        room += small.len();
        let written = self.head(
            status,
            room,
            |head| {
                head.block(fields);
            },
            framing,
        );
        if written.is_err() {
            return self.malformed();
        }
        if !body && self.until_close && matches!(content, Content::Stream(_)) {
            *self.rest = Rest::Ended;
        }
        if !small.is_empty() {
            self.out.put(small);
        } else if body {
            match content {
                Content::Stream(stream) => *self.rest = Rest::Stream(stream),
                content => content.put(&mut self.out),
            }
        }
        self.replied(status)
    }

    /// Promises an answer. [`Handler::resume`](crate::Handler::resume) is asked for it once
    /// [`Wakes::answer`](crate::Wakes::answer) has named the ticket. The answers to later requests of
    /// the connection wait behind it.
    pub fn later(self, ticket: Ticket) -> Replied {
        *self.rest = Rest::Later(ticket);
        self.replied(0)
    }

    /// Answers for a handler that got its answer wrong.
    #[cold]
    pub(crate) fn malformed(mut self) -> Replied {
        tracing::error!(
            conn = %self.context.conn(),
            peer = %self.context.peer(),
            "a handler's answer was malformed: a field or a status that cannot be sent"
        );
        let framing = Framing::Length(MALFORMED.len() as u64);
        let typed = |head: &mut ResponseHead<'_>| {
            head.field("Content-Type", b"text/plain");
        };
        // Cannot fail: every part of it is right.
        if self.head(500, HEAD_ROOM, typed, framing).is_ok() && !self.head_only {
            self.out.put(MALFORMED);
        }
        Replied { fault: Fault::Malformed, ..self.replied(500) }
    }

    fn has_body(&self, status: u16) -> bool {
        !self.head_only && !matches!(status, 204 | 304)
    }

    /// Writes a head.
    fn head(
        &mut self,
        status: u16,
        room: usize,
        fields: impl FnOnce(&mut ResponseHead<'_>),
        framing: Framing,
    ) -> Result<(), EncodeError> {
        // Informational answers are not final ones, and the protocol's to give.
        if status < 200 {
            return Err(EncodeError::Status);
        }
        if matches!(status, 204 | 205) && !matches!(framing, Framing::None | Framing::Length(0)) {
            return Err(EncodeError::BodyForbidden);
        }
        // No more than is needed: pages that are left half empty are memory that a client who does
        // not read can take.
        let room = self.out.room(room);
        if room.is_empty() {
            // The budget refused: the lane closes the connection after this step.
            return Ok(());
        }
        let mut head = ResponseHead::new(room, status);
        head.date(self.date);
        fields(&mut head);
        match framing {
            Framing::None => {}
            Framing::Length(bytes) => {
                head.length(bytes);
            }
            Framing::Chunked => {
                head.chunked();
            }
            // The line about the connection is part of it.
            Framing::UntilClose => {
                head.until_close();
                self.connection = Connection::Implied;
            }
        }
        let bytes = head.connection(self.connection).finish()?;
        self.out.commit(bytes);
        Ok(())
    }
}

/// What a head says about where the body ends.
enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    fn of(status: u16, len: Option<u64>) -> Framing {
        match (status, len) {
            (204 | 304, Some(0)) | (_, None) => Framing::None,
            (_, Some(len)) => Framing::Length(len),
        }
    }
}
