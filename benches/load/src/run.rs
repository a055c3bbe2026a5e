//! A run from plan to outcome, and connections held open.

use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use corelane_eventloop::Mio;
use rustix::time::{ClockId, clock_gettime};

use crate::engine::Stage;
use crate::error::Error;
use crate::limits;
use crate::meters::Meters;
use crate::outcome::{Outcome, Watched};
use crate::plan::{Plan, Stop};
use crate::process::{self, Cpu};
use crate::progress::{Monitor, Progress};
use crate::result::{Part, heat_map, outcome};
use crate::tally::Faults;
use crate::worker::Worker;

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Carries out `plan` and says what happened.
///
/// Opens one connection more to each target at the start, and closes it without a request, to tell a
/// server that is not there from one that fails under load. Takes at most warm-up, duration and
/// timeout, or, when the number of requests is fixed, ends two timeouts after the last response.
///
/// # Errors
/// When the plan is out of range, nobody listens, or the system refuses what a run needs. What
/// goes wrong during the run is counted in [`Outcome::faults`].
pub fn run(plan: &Plan) -> Result<Outcome, Error> {
    run_watched(plan, |_| ControlFlow::Continue(()))
}

/// As [`run`]; `watch` is shown how it goes, about ten times a second, on the calling thread.
///
/// If it breaks, the run ends early: what is in flight has half a second, and the outcome says that it
/// was [interrupted](Outcome::interrupted).
///
/// # Errors
/// Those of [`run`].
///
/// # Examples
/// A line each time, and an end after 1,000 faults:
/// ```no_run
/// use std::ops::ControlFlow;
/// use corelane_load::{Plan, Request, run_watched};
///
/// let request = Request::new("GET", "/", "localhost", &[], b"")?;
/// let plan = Plan::open(&["127.0.0.1:8080".parse().expect("an address")], request, 500.0);
/// let outcome = run_watched(&plan, |progress| {
///     eprintln!("{:?}: {} answered", progress.elapsed, progress.answered);
///     match progress.faults.total() {
///         ..1_000 => ControlFlow::Continue(()),
///         _ => ControlFlow::Break(()),
///     }
/// })?;
/// println!("{} faults", outcome.faults.total());
/// # Ok::<(), corelane_load::Error>(())
/// ```
pub fn run_watched(
    plan: &Plan,
    watch: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Result<Outcome, Error> {
    let plan = &prepare(plan)?;
    let meters = Meters::new()?;
    let stop = AtomicBool::new(false);
    let together = Barrier::new(plan.threads + 1);
    let (ended, ends) = mpsc::channel();
    let (results, monitor) = thread::scope(|scope| {
        let running: Vec<_> = (0..plan.threads)
            .map(|index| {
                let (meters, stop, together) = (&meters, &stop, &together);
                let ended = ended.clone();
                scope.spawn(move || {
                    let result = work(plan, index, meters, stop, together);
                    if result.is_err() {
                        // Nothing will be said of what the others do.
                        stop.store(true, Ordering::Relaxed);
                    }
                    // Nobody listens any more only if the watcher has panicked.
                    let _ = ended.send(());
                    result
                })
            })
            .collect();
        together.wait();
        let began = Instant::now() + if limited(plan) { Duration::ZERO } else { plan.warm_up };
        let monitor = attend(plan, &meters, &stop, began, &ends, watch);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        (running.into_iter().map(join).collect::<Vec<Result<Finished<'_>, Error>>>(), monitor)
    });
    // Before the workers are dropped: closing their connections is not part of the run. A server that is
    // gone takes its own figure with it, not those of the run.
    let watched_until = plan.watch.and_then(|process| watched_cpu(process).ok());
    let watched_at = Instant::now();
    let results = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let server = results.first().and_then(|first| {
        let (from, until) = (first.watched?, watched_until?);
        Some(Watched { cpu: until.since(from), elapsed: watched_at - first.opened_at })
    });
    let parts: Vec<_> = results.iter().map(Finished::part).collect();
    let monitor = monitor.finish(&meters, &parts);
    Ok(outcome(plan, monitor, &parts, server))
}

/// Whether the run is for a number of requests, which has no warm-up.
fn limited(plan: &Plan) -> bool {
    matches!(plan.stop, Stop::Requests(_))
}

/// Looks at the run until every worker has ended.
fn attend(
    plan: &Plan,
    meters: &Meters,
    stop: &AtomicBool,
    began: Instant,
    ends: &mpsc::Receiver<()>,
    mut watch: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Monitor {
    let wall = SystemTime::now() + began.saturating_duration_since(Instant::now());
    let mut monitor = Monitor::new(plan, wall);
    let mut left = plan.threads;
    while left > 0 {
        let now = Instant::now();
        let pause = match began.checked_duration_since(now) {
            Some(before) if !before.is_zero() => before.min(LOOK),
            _ => monitor.until_interval(now - began).min(LOOK),
        };
        match ends.recv_timeout(pause) {
            Ok(()) => left -= 1,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let elapsed = Instant::now().checked_duration_since(began);
                let progress = monitor.look(meters, elapsed);
                if watch(&progress).is_break() {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            // A worker that is gone has sent its word, unless it panicked: joining it tells.
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    monitor
}

/// One thread's part of the run, done.
struct Finished<'plan> {
    worker: Worker<'plan, Mio>,
    opened_at: Instant,
    cpu: Duration,
    busy: f64,
    watched: Option<Cpu>,
}

impl Finished<'_> {
    fn part(&self) -> Part<'_> {
        let engine = self.worker.engine();
        Part {
            ledger: &engine.ledger,
            elapsed: Duration::from_nanos(engine.measured()),
            interrupted: engine.interrupted,
            cpu: self.cpu,
            busy: self.busy,
        }
    }
}

/// One thread's part of the run.
fn work<'plan>(
    plan: &'plan Plan,
    index: usize,
    meters: &Meters,
    stop: &'plan AtomicBool,
    together: &Barrier,
) -> Result<Finished<'plan>, Error> {
    let pinned = match plan.cores.as_slice() {
        [] => Ok(()),
        cores => limits::pin(cores[index % cores.len()]),
    };
    let ready = pinned.and_then(|()| {
        let driver = Mio::new().and_then(Mio::with_fine_waits).map_err(Error::system("epoll"))?;
        Worker::new(plan, index, stop, meters, heat_map(plan), driver)
    });
    // Even after a failure, since the others would wait for ever.
    together.wait();
    let mut worker = ready?;
    let (mut opened_at, mut watched) = (Instant::now(), None);
    let (mut cpu, mut busy) = (Duration::ZERO, 0);
    let (mut spent, mut share) = (Duration::ZERO, 0.0);
    worker.run(plan.spin, |stage, turning| {
        match stage {
            Stage::Measuring => {
                watched = plan.watch.filter(|_| index == 0).and_then(|id| watched_cpu(id).ok());
                (opened_at, cpu, busy) = (Instant::now(), thread_cpu(), turning);
            }
            Stage::Draining | Stage::Over => {
                spent = thread_cpu().saturating_sub(cpu);
                let elapsed = opened_at.elapsed().as_secs_f64().max(1e-9);
                // Waiting for nothing takes all of a core as well: then turns are counted.
                let used = Duration::from_nanos(turning - busy).as_secs_f64();
                let used = if plan.spin { used } else { spent.as_secs_f64() };
                // When nothing is sent any more, there is little to be busy with.
                share = f64::max(share, used / elapsed);
            }
            Stage::WarmUp => {}
        }
        Ok(())
    })?;
    Ok(Finished { worker, opened_at, cpu: spent, busy: share, watched })
}

/// Connections that have had one response each and are silent since.
///
/// # Examples
/// ```no_run
/// use corelane_load::{Held, Plan, Request};
///
/// let request = Request::new("GET", "/", "localhost", &[], b"")?;
/// let mut plan = Plan::closed(&["127.0.0.1:8080".parse().expect("an address")], request);
/// plan.connections = 10_000;
/// let mut held = Held::open(&plan)?;
/// println!("{} of 10,000 are open", held.open_count()?);
/// # Ok::<(), corelane_load::Error>(())
/// ```
pub struct Held<'plan> {
    worker: Worker<'plan, Mio>,
    faults: Faults,
}

