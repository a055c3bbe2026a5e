//! Steps, sends and ends of connections on a lane that traces one.

use corelane_mempool::Key;

use super::{Stage, TraceState};
use crate::id::{Origin, Peer};
use crate::lane::Lane;
use crate::link::{LinkState, Phase};
use crate::protocol::{Closed, Event, Protocol};

/// What there was to send before a send: see [`Lane::begin_send`].
pub(crate) struct Sending {
    sent: u64,
}

impl<P: Protocol> Lane<P> {
    /// As a step, with notes of what it is about and what came of it if the connection is traced.
    #[cold]
    #[inline(never)]
    pub(crate) fn step_noted(&mut self, key: Key, event: Event<P::Mail>, fresh: &[u8]) {
        if !self.services().tracer.traces(key) {
            self.take_step(key, event, fresh);
            let services = self.services();
            return services.tracer.step_done(services.now);
        }
        let Some((link, services)) = self.link(key) else { return };
        let now = services.now;
        services.tracer.visited(key);
        let new = services.tracer.news(key, link.state.received);
        let before = link.out.sent() + link.out.pending();
        if let Some((stage, word, detail)) = cause(&event, new) {
            services.tracer.note(key, now, stage, word, || detail);
        }
        self.take_step(key, event, fresh);
        let Some((link, services)) = self.link(key) else { return };
        let put = (link.out.sent() + link.out.pending()).saturating_sub(before);
        if put > 0 {
            let detail = || bytes(put);
            services.tracer.note(key, now, Stage::Output, "queued", detail);
        }
        let detail = || outcome(&link.state);
        services.tracer.note(key, now, Stage::Loop, "stepped", detail);
        services.tracer.step_done(now);
    }

    /// A connection was let in.
    #[inline]
    pub(crate) fn note_accepted(&mut self, key: Key) {
        if self.services().tracer.awaits() {
            self.note_awaited(key);
        }
    }

    #[cold]
    fn note_awaited(&mut self, key: Key) {
        let connections = self.len();
        let Some((link, services)) = self.link(key) else { return };
        let (peer, origin, lane) = (link.state.peer, link.state.origin, services.post.lane());
        let (now, turn) = (services.now, services.stats.turns);
        services.tracer.admitted(key, peer, lane, (now, turn), || {
            let listener = match origin {
                Origin::Accepted(listener) => listener,
                Origin::Connected(_) => 0,
            };
            let s = if connections == 1 { "" } else { "s" };
            format!("listener {listener}, loop {lane}, which has {connections} connection{s}")
        });
    }

    /// A connection from this peer was turned away.
    #[cold]
    pub(crate) fn note_refused(&mut self, peer: Peer, why: &'static str) {
        let services = self.services();
        services.tracer.refused(peer, services.post.lane(), services.now, why);
    }

    /// What waits for this connection is about to be sent.
    #[cold]
    pub(crate) fn begin_send(&mut self, key: Key) -> Option<Sending> {
        let (link, services) = self.link(key)?;
        if !services.tracer.traces(key) {
            return None;
        }
        let pending = link.out.pending();
        if pending > 0 {
            let detail = || format!("{} to send", bytes(pending));
            services.tracer.note(key, services.now, Stage::Output, "its turn to send", detail);
        }
        Some(Sending { sent: link.out.sent() })
    }

    /// As much as could be sent was sent.
    #[cold]
    pub(crate) fn end_send(&mut self, key: Key, sending: &Sending) {
        let Some((link, services)) = self.link(key) else { return };
        let sent = link.out.sent().saturating_sub(sending.sent);
        let left = link.out.pending();
        if sent == 0 && left == 0 {
            return;
        }
        let why = match &link.state {
            LinkState { phase: Phase::Closing(_), .. } => "in vain",
            state if state.gated => "at a gate",
            state if state.stuck => "until the client has read some",
            _ => "for the next turn",
        };
        services.tracer.note(key, services.now, Stage::Kernel, "sent", || match left {
            0 => format!("{}, which is all", bytes(sent)),
            _ => format!("{}; {} wait {why}", bytes(sent), bytes(left)),
        });
    }

    /// A connection is closed, or leaves this lane.
    #[inline]
    pub(crate) fn note_end(&mut self, key: Key, why: Option<Closed>, received: u64, sent: u64) {
        let services = self.services();
        if !services.tracer.is_on() {
            return;
        }
        let (event, state) = match why {
            Some(_) => ("closed", TraceState::Closed),
            None => ("moved", TraceState::CutShort),
        };
        services.tracer.note(key, services.now, Stage::Loop, event, || match why {
            Some(why) => format!("{why}; {} received, {} sent", bytes(received), bytes(sent)),
            None => "to another loop, which is less busy: the trace ends here".to_owned(),
        });
        services.tracer.end(key, state);
    }
}

fn bytes(count: u64) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}

/// What a step is about: `new` bytes were received since the last one.
fn cause<M>(event: &Event<M>, new: u64) -> Option<(Stage, &'static str, String)> {
    let by_loop = |word, detail: &str| Some((Stage::Loop, word, detail.to_owned()));
    match event {
        Event::Bytes if new > 0 => Some((Stage::Kernel, "received", bytes(new))),
        Event::Bytes => by_loop("went on", "with what was left of the input"),
        Event::Eof => Some((Stage::Kernel, "end", "the client sends no more".to_owned())),
        Event::Timer => by_loop("deadline", "it has passed"),
        Event::Drained => by_loop("drained", "enough of the output has left"),
        Event::Stopping => by_loop("stopping", "the server is to stop"),
        Event::Shed => by_loop("shed", "memory is short"),
        Event::Nudged => by_loop("nudged", "by the protocol's stage of the turn"),
        Event::Mail(_) => by_loop("mail", "from another part of the server"),
        Event::Opened | Event::Sent(_) => None,
    }
}

/// What came of a step.
fn outcome(state: &LinkState) -> String {
    match state.phase {
        Phase::Finishing => "ends when all is sent".to_owned(),
        Phase::Lingering => "ends when all is sent; reads on until the client ends, too".to_owned(),
        Phase::Closing(why) => format!("ends now: {why}"),
        _ if state.full => "waits until output has left".to_owned(),
        _ if state.yielded => "goes on in the next turn, after others".to_owned(),
        _ if state.paused => "waits for its answer, and reads nothing".to_owned(),
        _ => "waits for more input".to_owned(),
    }
}
