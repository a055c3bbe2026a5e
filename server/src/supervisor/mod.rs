//! Threads: one lane each, pinned, restarted if it dies, stopped together.
//!
//! ```
//! use corelane::supervisor::{Plan, Supervisor};
//! use corelane_eventloop::{Closed, Event, Flow, Io, Nanos, Protocol};
//! use std::io::{Read, Write};
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     type Conn = ();
//!     type Mail = ();
//!     fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
//!         Some(())
//!     }
//!     fn step(&mut self, _: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
//!         let input = io.input();
//!         io.out().put(input);
//!         io.consume(input.len());
//!         if matches!(event, Event::Eof | Event::Stopping) { Flow::Finish } else { Flow::Read }
//!     }
//!     fn close(&mut self, _: (), _: Closed, _: &mut Io<'_, ()>) {}
//! }
//!
//! let plan = Plan { lanes: 2, ..Plan::new(["127.0.0.1:0".parse()?]) };
//! let server = Supervisor::new(plan).start(|_lane, _shard| Echo)?;
//! let address = server.addresses()[0].tcp().unwrap();
//! let mut client = std::net::TcpStream::connect(address)?;
//! client.write_all(b"hello")?;
//! let mut answer = [0; 5];
//! client.read_exact(&mut answer)?;
//! assert_eq!(&answer, b"hello");
//! drop(client);
//! server.stop(Nanos::from_secs(1));
//! server.join()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod admit;
mod balance;
mod here;
mod identity;
mod lane_metrics;
mod lane_thread;
mod memory;
mod plan;
mod pulse;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use corelane_acceptor::{
    Accepted, Address, Admission, Dispatcher, ListenConfig, ListenError, Listener, Open, Placer,
    SocketFile, Stream, Targets,
};
use corelane_eventloop::{
    Full, LaneHandle, LaneId, ListenOptions, ListenerId, Nanos, Post, Protocol, Socket, TraceDesk,
};
use corelane_mempool::Budget;
use corelane_metrics::registry::APART;
use corelane_metrics::{CounterId, Registry, RegistryBuilder, Shard};

pub use self::here::Here;
pub use self::identity::Identity;
pub use self::lane_metrics::LaneMetrics;
pub use self::plan::{AcceptMode, Door, Plan};
pub use self::pulse::Pulse;

use self::lane_metrics::AcceptorPublisher;
use self::lane_thread::LaneThread;

/// How long a part that failed rests before it tries again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long the one acceptor for all lanes waits for connections before it looks whether it is to stop.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A thread, a socket or the signal of one cannot be had.
    #[error(
        "cannot start the server's threads: {0}; check the limits of processes and descriptors"
    )]
    System(#[from] io::Error),
    /// Admin pages without a token where other machines reach them.
    #[error(
        "{0}: admin pages without a token are for loopback addresses and Unix sockets only, since \
         they are open to whoever reaches them; give them a token, or use 127.0.0.1"
    )]
    Exposed(String),
    /// Metrics were declared wrongly.
    #[error("metrics: {0}")]
    Metrics(String),
}

/// A server about to start: a plan, and the metrics it will count into.
pub struct Supervisor {
    plan: Plan,
    builder: RegistryBuilder,
    metrics: LaneMetrics,
    listener_names: ListenerNames,
}

/// How the listeners of a server are called, in the order of their numbers: set at the start, before the
/// first lane runs.
pub type ListenerNames = Arc<OnceLock<Box<[Box<str>]>>>;

impl Supervisor {
    /// A server that follows this plan.
    pub fn new(plan: Plan) -> Supervisor {
        let mut builder = Registry::builder();
        let metrics = LaneMetrics::declare(&mut builder);
        Supervisor { plan, builder, metrics, listener_names: ListenerNames::default() }
    }

    /// Where the protocol declares metrics of its own, before the start.
    pub fn metrics(&mut self) -> &mut RegistryBuilder {
        &mut self.builder
    }

    /// How the listeners will be called: by their addresses, with the ports that the system chose.
    pub fn listener_names(&self) -> ListenerNames {
        self.listener_names.clone()
    }

