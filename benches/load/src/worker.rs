//! One event loop with its share of the connections.

use std::sync::atomic::AtomicBool;

use corelane_eventloop::{Driver, Lane, LaneConfig, Nanos, Post};
use corelane_metrics::heat::HeatMap;

use crate::engine::{Engine, Stage};
use crate::error::Error;
use crate::ledger::Ledger;
use crate::meters::Meters;
use crate::plan::Plan;
use crate::response::HEAD_BYTES_MAX;

/// Read at once where a body may follow that need not be read: enough for a head.
const HEAD_PAGE: usize = 4 * 1024;
/// Read at once otherwise.
const PAGE: usize = 64 * 1024;
/// What one connection may receive before the others have their turn.
const TURN_BYTES: usize = 1 << 20;

/// An engine on its lane, with the driver that turns it.
pub(crate) struct Worker<'plan, D> {
    lane: Lane<Engine<'plan>>,
    driver: D,
}

impl<'plan, D: Driver> Worker<'plan, D> {
    /// Worker `index` of the plan's threads.
    pub(crate) fn new(
        plan: &'plan Plan,
        index: usize,
        stop: &'plan AtomicBool,
        meters: &Meters,
        heat: HeatMap,
        driver: D,
    ) -> Result<Self, Error> {
        let ledger = Ledger::new(plan, meters.shard(index)?, meters.ids, heat);
        Self::with(plan, Engine::new(plan, index, stop, ledger), driver)
    }

    /// A worker with all of the plan's connections, each used once and then kept.
    pub(crate) fn hold(
        plan: &'plan Plan,
        stop: &'plan AtomicBool,
        meters: &Meters,
        driver: D,
    ) -> Result<Self, Error> {
        let ledger = Ledger::new(plan, meters.shard(0)?, meters.ids, HeatMap::default());
        Self::with(plan, Engine::hold(plan, stop, ledger), driver)
    }

    fn with(plan: &Plan, engine: Engine<'plan>, driver: D) -> Result<Self, Error> {
        let config = LaneConfig {
            // Connections that are closing are still there when others take their places.
            connections: 2 * plan.connections + 1,
            // What is sent is bounded by the plan; responses are to be read whatever waits to be sent.
            high: u64::MAX,
            low: u64::MAX,
            input: HEAD_BYTES_MAX + PAGE,
            page: if engine.skips() { HEAD_PAGE } else { PAGE },
            turn_bytes: TURN_BYTES,
            turn_timers: usize::MAX,
            connect_time: plan.timeouts.connect.into(),
            // Whether the server reads shows in whether it answers, which has a limit of its own.
            read_rate: 0,
            ..LaneConfig::default()
        };
        let post = Post::mesh(1, 16).pop().ok_or_else(Error::no_post)?;
        Ok(Self { lane: Lane::new(engine, config, post), driver })
    }

    /// Turns once, and waits for at most so long.
    pub(crate) fn turn(&mut self, most: Option<Nanos>) -> Result<Stage, Error> {
        let wait = if self.lane.protocol().is_eager() { Some(Nanos::ZERO) } else { most };
        self.driver.turn(&mut self.lane, wait).map_err(Error::system("epoll_wait"))?;
        let now = self.lane.now();
        let engine = self.lane.protocol_mut();
        engine.turned(now);
        Ok(engine.stage())
    }

    /// Turns until the run is over, and says so at the start of each stage. Connections stay open until
    /// the worker is dropped, so that closing them is in nobody's figures.
    pub(crate) fn run(
        &mut self,
        spin: bool,
        mut begins: impl FnMut(Stage, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut stage = Stage::WarmUp;
        while stage != Stage::Over {
            let next = self.turn(spin.then_some(Nanos::ZERO))?;
            if next != stage {
                begins(next, self.lane.stats().busy)?;
                stage = next;
            }
        }
        Ok(())
    }

    pub(crate) fn engine(&self) -> &Engine<'plan> {
        self.lane.protocol()
    }

    /// Connections that are kept and owe nothing: turns until nothing more is heard of any that has
    /// ended.
    pub(crate) fn open_count(&mut self) -> Result<usize, Error> {
        loop {
            let before = self.lane.stats().events;
            self.driver
                .turn(&mut self.lane, Some(Nanos::ZERO))
                .map_err(Error::system("epoll_wait"))?;
            if self.lane.stats().events == before {
                return Ok(self.engine().held());
            }
        }
    }
}
