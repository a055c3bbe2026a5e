//! Running a handler: on all cores, or on the thread that calls.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corelane_acceptor::Address;
use corelane_eventloop::{LaneConfig, LaneHandle, LaneId, Nanos};
use corelane_metrics::{Registry, Shard};

use super::counters::{HandlerCounters, HandlerMetrics};
use super::events::Events;
use super::exchange::Exchange;
use super::framing::Framing;
use super::handle::Handle;
use super::handler::EventHandler;
use super::hub::HandlerMail;
use crate::supervisor::{Here, Plan, Server, StartError, Stopper, Supervisor};

/// How long what is in flight may take once a server is asked to stop, unless set otherwise.
const DRAIN: Nanos = Nanos::from_secs(5);

/// The high watermark, in bytes, where no plan says otherwise.
pub(super) const HIGH: u64 = 64 * 1024;

/// How often a flag is looked at.
const FLAG_PERIOD: Duration = Duration::from_millis(50);

/// Why a handler is not run, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be read.
    #[error("{0}")]
    Address(String),
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A lane has ended.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Runs a handler on all cores: a thread, a loop and a handler of its own on each.
///
/// ```
/// # use corelane::handler::{Action, Context, EventHandler, Framing};
/// # struct Echo;
/// # impl EventHandler for Echo {
/// #     type Conn = ();
/// #     fn framing(&self) -> Framing { Framing::Raw }
/// #     fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> { Some(()) }
/// #     fn on_message<'m>(&mut self, _: &mut (), bytes: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
/// #         Action::reply(bytes)
/// #     }
/// # }
/// use corelane::handler::EventServer;
/// use std::sync::atomic::AtomicBool;
///
/// let server = EventServer::new("127.0.0.1:0", || Echo)?.lanes(2);
/// let stop = AtomicBool::new(false);
/// std::thread::scope(|scope| {
///     let ends = scope.spawn(|| server.run(&stop));
///     // A signal, a window that closes...
///     stop.store(true, std::sync::atomic::Ordering::Relaxed);
///     ends.join().unwrap()
/// })?;
/// # Ok::<(), corelane::handler::ServerError>(())
/// ```
pub struct EventServer<F> {
    plan: Plan,
    make: F,
    drain: Nanos,
}

impl<H, F> EventServer<F>
where
    H: EventHandler + 'static,
    F: Fn() -> H + Send + Sync + 'static,
{
    /// A server on this address (`127.0.0.1:8080`, `[::]:80`, `unix:/run/chat.sock`), with a high watermark
    /// of 64 KiB per connection. `make` makes the
    /// handler of a lane; it is called once before the start, to ask for its framing, and again for a
    /// lane that is restarted.
    ///
    /// # Errors
    /// If the address cannot be read.
    pub fn new(address: &str, make: F) -> Result<EventServer<F>, ServerError> {
        Ok(EventServer::of(plan(address)?, make))
    }

    /// A server that follows a plan, which has more to choose: several addresses, cores, admission,
    /// limits, memory. The high watermark is the plan's, too: 16 KiB by default.
    pub fn of(plan: Plan, make: F) -> EventServer<F> {
        EventServer { plan, make, drain: DRAIN }
    }

    /// With so many lanes, each of which is a thread, instead of one per core.
    pub fn lanes(mut self, lanes: usize) -> EventServer<F> {
        self.plan.lanes = lanes.max(1);
        self
    }

    /// What is in flight at the end is finished within this time. Default 5 s.
    pub fn drain(mut self, time: Nanos) -> EventServer<F> {
        self.drain = time;
        self
    }

    /// Starts serving. Returns at once.
    ///
    /// # Errors
    /// If an address cannot be bound, or a thread cannot be started.
    pub fn start(self) -> Result<Running, ServerError> {
        let EventServer { mut plan, make, drain } = self;
        fit(&mut plan.lane, make().framing());
        let exchange = Arc::new(Exchange::new(plan.lanes));
        let mut supervisor = Supervisor::new(plan);
        let metrics = HandlerMetrics::declare(supervisor.metrics());
        let counted = metrics.clone();
        let lanes = exchange.clone();
        let server = supervisor.start(move |lane: LaneId, shard: Rc<Shard>| {
            let counters = HandlerCounters::new(counted.clone(), shard);
            Events::new(make(), lane, counters, lanes.clone())
        })?;
        for lane in server.handles() {
            // A lane that was given no connection yet may sleep, and not have said so itself.
            if let Some(place) = exchange.lane(lane.lane()) {
                place.woken_by(lane.waker());
            }
        }
        Ok(Running { server, exchange, metrics, drain })
    }

    /// Serves until the flag is set, which is seen within 50 ms.
    ///
    /// # Errors
    /// As of [`start`](EventServer::start); and the first error that ended a lane.
    pub fn run(self, stop: &AtomicBool) -> Result<(), ServerError> {
        let running = self.start()?;
        while !stop.load(Ordering::Relaxed) && !running.server.is_finished() {
            std::thread::sleep(FLAG_PERIOD);
        }
        running.stop()
    }
}

