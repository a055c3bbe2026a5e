//! An application in the simulator, and what it answers.

use std::rc::Rc;

use corelane_eventloop::{Driver, Faults, Lane, LaneConfig, Nanos, Post, Sim, World};
use corelane_http::web::App;
use corelane_http::{Http, HttpConfig, HttpCounters, HttpMetrics};
use corelane_metrics::Registry;

pub(crate) struct Rig {
    world: World,
    driver: Sim,
    lane: Lane<Http<App>>,
}

/// One response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The values of all fields of this name, joined as RFC 9110 §5.3 says; empty without one.
    pub(crate) fn field(&self, name: &str) -> String {
        let fields = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | ")
    }

    /// The fields whose names begin so, one a line.
    pub(crate) fn fields_like(&self, prefix: &str) -> Vec<String> {
        let fields = self.fields.iter().filter(|(name, _)| name.starts_with(prefix));
        fields.map(|(name, value)| format!("{name}: {value}")).collect()
    }
}

impl Rig {
    pub(crate) fn new(app: App) -> Rig {
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().unwrap();
        let counters = HttpCounters::new(metrics, Rc::new(registry.shard(0).unwrap()));
        let http = Http::new(app, HttpConfig::default(), counters);
        let lane = Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0));
        let world = World::new(1, Faults::NONE);
        let mut driver = world.driver();
        driver.listen(0, Default::default());
        Rig { world, driver, lane }
    }

    /// Sends one request: its first line without the version, and its further fields.
    pub(crate) fn ask(&mut self, line: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask_with(line, fields, b"")
    }

    /// As [`Rig::ask`], with a body.
    pub(crate) fn ask_with(&mut self, line: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut bytes = format!("{line} HTTP/1.1\r\nHost: test.example\r\nConnection: close\r\n");
        if !body.is_empty() {
            bytes += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in fields {
            bytes += &format!("{name}: {value}\r\n");
        }
        self.send(&[bytes.as_bytes(), b"\r\n", body].concat())
    }

    /// Sends bytes, and reads one answer.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Answer {
        let client = self.world.connect(&self.driver, 0);
        self.world.send(client, bytes);
        let begun = self.world.now();
        while self.world.end(client).is_none() {
            assert!(self.world.now().since(begun) < Nanos::from_secs(100), "no end");
            self.driver.turn(&mut self.lane, Some(Nanos::from_millis(1))).unwrap();
        }
        parse(&String::from_utf8(self.world.received(client)).unwrap())
    }
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    Answer { status, fields: lines.map(field).collect(), body: body.to_owned() }
}
