//! One test of a handler, in the simulator and on real sockets.
//!
//! A test is written against [`Stage`], and run on each:
//!
//! ```
//! use corelane::handler::testing::{Simulator, Sockets, Stage};
//! # use corelane::handler::{Action, Context, EventHandler, Framing};
//! # struct Echo;
//! # impl EventHandler for Echo {
//! #     type Conn = ();
//! #     fn framing(&self) -> Framing { Framing::Raw }
//! #     fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> { Some(()) }
//! #     fn on_message<'m>(&mut self, _: &mut (), bytes: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
//! #         Action::reply(bytes)
//! #     }
//! # }
//!
//! fn sends_back_every_byte(stage: &mut dyn Stage) {
//!     let client = stage.connect();
//!     stage.send(client, b"hello");
//!     stage.expect(client, b"hello");
//!     stage.finish(client);
//!     stage.expect_end(client);
//! }
//!
//! sends_back_every_byte(&mut Simulator::new(|| Echo));
//! sends_back_every_byte(&mut Sockets::new(|| Echo).unwrap());
//! ```

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corelane_eventloop::{
    ClientId, Driver, Faults, Lane, LaneConfig, ListenOptions, Nanos, Post, Sim, World,
};
use corelane_metrics::Registry;

use super::exchange::Exchange;
use super::server::HIGH;
use super::{
    EventHandler, EventServer, Events, Handle, HandlerCounters, HandlerMail, HandlerMetrics,
    Running, ServerError,
};

/// How long an expectation may take to come true: of the simulator's time, or of real time.
const PATIENCE: Duration = Duration::from_secs(20);

/// How much of what came instead is shown.
const SHOWN: usize = 200;

/// Clients of a handler under test. What does not come true panics with what came instead.
pub trait Stage {
    /// Connects a client, and names it.
    fn connect(&mut self) -> usize;
    /// Has a client send this.
    fn send(&mut self, client: usize, bytes: &[u8]);
    /// Has a client shut down its sending side.
    fn finish(&mut self, client: usize);
    /// What a client has received and nothing has expected yet, after waiting until it is at least
    /// `wanted` bytes, or everything.
    fn received(&mut self, client: usize, wanted: usize) -> Vec<u8>;
    /// True once the server has closed the connection and everything was expected.
    fn is_over(&mut self, client: usize) -> bool;
    /// Lets time pass: simulated time, where there is such.
    fn pass(&mut self, time: Duration);
    /// Speaks to connections from outside of the lanes.
    fn handle(&self) -> Handle;
    /// Takes note that so many bytes of a client were expected.
    fn taken(&mut self, client: usize, bytes: usize);

    /// Waits until the next that a client receives is this.
    fn expect(&mut self, client: usize, bytes: &[u8]) {
        let came = self.received(client, bytes.len());
        let came = &came[..came.len().min(bytes.len())];
        if came != bytes {
            let same = came.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            let from = same.saturating_sub(SHOWN / 2);
            let shown = |bytes: &[u8]| {
                bytes[from..bytes.len().min(from + SHOWN)].escape_ascii().to_string()
            };
            panic!(
                "client {client} got {} of {} bytes; from byte {from} on \"{}\" instead of \"{}\"",
                came.len(),
                bytes.len(),
                shown(came),
                shown(bytes)
            );
        }
        self.taken(client, bytes.len());
    }

    /// Waits until a client has received everything, and the server has closed.
    fn expect_end(&mut self, client: usize) {
        let rest = self.received(client, usize::MAX);
        let shown = rest[..rest.len().min(SHOWN)].escape_ascii();
        assert!(rest.is_empty(), "client {client} got \"{shown}\" besides");
        assert!(self.is_over(client), "client {client} is still connected");
    }
}

/// Lanes on a simulated network, whose time passes as fast as it can. The same seed does the same again.
pub struct Simulator<H: EventHandler> {
    world: World,
    lanes: Vec<(Sim, Lane<Events<H>>)>,
    clients: Vec<Simulated>,
    maker: Maker<H>,
}

/// A client, how much of what it received was expected, and its lane.
struct Simulated {
    id: ClientId,
    taken: usize,
    lane: usize,
}

