//! What to send, where to, when, over how many connections, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use crate::error::Error;
use crate::request::Request;

/// Connections at most. More than one address pair has ports for, so sources are spread.
const CONNECTION_COUNT_MAX: usize = 1_000_000;
/// Requests in flight on one connection at most.
const PIPELINE_DEPTH_MAX: usize = 1024;
/// Different requests at most.
const REQUEST_COUNT_MAX: usize = 10_000;
/// The lowest and the highest rate, in requests per second.
const RATE_RANGE: (f64, f64) = (0.001, 10_000_000.0);

/// A run: an open loop, which sends at given times whatever the server does, or a closed loop, in
/// which each connection sends the next request when a response has come.
///
/// # Examples
/// A thousand requests per second for half a minute, over at most 100 connections:
/// ```no_run
/// use std::time::Duration;
/// use corelane_load::{Plan, Request, Stop};
///
/// let request = Request::new("GET", "/", "localhost", &[], b"")?;
/// let target = "127.0.0.1:8080".parse().expect("an address");
/// let mut plan = Plan::open(&[target], request, 1_000.0);
/// plan.connections = 100;
/// plan.stop = Stop::After(Duration::from_secs(30));
/// let outcome = corelane_load::run(&plan)?;
/// println!("{} of {} were answered", outcome.answered, outcome.intended);
/// # Ok::<(), corelane_load::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server listens. Of several addresses, those at which somebody does are used in turn.
    pub targets: Vec<SocketAddr>,
    /// What is sent: one request, or several, chosen at random by their weights.
    pub requests: Vec<Weighted>,
    /// When requests are sent.
    pub pace: Pace,
    /// Connections, over all threads: in a closed loop so many are held open, in an open loop they are
    /// opened as needed, and this is the most. 1 to 1,000,000.
    pub connections: usize,
    /// Requests in flight on each connection, at most. 1 to 1,024.
    pub pipeline: usize,
    /// When to stop.
    pub stop: Stop,
    /// Traffic before measuring starts; only with [`Stop::After`].
    pub warm_up: Duration,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Event loops, each on a thread of its own. 1 to 256, and no more than connections.
    pub threads: usize,
    /// The cores the threads are bound to, in turn; empty leaves them to the scheduler.
    pub cores: Vec<usize>,
    /// Never sleep, and take all of each core: no server then pays for waking the client, which on
    /// another machine it would not do either.
    pub spin: bool,
    /// Decides what is left to chance: the times of [`Arrivals::Poisson`], and which request comes
    /// next. The same seed gives the same choices for as many threads.
    pub seed: u64,
    /// A process whose CPU time is taken at the same moments as ours: the server.
    pub watch: Option<u32>,
}

/// One of a plan's requests.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// What it is called in the outcome, such as its URL.
    pub name: String,
    /// How often it is chosen, in proportion to the weights of the others. At least 1.
    pub weight: u32,
    /// What is sent. If it says `Connection: close`, no other follows it on its connection.
    pub request: Request,
    /// What a response must be to count as right.
    pub expect: Expect,
}

impl Weighted {
    /// This request with weight 1, and any response with a status from 200 to 399 is right.
    #[must_use]
    pub fn new(name: &str, request: Request) -> Self {
        Self { name: name.to_owned(), weight: 1, request, expect: Expect::default() }
    }
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// When a response has come: each connection keeps [`Plan::pipeline`] requests in flight. Shows how
    /// much a server can do; its latencies are those under saturation.
    Closed,
    /// At given times, whether responses have come or not, as requests of people who do not know of
    /// each other are. Shows the latency at a rate.
    ///
    /// A request whose time has come while every connection is busy waits, and its response time counts
    /// from that time.
    Open {
        /// Requests per second, over all threads. 0.001 to 10,000,000.
        rate: f64,
        /// How they are spread over time.
        arrivals: Arrivals,
    },
}

/// How the requests of an open loop are spread over time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Constant,
    /// At random and independent of each other, as those of many people are: now and then several
    /// come at once.
    Poisson,
}

/// When a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// After this much measured time. What was sent by then is waited for; what was not is
    /// [unsent](crate::Faults::unsent).
    After(Duration),
    /// When exactly this many requests have been answered or given up.
    Requests(u64),
}

/// How long to wait for what. What takes longer is given up and counted as a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// For a connection to be established. Default 5 s.
    pub connect: Duration,
    /// From the send of a request to the end of its response. Default 5 s.
    pub response: Duration,
    /// For the server to close after `Connection: close`. Default 0.5 s.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            response: Duration::from_secs(5),
            close: Duration::from_millis(500),
        }
    }
}

/// What a response must be to count as right. What is absent is not checked, but for the status.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expect {
    /// The status; `None` accepts 200 to 399. Redirects are not followed.
    pub status: Option<u16>,
    /// The whole body.
    pub body: Option<Vec<u8>>,
    /// Bytes that the body contains.
    pub contains: Option<Vec<u8>>,
    /// The body's length in bytes. With this and without `body` and `contains`, bodies whose length
    /// the head tells are dropped inside the kernel instead of being copied, so that the client of
    /// large responses stays leaner than the server.
    pub length: Option<u64>,
    /// A field that the head has, and its value unless any will do. The name in any case.
    pub field: Option<(String, Option<String>)>,
}

impl Plan {
    /// A closed loop: one connection, one request at a time, one thread, 10 s measured after 1 s of
    /// warm-up.
    #[must_use]
    pub fn closed(targets: &[SocketAddr], request: Request) -> Self {
        Self {
            targets: targets.to_vec(),
            requests: vec![Weighted::new("", request)],
            pace: Pace::Closed,
            connections: 1,
            pipeline: 1,
            stop: Stop::After(Duration::from_secs(10)),
            warm_up: Duration::from_secs(1),
            timeouts: Timeouts::default(),
            threads: 1,
            cores: Vec::new(),
            spin: false,
            seed: 0,
            watch: None,
        }
    }

