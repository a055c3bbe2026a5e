//! A run from plan to report, and connections held open.

use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::limits;
use crate::plan::{Plan, Stop};
use crate::report::{Report, Watched};
use crate::tally::{Faults, Tally};
use crate::worker::{Window, Worker, watched_cpu};

/// Carries out `plan` and reports what happened.
///
/// Opens one connection more at the start, and closes it without a request, to tell a server that
/// is not there from one that fails under load. Takes at most warm-up plus duration, or, when the
/// number of requests is fixed, ends two timeouts after the last response.
///
/// # Errors
/// When the plan is out of range, nobody listens, or the system refuses what a run needs. What
/// goes wrong during the run is counted in [`Report::faults`].
pub fn run(plan: &Plan) -> Result<Report, Error> {
    prepare(plan)?;
    let together = Barrier::new(plan.threads);
    let results: Vec<_> = thread::scope(|scope| {
        let work = |index| {
            let together = &together;
            scope.spawn(move || work(plan, index, together))
        };
        let running: Vec<_> = (0..plan.threads).map(work).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        running.into_iter().map(join).collect()
    });
    // Before the workers are dropped: closing their connections is not part of the run.
    let watched_until = plan.watch.map(watched_cpu).transpose()?;
    let watched_at = Instant::now();
    let results = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut tally = Tally::new()?;
    let mut elapsed = Duration::ZERO;
    let mut cpu = Duration::ZERO;
    let mut watched = None;
    for (worker, window) in &results {
        tally.add(&worker.tally);
        elapsed = elapsed.max(window.closed_at - window.opened_at);
        cpu += window.cpu;
        if let (Some(from), Some(until)) = (window.watched, watched_until) {
            watched =
                Some(Watched { cpu: until.since(from), elapsed: watched_at - window.opened_at });
        }
    }
    Ok(Report::new(plan, tally, elapsed, cpu, watched))
}

/// Connections that have had one response each and are silent since.
///
/// # Examples
/// ```no_run
/// use corelane_load::{Held, Plan, Request};
///
/// let request = Request::new("GET", "/", "localhost", &[], b"")?;
/// let mut plan = Plan::new("127.0.0.1:8080".parse().expect("an address"), request);
/// plan.connections = 10_000;
/// let held = Held::open(&plan)?;
/// println!("{} of 10,000 are open", held.open_count());
/// # Ok::<(), corelane_load::Error>(())
/// ```
pub struct Held<'plan> {
    worker: Worker<'plan>,
}

impl<'plan> Held<'plan> {
    /// Opens the plan's connections, one request on each, and returns when each has its response or
    /// two timeouts have passed without any. Uses the calling thread; ignores the plan's
    /// `pipeline`, `stop`, `warm_up`, `threads`, `cores` and `watch`.
    ///
    /// # Errors
    /// As for [`run`].
    pub fn open(plan: &'plan Plan) -> Result<Self, Error> {
        let each_once = Stop::Requests(plan.connections as u64);
        prepare(&Plan { stop: each_once, threads: 1, pipeline: 1, ..plan.clone() })?;
        let mut worker = Worker::hold(plan, Instant::now())?;
        worker.run(None)?;
        Ok(Self { worker })
    }

    /// Connections that are open now, with everything answered. Costs one system call for each.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.worker.silent_count()
    }

    /// What went wrong while they were opened.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.worker.tally.faults
    }
}

/// One thread's part of the run.
fn work<'plan>(
    plan: &'plan Plan,
    index: usize,
    together: &Barrier,
) -> Result<(Worker<'plan>, Window), Error> {
    let pinned = match plan.cores.as_slice() {
        [] => Ok(()),
        cores => limits::pin(cores[index % cores.len()]),
    };
    // Even after a failure, since the others would wait for ever.
    together.wait();
    pinned?;
    let mut worker = Worker::new(plan, index, Instant::now())?;
    let window = worker.run(plan.watch.filter(|_| index == 0))?;
    Ok((worker, window))
}

fn prepare(plan: &Plan) -> Result<(), Error> {
    plan.check()?;
    limits::raise_descriptors(plan.connections)?;
    TcpStream::connect_timeout(&plan.target, plan.timeout)
        .map(drop)
        .map_err(|source| Error::Unreachable { target: plan.target, source })
}
