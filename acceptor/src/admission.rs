//! Who gets in: limits as a pure policy, without socket or clock.
//!
//! Time comes in as nanoseconds of any monotonic clock. Before each accept the caller asks
//! [`Admission::admit`]; after it, at most one of these is due:
//!
//! | after a `Take` | call |
//! |---|---|
//! | a connection came | nothing now, [`Admission::release`] when it closes |
//! | accept had nothing, or failed | [`Admission::cancel`] |
//!
//! After a `Shed` for which nothing came, [`Admission::spare`] takes it back out of the counts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::io::Errno;

use crate::rate::{Rate, TokenBucket};

/// How long to leave the queue alone at the process-wide limit, in nanoseconds.
///
/// A connection that closes on another loop wakes nobody here: that would cost a wake per close.
/// Asking again fifty times a second costs nothing that can be measured.
const LIMIT_PAUSE: u64 = 20_000_000;

/// How long to leave the queue alone after an error that would come again at once, in nanoseconds.
const ERROR_PAUSE: u64 = 20_000_000;

/// The connections open in the whole process, and how many there may be.
///
/// One atomic number, touched when a connection is admitted and when it closes. It is exact: the
/// count never exceeds the limit, not even for a moment, whatever the number of threads.
///
/// ```
/// use corelane_acceptor::Open;
/// let open = Open::new(1);
/// assert!(open.reserve());
/// assert!(!open.reserve());
/// open.release();
/// assert_eq!(open.count(), 0);
/// ```
#[derive(Debug)]
// Two cache lines, because x86 fetches them in pairs: neighbours must not share its fate.
#[repr(align(128))]
pub struct Open {
    count: AtomicUsize,
    limit: usize,
}

impl Open {
    /// None open, at most `limit` at a time. A limit of 0 admits none.
    pub const fn new(limit: usize) -> Open {
        Open { count: AtomicUsize::new(0), limit }
    }

    /// Connections open now, those just being accepted included.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Connections that may be open at a time.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a place if one is free. Whoever got one owes a [`release`](Open::release).
    ///
    /// A compare-exchange rather than an addition taken back: the latter would exceed the limit for
    /// a moment, and make others miss a place that is free. `Relaxed`, because the number guards no
    /// other memory.
    pub fn reserve(&self) -> bool {
        self.count.fetch_update(Relaxed, Relaxed, |n| (n < self.limit).then_some(n + 1)).is_ok()
    }

    /// Gives a place back. Any thread may.
    pub fn release(&self) {
        let before = self.count.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a place was released that nobody had reserved");
    }
}

/// What one loop admits; the limit of the whole process is in [`Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// Connections one loop may have open; 65,536 by default.
    pub max_connections_per_loop: usize,
    /// How fast this loop accepts; as fast as it can if `None`. Where several loops accept, give each
    /// its [share](Rate::share).
    pub accept_rate: Option<Rate>,
    /// What happens to connections above a limit or a rate.
    pub overload: Overload,
}

impl Default for AdmissionConfig {
    fn default() -> AdmissionConfig {
        AdmissionConfig {
            max_connections_per_loop: 65_536,
            accept_rate: None,
            overload: Overload::Pause,
        }
    }
}

/// What happens to connections above a limit or a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// They are accepted and closed at once: clients learn quickly, and can try another server.
    Shed,
    /// They wait in the kernel's queue until there is room: a short peak passes unnoticed.
    #[default]
    Pause,
}

/// The answer to "may the next connection come in?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accept it. A place is reserved for it.
    Take,
    /// Accept it and close it at once. No place is reserved.
    Shed,
    /// Accept nothing before that time, unless a connection of this loop closes first.
    PauseUntil(u64),
}

/// What to do after accept failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptErrorAction {
    /// Only that connection is lost, or the call was interrupted: accept the next.
    Ignore,
    /// The queue is empty: wait until the listener is readable.
    Wait,
    /// The process or the system has run out of something: accept nothing before that time.
    PauseUntil(u64),
    /// The listener itself is unusable: a bug in the program that holds it.
    Fatal,
}

/// What an [`Admission`] has decided so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdmissionCounts {
    /// Verdicts `Take` that were not cancelled.
    pub taken: u64,
    /// Verdicts `Shed` that were not taken back.
    pub shed: ByCause,
    /// Verdicts `PauseUntil`.
    pub paused: ByCause,
    /// Pauses ordered after an error.
    pub error_pauses: u64,
    /// Failed accepts, an empty queue not included.
    pub errors: u64,
}

