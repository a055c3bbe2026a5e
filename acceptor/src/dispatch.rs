//! One acceptor for many loops: accepts, chooses a loop, hands the connection over.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::admission::{AcceptErrorAction, Admission, Verdict};
use crate::listen::{self, Listener, Stream};
use crate::placement::Placer;
use crate::targets::Targets;

/// Accepts per listener and turn. A listener with a long queue cannot keep others waiting for more
/// than a few hundred microseconds.
const BATCH: usize = 64;

/// The longest wait of [`Dispatcher::run`], hence the longest it takes to notice a stop.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// A connection on its way to a loop.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, non-blocking.
    pub stream: Stream,
    /// Its other end; `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
    /// Which of the dispatcher's listeners it came through, counted from 0.
    pub listener: usize,
}

/// What a [`Dispatcher`] has done with what it accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchCounts {
    /// Connections handed over.
    pub delivered: u64,
    /// Of these, those that went to another target than placement chose, because that one was full.
    pub redirected: u64,
    /// Connections closed because no target could take them.
    pub undeliverable: u64,
}

/// A listener that can no longer be used, or the wait for all of them.
#[derive(Debug)]
pub struct DispatchError {
    /// Which listener; `None` if waiting failed.
    pub listener: Option<usize>,
    /// What the kernel said.
    pub source: io::Error,
}

impl fmt::Display for DispatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.listener {
            Some(index) => write!(f, "cannot accept on listener {index}: {}", self.source),
            None => write!(f, "cannot wait for connections: {}", self.source),
        }
    }
}

impl std::error::Error for DispatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The acceptor of a process whose loops do not accept for themselves.
///
/// Belongs on a thread of its own. `deliver` puts a connection into the inbox of a target and wakes
/// it; it returns the connection if there is no room, and must not block. Admission is asked before
/// each accept; the loop that closes a connection gives the place back with
/// [`Open::release`](crate::Open::release) and [`Targets::disconnected`].
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use corelane_acceptor::*;
///
/// let listener = bind(&"127.0.0.1:0".parse()?, &ListenConfig::default())?;
/// let address = listener.local_address()?.tcp().unwrap();
/// let open = Arc::new(Open::new(1_000));
/// let mut inboxes = vec![Vec::new(), Vec::new()];
///
/// let placer = Placer::new(Placement::RoundRobin, 2, [0, 0]);
/// let admission = Admission::new(AdmissionConfig::default(), open);
/// let targets = Arc::new(Targets::new(2));
/// let deliver = |target: usize, accepted| {
///     inboxes[target].push(accepted);
///     Ok(())
/// };
/// let mut dispatcher = Dispatcher::new(vec![listener], placer, admission, targets, deliver);
///
/// let clients = [std::net::TcpStream::connect(address)?, std::net::TcpStream::connect(address)?];
/// dispatcher.turn(Duration::from_secs(1), || 0)?;
/// assert_eq!(dispatcher.counts().delivered, 2);
/// drop(dispatcher);
/// assert_eq!((inboxes[0].len(), inboxes[1].len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Dispatcher<F> {
    listeners: Vec<Listener>,
    /// Which listeners the last wait found readable; kept for its memory.
    ready: Vec<bool>,
    placer: Placer,
    admission: Admission,
    targets: Arc<Targets>,
    /// The version of `targets` that `placer` knows.
    version: usize,
    deliver: F,
    /// Until when nothing is accepted, if admission has ordered a pause.
    paused_until: Option<u64>,
    counts: DispatchCounts,
}