/// Never set: connections that are held are not interrupted.
static NO_STOP: AtomicBool = AtomicBool::new(false);

impl<'plan> Held<'plan> {
    /// Opens the plan's connections, one request on each, and returns when each has its response or
    /// two timeouts have passed without any. Uses the calling thread; ignores the plan's
    /// `pace`, `pipeline`, `stop`, `warm_up`, `threads`, `cores` and `watch`.
    ///
    /// # Errors
    /// As for [`run`].
    pub fn open(plan: &'plan Plan) -> Result<Self, Error> {
        let each_once = Stop::Requests(plan.connections as u64);
        prepare(&Plan { stop: each_once, threads: 1, pipeline: 1, ..plan.clone() })?;
        let meters = Meters::new()?;
        let driver = Mio::new().map_err(Error::system("epoll"))?;
        let mut worker = Worker::hold(plan, &NO_STOP, &meters, driver)?;
        worker.run(false, |_, _| Ok(()))?;
        Ok(Self { worker, faults: meters.sample().faults })
    }

    /// Connections that are open now and have had their response, as far as is known without sending.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn open_count(&mut self) -> Result<usize, Error> {
        self.worker.open_count()
    }

    /// What went wrong while they were opened.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.faults
    }
}

/// Checks the plan, and that there is somebody to talk to: the plan with those targets at which there
/// is.
fn prepare(plan: &Plan) -> Result<Plan, Error> {
    plan.check()?;
    plan.watch.map(watched_cpu).transpose()?;
    limits::raise_descriptors(plan.connections)?;
    let mut refused = None;
    let mut answers = |target: &SocketAddr| {
        let connected = TcpStream::connect_timeout(target, plan.timeouts.connect);
        connected.map_err(|source| refused = Some((*target, source))).is_ok()
    };
    let targets: Vec<_> = plan.targets.iter().copied().filter(&mut answers).collect();
    match refused {
        Some((target, source)) if targets.is_empty() => Err(Error::Unreachable { target, source }),
        _ => Ok(Plan { targets, ..plan.clone() }),
    }
}

fn watched_cpu(process: u32) -> Result<Cpu, Error> {
    process::cpu(process).map_err(|source| Error::Watch { process, source })
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Neither is ever negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