/// How often each limit said no.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByCause {
    /// As many connections were open in the process as may be.
    pub connections: u64,
    /// The loop had as many as it may.
    pub loop_full: u64,
    /// They came faster than the rate allows.
    pub rate: u64,
}

impl ByCause {
    fn of(&mut self, cause: Cause) -> &mut u64 {
        match cause {
            Cause::Connections => &mut self.connections,
            Cause::LoopFull => &mut self.loop_full,
            Cause::Rate => &mut self.rate,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    Connections,
    LoopFull,
    Rate,
}

/// The admission policy of one loop: its own limits and rate, and its hold on [`Open`].
///
/// ```
/// use std::sync::Arc;
/// use corelane_acceptor::{Admission, AdmissionConfig, Open, Overload, Verdict};
///
/// let config = AdmissionConfig { overload: Overload::Shed, ..AdmissionConfig::default() };
/// let mut admission = Admission::new(config, Arc::new(Open::new(1)));
/// assert_eq!(admission.admit(0, 0), Verdict::Take);
/// assert_eq!(admission.admit(0, 1), Verdict::Shed);
/// admission.release();
/// assert_eq!(admission.admit(0, 0), Verdict::Take);
/// ```
#[derive(Debug)]
pub struct Admission {
    max_here: usize,
    bucket: Option<TokenBucket>,
    overload: Overload,
    open: Arc<Open>,
    counts: AdmissionCounts,
    /// Of the last verdict, if that was `Shed`.
    shed_for: Option<Cause>,
}

impl Admission {
    /// A policy that shares `open` with the other loops of the process.
    pub fn new(config: AdmissionConfig, open: Arc<Open>) -> Admission {
        Admission {
            max_here: config.max_connections_per_loop,
            bucket: config.accept_rate.map(TokenBucket::new),
            overload: config.overload,
            open,
            counts: AdmissionCounts::default(),
            shed_for: None,
        }
    }

    /// May the next connection come in? To be asked before each accept.
    ///
    /// `now` is the caller's monotonic clock in nanoseconds, `open_here` the number of connections
    /// of this loop. Costs one compare-exchange; nothing shared is written when the loop's own
    /// limit or rate says no.
    pub fn admit(&mut self, now: u64, open_here: usize) -> Verdict {
        self.shed_for = None;
        if open_here >= self.max_here {
            // Where both limits are reached, it is that of the process which matters.
            let full = self.open.count() >= self.open.limit();
            let cause = if full { Cause::Connections } else { Cause::LoopFull };
            return self.refuse(cause, now.saturating_add(LIMIT_PAUSE));
        }
        if let Some(Err(ready_at)) = self.bucket.as_mut().map(|bucket| bucket.take(now)) {
            return self.refuse(Cause::Rate, ready_at);
        }
        if !self.open.reserve() {
            self.put_token_back();
            return self.refuse(Cause::Connections, now.saturating_add(LIMIT_PAUSE));
        }
        self.counts.taken += 1;
        Verdict::Take
    }

    /// The accept after a `Take` brought nothing: returns the place and the token of the rate.
    pub fn cancel(&mut self) {
        self.open.release();
        self.put_token_back();
        self.counts.taken -= 1;
    }

    /// The accept after a `Shed` brought nothing: nobody was turned away.
    pub fn spare(&mut self) {
        if let Some(cause) = self.shed_for.take() {
            *self.counts.shed.of(cause) -= 1;
        }
    }

    /// A connection that was taken has closed.
    ///
    /// Whoever is paused should ask [`admit`](Admission::admit) again now rather than wait for the
    /// end of the pause. Threads without the `Admission` call [`Open::release`] instead.
    pub fn release(&mut self) {
        self.open.release();
    }

    /// Accept failed: says what to do about it. The list follows accept(2).
    ///
    /// Gives nothing back: call [`cancel`](Admission::cancel) as well if the verdict was `Take`.
    pub fn on_error(&mut self, now: u64, error: &io::Error) -> AcceptErrorAction {
        let action = match Errno::from_io_error(error) {
            Some(errno) => classify(errno),
            // Not from the kernel: an injected or wrapped error.
            None => classify_kind(error.kind()),
        };
        match action {
            Class::Ignore => {
                self.counts.errors += 1;
                AcceptErrorAction::Ignore
            }
            Class::Wait => AcceptErrorAction::Wait,
            Class::Pause => {
                self.counts.errors += 1;
                self.counts.error_pauses += 1;
                AcceptErrorAction::PauseUntil(now.saturating_add(ERROR_PAUSE))
            }
            Class::Fatal => {
                self.counts.errors += 1;
                AcceptErrorAction::Fatal
            }
        }
    }

    /// What was decided so far.
    pub fn counts(&self) -> AdmissionCounts {
        self.counts
    }

    /// The number shared by the whole process.
    pub fn open(&self) -> &Arc<Open> {
        &self.open
    }

    fn refuse(&mut self, cause: Cause, until: u64) -> Verdict {
        match self.overload {
            Overload::Shed => {
                *self.counts.shed.of(cause) += 1;
                self.shed_for = Some(cause);
                Verdict::Shed
            }
            Overload::Pause => {
                *self.counts.paused.of(cause) += 1;
                Verdict::PauseUntil(until)
            }
        }
    }

    fn put_token_back(&mut self) {
        if let Some(bucket) = &mut self.bucket {
            bucket.put_back();
        }
    }
}

enum Class {
    Ignore,
    Wait,
    Pause,
    Fatal,
}

fn classify(errno: Errno) -> Class {
    // `EAGAIN` and `EWOULDBLOCK` are one number on some systems, so they cannot both be patterns.
    if errno == Errno::AGAIN || errno == Errno::WOULDBLOCK {
        return Class::Wait;
    }
    match errno {
        // The client gave up between its handshake and this call; a signal came.
        Errno::CONNABORTED | Errno::INTR => Class::Ignore,
        // Linux hands errors already pending on the new socket to accept: they concern that
        // connection only. `EPERM`: a firewall rule forbids it.
        Errno::NETDOWN
        | Errno::PROTO
        | Errno::NOPROTOOPT
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::OPNOTSUPP
        | Errno::NETUNREACH
        | Errno::TIMEDOUT
        | Errno::PERM => Class::Ignore,
        #[cfg(target_os = "linux")]
        Errno::NONET => Class::Ignore,
        // Not an open file, not a socket, not listening.
        Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::FAULT => Class::Fatal,
        // `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`: nothing was taken from the queue, so that the
        // listener stays readable and asking again at once would spin. Errors nobody has heard of
        // are treated alike: neither spin nor die.
        _ => Class::Pause,
    }
}

fn classify_kind(kind: io::ErrorKind) -> Class {
    match kind {
        io::ErrorKind::WouldBlock => Class::Wait,
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => Class::Ignore,
        _ => Class::Pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;
    use std::thread;

    const MS: u64 = 1_000_000;

    fn admission(limit: usize, config: AdmissionConfig) -> Admission {
        Admission::new(config, Arc::new(Open::new(limit)))
    }

    fn rate(per_second: u32, burst: u32) -> Option<Rate> {
        let [per_second, burst] = [per_second, burst].map(|n| NonZeroU32::new(n).unwrap());
        Some(Rate::per_second(per_second, burst))
    }

    #[test]
    fn the_limit_of_the_process_pauses_until_a_close() {
        let open = Arc::new(Open::new(2));
        let mut here = Admission::new(AdmissionConfig::default(), Arc::clone(&open));
        let mut there = Admission::new(AdmissionConfig::default(), open);
        assert_eq!(here.admit(0, 0), Verdict::Take);
        assert_eq!(there.admit(0, 0), Verdict::Take);
        assert_eq!(here.admit(7, 1), Verdict::PauseUntil(7 + LIMIT_PAUSE));
        there.release();
        assert_eq!(here.admit(8, 1), Verdict::Take);
        assert_eq!(here.open().count(), 2);
        let paused = ByCause { connections: 1, ..ByCause::default() };
        assert_eq!(here.counts(), AdmissionCounts { taken: 2, paused, ..Default::default() });
    }

    #[test]
    fn the_limit_of_a_loop_touches_nothing_shared() {
        let config = AdmissionConfig { max_connections_per_loop: 3, ..AdmissionConfig::default() };
        let mut admission = admission(100, config);
        assert_eq!(admission.admit(0, 2), Verdict::Take);
        assert_eq!(admission.admit(0, 3), Verdict::PauseUntil(LIMIT_PAUSE));
        assert_eq!(admission.open().count(), 1);
    }

    #[test]
    fn the_rate_names_the_instant_of_the_next_token() {
        let config = AdmissionConfig { accept_rate: rate(1_000, 2), ..AdmissionConfig::default() };
        let mut admission = admission(100, config);
        assert_eq!(admission.admit(10 * MS, 0), Verdict::Take);
        assert_eq!(admission.admit(10 * MS, 1), Verdict::Take);
        assert_eq!(admission.admit(10 * MS, 2), Verdict::PauseUntil(11 * MS));
        assert_eq!(admission.admit(11 * MS, 2), Verdict::Take);
    }

    #[test]
    fn shedding_reserves_nothing() {
        let config = AdmissionConfig {
            overload: Overload::Shed,
            accept_rate: rate(1, 1),
            ..AdmissionConfig::default()
        };
        let mut admission = admission(5, config);
        assert_eq!(admission.admit(0, 0), Verdict::Take);
        assert_eq!(admission.admit(0, 1), Verdict::Shed);
        assert_eq!(admission.open().count(), 1);
        assert_eq!(admission.counts().shed, ByCause { rate: 1, ..ByCause::default() });
        // Nobody was there to be turned away: once, however often it is said.
        admission.spare();
        admission.spare();
        assert_eq!(admission.counts().shed, ByCause::default());
    }

    #[test]
    fn each_limit_has_its_count() {
        let config = AdmissionConfig {
            max_connections_per_loop: 7,
            accept_rate: rate(1, 3),
            overload: Overload::Shed,
        };
        let mut admission = admission(2, config);
        // One gets in; its loop is full; another gets in; the process is full, then both are.
        for open_here in [0, 7, 7, 7, 1, 2, 2, 7] {
            admission.admit(0, open_here);
        }
        let limits = ByCause { connections: 3, loop_full: 3, rate: 0 };
        assert_eq!(admission.counts().shed, limits);
        // One token of the rate is left.
        for _ in 0..2 {
            admission.release();
            admission.admit(0, 1);
        }
        assert_eq!(admission.counts().shed, ByCause { rate: 1, ..limits });
        assert_eq!(admission.counts().taken, 3);
    }

    #[test]
    fn a_refusal_by_the_limit_and_a_cancelled_take_cost_no_token() {
        let config = AdmissionConfig { accept_rate: rate(1, 2), ..AdmissionConfig::default() };
        let mut admission = admission(1, config);
        for _ in 0..10 {
            assert_eq!(admission.admit(0, 0), Verdict::Take);
            admission.cancel();
        }
        assert_eq!(admission.admit(0, 0), Verdict::Take);
        for _ in 0..10 {
            assert_eq!(admission.admit(0, 1), Verdict::PauseUntil(LIMIT_PAUSE));
        }
        admission.release();
        assert_eq!(admission.admit(0, 0), Verdict::Take);
        assert_eq!(admission.counts().taken, 2);
    }

    #[test]
    fn a_limit_of_zero_admits_none() {
        assert_eq!(
            admission(0, AdmissionConfig::default()).admit(0, 0),
            Verdict::PauseUntil(LIMIT_PAUSE)
        );
    }

    #[test]
    fn errors() {
        let mut admission = admission(1, AdmissionConfig::default());
        let mut check = |errno: Errno, expect| {
            assert_eq!(admission.on_error(MS, &errno.into()), expect, "{errno:?}");
        };
        check(Errno::AGAIN, AcceptErrorAction::Wait);
        for errno in [Errno::CONNABORTED, Errno::INTR, Errno::PROTO, Errno::HOSTUNREACH] {
            check(errno, AcceptErrorAction::Ignore);
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::DOM] {
            check(errno, AcceptErrorAction::PauseUntil(MS + ERROR_PAUSE));
        }
        for errno in [Errno::BADF, Errno::NOTSOCK, Errno::INVAL] {
            check(errno, AcceptErrorAction::Fatal);
        }
        let counts = AdmissionCounts { errors: 12, error_pauses: 5, ..Default::default() };
        assert_eq!(admission.counts(), counts);
        let injected = io::Error::new(io::ErrorKind::WouldBlock, "injected");
        assert_eq!(admission.on_error(0, &injected), AcceptErrorAction::Wait);
    }

    #[test]
    fn eight_threads_never_exceed_the_limit() {
        const LIMIT: usize = 5;
        let open = Arc::new(Open::new(LIMIT));
        // Counts those inside independently: raised after admission, lowered before release.
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for index in 0..8 {
                let mut admission = Admission::new(AdmissionConfig::default(), Arc::clone(&open));
                let inside = &inside;
                scope.spawn(move || {
                    for round in 0..20_000 {
                        if admission.admit(0, 0) != Verdict::Take {
                            continue;
                        }
                        assert!(inside.fetch_add(1, Relaxed) < LIMIT);
                        assert!(admission.open().count() <= LIMIT);
                        if round % 64 == index {
                            thread::yield_now();
                        }
                        inside.fetch_sub(1, Relaxed);
                        if round % 2 == 0 { admission.release() } else { admission.cancel() }
                    }
                });
            }
        });
        assert_eq!(open.count(), 0);
    }
}
