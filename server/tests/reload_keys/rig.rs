//! A lane that serves a configuration on a simulated network, with the files of the system.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corelane::config::Effective;
use corelane::logs::AccessLogSlot;
use corelane::site::{Live, Source, http_config};
use corelane_eventloop::{
    Driver, Faults, Lane, LaneConfig, ListenOptions, Nanos, OsFiles, Post, Sim, World,
};
use corelane_http::{Http, HttpCounters, HttpMetrics};
use corelane_metrics::Registry;

use crate::rows::See;

pub(crate) struct Rig {
    world: World,
    driver: Sim,
    lane: Lane<Http<Live>>,
    slot: AccessLogSlot,
    log: PathBuf,
    pub(crate) source: Arc<Source>,
}

impl Rig {
    pub(crate) fn new(started: &Effective, log: &Path) -> Rig {
        let source = Source::new(started.clone()).unwrap();
        let slot = AccessLogSlot::default();
        source.log_into(slot.clone());
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().unwrap();
        let counters = HttpCounters::new(metrics, Rc::new(registry.shard(0).unwrap()));
        let http = Http::new(Live::new(source.clone()), http_config(&started.config), counters);
        let lane = Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0));
        let world = World::new(1, Faults::NONE);
        let mut driver = world.driver();
        driver.listen(0, ListenOptions { eager: true });
        let lane = lane.with_files(Box::new(OsFiles::new()));
        Rig { world, driver, lane, slot, log: log.to_owned(), source }
    }

    pub(crate) fn pass(&mut self, time: Nanos) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            let rest = until.since(self.world.now());
            self.driver.turn(&mut self.lane, Some(rest)).unwrap();
        }
    }

    pub(crate) fn see(&mut self, see: &See) -> String {
        let (request, time) = match see {
            See::InForce => return format!("{:?}", self.source.blueprint().config),
            See::Answer(request, time) => (request, *time),
            See::Slow(request) | See::Log(request) => (request, Nanos::from_millis(100)),
        };
        let client = self.world.connect(&self.driver, 0);
        self.world.send(client, request.as_bytes());
        self.pass(time);
        let patience = Instant::now() + Duration::from_secs(20);
        while matches!(see, See::Slow(_)) && self.world.received_len(client) == 0 {
            assert!(Instant::now() < patience, "no answer");
            std::thread::sleep(Duration::from_millis(1));
            self.driver.turn(&mut self.lane, Some(Nanos::ZERO)).unwrap();
        }
        if matches!(see, See::Log(_)) {
            if let Some(log) = self.slot.get() {
                assert!(log.flush(Duration::from_secs(20)), "the log is not written");
            }
            return std::fs::read_to_string(&self.log).unwrap_or_default();
        }
        let mut seen = String::from_utf8_lossy(&self.world.received(client)).into_owned();
        if self.world.end(client).is_some() {
            seen.push_str("<closed>");
        }
        seen
    }
}