impl<F> Dispatcher<F>
where
    F: FnMut(usize, Accepted) -> Result<(), Accepted>,
{
    /// An acceptor for these listeners, which hands connections to `deliver`.
    ///
    /// # Panics
    ///
    /// If `placer` and `targets` differ in the number of targets.
    pub fn new(
        listeners: Vec<Listener>,
        placer: Placer,
        admission: Admission,
        targets: Arc<Targets>,
        deliver: F,
    ) -> Dispatcher<F> {
        assert_eq!(placer.targets(), targets.count(), "placer and targets must be of one size");
        Dispatcher {
            ready: Vec::with_capacity(listeners.len()),
            listeners,
            placer,
            admission,
            // Any version but the current one: the first turn reads who is up.
            version: targets.version().wrapping_sub(1),
            targets,
            deliver,
            paused_until: None,
            counts: DispatchCounts::default(),
        }
    }

    /// Takes turns until `stop` is set, which is noticed within 100 ms.
    ///
    /// `clock` gives nanoseconds of a monotonic clock with any starting point. Connections still in
    /// the kernel's queues are left there: they wait for the next server on a listener kept open
    /// elsewhere, and are reset when the last handle closes.
    ///
    /// # Errors
    ///
    /// If a listener is unusable, which means a bug; lack of descriptors or memory only pauses.
    pub fn run(&mut self, stop: &AtomicBool, clock: impl Fn() -> u64) -> Result<(), DispatchError> {
        while !stop.load(Relaxed) {
            self.turn(WAIT_MAX, &clock)?;
        }
        Ok(())
    }

    /// Waits at most `wait` for connections and hands over what came: at most 64 per listener.
    ///
    /// For callers with a loop of their own, such as one that publishes [`counts`](Self::counts).
    /// During a pause it sleeps, for the rest of the pause or `wait`, whichever is shorter.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn turn(&mut self, wait: Duration, clock: impl Fn() -> u64) -> Result<(), DispatchError> {
        let failed = |listener| move |source| DispatchError { listener, source };
        let now = clock();
        if let Some(until) = self.paused_until.filter(|&until| now < until) {
            // Waiting for no listener at all, or their readiness would end the wait at once.
            let wait = wait.min(Duration::from_nanos(until - now));
            return listen::wait(&[], &mut self.ready, wait).map_err(failed(None));
        }
        self.paused_until = None;
        listen::wait(&self.listeners, &mut self.ready, wait).map_err(failed(None))?;
        self.follow_targets();
        let now = clock();
        for index in 0..self.listeners.len() {
            if self.ready[index] && self.paused_until.is_none() {
                self.accept_batch(index, now, Listener::accept).map_err(failed(Some(index)))?;
            }
        }
        Ok(())
    }

    /// What was done so far.
    pub fn counts(&self) -> DispatchCounts {
        self.counts
    }

    /// The admission policy, for its counts.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The listeners, in the order of [`Accepted::listener`].
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Tells the placer which targets have gone down or come up.
    fn follow_targets(&mut self) {
        // Read before the states: a change in between is seen again next turn, never missed.
        let version = self.targets.version();
        if version == self.version {
            return;
        }
        self.version = version;
        for target in 0..self.targets.count() {
            self.placer.set_up(target, self.targets.is_up(target));
        }
    }

    /// Accepts until the queue is empty, the batch is full or a pause is ordered.
    fn accept_batch(
        &mut self,
        index: usize,
        now: u64,
        mut accept: impl FnMut(&Listener) -> io::Result<(Stream, Option<SocketAddr>)>,
    ) -> io::Result<()> {
        for _ in 0..BATCH {
            // Connections here belong to no loop yet, so the limit per loop does not apply.
            let verdict = self.admission.admit(now, 0);
            if let Verdict::PauseUntil(until) = verdict {
                self.paused_until = Some(until);
                return Ok(());
            }
            match accept(&self.listeners[index]) {
                Ok((stream, peer)) if verdict == Verdict::Take => {
                    self.hand_over(Accepted { stream, peer, listener: index });
                }
                Ok(shed) => drop(shed),
                Err(error) => {
                    match verdict {
                        Verdict::Take => self.admission.cancel(),
                        _ => self.admission.spare(),
                    }
                    match self.admission.on_error(now, &error) {
                        AcceptErrorAction::Ignore => {}
                        AcceptErrorAction::Wait => return Ok(()),
                        AcceptErrorAction::PauseUntil(until) => {
                            self.paused_until = Some(until);
                            return Ok(());
                        }
                        AcceptErrorAction::Fatal => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }

    /// Tries the target that placement chooses, then the others that are up, once each.
    fn hand_over(&mut self, mut accepted: Accepted) {
        let targets = &self.targets;
        let chosen = self.placer.place(accepted.peer.as_ref(), |target| targets.load(target));
        let mut next = chosen;
        while let Some(target) = next {
            self.targets.connected(target);
            match (self.deliver)(target, accepted) {
                Ok(()) => {
                    self.counts.delivered += 1;
                    self.counts.redirected += u64::from(next != chosen);
                    return;
                }
                Err(returned) => accepted = returned,
            }
            self.targets.disconnected(target);
            next = self.placer.next_up(target);
            if next == chosen {
                break;
            }
        }
        // Closing tells the client; keeping it would need a queue, and queues have limits too.
        drop(accepted);
        self.admission.release();
        self.counts.undeliverable += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, AdmissionConfig, ListenConfig, Open, Placement, bind};
    use rustix::io::Errno;
    use std::time::Instant;

    type Deliver = fn(usize, Accepted) -> Result<(), Accepted>;

    fn dispatcher() -> Dispatcher<Deliver> {
        let address: Address = "127.0.0.1:0".parse().unwrap();
        Dispatcher::new(
            vec![bind(&address, &ListenConfig::default()).unwrap()],
            Placer::new(Placement::RoundRobin, 1, [0, 0]),
            Admission::new(AdmissionConfig::default(), Arc::new(Open::new(10))),
            Arc::new(Targets::new(1)),
            |_, _| Ok(()),
        )
    }

    /// Accepts with these errors in turn, then with "nothing there"; returns the calls made.
    fn inject(dispatcher: &mut Dispatcher<Deliver>, errors: &[Errno]) -> (usize, io::Result<()>) {
        let mut calls = 0;
        let result = dispatcher.accept_batch(0, 0, |_| {
            calls += 1;
            Err((*errors.get(calls - 1).unwrap_or(&Errno::AGAIN)).into())
        });
        assert_eq!(dispatcher.admission.open().count(), 0, "a failed accept keeps no place");
        (calls, result)
    }

    #[test]
    fn out_of_descriptors_pauses_instead_of_spinning_and_resumes_by_itself() {
        let mut dispatcher = dispatcher();
        let address = dispatcher.listeners[0].local_address().unwrap().tcp().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let (calls, result) = inject(&mut dispatcher, &[Errno::MFILE]);
        assert!(calls == 1 && result.is_ok());
        let until = dispatcher.paused_until.unwrap();
        assert!(until <= 100_000_000, "resumes within 0.1 s");

        // A client waits all the time: a turn during the pause must sleep nevertheless.
        let start = Instant::now();
        dispatcher.turn(Duration::from_millis(20), || 1).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(20));
        assert_eq!(dispatcher.counts.delivered, 0);

        dispatcher.turn(Duration::from_secs(5), || until).unwrap();
        assert_eq!(dispatcher.counts.delivered, 1);
    }

    #[test]
    fn an_aborted_connection_does_not_stop_the_batch() {
        let mut dispatcher = dispatcher();
        let errors = [Errno::CONNABORTED, Errno::INTR, Errno::PROTO];
        let (calls, result) = inject(&mut dispatcher, &errors);
        assert!(calls == 4 && result.is_ok());
        assert_eq!(dispatcher.admission.counts().errors, 3);
        assert_eq!(dispatcher.paused_until, None);
    }

    #[test]
    fn endless_errors_end_with_the_batch() {
        let (calls, result) = inject(&mut dispatcher(), &[Errno::CONNABORTED; 1_000]);
        assert!(calls == BATCH && result.is_ok());
    }

    #[test]
    fn a_bad_listener_is_fatal() {
        let (calls, result) = inject(&mut dispatcher(), &[Errno::BADF]);
        assert!(calls == 1 && result.is_err());
    }
}
