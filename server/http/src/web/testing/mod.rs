//! Testing applications without a socket: the whole stack, in virtual time.
//!
//! ```
//! use corelane_http::web::testing::{TestRequest, TestServer};
//! use corelane_http::web::{Request, Routes};
//!
//! let app = Routes::new().get("/users/{id}", |request: &Request<'_>| {
//!     format!("user {}", request.params().get("id").unwrap_or_default())
//! });
//! let mut server = TestServer::new(app.build()?);
//! assert_eq!(server.get("/users/7").text(), "user 7");
//!
//! let response = server.send(TestRequest::delete("/users/7").header("Accept", "text/plain"));
//! assert_eq!((response.status(), response.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
//! # Ok::<(), corelane_http::web::RouteError>(())
//! ```

mod request;
mod response;

use std::rc::Rc;

use corelane_eventloop::{
    ClientId, Driver, End, Faults, Files, Lane, LaneConfig, MemFiles, Nanos, Post, Sim, World,
};
use corelane_metrics::Registry;

pub use self::request::TestRequest;
pub use self::response::TestResponse;
use self::response::{Parsed, Pending};
use crate::config::HttpConfig;
use crate::handler::Handler;
use crate::metrics::{HttpCounters, HttpMetrics};
use crate::protocol::Http;

/// How the server of a test is set up.
pub struct TestConfig {
    /// What is left to chance follows from it. The same seed gives the same run.
    pub seed: u64,
    /// What goes wrong on the network. Default: nothing.
    pub faults: Faults,
    /// The limits of the protocol.
    pub http: HttpConfig,
    /// The limits of the lane.
    pub lane: LaneConfig,
    /// The files that handlers see. Default: none.
    pub files: Box<dyn Files + Send>,
    /// How long a response may take, in virtual time. Default 120 s.
    pub patience: Nanos,
}

impl Default for TestConfig {
    fn default() -> TestConfig {
        TestConfig {
            seed: 1,
            faults: Faults::NONE,
            http: HttpConfig::default(),
            lane: LaneConfig::default(),
            files: Box::new(MemFiles::new()),
            patience: Nanos::from_secs(120),
        }
    }
}

/// A server of one lane in the simulator, for tests of what it runs: usually an
/// [`App`](super::App), else any [`Handler`].
///
/// Requests are bytes on a simulated connection, one connection each, so everything between the
/// socket and the handler takes part: parsing, limits, framing, deadlines, middleware. Time is
/// virtual: a handler that sleeps for a minute is tested in microseconds. It passes while a response
/// is awaited and in [`pass`](TestServer::pass), in steps of a millisecond.
///
/// Jobs must run where they are made ([`ThreadPool::inline`](corelane_eventloop::ThreadPool::inline)):
/// virtual time does not wait for threads.
pub struct TestServer<H: Handler> {
    world: World,
    driver: Sim,
    lane: Lane<Http<H>>,
    registry: Registry,
    patience: Nanos,
}

/// Why there is no response: the connection ended, or too much time passed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}; received: {:?}", String::from_utf8_lossy(received))]
pub struct NoResponse {
    /// What happened, to which request.
    pub reason: String,
    /// How the connection ended; `None` if it is open.
    pub end: Option<End>,
    /// What was received instead of a whole response.
    pub received: Vec<u8>,
}

/// How time passes while a response is awaited.
const STEP: Nanos = Nanos::from_millis(1);

impl<H: Handler> TestServer<H> {
    /// A server on a perfect network, without files.
    pub fn new(handler: H) -> TestServer<H> {
        TestServer::with(handler, TestConfig::default())
    }

    /// A server that is set up so.
    pub fn with(handler: H, config: TestConfig) -> TestServer<H> {
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().expect("these metrics do not collide");
        let shard = registry.shard(0).expect("the first shard is free");
        let http = Http::new(handler, config.http, HttpCounters::new(metrics, Rc::new(shard)));
        let lane = Lane::new(http, config.lane, Post::mesh(1, 1024).remove(0));
        let world = World::new(config.seed, config.faults);
        let mut driver = world.driver();
        driver.listen(0, Default::default());
        TestServer {
            world,
            driver,
            lane: lane.with_files(config.files),
            registry,
            patience: config.patience,
        }
    }

    /// The response to a GET.
    ///
    /// # Panics
    /// As [`send`](TestServer::send).
    #[track_caller]
    pub fn get(&mut self, target: &str) -> TestResponse {
        self.send(TestRequest::get(target))
    }

    /// The response to a POST with this body.
    ///
    /// # Panics
    /// As [`send`](TestServer::send).
    #[track_caller]
    pub fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> TestResponse {
        self.send(TestRequest::post(target).body(body))
    }

