//! One connection's state.

use corelane_eventloop::{Luggage, Nanos};
use corelane_parser::http1::encode::Connection;
use corelane_parser::http1::{Head, Method, Phase, RequestMachine, Version};

use crate::metrics::{Unsent, method_index};
use crate::pace::Pace;
use crate::slots::Slots;

/// One HTTP connection. Plain data, small: most connections are idle most of the time.
pub struct Conn<R> {
    pub(crate) machine: RequestMachine,
    /// The request whose body is arriving.
    pub(crate) request: Option<Pending<R>>,
    /// Requests whose answers cannot leave yet, if there are any.
    pub(crate) slots: Option<Box<Slots>>,
    /// When the current request's first byte came, if its head is not whole or its body is to come;
    /// `None` between requests. Whole ones that wait in the input came [last](corelane_eventloop::Io::received_at).
    pub(crate) since: Option<Nanos>,
    /// Answered and not yet handed to the kernel.
    pub(crate) unsent: Unsent,
    /// How many requests were answered.
    pub(crate) answered: u32,
    /// When the connection came in.
    pub(crate) opened: Nanos,
    /// The last answer said `Connection: close`, or a refusal did.
    pub(crate) closing: bool,
    /// …although the client had not asked for it, and may have sent more.
    pub(crate) unaware: bool,
    /// The client will send no more.
    pub(crate) ended: bool,
}

/// What a connection takes along that moves to another lane: only one between two requests does.
struct Traveller {
    answered: u32,
    opened: Nanos,
}

/// A request between its head and the end of its body.
pub(crate) struct Pending<R> {
    pub(crate) request: R,
    pub(crate) manner: Manner,
    pub(crate) pace: Pace,
    /// The handler has enough for now.
    pub(crate) held: bool,
    /// The client waits to be told to go on (`Expect: 100-continue`).
    pub(crate) expects: bool,
}

/// What the answer depends on, besides the handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) keep_alive: bool,
    pub(crate) http10: bool,
    pub(crate) head_only: bool,
    /// The request changes nothing (RFC 9110 §9.2.1).
    pub(crate) safe: bool,
    /// All of its body has come.
    pub(crate) whole: bool,
    /// The method's place among those that are counted.
    pub(crate) method: u8,
}

impl Manner {
    /// For what is not the answer to a request, or to none that could be read.
    pub(crate) const LAST: Manner = Manner {
        keep_alive: false,
        http10: false,
        head_only: false,
        safe: true,
        whole: true,
        method: 0,
    };

    /// What the head of a request asks for.
    pub(crate) fn of(head: &Head<'_>) -> Manner {
        Manner {
            keep_alive: head.keep_alive(),
            http10: head.version() == Version::Http10,
            head_only: matches!(head.method(), Method::Head),
            safe: matches!(head.method(), Method::Get | Method::Head | Method::Options),
            whole: true,
            method: method_index(head.method()),
        }
    }

    /// For a request that is answered before its body is whole.
    pub(crate) fn cut_short(self) -> Manner {
        Manner { keep_alive: false, whole: false, ..self }
    }

    /// What the answer says about the connection.
    #[inline]
    pub(crate) fn connection(self, keep_alive: bool) -> Connection {
        match (keep_alive, self.http10) {
            (false, _) => Connection::Close,
            (true, true) => Connection::KeepAlive,
            (true, false) => Connection::Implied,
        }
    }
}

impl<R> Conn<R> {
    pub(crate) fn new(now: Nanos) -> Conn<R> {
        Conn {
            machine: RequestMachine::new(),
            request: None,
            slots: None,
            since: None,
            unsent: Unsent::NONE,
            answered: 0,
            opened: now,
            closing: false,
            unaware: false,
            ended: false,
        }
    }

    /// What it is on the way to another lane, if nothing of it is under way.
    pub(crate) fn pack(self) -> Result<Luggage, Conn<R>> {
        let busy = self.request.is_some() || !self.unsent.is_empty() || self.closing || self.ended;
        if busy || !self.is_idle() || self.machine.phase() != Phase::Head {
            return Err(self);
        }
        Ok(Box::new(Traveller { answered: self.answered, opened: self.opened }))
    }

    /// The connection that was packed.
    pub(crate) fn unpack(luggage: &Luggage) -> Option<Conn<R>> {
        let &Traveller { answered, opened } = luggage.downcast_ref()?;
        Some(Conn { answered, ..Conn::new(opened) })
    }

    /// Between two requests, with nothing of the next one here; answers may be outstanding.
    pub(crate) fn is_between(&self) -> bool {
        self.since.is_none()
    }

    /// Between two requests, and all answers are in the output.
    pub(crate) fn is_idle(&self) -> bool {
        self.since.is_none() && self.slots.is_none()
    }
}