    /// An open loop: this many requests per second, spread evenly, over at most 1,000 connections; the
    /// rest as in [`Plan::closed`].
    #[must_use]
    pub fn open(targets: &[SocketAddr], request: Request, rate: f64) -> Self {
        let pace = Pace::Open { rate, arrivals: Arrivals::Constant };
        Self { pace, connections: 1_000, ..Self::closed(targets, request) }
    }

    /// This plan at rates from `from` to `to`, in as many equal steps: to be run one after the other,
    /// to find the rate from which on latency rises. Each runs as long as this plan says.
    ///
    /// # Errors
    /// [`Error::Range`] for less than 2 or more than 1,000 steps, or for a rate out of range.
    pub fn ramp(&self, from: f64, to: f64, steps: usize) -> Result<Vec<Self>, Error> {
        within("steps", steps as u64, (2, 1_000), "2 to 1,000")?;
        let arrivals = match self.pace {
            Pace::Open { arrivals, .. } => arrivals,
            Pace::Closed => Arrivals::default(),
        };
        let step = (to - from) / (steps - 1) as f64;
        (0..steps)
            .map(|index| {
                let pace = Pace::Open { rate: from + step * index as f64, arrivals };
                let plan = Self { pace, ..self.clone() };
                plan.check().map(|()| plan)
            })
            .collect()
    }

    /// Checks every number against its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (connections, threads) = (self.connections as u64, self.threads as u64);
        let most = CONNECTION_COUNT_MAX as u64;
        within("addresses", self.targets.len() as u64, (1, 256), "1 to 256")?;
        within("connections", connections, (1, most), "1 to 1,000,000")?;
        within("threads", threads, (1, 256.min(connections)), "1 to 256, at most connections")?;
        within("pipeline", self.pipeline as u64, (1, PIPELINE_DEPTH_MAX as u64), "1 to 1,024")?;
        let Timeouts { connect, response, close } = self.timeouts;
        for timeout in [connect, response, close] {
            within("timeout in milliseconds", millis(timeout), (1, 3_600_000), "1 to 3,600,000")?;
        }
        let day = (1, 86_400_000);
        within("warm-up in milliseconds", millis(self.warm_up), (0, day.1), "0 to 86,400,000")?;
        match self.stop {
            Stop::After(time) => {
                within("duration in milliseconds", millis(time), day, "1 to 86,400,000")?;
            }
            Stop::Requests(count) => within("requests", count, (1, u64::MAX), "at least 1")?,
        }
        if let Pace::Open { rate, .. } = self.pace
            && !(RATE_RANGE.0..=RATE_RANGE.1).contains(&rate)
        {
            return Err(Error::Rate { rate });
        }
        self.check_requests()
    }

    fn check_requests(&self) -> Result<(), Error> {
        let count = self.requests.len() as u64;
        within("different requests", count, (1, REQUEST_COUNT_MAX as u64), "1 to 10,000")?;
        for weighted in &self.requests {
            within("weight", weighted.weight.into(), (1, 1_000_000), "1 to 1,000,000")?;
            if weighted.request.closes() && self.pipeline > 1 {
                let (value, range) = (self.pipeline as u64, "1, because a request closes");
                return Err(Error::Range { name: "pipeline", value, range });
            }
        }
        Ok(())
    }

    /// The share of `whole` that belongs to worker `index`.
    pub(crate) fn share(&self, whole: u64, index: usize) -> u64 {
        let threads = self.threads as u64;
        whole / threads + u64::from((index as u64) < whole % threads)
    }
}

fn within(
    name: &'static str,
    value: u64,
    (least, most): (u64, u64),
    range: &'static str,
) -> Result<(), Error> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::Range { name, value, range })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let request = Request::new("GET", "/", "a", &[], b"").unwrap();
        Plan::open(&[([127, 0, 0, 1], 80).into()], request, 100.0)
    }

    #[test]
    fn a_ramp_has_even_steps_within_the_range() {
        let rates: Vec<_> = plan()
            .ramp(1_000.0, 3_000.0, 5)
            .unwrap()
            .iter()
            .map(|plan| match plan.pace {
                Pace::Open { rate, arrivals: Arrivals::Constant } => rate,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(rates, [1_000.0, 1_500.0, 2_000.0, 2_500.0, 3_000.0]);
        assert!(matches!(plan().ramp(1.0, 2.0, 1), Err(Error::Range { .. })));
        assert!(matches!(plan().ramp(0.0, 2.0, 3), Err(Error::Rate { .. })));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let rate = |rate| Pace::Open { rate, arrivals: Arrivals::Poisson };
        for broken in [
            Plan { pace: rate(f64::NAN), ..plan() },
            Plan { pace: rate(1e8), ..plan() },
            Plan { pipeline: 1_025, ..plan() },
            Plan { requests: Vec::new(), ..plan() },
            Plan { requests: vec![Weighted { weight: 0, ..plan().requests.remove(0) }], ..plan() },
            Plan { stop: Stop::Requests(0), ..plan() },
            Plan { timeouts: Timeouts { close: Duration::ZERO, ..Default::default() }, ..plan() },
        ] {
            assert!(broken.check().is_err(), "{broken:?}");
        }
        let closing = Request::new("GET", "/", "a", &[("Connection", "close")], b"").unwrap();
        let requests = vec![Weighted::new("", closing)];
        assert!(Plan { requests: requests.clone(), ..plan() }.check().is_ok());
        assert!(Plan { requests, pipeline: 2, ..plan() }.check().is_err());
    }
}
