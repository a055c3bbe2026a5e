//! One step of a connection, and what the flow it returns means.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use corelane_mempool::{Buf, Key};

use crate::io::Io;
use crate::lane::Lane;
use crate::link::{Link, LinkState, Phase};
use crate::out::OutQueue;
use crate::protocol::{Closed, Event, Flow, Protocol};
use crate::relief::{enlarge_for_input, lend_for_input};
use crate::services::Services;

impl<P: Protocol> Lane<P> {
    /// Steps a connection with one event, and again while it consumes input and wants more.
    /// `fresh` is input in the shared page; it is used only if the connection has no tail.
    #[inline]
    pub(crate) fn step(&mut self, key: Key, event: Event<P::Mail>, fresh: &[u8]) {
        if self.services().tracer.is_on() {
            return self.step_noted(key, event, fresh);
        }
        self.take_step(key, event, fresh);
    }

    /// As [`Lane::step`], without a note of it.
    #[inline]
    pub(crate) fn take_step(&mut self, key: Key, event: Event<P::Mail>, mut fresh: &[u8]) {
        let (protocol, links, services) = self.parts();
        let Some(link) = links.get_mut(key) else { return };
        let mut event = event;
        loop {
            let Link { conn: Some(conn), tail, out, state } = link else { return };
            let input = tail.as_ref().map_or(fresh, |tail| tail.as_slice());
            let before = input.len();
            let reads = matches!(event, Event::Bytes);
            let mut io = window(input, out, state, services, key);
            let flow = contained(|| protocol.step(conn, event, &mut io));
            let consumed = io.consumed;
            match tail {
                Some(buf) => {
                    buf.consume(consumed);
                    if buf.is_empty() {
                        drop_tail(tail, services);
                    }
                }
                None => fresh = &fresh[consumed..],
            }
            if reads {
                state.unread = false;
            }
            let left = before - consumed;
            let again = match flow {
                Ok(flow) => settle(state, out, services, key, flow, consumed > 0, left > 0),
                Err(_) => {
                    services.stats.panics += 1;
                    close(state, services, key, Closed::Panicked);
                    false
                }
            };
            if !again {
                break;
            }
            event = Event::Bytes;
        }
        if !fresh.is_empty() || link.state.phase != Phase::Open {
            keep(link, services, key, fresh);
        }
    }
}
/// Acts on a flow. True if the connection is to be stepped again at once, with the input it left.
#[inline]
fn settle<M>(
    state: &mut LinkState,
    out: &mut OutQueue,
    services: &mut Services<M>,
    key: Key,
    flow: Flow,
    consumed: bool,
    left: bool,
) -> bool {
    // A mark behind which everything has left is reported by the flush, too.
    if !out.is_empty() || out.has_mark() {
        make_dirty(state, services, key);
    }
    if let Some(why) = out.broken() {
        close(state, services, key, why);
    }
    if state.phase != Phase::Open {
        return false;
    }
    if out.exceeds(services.limits.high) && !state.full {
        state.full = true;
        services.stats.watermarks += 1;
    }
    match flow {
        Flow::Read => {
            if std::mem::take(&mut state.paused) {
                revisit(state, services, key);
            }
            state.unread |= consumed && left;
            return state.unread && !state.full && !state.yielded;
        }
        Flow::Pause => {
            state.paused = true;
            state.unread |= left;
        }
        Flow::Yield => {
            state.paused = false;
            state.unread = true;
            state.yielded = true;
            services.stats.yields += 1;
            revisit(state, services, key);
        }
        Flow::Finish | Flow::Linger => {
            let finish = flow == Flow::Finish;
            state.phase = if finish { Phase::Finishing } else { Phase::Lingering };
            state.tally = out.sent() as u32;
            services.wheel.set(key.index(), (services.now + services.limits.gate_time).0);
            make_dirty(state, services, key);
        }
        Flow::Abort => close(state, services, key, Closed::Aborted),
    }
    false
}

/// Keeps what the connection left of the page, or drops its input if it takes no more.
fn keep<C, M>(link: &mut Link<C>, services: &mut Services<M>, key: Key, fresh: &[u8]) {
    if link.state.phase != Phase::Open {
        drop_tail(&mut link.tail, services);
        return;
    }
    if fresh.len() > services.limits.input {
        return close(&mut link.state, services, key, Closed::InputOverflow);
    }
    match lend_for_input(&mut services.pool, fresh.len()) {
        Some(mut tail) => {
            tail.extend(fresh);
            link.tail = Some(tail);
        }
        None => close(&mut link.state, services, key, Closed::OutOfMemory),
    }
}

/// Gives the tail room for more, or closes the connection if it may not have it.
pub(crate) fn grow_tail<C, M>(link: &mut Link<C>, services: &mut Services<M>, key: Key) {
    let Some(tail) = &mut link.tail else { return };
    // Receiving into a sliver would cost a system call for a few bytes.
    if tail.spare_len() * 4 >= tail.capacity() {
        return;
    }
    tail.compact();
    if tail.spare_len() * 4 >= tail.capacity() {
        return;
    }
    let limit = services.limits.input;
    if tail.len() >= limit {
        return close(&mut link.state, services, key, Closed::InputOverflow);
    }
    let wanted = (tail.capacity() * 2).min(limit.max(tail.len() + 1));
    let Some(tail) = link.tail.take() else { return };
    match enlarge_for_input(&mut services.pool, tail, wanted) {
        Ok(tail) => link.tail = Some(tail),
        Err(tail) => {
            let stuck = tail.spare_len() == 0;
            link.tail = Some(tail);
            if stuck {
                close(&mut link.state, services, key, Closed::OutOfMemory);
            }
        }
    }
}

pub(crate) fn drop_tail<M>(tail: &mut Option<Buf>, services: &mut Services<M>) {
    if let Some(buf) = tail.take() {
        services.pool.deallocate(buf);
    }
}

pub(crate) fn close<M>(state: &mut LinkState, services: &mut Services<M>, key: Key, why: Closed) {
    if !matches!(state.phase, Phase::Closing(_)) {
        state.phase = Phase::Closing(why);
        services.closing.push(key);
    }
}

#[inline]
pub(crate) fn make_dirty<M>(state: &mut LinkState, services: &mut Services<M>, key: Key) {
    if !std::mem::replace(&mut state.dirty, true) {
        services.dirty.push(key);
    }
}

pub(crate) fn revisit<M>(state: &mut LinkState, services: &mut Services<M>, key: Key) {
    if !std::mem::replace(&mut state.revisit, true) {
        services.revisit.push(key);
    }
}

#[inline]
pub(crate) fn window<'a, M>(
    input: &'a [u8],
    out: &'a mut OutQueue,
    state: &'a mut LinkState,
    services: &'a mut Services<M>,
    key: Key,
) -> Io<'a, M> {
    Io { input, consumed: 0, out, state, services, key }
}

/// Runs a protocol's callback and catches its panic. The engine's shared state is then whatever the
/// callback left; the connection that panicked is closed, the others go on.
#[inline]
pub(crate) fn contained<T>(callback: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(callback))
}
