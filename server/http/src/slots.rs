//! Answers of one connection that cannot leave yet, in the order of their requests.
//!
//! Usually there are none, and a connection pays one pointer for it. A request whose answer was
//! promised takes a slot; so do those behind it, whatever is answered first. Answers go into the
//! output from the front.

use std::collections::VecDeque;

use corelane_eventloop::{Nanos, OutQueue};

use crate::conn::Manner;
use crate::content::{Produce, StreamFraming};
use crate::handler::Ticket;
use crate::metrics::Kind;
use crate::reply::Rest;

/// One request whose answer is not in the output yet, or not whole.
pub(crate) struct Slot {
    pub(crate) state: State,
    /// What is ready of it, while others stand in front.
    pub(crate) out: OutQueue,
    pub(crate) manner: Manner,
    /// When the request began, and what it is counted under; `None` if this is no answer to a request.
    pub(crate) answer: Option<(Nanos, Kind)>,
}

pub(crate) enum State {
    /// Promised.
    Waiting(Ticket),
    /// Whole.
    Ready,
    /// Made while it is sent.
    Streaming(Box<dyn Produce>, StreamFraming),
}

impl State {
    /// What remains of an answer after its handler returned.
    pub(crate) fn of(rest: Rest, manner: Manner) -> State {
        match rest {
            Rest::None | Rest::Ended => State::Ready,
            Rest::Later(ticket) => State::Waiting(ticket),
            Rest::Stream(stream) if manner.http10 => {
                State::Streaming(stream, StreamFraming::UntilClose)
            }
            Rest::Stream(stream) => State::Streaming(stream, StreamFraming::Chunked),
        }
    }

    /// Whether the connection ends with this answer.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, State::Streaming(_, StreamFraming::UntilClose))
    }
}

/// The slots of a connection. Never empty: the last one takes the box with it.
#[derive(Default)]
pub(crate) struct Slots {
    pub(crate) queue: VecDeque<Slot>,
}

impl Slots {
    /// Bytes of answers that are ready and wait for others.
    pub(crate) fn bytes(&self) -> u64 {
        self.queue.iter().map(|slot| slot.out.pending()).sum()
    }

    /// Whether some answer was promised.
    pub(crate) fn is_waiting(&self) -> bool {
        self.queue.iter().any(|slot| matches!(slot.state, State::Waiting(_)))
    }

    /// Whether an answer was promised to a request that may change what the next one asks for.
    pub(crate) fn waits_for_unsafe(&self) -> bool {
        let waits = |slot: &Slot| matches!(slot.state, State::Waiting(_)) && !slot.manner.safe;
        self.queue.iter().any(waits)
    }

    pub(crate) fn waiting(&mut self, ticket: Ticket) -> Option<usize> {
        self.queue
            .iter()
            .position(|slot| matches!(slot.state, State::Waiting(other) if other == ticket))
    }
}
