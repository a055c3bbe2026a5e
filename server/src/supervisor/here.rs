//! One lane on the thread that calls.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use corelane_acceptor::{Address, Open, SocketFile, Targets};
use corelane_eventloop::{Closed, LaneHandle, LaneId, Mio, Nanos, Post, Protocol};
use corelane_metrics::{Registry, Shard};

use super::lane_metrics::Publisher;
use super::lane_thread::LaneThread;
use super::pulse::Pulse;
use super::{AcceptMode, Doors, StartError, Supervisor};

/// A server of one lane, to be run by the thread that calls [`Here::run`]. Its engine need not be
/// [`Send`].
pub struct Here<M> {
    thread: LaneThread,
    driver: Mio,
    post: Post<M>,
    addresses: Vec<Address>,
    pulse: Pulse,
    _socket_files: Vec<SocketFile>,
}

impl Supervisor {
    /// Binds every address for one lane, which is to be run on a thread that exists already: it is not
    /// pinned, and not restarted. How many lanes the plan says, and how they get connections, does not
    /// matter.
    ///
    /// # Errors
    /// If an address cannot be bound, or the system gives no poll.
    pub fn here<M: Send + 'static>(self) -> Result<Here<M>, StartError> {
        let Supervisor { mut plan, builder, metrics, listener_names } = self;
        plan.lanes = 1;
        plan.accept = AcceptMode::PerLane;
        let registry =
            Arc::new(builder.build().map_err(|error| StartError::Metrics(error.to_string()))?);
        let mut doors = Doors::open(&plan)?;
        doors.tell(&listener_names);
        let post = Post::mesh(1, plan.mail).remove(0);
        let thread = LaneThread {
            core: None,
            doors: doors.of_lane(0),
            registry,
            metrics,
            open: Arc::new(Open::new(plan.connections)),
            targets: Arc::new(Targets::new(1)),
            tally: Arc::default(),
            board: None,
            restarts: Arc::default(),
            stopping: Arc::default(),
            plan,
        };
        let driver = thread.driver()?;
        let pulse = Pulse::new(vec![post.handle()]);
        Ok(Here {
            thread,
            driver,
            post,
            addresses: doors.addresses,
            pulse,
            _socket_files: doors.socket_files,
        })
    }
}

impl<M: Send + 'static> Here<M> {
    /// What it listens on, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The metrics of the lane.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.thread.registry
    }

    /// Reaches the lane, from any thread: to stop it, say.
    pub fn handle(&self) -> LaneHandle {
        self.post.handle()
    }

    /// Serves until the lane was stopped by its [handle](Here::handle) and is done. `each` is called
    /// after every turn, of which there is at least one in every `period`.
    ///
    /// # Errors
    /// If the poll fails.
    pub fn run<P: Protocol<Mail = M>>(
        self,
        make: impl FnOnce(LaneId, Rc<Shard>) -> P,
        period: Nanos,
        each: impl FnMut(),
    ) -> io::Result<()> {
        let Here { mut thread, mut driver, post, pulse, .. } = self;
        // They are for a lane's successor, and as long as anyone holds them, clients connect.
        thread.doors.clear();
        let shard = Rc::new(thread.registry.shard(0).map_err(io::Error::other)?);
        let mut lane = thread.lane(make(0, shard.clone()), post);
        let mut publisher = Publisher::new(thread.metrics.clone(), thread.tally.clone());
        let told = (&mut publisher, &*shard);
        let ended = thread.turn((&mut driver, &mut lane), told, &pulse.beat(0), Some(period), each);
        if let Err(error) = &ended {
            publisher.died(&shard, lane.stats(), lane.len(), Closed::Lost(error.kind()));
            shard.clear_gauges();
        }
        ended
    }
}
