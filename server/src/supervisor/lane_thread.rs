//! One lane's thread: makes the lane, turns it, and makes it again if it dies.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corelane_acceptor::{Admission, Listener, Open, Targets};
use corelane_eventloop::{
    self as eventloop, Admit, Closed, Driver, Lane, LaneId, ListenOptions, ListenerId, Mio, Nanos,
    Post, Protocol, affinity,
};
use corelane_mempool::{Pool, PoolConfig};
use corelane_metrics::{Registry, Shard};

use super::RETRY_PAUSE;
use super::admit::{HandedOver, LaneAdmission, Tally};
use super::balance::{Balancer, Board};
use super::lane_metrics::{LaneMetrics, Levels, Publisher};
use super::plan::{AcceptMode, Plan};
use super::pulse::Beat;

pub(super) type Make<P> = dyn Fn(LaneId, Rc<Shard>) -> P + Send + Sync;

/// A lane that dies within this time of its start is not restarted at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// A listener that stays open here while the lane that accepts from it is restarted.
pub(super) struct LaneDoor {
    pub(super) listener: Listener,
    pub(super) id: ListenerId,
    pub(super) eager: bool,
}

/// What a lane needs to run, apart from its engine.
pub(super) struct LaneThread {
    pub(super) core: Option<usize>,
    pub(super) plan: Plan,
    pub(super) doors: Vec<LaneDoor>,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: LaneMetrics,
    pub(super) open: Arc<Open>,
    pub(super) targets: Arc<Targets>,
    /// What the lane's admission decides, where it has one.
    pub(super) tally: Arc<Tally>,
    /// Where lanes compare how busy they are, if connections are to move.
    pub(super) board: Option<Arc<Board>>,
    pub(super) restarts: Arc<AtomicU64>,
    /// Set before the lanes are told to stop.
    pub(super) stopping: Arc<AtomicBool>,
}

impl LaneThread {
    /// Turns the lane until it has stopped. `first` is its driver, made before the thread so that a
    /// server that lacks descriptors does not start; a successor's driver is made here.
    pub(super) fn run<P: Protocol>(
        self,
        make: &Make<P>,
        post: Post<P::Mail>,
        first: Mio,
        beat: Beat,
    ) -> io::Result<()> {
        let result = self.serve(make, post, first, &beat);
        if result.is_ok() {
            beat.end();
        }
        result
    }

