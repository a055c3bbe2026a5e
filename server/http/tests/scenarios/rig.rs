//! A server in the simulator, and what its clients received.

use std::rc::Rc;

use corelane_eventloop::{
    ClientId, Driver, End, Faults, Lane, LaneConfig, ListenOptions, Nanos, Post, Sim, World,
};
use corelane_http::{
    Context, Handler, Http, HttpConfig, HttpCounters, HttpMetrics, Intake, Replied, Reply,
};
use corelane_mempool::{Budget, Pool, PoolConfig, Shared};
use corelane_metrics::{HistogramSnapshot, Registry};
use corelane_parser::http1::{Head, Prerendered};

pub(crate) const GET: &[u8] = b"GET /get HTTP/1.1\r\nHost: test\r\n\r\n";

/// Answers with what it was asked: method, target, and length and checksum of the body. Some paths
/// have answers of their own.
pub(crate) struct Mirror;

pub(crate) struct Seen {
    line: String,
    bytes: u64,
    checksum: u32,
}

impl Handler for Mirror {
    type Request = Seen;

    fn begin(&mut self, head: &Head<'_>, _context: &mut Context<'_>) -> Seen {
        let line = format!("{:?} {}", head.method(), head.target());
        Seen { line, bytes: 0, checksum: 0 }
    }

    fn wants_body(&mut self, seen: &Seen) -> Intake {
        if seen.line.ends_with("/unwanted") { Intake::Answer } else { Intake::More }
    }

    fn body(&mut self, seen: &mut Seen, data: &[u8]) -> Intake {
        for &byte in data {
            seen.bytes += 1;
            seen.checksum = seen.checksum.rotate_left(5) ^ u32::from(byte);
        }
        Intake::More
    }

    fn reply(&mut self, seen: Seen, reply: Reply<'_>) -> Replied {
        let path = seen.line.rsplit_once(' ').map_or("", |(_, path)| path);
        match path {
            "/204" => reply.send(204, &[], b""),
            "/304" => reply.send(304, &[("ETag", "\"1\"")], b""),
            "/unwanted" => reply.send(403, &[], b"not wanted\n"),
            "/205-with-body" => reply.send(205, &[], b"no"),
            "/204-with-body" => reply.send(204, &[], b"no"),
            "/bad-name" => reply.send(200, &[("Bad Name", "x")], b"secret"),
            "/bad-value" => reply.send(200, &[("Name", "a\r\nInjected: b")], b"secret"),
            "/reserved" => reply.send(200, &[("Content-Length", "7")], b"secret"),
            "/status-100" => reply.send(100, &[], b"secret"),
            "/without-its-body" => {
                let heads = Prerendered::without_body(200, &[], 9).unwrap();
                reply.prerendered(&heads, 200)
            }
            "/another-length" => {
                let heads = Prerendered::without_body(200, &[], 9).unwrap();
                reply.shared(&heads, 200, &Shared::from(b"secret".to_vec()))
            }
            "/304-with-content" => {
                let heads = Prerendered::without_body(304, &[], 6).unwrap();
                reply.shared(&heads, 304, &Shared::from(b"secret".to_vec()))
            }
            "/large" => reply.send(200, &[], &[b'x'; 50_000]),
            _ => {
                let body = format!("{} {} {:08x}\n", seen.line, seen.bytes, seen.checksum);
                reply.send(200, &[("Content-Type", "text/plain")], body.as_bytes())
            }
        }
    }
}

pub(crate) struct Rig<H: Handler = Mirror> {
    pub(crate) world: World,
    pub(crate) driver: Sim,
    pub(crate) lane: Lane<Http<H>>,
    registry: Registry,
}

impl Rig {
    pub(crate) fn new(seed: u64, faults: Faults) -> Rig {
        Rig::of(Mirror, HttpConfig::default(), World::new(seed, faults), false)
    }

    pub(crate) fn calm(config: HttpConfig) -> Rig {
        Rig::of(Mirror, config, World::new(1, Faults::NONE), false)
    }

    /// A calm network, and buffers of so many bytes at most.
    pub(crate) fn short_of_memory(bytes: usize) -> Rig {
        let mut rig = Rig::calm(HttpConfig::default());
        let config = PoolConfig { budget: Budget::new(bytes), ..PoolConfig::default() };
        rig.lane = rig.lane.with_pool(Pool::new(config));
        rig
    }
}

impl<H: Handler> Rig<H> {
    /// A server that answers with this handler, and serves while it accepts if it is eager.
    pub(crate) fn of(handler: H, config: HttpConfig, world: World, eager: bool) -> Rig<H> {
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().unwrap();
        let counters = HttpCounters::new(metrics, Rc::new(registry.shard(0).unwrap()));
        let http = Http::new(handler, config, counters);
        let lane = Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0));
        let mut driver = world.driver();
        driver.listen(0, ListenOptions { eager });
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

    /// Turns until the connection has ended; the virtual time that took.
    pub(crate) fn until_end(&mut self, client: ClientId) -> Nanos {
        let begun = self.world.now();
        while self.world.end(client).is_none() {
            let passed = self.world.now().since(begun);
            assert!(passed < Nanos::from_secs(1000), "the connection does not end");
            // Short waits, because a turn does not return when only clients have something to hear.
            self.driver.turn(&mut self.lane, Some(Nanos::from_millis(1))).unwrap();
        }
        self.world.now().since(begun)
    }

    /// Everything received so far, with every date replaced by the same.
    pub(crate) fn received(&self, client: ClientId) -> String {
        let text = String::from_utf8(self.world.received(client)).unwrap();
        let undated = |line: &str| match line.strip_prefix("Date: ") {
            Some(_) => "Date: then\r\n".to_owned(),
            None => line.to_owned(),
        };
        text.split_inclusive('\n').map(undated).collect()
    }

    /// Sends, and returns what has come until the connection ended in order.
    pub(crate) fn converse(&mut self, bytes: &[u8]) -> String {
        let client = self.connect();
        self.world.send(client, bytes);
        self.world.finish(client);
        self.until_end(client);
        assert_eq!(self.world.end(client), Some(End::Closed));
        self.received(client)
    }

    pub(crate) fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.registry.snapshot().counter(name, labels).unwrap().total()
    }

    /// Waits that were cut short, by kind.
    pub(crate) fn timeouts(&self) -> Vec<(String, u64)> {
        let name = "corelane_http_timeouts_total";
        let snapshot = self.registry.snapshot();
        let all = snapshot.counters().iter().filter(|series| *series.description().name == *name);
        let all = all.map(|s| (s.description().labels[0].1.to_string(), s.total()));
        all.filter(|(_, count)| *count > 0).collect()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.counter(HttpMetrics::REQUESTS, &[])
    }

    pub(crate) fn latencies(&self) -> u64 {
        self.all_latencies().count()
    }

    pub(crate) fn all_latencies(&self) -> HistogramSnapshot {
        let snapshot = self.registry.snapshot();
        snapshot.histogram(HttpMetrics::LATENCY, &[]).unwrap().merged().clone()
    }
}

/// The status codes of these responses, in order.
pub(crate) fn statuses(text: &str) -> Vec<u16> {
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.map(|rest| rest[..3].parse().unwrap()).collect()
}