#[cfg(feature = "signals")]
impl<H, F> EventServer<F>
where
    H: EventHandler + 'static,
    F: Fn() -> H + Send + Sync + 'static,
{
    /// Serves until a signal: SIGTERM, SIGINT or SIGQUIT stops, a second one cuts what is left.
    ///
    /// # Errors
    /// As of [`start`](EventServer::start); and the first error that ended a lane.
    pub fn run_until_signal(self) -> Result<(), ServerError> {
        let running = self.start()?;
        crate::signals::stop(running.stopper(), running.drain)?;
        for address in running.addresses() {
            tracing::info!(%address, lanes = running.server.lanes(), "listening");
        }
        running.join()
    }
}

/// Serves a handler on this address (`127.0.0.1:8080`, `[::]:80`, `unix:/run/chat.sock`) with all cores,
/// until SIGTERM, SIGINT or SIGQUIT. [`EventServer`] has more to choose.
///
/// With the feature `logs`, logs to standard error unless the process logs elsewhere already: at level
/// `info` (`RUST_LOG`), who connects and who leaves.
///
/// ```no_run
/// # use corelane::handler::{Action, Context, EventHandler, Framing};
/// # struct Echo;
/// # impl EventHandler for Echo {
/// #     type Conn = ();
/// #     fn framing(&self) -> Framing { Framing::Raw }
/// #     fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> { Some(()) }
/// #     fn on_message<'m>(&mut self, _: &mut (), bytes: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
/// #         Action::reply(bytes)
/// #     }
/// # }
/// corelane::handler::serve("127.0.0.1:8080", || Echo)?;
/// # Ok::<(), corelane::handler::ServerError>(())
/// ```
///
/// # Errors
/// If the address cannot be read, or the server cannot start; and the first error that ended a lane.
#[cfg(feature = "signals")]
pub fn serve<H: EventHandler + 'static>(
    address: &str,
    make: impl Fn() -> H + Send + Sync + 'static,
) -> Result<(), ServerError> {
    #[cfg(feature = "logs")]
    let _ = crate::logs::Logs::start(&crate::logs::LogConfig::default());
    EventServer::new(address, make)?.run_until_signal()
}

/// A handler that runs. Dropping it does not stop it.
pub struct Running {
    server: Server,
    exchange: Arc<Exchange>,
    metrics: HandlerMetrics,
    drain: Nanos,
}

impl Running {
    /// What it listens on, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        self.server.addresses()
    }

    /// Speaks to its connections, from any thread. Each call takes another lane for it.
    pub fn handle(&self) -> Handle {
        Handle::new(self.exchange.clone(), self.exchange.next_home())
    }

    /// Stops it, from any thread.
    pub fn stopper(&self) -> Stopper {
        self.server.stopper()
    }

    /// Its metrics.
    pub fn registry(&self) -> &Arc<Registry> {
        self.server.registry()
    }

    /// Which of them are the handlers'.
    pub fn metrics(&self) -> &HandlerMetrics {
        &self.metrics
    }

    /// The server, with all there is to know of it.
    pub fn into_server(self) -> Server {
        self.server
    }

    /// Stops it, and waits until all lanes have ended: at most the drain time.
    ///
    /// # Errors
    /// The first error that ended a lane.
    pub fn stop(self) -> Result<(), ServerError> {
        self.server.stop(self.drain);
        Ok(self.server.join()?)
    }

    /// Waits until it was stopped by a [stopper](Running::stopper).
    ///
    /// # Errors
    /// The first error that ended a lane.
    pub fn join(self) -> Result<(), ServerError> {
        Ok(self.server.join()?)
    }
}