    /// Binds every address, then starts a lane per thread. `make` makes the protocol engine of a
    /// lane, within the lane's thread; it is called again for a lane that is restarted.
    ///
    /// # Errors
    /// If an address cannot be bound or a thread cannot be started. Nothing runs then.
    pub fn start<P, F>(self, make: F) -> Result<Server, StartError>
    where
        P: Protocol + 'static,
        F: Fn(LaneId, Rc<Shard>) -> P + Send + Sync + 'static,
    {
        let Supervisor { plan, builder, metrics, listener_names } = self;
        let registry =
            Arc::new(builder.build().map_err(|error| StartError::Metrics(error.to_string()))?);
        let mut doors = Doors::open(&plan)?;
        doors.tell(&listener_names);
        let posts = Post::<P::Mail>::mesh(plan.lanes, plan.mail);
        let handles: Vec<LaneHandle> = posts.iter().map(Post::handle).collect();
        let make: Arc<lane_thread::Make<P>> = Arc::new(make);
        let open = Arc::new(Open::new(plan.connections));
        let targets = Arc::new(Targets::new(plan.lanes));
        let pulse = Pulse::new(handles.clone());
        let mut server = Server {
            pulse: pulse.clone(),
            addresses: doors.addresses.clone(),
            registry: registry.clone(),
            stopper: Stopper {
                lanes: handles.into(),
                accepting_ends: Arc::default(),
                dispatching: Arc::default(),
                drain: Arc::default(),
            },
            threads: Vec::new(),
            dispatcher: None,
            restarts: Arc::default(),
            open: open.clone(),
            budget: plan.budget.clone(),
            metrics: metrics.clone(),
            identity: Identity::now(),
            traces: plan.traces.clone(),
            companion: None,
            _socket_files: std::mem::take(&mut doors.socket_files),
        };
        let board = (plan.rebalance && plan.lanes > 1).then(|| balance::Board::new(plan.lanes));
        // Every descriptor a lane needs is taken before the first thread starts.
        let mut lanes = Vec::with_capacity(plan.lanes);
        for (index, post) in posts.into_iter().enumerate() {
            let thread = LaneThread {
                core: plan.cores.get(index % plan.cores.len().max(1)).copied(),
                plan: plan.clone(),
                doors: doors.of_lane(index),
                registry: registry.clone(),
                metrics: metrics.clone(),
                open: open.clone(),
                targets: targets.clone(),
                tally: Arc::default(),
                board: board.clone(),
                restarts: server.restarts.clone(),
                stopping: server.stopper.accepting_ends.clone(),
            };
            let driver = thread.driver()?;
            lanes.push((thread, post, driver));
        }
        if let AcceptMode::Dispatch(placement) = plan.accept {
            let placer = Placer::new(placement, plan.lanes, plan.seed);
            let admission = Admission::new(plan.admission, open.clone());
            let shared = std::mem::take(&mut doors.shared);
            server.dispatch(shared, placer, admission, &targets, &plan.doors)?;
        }
        for (index, (thread, post, driver)) in lanes.into_iter().enumerate() {
            let beat = pulse.beat(index);
            let make = make.clone();
            let run = move || thread.run(&*make, post, driver, beat);
            match thread::Builder::new().name(format!("{}-{index}", plan.name)).spawn(run) {
                Ok(thread) => server.threads.push(thread),
                Err(error) => {
                    server.stop(Nanos::ZERO);
                    return Err(error.into());
                }
            }
        }
        Ok(server)
    }
}

/// The listeners of a plan, by lane or shared.
struct Doors {
    addresses: Vec<Address>,
    /// Listeners that one dispatcher accepts from, each with the number of its door.
    shared: Vec<Listener>,
    /// Listeners of each lane.
    lanes: Vec<Vec<lane_thread::LaneDoor>>,
    socket_files: Vec<SocketFile>,
}