    /// The response to a request, on a connection of its own.
    ///
    /// # Panics
    /// If there is none, saying what came instead.
    #[track_caller]
    pub fn send(&mut self, request: TestRequest) -> TestResponse {
        self.try_send(request).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The response to a request, on a connection of its own.
    ///
    /// # Errors
    /// If there is none: the connection ended before it was whole, or time ran out.
    pub fn try_send(&mut self, request: TestRequest) -> Result<TestResponse, NoResponse> {
        let client = self.connect();
        self.put(client, &request);
        let mut at = 0;
        let response = self.response(client, &request, &mut at);
        self.hang_up(client);
        response
    }

    /// The responses to requests that are sent at once, on one connection.
    ///
    /// # Panics
    /// If there are fewer.
    #[track_caller]
    pub fn pipeline(&mut self, requests: &[TestRequest]) -> Vec<TestResponse> {
        let client = self.connect();
        for request in requests {
            self.put(client, request);
        }
        let mut at = 0;
        let response = |request| match self.response(client, request, &mut at) {
            Ok(response) => response,
            Err(error) => panic!("{error}"),
        };
        let responses = requests.iter().map(response).collect();
        self.hang_up(client);
        responses
    }

    /// Sends bytes on a connection of their own, then no more, and returns what has come when the
    /// server has closed it.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn exchange(&mut self, bytes: &[u8]) -> Vec<u8> {
        let client = self.connect();
        self.world.send(client, bytes);
        self.world.finish(client);
        let until = self.world.now() + self.patience;
        while self.world.end(client).is_none() {
            assert!(self.world.now() < until, "the connection does not end");
            self.turn(STEP);
        }
        self.world.received(client)
    }

    /// Lets virtual time pass.
    pub fn pass(&mut self, time: Nanos) {
        let until = self.world.now() + time;
        while self.world.now() < until {
            self.turn(until.since(self.world.now()));
        }
    }

    /// Opens a connection that the test plays by itself, through [`world`](TestServer::world): to
    /// leave midway, read slowly, or send rubbish.
    pub fn connect(&mut self) -> ClientId {
        self.world.connect(&self.driver, 0)
    }

    /// The network, with its clock.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The lane, with its handler: `server.lane().protocol().handler()`.
    pub fn lane(&mut self) -> &mut Lane<Http<H>> {
        &mut self.lane
    }

    /// What the server has counted under this name and these labels; 0 if nothing has that name.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.registry.snapshot().counter(name, labels).map_or(0, |counter| counter.total())
    }

    fn turn(&mut self, wait: Nanos) {
        // A simulated network has no errors of its own.
        let turned = self.driver.turn(&mut self.lane, Some(wait));
        debug_assert!(turned.is_ok(), "{turned:?}");
    }

    /// Sends a request, in the pieces it wants to be sent in.
    fn put(&mut self, client: ClientId, request: &TestRequest) {
        let bytes = request.bytes();
        let mut sent = 0;
        for &cut in request.cuts().iter().filter(|&&cut| cut < bytes.len()) {
            self.world.send(client, &bytes[sent..cut]);
            sent = cut;
            self.pass(STEP);
        }
        self.world.send(client, &bytes[sent..]);
    }

    /// Waits for the response that begins at this place of what the client receives.
    fn response(
        &mut self,
        client: ClientId,
        request: &TestRequest,
        at: &mut usize,
    ) -> Result<TestResponse, NoResponse> {
        let begun = self.world.now();
        let mut pending = Pending::new(request.method());
        loop {
            let end = self.world.end(client);
            if pending.is_worth_it(self.world.received_len(client) - *at) || end.is_some() {
                let received = self.world.received(client);
                match pending.parse(&received[*at..], end.is_some()) {
                    Parsed::Whole(mut response, bytes) => {
                        *at += bytes;
                        response.took = self.world.now().since(begun);
                        return Ok(response);
                    }
                    Parsed::Partial => {}
                    Parsed::Broken(why) => return Err(self.lacking(client, *at, request, &why)),
                }
            }
            if let Some(end) = end {
                let why = match end {
                    End::Closed => "the server closed the connection",
                    End::Reset => "the connection was reset",
                };
                return Err(self.lacking(client, *at, request, why));
            }
            if self.world.now().since(begun) >= self.patience {
                let why = format!("{} s of virtual time passed", self.patience.as_secs());
                return Err(self.lacking(client, *at, request, &why));
            }
            self.turn(STEP);
        }
    }

    fn lacking(&self, client: ClientId, at: usize, request: &TestRequest, why: &str) -> NoResponse {
        let mut received = self.world.received(client);
        received.drain(..at);
        let (method, target) = (request.method(), request.target());
        NoResponse {
            reason: format!("no whole response to `{method} {target}`: {why}"),
            end: self.world.end(client),
            received,
        }
    }

    /// Ends the connection, so that its place is free.
    fn hang_up(&mut self, client: ClientId) {
        self.world.finish(client);
        let until = self.world.now() + Nanos::from_millis(100);
        while self.world.end(client).is_none() && self.world.now() < until {
            self.turn(STEP);
        }
        if self.world.end(client).is_none() {
            self.world.reset(client);
            self.turn(STEP);
        }
    }
}

#[cfg(test)]
mod tests;
