//! Connections that move to another lane between two requests.

use std::rc::Rc;

use corelane_eventloop::{ClientId, Driver, Faults, Lane, LaneConfig, Nanos, Post, Sim, World};
use corelane_http::{Http, HttpConfig, HttpCounters, HttpMetrics};
use corelane_metrics::Registry;

use crate::rig::{GET, Mirror, statuses};

/// Two lanes that serve alike. Clients connect to the first.
struct Pair {
    world: World,
    drivers: Vec<Sim>,
    lanes: Vec<Lane<Http<Mirror>>>,
}

impl Pair {
    fn new(config: &HttpConfig) -> Pair {
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().unwrap();
        let world = World::new(1, Faults::NONE);
        let mut drivers: Vec<Sim> = (0..2).map(|_| world.driver()).collect();
        drivers.iter_mut().for_each(|driver| driver.listen(0, Default::default()));
        let lane = |(number, post)| {
            let shard = Rc::new(registry.shard(number).unwrap());
            let counters = HttpCounters::new(metrics.clone(), shard);
            Lane::new(Http::new(Mirror, config.clone(), counters), LaneConfig::default(), post)
        };
        let lanes = Post::mesh(2, 16).into_iter().enumerate().map(lane).collect();
        Pair { world, drivers, lanes }
    }

    fn connect(&self) -> ClientId {
        self.world.connect(&self.drivers[0], 0)
    }

    /// Lets virtual time pass.
    fn pass(&mut self, time: Nanos) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            for (driver, lane) in self.drivers.iter_mut().zip(&mut self.lanes) {
                driver.turn(lane, Some(Nanos::ZERO)).unwrap();
            }
            self.world.advance(self.world.now() + Nanos::from_millis(1));
        }
    }

    /// The client sends this, and the statuses of all that it has received are these.
    #[track_caller]
    fn tell(&mut self, client: ClientId, bytes: &[u8], answered: &[u16]) {
        self.world.send(client, bytes);
        self.pass(Nanos::from_millis(10));
        let text = String::from_utf8(self.world.received(client)).unwrap();
        assert_eq!(statuses(&text), answered);
    }

    fn open(&self) -> [usize; 2] {
        [self.lanes[0].len(), self.lanes[1].len()]
    }
}

#[test]
fn a_connection_moves_between_requests_and_not_within() {
    let mut pair = Pair::new(&HttpConfig { requests_max: Some(4), ..HttpConfig::default() });
    let client = pair.connect();
    pair.lanes[0].offload(1, 1000, 1);
    pair.tell(client, b"PUT /a HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n1", &[]);
    assert_eq!(pair.open(), [1, 0], "within a body");
    pair.tell(client, b"2GET /b HTT", &[200]);
    assert_eq!(pair.open(), [1, 0], "within a head");
    pair.tell(client, b"P/1.1\r\nHost: test\r\n\r\n", &[200, 200]);
    assert_eq!(pair.open(), [0, 1]);
    pair.lanes[1].offload(0, 1000, 1);
    pair.tell(client, GET, &[200; 3]);
    assert_eq!(pair.open(), [1, 0], "and back");
    pair.tell(client, GET, &[200; 4]);
    let text = String::from_utf8(pair.world.received(client)).unwrap();
    assert_eq!(text.matches("Connection: close").count(), 1, "its fourth request, and the last");
    assert!(pair.world.end(client).is_some());
    // It lingers, since the client may not know yet.
    pair.pass(Nanos::from_secs(3));
    let closed: u64 = pair.lanes.iter().map(|lane| lane.stats().closed_total()).sum();
    assert_eq!((closed, pair.open()), (1, [0, 0]));
}

#[test]
fn an_idle_connection_ends_at_its_time_wherever_it_is() {
    let mut pair =
        Pair::new(&HttpConfig { idle_time: Nanos::from_secs(5), ..HttpConfig::default() });
    let client = pair.connect();
    pair.lanes[0].offload(1, 1000, 1);
    pair.tell(client, GET, &[200]);
    assert_eq!(pair.open(), [0, 1]);
    pair.pass(Nanos::from_millis(4900));
    assert!(pair.world.end(client).is_none());
    pair.pass(Nanos::from_millis(200));
    assert!(pair.world.end(client).is_some());
}