impl Doors {
    fn open(plan: &Plan) -> Result<Doors, StartError> {
        let mut doors = Doors {
            addresses: Vec::new(),
            shared: Vec::new(),
            lanes: (0..plan.lanes).map(|_| Vec::new()).collect(),
            socket_files: Vec::new(),
        };
        let config = ListenConfig {
            backlog: plan.backlog,
            unsent_bytes: plan.unsent_bytes,
            unix_mode: plan.unix_mode,
            ..ListenConfig::default()
        };
        for (id, door) in plan.doors.iter().enumerate() {
            let per_lane = plan.accept == AcceptMode::PerLane;
            let count = if per_lane { plan.lanes } else { 1 };
            let group = match &door.inherited {
                Some(listener) => {
                    listener.configure(&config)?;
                    // Whoever opened it keeps it open, and its file.
                    doors.addresses.push(door.address.clone());
                    (0..count).map(|_| listener.try_clone()).collect::<io::Result<_>>()?
                }
                None => {
                    let group = corelane_acceptor::bind_group(&door.address, count, &config)?;
                    if let Some(first) = group.first() {
                        doors.addresses.push(first.local_address()?);
                        doors.socket_files.extend(SocketFile::of(first)?);
                    }
                    group
                }
            };
            if !per_lane {
                doors.shared.extend(group);
                continue;
            }
            for (lane, listener) in doors.lanes.iter_mut().zip(group) {
                let id = id as ListenerId;
                lane.push(lane_thread::LaneDoor { listener, id, eager: door.eager });
            }
        }
        Ok(doors)
    }

    /// Says what the listeners are called.
    fn tell(&self, listener_names: &ListenerNames) {
        let names = self.addresses.iter().map(|address| address.to_string().into());
        // Nobody else sets it.
        let _ = listener_names.set(names.collect());
    }

    fn of_lane(&mut self, lane: usize) -> Vec<lane_thread::LaneDoor> {
        self.lanes.get_mut(lane).map(std::mem::take).unwrap_or_default()
    }
}

/// Stops a server, from any thread.
#[derive(Clone)]
pub struct Stopper {
    lanes: Arc<[LaneHandle]>,
    accepting_ends: Arc<AtomicBool>,
    /// The dispatcher may still hand connections over: it stops the lanes when it has ended, so that
    /// none is given to a lane that is gone.
    dispatching: Arc<AtomicBool>,
    drain: Arc<AtomicU64>,
}

impl Stopper {
    /// Stops accepting; idle connections end at once, others when they are done, and what is left
    /// after `drain` is cut. Returns at once.
    pub fn stop(&self, drain: Nanos) {
        self.drain.store(drain.0, Ordering::SeqCst);
        self.accepting_ends.store(true, Ordering::SeqCst);
        if !self.dispatching.load(Ordering::SeqCst) {
            self.stop_lanes();
        }
    }

    fn stop_lanes(&self) {
        let drain = Nanos(self.drain.load(Ordering::SeqCst));
        for lane in &*self.lanes {
            lane.stop(drain);
        }
    }

    /// Cuts every connection. Returns at once.
    pub fn cut(&self) {
        for lane in &*self.lanes {
            lane.cut();
        }
    }
}

/// A running server. Dropping it does not stop its threads: call [`Server::stop`], then
/// [`Server::join`].
pub struct Server {
    addresses: Vec<Address>,
    registry: Arc<Registry>,
    stopper: Stopper,
    pulse: Pulse,
    threads: Vec<JoinHandle<io::Result<()>>>,
    dispatcher: Option<JoinHandle<()>>,
    restarts: Arc<AtomicU64>,
    open: Arc<Open>,
    budget: Arc<Budget>,
    metrics: LaneMetrics,
    identity: Identity,
    traces: Arc<TraceDesk>,
    companion: Option<Box<Server>>,
    _socket_files: Vec<SocketFile>,
}

/// How long the companion of a server may finish what is in flight once the server has ended.
const COMPANION_DRAIN: Nanos = Nanos::from_millis(100);

impl Server {
    /// What it listens on, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The metrics of its lanes.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Which start of a server it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Reaches its lanes, from any thread.
    pub fn handles(&self) -> &[LaneHandle] {
        &self.stopper.lanes
    }

    /// How many lanes run.
    pub fn lanes(&self) -> usize {
        self.stopper.lanes.len()
    }

    /// How many times a lane died and was restarted.
    pub fn restarts(&self) -> &Arc<AtomicU64> {
        &self.restarts
    }

    /// The connections that are open, and how many may be.
    pub fn open(&self) -> &Arc<Open> {
        &self.open
    }

    /// Counts connections that were cut because they were not done when the time for that was over. The
    /// [registry](Server::registry) knows it also when the server has ended.
    pub fn cut_counter(&self) -> CounterId {
        self.metrics.cut()
    }

