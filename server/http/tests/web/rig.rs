//! An application in the simulator, and what its clients received.

use std::rc::Rc;

use corelane_eventloop::{
    ClientId, Driver, End, Faults, Lane, LaneConfig, Nanos, Post, Sim, World,
};
use corelane_http::web::{App, Routes};
use corelane_http::{Http, HttpConfig, HttpCounters, HttpMetrics};
use corelane_metrics::Registry;

pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) driver: Sim,
    pub(crate) lane: Lane<Http<App>>,
    registry: Registry,
}

/// One response as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// What stood behind the last chunk.
    pub(crate) trailers: String,
}

impl Rig {
    pub(crate) fn calm(routes: Routes) -> Rig {
        Rig::new(routes.build().unwrap(), 1, Faults::NONE)
    }

    pub(crate) fn new(app: App, seed: u64, faults: Faults) -> Rig {
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().unwrap();
        let counters = HttpCounters::new(metrics, Rc::new(registry.shard(0).unwrap()));
        let http = Http::new(app, HttpConfig::default(), counters);
        let lane = Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0));
        let world = World::new(seed, faults);
        let mut driver = world.driver();
        driver.listen(0, Default::default());
        Rig { world, driver, lane, registry }
    }

    pub(crate) fn connect(&self) -> ClientId {
        self.world.connect(&self.driver, 0)
    }

    /// Lets virtual time pass.
    pub(crate) fn pass(&mut self, time: Nanos) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            let rest = until.since(self.world.now());
            self.driver.turn(&mut self.lane, Some(rest)).unwrap();
        }
    }

    /// Turns until the connection has ended.
    pub(crate) fn until_end(&mut self, client: ClientId) {
        let begun = self.world.now();
        while self.world.end(client).is_none() {
            let passed = self.world.now().since(begun);
            assert!(passed < Nanos::from_secs(1000), "the connection does not end");
            self.driver.turn(&mut self.lane, Some(Nanos::from_millis(1))).unwrap();
        }
    }

    /// Sends, and returns what has come until the connection ended in order.
    pub(crate) fn converse(&mut self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        let client = self.connect();
        self.world.send(client, bytes.as_ref());
        self.world.finish(client);
        self.until_end(client);
        assert_eq!(self.world.end(client), Some(End::Closed));
        self.answers(client)
    }

    /// The responses received so far, all of which must be whole.
    pub(crate) fn answers(&self, client: ClientId) -> Vec<Answer> {
        let received = self.world.received(client);
        let (answers, rest) = parse(&received);
        assert_eq!(rest, b"", "a response was cut");
        answers
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.registry.snapshot().counter(name, &[]).unwrap().total()
    }

    /// Waits that were cut short, by kind.
    pub(crate) fn timeouts(&self) -> Vec<(String, u64)> {
        let name = "corelane_http_timeouts_total";
        let snapshot = self.registry.snapshot();
        let all = snapshot.counters().iter().filter(|series| *series.description().name == *name);
        let all = all.map(|s| (s.description().labels[0].1.to_string(), s.total()));
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// How many latencies a route has, and their sum.
    pub(crate) fn latencies(&self, route: &str) -> (u64, Nanos) {
        let name = "corelane_http_route_latency_nanoseconds";
        let snapshot = self.registry.snapshot();
        let all = snapshot.histogram(name, &[("route", route)]).unwrap().merged();
        (all.count(), Nanos(all.sum()))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lane.protocol().handler().in_flight()
    }
}

/// A GET of each path, in one go.
pub(crate) fn gets(paths: &[&str]) -> Vec<u8> {
    let get = |path: &&str| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    paths.iter().map(get).collect::<String>().into_bytes()
}

/// The bodies of responses that all have this status.
pub(crate) fn bodies(answers: &[Answer], status: u16) -> Vec<&str> {
    let body = |answer: &'_ Answer| {
        assert_eq!(answer.status, status, "{answer:?}");
    };
    answers.iter().for_each(body);
    answers.iter().map(|answer| answer.body.as_str()).collect()
}

/// Reads responses to requests that were not HEAD: those that are whole, and the rest.
pub(crate) fn parse(mut bytes: &[u8]) -> (Vec<Answer>, &[u8]) {
    let mut answers = Vec::new();
    while let Some((answer, rest)) = parse_one(bytes) {
        if answer.status != 100 {
            answers.push(answer);
        }
        bytes = rest;
    }
    (answers, bytes)
}

fn parse_one(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end + 2]).unwrap().to_owned();
    let mut rest = &bytes[end + 4..];
    let status = head[9..12].parse().unwrap();
    let field = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
    };
    let (mut body, mut trailers) = (Vec::new(), String::new());
    if let Some(length) = field("Content-Length") {
        let length: usize = length.parse().unwrap();
        body.extend_from_slice(rest.get(..length)?);
        rest = &rest[length..];
    } else if field("Transfer-Encoding").is_some() {
        loop {
            let line = rest.windows(2).position(|window| window == b"\r\n")?;
            let size = std::str::from_utf8(&rest[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            rest = &rest[line + 2..];
            if size == 0 {
                break;
            }
            body.extend_from_slice(rest.get(..size)?);
            assert_eq!(rest.get(size..size + 2)?, b"\r\n");
            rest = &rest[size + 2..];
        }
        while !rest.starts_with(b"\r\n") {
            let line = rest.windows(2).position(|window| window == b"\r\n")?;
            trailers += std::str::from_utf8(&rest[..line + 2]).unwrap();
            rest = &rest[line + 2..];
        }
        rest = &rest[2..];
    }
    let body = String::from_utf8(body).unwrap();
    Some((Answer { status, head, body, trailers }, rest))
}
