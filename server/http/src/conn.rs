//! One connection's state.

use corelane_eventloop::Nanos;
use corelane_parser::http1::RequestMachine;

use crate::pace::Pace;

/// One HTTP connection. Plain data, small: most connections are idle most of the time.
#[derive(Debug)]
pub struct Conn<R> {
    pub(crate) machine: RequestMachine,
    /// The request whose body is arriving.
    pub(crate) request: Option<Pending<R>>,
    /// When the current request's first byte came; `None` between requests.
    pub(crate) since: Option<Nanos>,
    /// Answered and not yet handed to the kernel: when the earliest of them began, and how many.
    pub(crate) unsent_since: Nanos,
    pub(crate) unsent: u32,
    /// How many requests were answered.
    pub(crate) answered: u32,
    /// When the connection came in.
    pub(crate) opened: Nanos,
    /// The last answer said `Connection: close`, or a refusal did.
    pub(crate) closing: bool,
    /// …although the client had not asked for it, and may have sent more.
    pub(crate) unaware: bool,
}

/// A request between its head and the end of its body.
#[derive(Debug)]
pub(crate) struct Pending<R> {
    pub(crate) request: R,
    pub(crate) manner: Manner,
    pub(crate) pace: Pace,
}

/// What the answer depends on, besides the handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) keep_alive: bool,
    pub(crate) http10: bool,
    pub(crate) head_only: bool,
}

impl<R> Conn<R> {
    pub(crate) fn new(now: Nanos) -> Conn<R> {
        Conn {
            machine: RequestMachine::new(),
            request: None,
            since: None,
            unsent_since: Nanos::ZERO,
            unsent: 0,
            answered: 0,
            opened: now,
            closing: false,
            unaware: false,
        }
    }

    /// Between two requests, with nothing of the next one here.
    pub(crate) fn is_idle(&self) -> bool {
        self.since.is_none()
    }
}