    /// The memory of the lanes' buffers, and how much it may be.
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Where to ask for traces of single connections.
    pub fn traces(&self) -> &Arc<TraceDesk> {
        &self.traces
    }

    /// Set once it was asked to stop.
    pub fn stopping(&self) -> &Arc<AtomicBool> {
        &self.stopper.accepting_ends
    }

    /// Gives it a companion, which is stopped and joined by [`Server::join`] once this server has ended:
    /// admin pages, say, that can be asked how it stops.
    pub fn accompanied_by(mut self, other: Server) -> Server {
        self.companion = Some(Box::new(other));
        self
    }

    /// Its companion, if it has one.
    pub fn companion(&self) -> Option<&Server> {
        self.companion.as_deref()
    }

    /// Stops the server from elsewhere, while this thread waits in [`Server::join`].
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Tells whether its lanes are alive, from any thread.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// True once every lane has ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// As [`Stopper::stop`].
    pub fn stop(&self, drain: Nanos) {
        self.stopper.stop(drain);
    }

    /// Waits until every lane has ended.
    ///
    /// # Errors
    /// The first error that ended a lane.
    pub fn join(mut self) -> io::Result<()> {
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("a lane panicked")));
            result = result.and(ended);
        }
        self.stopper.accepting_ends.store(true, Ordering::Release);
        if let Some(dispatcher) = self.dispatcher.take() {
            let _ = dispatcher.join();
        }
        if let Some(companion) = self.companion.take() {
            companion.stop(COMPANION_DRAIN);
            let _ = companion.join();
        }
        result
    }

    /// Starts the one thread that accepts for all lanes.
    fn dispatch(
        &mut self,
        listeners: Vec<Listener>,
        placer: Placer,
        admission: Admission,
        targets: &Arc<Targets>,
        doors: &[Door],
    ) -> io::Result<()> {
        let handles = self.stopper.lanes.clone();
        let stop = self.stopper.accepting_ends.clone();
        let eager: Vec<bool> = doors.iter().map(|door| door.eager).collect();
        let options = move |listener: usize| ListenOptions { eager: eager[listener] };
        let open = self.open.clone();
        let deliver = move |target: usize, accepted: Accepted| {
            admit::report_full(&open);
            let Accepted { stream, peer, listener } = accepted;
            let socket = match stream {
                Stream::Tcp(stream) => Socket::Tcp(stream),
                Stream::Unix(stream) => Socket::Unix(stream),
            };
            handles[target].adopt(socket, listener as ListenerId, options(listener)).map_err(
                |Full(socket)| {
                    let stream = match socket {
                        Socket::Tcp(stream) => Stream::Tcp(stream),
                        Socket::Unix(stream) => Stream::Unix(stream),
                    };
                    Accepted { stream, peer, listener }
                },
            )
        };
        let mut dispatcher =
            Dispatcher::new(listeners, placer, admission, targets.clone(), deliver);
        let shard = self.registry.shard(APART).map_err(io::Error::other)?;
        let mut publisher = AcceptorPublisher::new(self.metrics.clone());
        let stopper = self.stopper.clone();
        stopper.dispatching.store(true, Ordering::SeqCst);
        let thread = thread::Builder::new().name("acceptor".into()).spawn(move || {
            let start = Instant::now();
            let clock = || start.elapsed().as_nanos() as u64;
            while !stop.load(Ordering::SeqCst) {
                let turn = || dispatcher.turn(ACCEPT_WAIT, clock);
                let ended = catch_unwind(AssertUnwindSafe(turn));
                let undeliverable = dispatcher.counts().undeliverable;
                publisher.publish(&shard, dispatcher.admission().counts(), undeliverable);
                match ended {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => tracing::error!(%error, "accepting failed; trying again"),
                    Err(_) => tracing::error!("the acceptor panicked; it goes on"),
                }
                thread::sleep(RETRY_PAUSE);
            }
            drop(dispatcher);
            stopper.dispatching.store(false, Ordering::SeqCst);
            stopper.stop_lanes();
        });
        if thread.is_err() {
            self.stopper.dispatching.store(false, Ordering::SeqCst);
        }
        let thread = thread?;
        self.dispatcher = Some(thread);
        Ok(())
    }
}
