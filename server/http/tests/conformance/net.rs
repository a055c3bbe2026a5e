//! Two networks for the same clients: the simulated one, and loopback under the real driver.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use corelane_eventloop::{
    ClientId, Driver, Faults, Lane, LaneConfig, ListenOptions, Mio, Nanos, Post, Sim, World,
};
use corelane_http::{
    Context, Handler, Http, HttpConfig, HttpCounters, HttpMetrics, Intake, Replied, Reply,
};
use corelane_metrics::Registry;
use corelane_parser::http1::{Head, Limits};

use crate::table::LIMITS;

/// Answers with the method, the target and the body.
pub(crate) struct Mirror;

impl Handler for Mirror {
    type Request = (String, Vec<u8>);

    fn begin(&mut self, head: &Head<'_>, _context: &mut Context<'_>) -> Self::Request {
        (format!("{} {}", head.method(), head.target()), Vec::new())
    }

    fn body(&mut self, (_, body): &mut Self::Request, data: &[u8]) -> Intake {
        body.extend_from_slice(data);
        Intake::More
    }

    fn reply(&mut self, (line, body): Self::Request, reply: Reply<'_>) -> Replied {
        let body = format!("{line} \"{}\"", body.escape_ascii());
        reply.send(200, &[("Content-Type", "text/plain")], body.as_bytes())
    }
}

fn lane(limits: Limits) -> Lane<Http<Mirror>> {
    let mut builder = Registry::builder();
    let metrics = HttpMetrics::declare(&mut builder);
    let registry = builder.build().unwrap();
    let counters = HttpCounters::new(metrics, Rc::new(registry.shard(0).unwrap()));
    let config = HttpConfig { limits, ..HttpConfig::default() };
    let http = Http::new(Mirror, config, counters);
    Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0))
}

/// A server and its clients, all in one thread.
pub(crate) trait Net {
    fn connect(&mut self) -> usize;
    fn send(&mut self, client: usize, bytes: &[u8]);
    /// The client has nothing more to say, and still listens.
    fn finish(&mut self, client: usize);
    /// Lets the server take what was sent, and the clients what was answered.
    fn turn(&mut self);
    fn received(&self, client: usize) -> Vec<u8>;
    /// The server has ended the connection, in order.
    fn ended(&self, client: usize) -> bool;
    /// The server's calls of receive, and the bytes these brought.
    fn received_by_server(&self) -> (u64, u64);
    /// Turns until `done`, or for as long as anything could reasonably take.
    fn until(&mut self, done: impl Fn(&Self) -> bool);
}

pub(crate) struct Simulated {
    world: World,
    driver: Sim,
    lane: Lane<Http<Mirror>>,
    clients: Vec<ClientId>,
}

impl Simulated {
    pub(crate) fn new(seed: u64, faults: Faults, limits: Limits) -> Simulated {
        let world = World::new(seed, faults);
        let mut driver = world.driver();
        driver.listen(0, ListenOptions::default());
        Simulated { world, driver, lane: lane(limits), clients: Vec::new() }
    }
}

impl Net for Simulated {
    fn connect(&mut self) -> usize {
        self.clients.push(self.world.connect(&self.driver, 0));
        self.clients.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.world.send(self.clients[client], bytes);
    }

    fn finish(&mut self, client: usize) {
        self.world.finish(self.clients[client]);
    }

    fn turn(&mut self) {
        let until = self.world.now() + Nanos::from_millis(1);
        while self.world.now() < until {
            let rest = until.since(self.world.now());
            self.driver.turn(&mut self.lane, Some(rest)).unwrap();
        }
    }

    fn received(&self, client: usize) -> Vec<u8> {
        self.world.received(self.clients[client])
    }

    fn ended(&self, client: usize) -> bool {
        match self.world.end(self.clients[client]) {
            Some(end) => {
                assert_eq!(end, corelane_eventloop::End::Closed);
                true
            }
            None => false,
        }
    }

    fn received_by_server(&self) -> (u64, u64) {
        (self.lane.stats().receives, self.lane.stats().bytes_in)
    }

    /// For two seconds: less than any deadline of the server's.
    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = self.world.now() + Nanos::from_secs(2);
        while !done(self) && self.world.now() < deadline {
            self.turn();
        }
    }
}

pub(crate) struct Loopback {
    driver: Mio,
    lane: Lane<Http<Mirror>>,
    address: SocketAddr,
    clients: Vec<Client>,
}

struct Client {
    socket: TcpStream,
    received: Vec<u8>,
    ended: bool,
}

impl Loopback {
    pub(crate) fn new() -> Loopback {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut driver = Mio::new().unwrap();
        driver.listen(listener, 0, ListenOptions::default()).unwrap();
        Loopback { driver, lane: lane(LIMITS), address, clients: Vec::new() }
    }
}

impl Net for Loopback {
    fn connect(&mut self) -> usize {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        self.clients.push(Client { socket, received: Vec::new(), ended: false });
        // The queue of a listener is short.
        self.driver.turn(&mut self.lane, Some(Nanos::ZERO)).unwrap();
        self.clients.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        // A row is far smaller than any socket's buffer; to a closed connection it cannot be sent.
        let _ = (&self.clients[client].socket).write_all(bytes);
    }

    fn finish(&mut self, client: usize) {
        let _ = self.clients[client].socket.shutdown(Shutdown::Write);
    }

    fn turn(&mut self) {
        self.driver.turn(&mut self.lane, Some(Nanos::ZERO)).unwrap();
        let mut page = [0; 4096];
        for client in self.clients.iter_mut().filter(|client| !client.ended) {
            loop {
                match client.socket.read(&mut page) {
                    Ok(0) => client.ended = true,
                    Ok(bytes) => {
                        client.received.extend_from_slice(&page[..bytes]);
                        continue;
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
                }
                break;
            }
        }
    }

    fn received(&self, client: usize) -> Vec<u8> {
        self.clients[client].received.clone()
    }

    fn ended(&self, client: usize) -> bool {
        self.clients[client].ended
    }

    fn received_by_server(&self) -> (u64, u64) {
        (self.lane.stats().receives, self.lane.stats().bytes_in)
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !done(self) && Instant::now() < deadline {
            self.turn();
        }
    }
}