/// What lanes are made of.
struct Maker<H> {
    make: Box<dyn Fn() -> H>,
    limits: LaneConfig,
    exchange: Arc<Exchange>,
    registry: Arc<Registry>,
    metrics: HandlerMetrics,
}

impl<H: EventHandler> Maker<H> {
    fn lane(&self, world: &World, post: Post<HandlerMail>) -> (Sim, Lane<Events<H>>) {
        let lane = post.lane();
        let shard = match self.registry.shard(lane.into()) {
            Ok(shard) => Rc::new(shard),
            Err(error) => panic!("metrics: {error}"),
        };
        let counters = HandlerCounters::new(self.metrics.clone(), shard);
        let events = Events::new((self.make)(), lane, counters, self.exchange.clone());
        let mut driver = world.driver();
        driver.listen(0, ListenOptions::default());
        (driver, Lane::new(events, self.limits.clone(), post))
    }
}

impl<H: EventHandler> Simulator<H> {
    /// One lane on a network without faults, with the limits of [`EventServer::new`].
    pub fn new(make: impl Fn() -> H + 'static) -> Simulator<H> {
        let limits = LaneConfig { high: HIGH, low: HIGH / 4, ..LaneConfig::default() };
        Simulator::with(1, Faults::NONE, 1, limits, make)
    }

    /// So many lanes, on a network with faults drawn from a seed, with these limits. Clients connect to
    /// each lane in turn.
    pub fn with(
        seed: u64,
        faults: Faults,
        lanes: usize,
        limits: LaneConfig,
        make: impl Fn() -> H + 'static,
    ) -> Simulator<H> {
        let mut builder = Registry::builder();
        let metrics = HandlerMetrics::declare(&mut builder);
        let registry = match builder.build() {
            Ok(registry) => Arc::new(registry),
            Err(error) => panic!("metrics: {error}"),
        };
        let exchange = Arc::new(Exchange::new(lanes));
        let mut limits = limits;
        limits.input = limits.input.max(make().framing().input_max());
        let maker = Maker { make: Box::new(make), limits, exchange, registry, metrics };
        let world = World::new(seed, faults);
        let posts = Post::mesh(lanes.max(1), 64);
        let lanes = posts.into_iter().map(|post| maker.lane(&world, post)).collect();
        Simulator { world, lanes, clients: Vec::new(), maker }
    }

    /// The network.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// A client, as the network knows it.
    pub fn client(&self, client: usize) -> ClientId {
        self.clients[client].id
    }

    /// The lane that a client is connected to.
    pub fn lane_of(&self, client: usize) -> usize {
        self.clients[client].lane
    }

    /// Takes one turn of every lane, then lets time pass until something happens, at most so long.
    pub fn turn(&mut self, wait: Nanos) {
        for (driver, lane) in &mut self.lanes {
            if let Err(error) = driver.turn(lane, Some(Nanos::ZERO)) {
                panic!("a turn failed: {error}");
            }
        }
        self.world.advance(self.world.now() + wait);
    }

    /// Has a lane die, as it does when its engine panics, and gives it a successor. Its clients are reset.
    pub fn restart(&mut self, lane: usize) {
        let (driver, dead) = self.lanes.remove(lane);
        drop(driver);
        let successor = self.maker.lane(&self.world, dead.into_post());
        self.lanes.insert(lane, successor);
        for client in self.clients.iter().filter(|client| client.lane == lane) {
            self.world.reset(client.id);
        }
    }

    /// What a counter of the handlers says, of all lanes: by its name, without what it begins and ends
    /// with, such as `messages_delivered`.
    pub fn count(&self, name: &str) -> u64 {
        let name = format!("corelane_{name}_total");
        match self.maker.registry.snapshot().counter(&name, &[]) {
            Some(series) => series.total(),
            None => panic!("there is no counter {name}"),
        }
    }

    /// The lanes.
    pub fn lanes(&mut self) -> impl Iterator<Item = &mut Lane<Events<H>>> {
        self.lanes.iter_mut().map(|(_, lane)| lane)
    }

    /// Turns until something is so, or the time is over.
    fn until(&mut self, mut done: impl FnMut(&World) -> bool) {
        let end = self.world.now() + Nanos::from(PATIENCE);
        while !done(&self.world) && self.world.now() < end {
            self.turn(Nanos::from_millis(1));
        }
    }
}