    fn serve<P: Protocol>(
        mut self,
        make: &Make<P>,
        mut post: Post<P::Mail>,
        first: Mio,
        beat: &Beat,
    ) -> io::Result<()> {
        let id = post.lane();
        self.pin(id);
        let mut next = Some(first);
        loop {
            let begun = Instant::now();
            let mut driver = match next.take().map_or_else(|| self.driver(), Ok) {
                Ok(driver) => driver,
                Err(_) if self.is_stopping() => return Ok(()),
                Err(error) => {
                    tracing::error!(lane = id, %error, "the lane cannot start; trying again");
                    // Who knows for how long: the others get its share.
                    self.targets.set_up(id.into(), false);
                    std::thread::sleep(RETRY_PAUSE);
                    continue;
                }
            };
            self.targets.set_up(id.into(), true);
            let shard = Rc::new(self.registry.shard(id.into()).map_err(io::Error::other)?);
            let mut lane = self.lane(make(id, shard.clone()), post);
            // The lane survives a panic of its engine just long enough to give back its post.
            let mut publisher = Publisher::new(self.metrics.clone(), self.tally.clone());
            let how = match catch_unwind(AssertUnwindSafe(|| {
                self.turn((&mut driver, &mut lane), (&mut publisher, &shard), beat, None, || ())
            })) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => {
                    tracing::error!(lane = id, %error, "the lane's poll failed");
                    Closed::Lost(error.kind())
                }
                Err(_) => {
                    tracing::error!(lane = id, "the lane panicked");
                    Closed::Panicked
                }
            };
            publisher.died(&shard, lane.stats(), lane.len(), how);
            // Connections handed over meanwhile wait for the successor.
            post = lane.into_post();
            // The engine, which is gone now, may have moved some until then.
            shard.clear_gauges();
            // The word to stop may have died with the lane, and no connection is left to wait for.
            if self.is_stopping() {
                tracing::error!(
                    lane = id,
                    "the lane died while stopping: its connections are lost"
                );
                return Ok(());
            }
            self.metrics.restarted(&shard);
            self.restarts.fetch_add(1, Ordering::Relaxed);
            tracing::error!(lane = id, "its connections are lost; it is restarted");
            if begun.elapsed() < SHORT_LIFE {
                std::thread::sleep(RETRY_PAUSE);
            }
        }
    }

    pub(super) fn pin(&self, lane: LaneId) {
        if let Some(core) = self.core
            && let Err(error) = affinity::pin(core)
        {
            tracing::warn!(lane, core, %error, "not pinned: the lane runs on any core");
        }
    }

    /// Turns a lane until it has stopped. A turn waits so long at most, and is followed by `each`.
    pub(super) fn turn<P: Protocol>(
        &mut self,
        (driver, lane): (&mut Mio, &mut Lane<P>),
        (publisher, shard): (&mut Publisher, &Shard),
        beat: &Beat,
        wait: Option<Nanos>,
        mut each: impl FnMut(),
    ) -> io::Result<()> {
        let id = lane.handle().lane();
        let mut balancer = self.board.clone().map(Balancer::new);
        let mut finished = false;
        // Twice: what the last connections told other lanes when they closed leaves in the turn after.
        while !finished || !lane.is_finished() {
            finished = lane.is_finished();
            driver.turn(lane, if finished { Some(Nanos::ZERO) } else { publisher.rest(wait) })?;
            each();
            beat.turned();
            if let Some(balancer) = &mut balancer {
                balancer.turned(id, lane);
            }
            if !self.doors.is_empty() && self.is_stopping() {
                // As long as anyone holds a listener, clients connect to it and wait for nothing.
                self.doors.clear();
            }
            if publisher.turned(shard, lane.stats(), lane.now()) {
                publisher.publish(shard, lane.stats(), levels(lane));
            }
        }
        publisher.publish(shard, lane.stats(), levels(lane));
        Ok(())
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn driver(&self) -> io::Result<Mio> {
        let mut driver = Mio::new()?.with_busy_poll(self.plan.busy_poll);
        for door in &self.doors {
            let options = ListenOptions { eager: door.eager };
            let listener = match door.listener.try_clone()? {
                Listener::Tcp(listener) => eventloop::Listener::Tcp(listener),
                Listener::Unix(listener) => eventloop::Listener::Unix(listener),
            };
            driver.listen(listener, door.id, options)?;
        }
        Ok(driver)
    }

    pub(super) fn lane<P: Protocol>(&self, protocol: P, post: Post<P::Mail>) -> Lane<P> {
        let id = post.lane();
        let mut config = PoolConfig { budget: self.plan.budget.clone(), ..PoolConfig::default() };
        let smallest = config.class_min;
        // All that lanes keep for reuse stays within a quarter of the budget: a lane that sleeps cannot
        // give it back when others need it.
        let classes = (config.class_max / smallest).ilog2() as usize + 1;
        let share = config.budget.limit() / 4 / self.plan.lanes.max(1) / classes;
        config.free_bytes_max = config.free_bytes_max.min(share);
        let mut pool = Pool::new(config);
        if self.plan.preallocate > 0
            && let Err(refused) = pool.preallocate(smallest, self.plan.preallocate)
        {
            tracing::warn!(lane = id, %refused, "preallocated less than asked for");
        }
        let admit: Box<dyn Admit + Send> = match self.plan.accept {
            AcceptMode::PerLane => {
                let mut config = self.plan.admission;
                let lanes = self.plan.lanes.try_into().ok().and_then(std::num::NonZeroU32::new);
                if let (Some(rate), Some(lanes)) = (config.accept_rate, lanes) {
                    config.accept_rate = Some(rate.share(lanes));
                }
                let admission = Admission::new(config, self.open.clone());
                Box::new(LaneAdmission::new(admission, self.tally.clone()))
            }
            AcceptMode::Dispatch(_) => Box::new(HandedOver {
                open: self.open.clone(),
                targets: self.targets.clone(),
                lane: id.into(),
            }),
        };
        let mut config = self.plan.lane.clone();
        config.seed ^= self.plan.seed[0];
        let mut lane = Lane::new(protocol, config, post)
            .with_pool(pool)
            .with_admit(admit)
            .with_traces(self.plan.traces.clone());
        #[cfg(target_os = "linux")]
        {
            lane = lane.with_files(Box::new(eventloop::OsFiles::new()));
        }
        lane.reserve(self.plan.preallocate);
        lane
    }
}

fn levels<P: Protocol>(lane: &Lane<P>) -> Levels {
    Levels { open: lane.len(), pool: lane.pool().stats(), mail_waiting: lane.mail_waiting() }
}
