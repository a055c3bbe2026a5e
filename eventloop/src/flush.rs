//! Sending a connection's output, and what follows from it.

use corelane_mempool::Key;

use crate::id::Origin;
use crate::lane::Lane;
use crate::link::{Link, Phase};
use crate::protocol::{Closed, Event, Protocol};
use crate::services::Services;
use crate::step::{close, contained, make_dirty, revisit, window};

impl<P: Protocol> Lane<P> {
    /// The kernel takes output again.
    pub(crate) fn writable(&mut self, key: Key) {
        if let Some((link, services)) = self.link(key) {
            link.state.stuck = false;
            let ends = matches!(link.state.phase, Phase::Finishing | Phase::Lingering);
            if ends || !link.out.is_empty() {
                make_dirty(&mut link.state, services, key);
            }
        }
    }

    /// Tells a flushed connection what it waits to hear: marks reached, output drained.
    #[inline]
    pub(crate) fn after_flush(&mut self, key: Key) {
        let Some((link, _)) = self.link(key) else { return };
        let whole = !matches!(link.state.phase, Phase::Closing(why) if why != Closed::Finished);
        if whole
            && link.out.has_mark()
            && let Some(mark) = link.out.reached()
        {
            // That it was sent is noted already.
            self.take_step(key, Event::Sent(mark), &[]);
        }
        let Some((link, services)) = self.link(key) else { return };
        if link.state.full && !link.out.exceeds(services.limits.low) {
            link.state.full = false;
            services.overtime = true;
            revisit(&mut link.state, services, key);
            if link.state.phase == Phase::Open {
                self.step(key, Event::Drained, &[]);
            }
        }
    }

    /// Removes a closing connection and tells the protocol. True if it must be reset, not just closed.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        let (protocol, links, services) = self.parts();
        let Some(mut link) = links.remove(key) else { return false };
        let Phase::Closing(why) = link.state.phase else { return false };
        services.overtime = true;
        services.wheel.clear(key.index());
        services.skips.forget(key);
        services.stats.closed[why.index()] += 1;
        for lane in services.moves.closed(key) {
            services.post.ring_if_stopping(lane);
        }
        if let Some(conn) = link.conn.take() {
            let mut io = window(&[], &mut link.out, &mut link.state, services, key);
            if contained(|| protocol.close(conn, why, &mut io)).is_err() {
                services.stats.panics += 1;
            }
            // A deadline set by `close` would fire for the next tenant.
            services.wheel.clear(key.index());
        }
        if let Some(tail) = link.tail.take() {
            services.pool.deallocate(tail);
        }
        if link.state.gated {
            services.gated_gone += 1;
            // Gates may never open: keep the list in proportion to the connections that wait.
            if services.gated_gone * 2 > services.gated.len() {
                services.gated.retain(|&key| links.contains(key));
                services.gated_gone = 0;
            }
        }
        let unsent = link.out.pending() > 0;
        let (received, sent) = (link.state.received, link.out.sent());
        link.out.clear(&mut services.pool, &mut services.stash);
        if matches!(link.state.origin, Origin::Accepted(_)) {
            self.admit().release();
        }
        self.note_end(key, Some(why), received, sent);
        // For want of memory, input may be lost that deserved an answer, or a whole answer: an end in
        // order would say that there was none.
        let lost = matches!(why, Closed::Aborted | Closed::OutOfMemory);
        lost || (unsent && why != Closed::Finished)
    }
}

/// What a driver does once all output of a connection has left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Nothing: it is still open, or closes at the end of the turn.
    Nothing,
    /// Shut down writing: it lingers.
    Shutdown,
}

/// All output has left.
pub(crate) fn flushed<C, M>(
    link: &mut Link<C>,
    services: &mut Services<M>,
    key: Key,
) -> Afterwards {
    match link.state.phase {
        Phase::Finishing => close(&mut link.state, services, key, Closed::Finished),
        Phase::Lingering if link.state.eof => {
            close(&mut link.state, services, key, Closed::Finished);
        }
        Phase::Lingering => {
            link.state.phase = Phase::Discarding;
            link.state.tally = 0;
            services.wheel.set(key.index(), (services.now + services.limits.linger_time).0);
            revisit(&mut link.state, services, key);
            return Afterwards::Shutdown;
        }
        _ => {}
    }
    Afterwards::Nothing
}

/// `n` bytes of the front were handed to the kernel.
#[inline]
pub(crate) fn sent<C, M>(link: &mut Link<C>, services: &mut Services<M>, n: usize) {
    services.stats.bytes_out += n as u64;
    let open = services.gates_open;
    link.out.advance(n as u64, open, &mut services.pool, &mut services.stash);
}

/// Output stands at a shut gate: flush again when gates open.
pub(crate) fn wait_at_gate<C, M>(link: &mut Link<C>, services: &mut Services<M>, key: Key) {
    if !std::mem::replace(&mut link.state.gated, true) {
        services.gated.push(key);
    }
}