/// Runs a handler on the thread that calls: no thread is started, and the handler need not be [`Send`].
///
/// ```
/// # use corelane::handler::{Action, Context, EventHandler, Framing};
/// # struct Echo;
/// # impl EventHandler for Echo {
/// #     type Conn = ();
/// #     fn framing(&self) -> Framing { Framing::Raw }
/// #     fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> { Some(()) }
/// #     fn on_message<'m>(&mut self, _: &mut (), bytes: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
/// #         Action::reply(bytes)
/// #     }
/// # }
/// use corelane::handler::InlineServer;
/// use corelane_eventloop::Nanos;
/// use std::io::{Read, Write};
/// use std::sync::atomic::AtomicBool;
///
/// let server = InlineServer::new("127.0.0.1:0", Echo)?;
/// let (address, stopper) = (server.addresses()[0].tcp().unwrap(), server.stopper());
/// let client = std::thread::spawn(move || {
///     let mut socket = std::net::TcpStream::connect(address)?;
///     socket.write_all(b"hello")?;
///     let mut answer = [0; 5];
///     socket.read_exact(&mut answer)?;
///     stopper.stop(Nanos::from_secs(1));
///     std::io::Result::Ok(answer)
/// });
/// server.run(&AtomicBool::new(false))?;
/// assert_eq!(&client.join().unwrap()?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct InlineServer<H> {
    here: Here<HandlerMail>,
    handler: H,
    exchange: Arc<Exchange>,
    metrics: HandlerMetrics,
    drain: Nanos,
}

impl<H: EventHandler> InlineServer<H> {
    /// A server on this address, as of [`EventServer::new`]. It listens when this returns.
    ///
    /// # Errors
    /// If the address cannot be read or bound.
    pub fn new(address: &str, handler: H) -> Result<InlineServer<H>, ServerError> {
        InlineServer::of(plan(address)?, handler)
    }

    /// A server that follows a plan.
    ///
    /// # Errors
    /// If an address cannot be bound.
    pub fn of(mut plan: Plan, handler: H) -> Result<InlineServer<H>, ServerError> {
        fit(&mut plan.lane, handler.framing());
        let mut supervisor = Supervisor::new(plan);
        let metrics = HandlerMetrics::declare(supervisor.metrics());
        let here = supervisor.here()?;
        let exchange = Arc::new(Exchange::new(1));
        Ok(InlineServer { here, handler, exchange, metrics, drain: DRAIN })
    }

    /// What is in flight at the end is finished within this time. Default 5 s.
    pub fn drain(mut self, time: Nanos) -> InlineServer<H> {
        self.drain = time;
        self
    }

    /// What it listens on, with the ports that the system chose.
    pub fn addresses(&self) -> &[Address] {
        self.here.addresses()
    }

    /// Speaks to its connections, from any thread.
    pub fn handle(&self) -> Handle {
        Handle::new(self.exchange.clone(), 0)
    }

    /// Stops it, from any thread.
    pub fn stopper(&self) -> LaneHandle {
        self.here.handle()
    }

    /// Its metrics.
    pub fn registry(&self) -> &Arc<Registry> {
        self.here.registry()
    }

    /// Serves until the flag is set, which is seen within 50 ms, or it was stopped by its
    /// [stopper](InlineServer::stopper).
    ///
    /// # Errors
    /// If the poll fails.
    pub fn run(self, stop: &AtomicBool) -> Result<(), ServerError> {
        let InlineServer { here, handler, exchange, metrics, drain } = self;
        let order = here.handle();
        let mut told = false;
        let flag = || {
            // Once: a lane takes a turn for each order.
            if !told && stop.load(Ordering::Relaxed) {
                told = true;
                order.stop(drain);
            }
        };
        let make = |lane, shard| {
            let counters = HandlerCounters::new(metrics, shard);
            Events::new(handler, lane, counters, exchange)
        };
        Ok(here.run(make, FLAG_PERIOD.into(), flag)?)
    }
}

/// Lets a lane keep as much input as one message may be long.
fn fit(lane: &mut LaneConfig, framing: Framing) {
    lane.input = lane.input.max(framing.input_max());
}

/// A plan for handlers: more may wait for a receiver than where answers wait for requests.
fn plan(address: &str) -> Result<Plan, ServerError> {
    let address = address.parse().map_err(|error| ServerError::Address(format!("{error}")))?;
    let mut plan = Plan::new([address]);
    (plan.lane.high, plan.lane.low) = (HIGH, HIGH / 4);
    Ok(plan)
}
