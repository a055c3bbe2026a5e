//! A run from plan to outcome, and connections held open.

use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::error::Error;
use crate::limits;
use crate::outcome::{Interval, Late, Outcome, RequestOutcome, Watched};
use crate::plan::{Plan, Stop};
use crate::tally::{Faults, Tally};
use crate::worker::{Window, Worker, watched_cpu};

/// Carries out `plan` and says what happened.
///
/// Opens one connection more at the start, and closes it without a request, to tell a server that
/// is not there from one that fails under load. Takes at most warm-up plus duration, or, when the
/// number of requests is fixed, ends two timeouts after the last response.
///
/// # Errors
/// When the plan is out of range, nobody listens, or the system refuses what a run needs. What
/// goes wrong during the run is counted in [`Outcome::faults`].
pub fn run(plan: &Plan) -> Result<Outcome, Error> {
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
    let mut tally = Tally::default();
    let mut elapsed = Duration::ZERO;
    let mut client_cpu = Duration::ZERO;
    let mut busy = 0.0_f64;
    let mut server = None;
    for (worker, window) in &results {
        let measured = window.closed_at - window.opened_at;
        tally.add(&worker.tally);
        elapsed = elapsed.max(measured);
        client_cpu += window.cpu;
        busy = busy.max(window.cpu.as_secs_f64() / measured.as_secs_f64());
        if let (Some(from), Some(until)) = (window.watched, watched_until) {
            server =
                Some(Watched { cpu: until.since(from), elapsed: watched_at - window.opened_at });
        }
    }
    Ok(outcome(plan, tally, elapsed, client_cpu, busy, server))
}

fn outcome(
    plan: &Plan,
    tally: Tally,
    elapsed: Duration,
    client_cpu: Duration,
    busy: f64,
    server: Option<Watched>,
) -> Outcome {
    let now = SystemTime::now();
    let lost = tally.sent.saturating_sub(tally.responses);
    let intended = tally.sent + tally.faults.unsent;
    let wrong = tally.faults.wrong_status + tally.faults.wrong_body;
    Outcome {
        began_at: now.checked_sub(elapsed).unwrap_or(now),
        elapsed,
        interrupted: false,
        warm_up_sent: 0,
        intended,
        sent: tally.sent,
        answered: tally.responses,
        lost,
        faults: tally.faults,
        late: Late::default(),
        intervals: vec![Interval {
            at: Duration::ZERO,
            length: elapsed,
            intended,
            sent: tally.sent,
            answered: tally.responses,
            faults: tally.faults,
            late: 0,
            bytes_received: tally.bytes_received,
            bytes_sent: tally.sent * plan.request.bytes().len() as u64,
            response_time: tally.latency.clone(),
        }],
        statuses: tally.statuses.into_iter().collect(),
        requests: vec![RequestOutcome {
            name: "/".to_owned(),
            sent: tally.sent,
            answered: tally.responses,
            wrong,
            response_time: tally.latency.clone(),
        }],
        connections_opened: tally.opened,
        bytes_received: tally.bytes_received,
        bytes_sent: tally.sent * plan.request.bytes().len() as u64,
        threads: plan.threads,
        client_cpu,
        busy,
        server,
        service_time: tally.latency.clone(),
        response_time: tally.latency,
    }
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
