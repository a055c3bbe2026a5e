//! What to send, where to, over how many connections, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::request::Request;

/// Connections at most. More than one address pair has ports for, so sources are spread.
const CONNECTION_COUNT_MAX: usize = 1_000_000;
/// Requests in flight on one connection at most.
const PIPELINE_DEPTH_MAX: usize = 1024;

/// A closed-loop run: every connection keeps `pipeline` requests in flight and sends the next when
/// a response has come whole.
///
/// # Examples
/// Ten thousand requests over eight connections:
/// ```no_run
/// use corelane_load::{Plan, Request, Stop};
///
/// let request = Request::new("GET", "/", "localhost", &[], b"")?;
/// let mut plan = Plan::new("127.0.0.1:8080".parse().expect("an address"), request);
/// plan.connections = 8;
/// plan.stop = Stop::Requests(10_000);
/// let outcome = corelane_load::run(&plan)?;
/// println!("{} responses, {} faults", outcome.answered, outcome.faults.total());
/// # Ok::<(), corelane_load::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server listens.
    pub target: SocketAddr,
    /// What is sent. If it says `Connection: close`, each request gets a connection of its own.
    pub request: Request,
    /// Connections held open at once, over all threads. 1 to 1,000,000.
    pub connections: usize,
    /// Requests in flight on each connection. 1 to 1,024; 1 if the request closes.
    pub pipeline: usize,
    /// When to stop.
    pub stop: Stop,
    /// Traffic before measuring starts; only with [`Stop::After`].
    pub warm_up: Duration,
    /// A request, or an attempt to connect, that takes longer is given up and counted.
    pub timeout: Duration,
    /// Event loops, each on a thread of its own. 1 to 256, and no more than connections.
    pub threads: usize,
    /// The cores the threads are bound to, in turn; empty leaves them to the scheduler.
    pub cores: Vec<usize>,
    /// Never sleep, and take all of each core: no server then pays for waking the client, which on
    /// another machine it would not do either.
    pub spin: bool,
    /// What a response must be to count as right.
    pub expect: Expect,
    /// A process whose CPU time is taken at the same moments as ours: the server.
    pub watch: Option<u32>,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// After this much measured time.
    After(Duration),
    /// When exactly this many requests have been answered or given up.
    Requests(u64),
}

/// What a response must be to count as right.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// The status; `None` accepts 200 to 399.
    pub status: Option<u16>,
    /// The whole body; `None` accepts any.
    pub body: Option<Vec<u8>>,
    /// The body's length in bytes; `None` accepts any. With this and without `body`, bodies whose
    /// length the head tells are discarded inside the kernel instead of being copied, so that the
    /// client of large responses stays leaner than the server.
    pub length: Option<u64>,
}

impl Plan {
    /// One connection, one request at a time, one thread, 10 s measured after 1 s of warm-up, and
    /// 5 s for each request.
    #[must_use]
    pub fn new(target: SocketAddr, request: Request) -> Self {
        Self {
            target,
            request,
            connections: 1,
            pipeline: 1,
            stop: Stop::After(Duration::from_secs(10)),
            warm_up: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            threads: 1,
            cores: Vec::new(),
            spin: false,
            expect: Expect::default(),
            watch: None,
        }
    }

    /// Checks every number against its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let within = |name, value: usize, max: usize, range| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(Error::Range { name, value: value as u64, range })
            }
        };
        within("connections", self.connections, CONNECTION_COUNT_MAX, "1 to 1,000,000")?;
        within(
            "threads",
            self.threads,
            256.min(self.connections),
            "1 to 256, at most connections",
        )?;
        let (depth, range) = if self.request.closes() {
            (1, "1, because the request says Connection: close")
        } else {
            (PIPELINE_DEPTH_MAX, "1 to 1,024")
        };
        within("pipeline", self.pipeline, depth, range)?;
        let timeout = usize::try_from(self.timeout.as_millis()).unwrap_or(usize::MAX);
        within("timeout in milliseconds", timeout, 3_600_000, "1 to 3,600,000")?;
        match self.stop {
            Stop::After(time) => {
                let millis = usize::try_from(time.as_millis()).unwrap_or(usize::MAX);
                within("duration in milliseconds", millis, 86_400_000, "1 to 86,400,000")
            }
            Stop::Requests(count) => within(
                "requests",
                usize::try_from(count).unwrap_or(usize::MAX),
                usize::MAX - 1,
                "at least 1",
            ),
        }
    }

    /// Whether `status` counts as right.
    pub(crate) fn accepts(&self, status: u16) -> bool {
        self.expect.status.map_or((200..400).contains(&status), |expected| expected == status)
    }

    /// The share of `whole` that belongs to worker `index`.
    pub(crate) fn share(&self, whole: u64, index: usize) -> u64 {
        let threads = self.threads as u64;
        whole / threads + u64::from((index as u64) < whole % threads)
    }
}