impl<H: EventHandler> Stage for Simulator<H> {
    fn connect(&mut self) -> usize {
        let lane = self.clients.len() % self.lanes.len();
        let client = self.world.connect(&self.lanes[lane].0, 0);
        self.clients.push(Simulated { id: client, taken: 0, lane });
        // The connection is there when this returns, as it is on a real network.
        self.turn(Nanos::from_millis(1));
        self.clients.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.world.send(self.clients[client].id, bytes);
        self.turn(Nanos::ZERO);
    }

    fn finish(&mut self, client: usize) {
        self.world.finish(self.clients[client].id);
    }

    fn received(&mut self, client: usize, wanted: usize) -> Vec<u8> {
        let Simulated { id, taken, .. } = self.clients[client];
        self.until(|world| world.received_len(id) - taken >= wanted || world.end(id).is_some());
        self.world.received(id).split_off(taken)
    }

    fn is_over(&mut self, client: usize) -> bool {
        let Simulated { id, taken, .. } = self.clients[client];
        self.world.end(id).is_some() && self.world.received_len(id) == taken
    }

    fn pass(&mut self, time: Duration) {
        let end = self.world.now() + Nanos::from(time);
        while self.world.now() < end {
            self.turn(Nanos::from_millis(1));
        }
    }

    fn handle(&self) -> Handle {
        Handle::new(self.maker.exchange.clone(), self.maker.exchange.next_home())
    }

    fn taken(&mut self, client: usize, bytes: usize) {
        self.clients[client].taken += bytes;
    }
}

/// A server on a port of its own on this machine.
pub struct Sockets {
    server: Option<Running>,
    clients: Vec<Client>,
}

struct Client {
    socket: TcpStream,
    received: Vec<u8>,
    over: bool,
}

impl Sockets {
    /// Two lanes, each on a thread.
    ///
    /// # Errors
    /// If the server cannot start.
    pub fn new<H: EventHandler + 'static>(
        make: impl Fn() -> H + Send + Sync + 'static,
    ) -> Result<Sockets, ServerError> {
        let server = EventServer::new("127.0.0.1:0", make)?.lanes(2).start()?;
        Ok(Sockets { server: Some(server), clients: Vec::new() })
    }

    fn server(&self) -> &Running {
        match &self.server {
            Some(server) => server,
            None => unreachable!("it is taken only when the stage is dropped"),
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.clients.clear();
        if let Some(server) = self.server.take() {
            let _ = server.stop();
        }
    }
}

impl Client {
    /// Receives for a moment.
    fn receive(&mut self) {
        let mut page = [0; 4096];
        match self.socket.read(&mut page) {
            Ok(0) => self.over = true,
            Ok(n) => self.received.extend_from_slice(&page[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.over = true,
        }
    }
}

impl Stage for Sockets {
    fn connect(&mut self) -> usize {
        let address = self.server().addresses()[0].tcp();
        let connected = address.map(TcpStream::connect);
        let Some(Ok(socket)) = connected else { panic!("cannot connect: {connected:?}") };
        let set = socket.set_nodelay(true);
        if let Err(error) = set.and(socket.set_read_timeout(Some(Duration::from_millis(5)))) {
            panic!("the socket cannot be set up: {error}");
        }
        self.clients.push(Client { socket, received: Vec::new(), over: false });
        self.clients.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        if let Err(error) = self.clients[client].socket.write_all(bytes) {
            panic!("client {client} cannot send: {error}");
        }
    }

    fn finish(&mut self, client: usize) {
        let _ = self.clients[client].socket.shutdown(Shutdown::Write);
    }

    fn received(&mut self, client: usize, wanted: usize) -> Vec<u8> {
        let client = &mut self.clients[client];
        let end = Instant::now() + PATIENCE;
        while client.received.len() < wanted && !client.over && Instant::now() < end {
            client.receive();
        }
        client.received.clone()
    }

    fn is_over(&mut self, client: usize) -> bool {
        let client = &self.clients[client];
        client.over && client.received.is_empty()
    }

    fn pass(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn handle(&self) -> Handle {
        self.server().handle()
    }

    fn taken(&mut self, client: usize, bytes: usize) {
        self.clients[client].received.drain(..bytes);
    }
}
