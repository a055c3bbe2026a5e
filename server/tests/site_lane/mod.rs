//! A lane that serves a configuration on a simulated network.

use std::rc::Rc;
use std::sync::Arc;

use corelane::config::Effective;
use corelane::site::{Live, Source, http_config};
use corelane_eventloop::{
    Driver, Faults, Files, Lane, LaneConfig, ListenOptions, Nanos, Post, Sim, World,
};
use corelane_http::{Http, HttpCounters, HttpMetrics};
use corelane_metrics::Registry;

pub(crate) struct SiteLane {
    pub(crate) world: World,
    pub(crate) driver: Sim,
    pub(crate) lane: Lane<Http<Live>>,
}

impl SiteLane {
    /// A lane as the supervisor makes them: with what the protocol was told at the start.
    pub(crate) fn new(
        source: &Arc<Source>,
        started: &Effective,
        files: Box<dyn Files + Send>,
    ) -> SiteLane {
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().unwrap();
        let counters = HttpCounters::new(metrics, Rc::new(registry.shard(0).unwrap()));
        let http = Http::new(Live::new(source.clone()), http_config(&started.config), counters);
        let lane = Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0));
        let world = World::new(1, Faults::NONE);
        let mut driver = world.driver();
        driver.listen(0, ListenOptions { eager: true });
        SiteLane { world, driver, lane: lane.with_files(files) }
    }

    pub(crate) fn pass(&mut self, time: Nanos) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            let rest = until.since(self.world.now());
            self.driver.turn(&mut self.lane, Some(rest)).unwrap();
        }
    }
}
