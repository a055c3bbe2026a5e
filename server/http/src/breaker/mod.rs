//! Circuit breakers: calls to a server that fails are suspended for a while, so that neither waits for
//! the other.
//!
//! A breaker belongs to one lane, as its handlers do, so it costs no lock: each lane finds out for
//! itself, by [`calls_min`](BreakerConfig::calls_min) calls of its own.

mod circuit;
mod metrics;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use corelane_eventloop::{Local, Nanos};
use corelane_metrics::Shard;

pub use self::circuit::{
    BreakerConfig, BreakerCounts, BreakerState, CallOutcome, CallPermit, CallRefused, Circuit,
};
pub use self::metrics::BreakerMetrics;
use crate::web::{IntoResponse, Response};

/// A circuit breaker of one lane. Clones are the same breaker.
///
/// ```
/// use corelane_eventloop::Nanos;
/// use corelane_http::breaker::{Breaker, BreakerConfig, BreakerState, CallError};
/// use corelane_http::web::testing::TestServer;
/// use corelane_http::web::{Endpoint, OwnedRequest, Response, Routes};
///
/// // Stands in for a request to another server, which does not answer.
/// async fn fetch(request: &OwnedRequest) -> Result<String, &'static str> {
///     let never = std::future::pending::<String>();
///     let in_time = request.lane().local().timeout(Nanos::from_millis(50), never).await;
///     in_time.map_err(|_| "the stock does not answer\n")
/// }
///
/// let config = BreakerConfig { calls_min: 3, ..BreakerConfig::default() };
/// let breaker = Breaker::new("stock", config, 1);
/// breaker.on_change(|change| println!("{}: now {}", change.name, change.to.as_str()));
///
/// let stock = breaker.clone();
/// let endpoint = Endpoint::asynchronous(move |request: OwnedRequest| {
///     let stock = stock.clone();
///     async move {
///         match stock.call(request.lane().local(), fetch(&request)).await {
///             Ok(text) => Response::text(text),
///             Err(CallError::Failed(why)) => Response::problem(502, why),
///             Err(CallError::Refused(refused)) => refused.into(),
///         }
///     }
/// });
/// let mut server = TestServer::new(Routes::new().on("GET", "/", endpoint).build()?);
/// for _ in 0..3 {
///     assert_eq!(server.get("/").status(), 502);
/// }
/// assert_eq!(breaker.state(), BreakerState::Open);
/// let response = server.get("/");
/// assert_eq!(response.status(), 503, "without asking the other server");
/// assert!(response.field("Retry-After").is_some());
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
#[derive(Clone)]
pub struct Breaker(Rc<Shared>);

type Hook = dyn Fn(&BreakerChange<'_>);

struct Shared {
    name: String,
    circuit: RefCell<Circuit>,
    hook: RefCell<Option<Rc<Hook>>>,
    publisher: RefCell<Option<metrics::Publisher>>,
}

/// A breaker has changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerChange<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// When, by the lane's clock.
    pub at: Nanos,
}

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError<E> {
    /// It was not made.
    #[error(transparent)]
    Refused(CallRefused),
    /// It failed.
    #[error("{0}")]
    Failed(E),
}

impl Breaker {
    /// A closed breaker. The name is for messages and metrics; what is left to chance follows from the
    /// seed, which should differ between lanes.
    pub fn new(name: &str, config: BreakerConfig, seed: u64) -> Breaker {
        let circuit = RefCell::new(Circuit::new(config, seed));
        Breaker(Rc::new(Shared {
            name: name.to_owned(),
            circuit,
            hook: RefCell::new(None),
            publisher: RefCell::new(None),
        }))
    }

    /// Has what it counts from now on published by its lane, where all can see it:
    /// `/status` of the admin pages, for instance.
    pub fn count_into(&self, metrics: BreakerMetrics, shard: Rc<Shard>) {
        let publisher = metrics::Publisher::new(metrics, shard, self.counts(), self.state());
        *self.0.publisher.borrow_mut() = Some(publisher);
    }

    /// Has a function told of every change of state, in the place of an earlier one.
    pub fn on_change(&self, hook: impl Fn(&BreakerChange<'_>) + 'static) {
        *self.0.hook.borrow_mut() = Some(Rc::new(hook));
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its state.
    pub fn state(&self) -> BreakerState {
        self.0.circuit.borrow().state()
    }

    /// What it has counted.
    pub fn counts(&self) -> BreakerCounts {
        self.0.circuit.borrow().counts()
    }

    /// Makes a call, unless calls are suspended. An error is a failure. A call that is dropped, with
    /// the request it is for, has no outcome; one that hangs has none either, so give it a
    /// [timeout](Local::timeout).
    ///
    /// # Errors
    /// If the call was refused or has failed.
    pub async fn call<T, E>(
        &self,
        local: &Local,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        let judge = |result: &Result<T, E>| match result {
            Ok(_) => CallOutcome::Success,
            Err(_) => CallOutcome::Failure,
        };
        let result = self.call_judged(local, call, judge).await;
        result.map_err(CallError::Refused)?.map_err(CallError::Failed)
    }

    /// Makes a call whose result, whatever it is, is judged by `judge`: an answer with status 503 may
    /// be a failure, one with 404 rarely is.
    ///
    /// # Errors
    /// If the call was refused.
    pub async fn call_judged<T>(
        &self,
        local: &Local,
        call: impl Future<Output = T>,
        judge: impl FnOnce(&T) -> CallOutcome,
    ) -> Result<T, CallRefused> {
        let permit = self.step(local.now(), |circuit| circuit.begin(local.now()))?;
        let mut under_way = UnderWay { breaker: self, local, permit: Some(permit) };
        let result = call.await;
        under_way.finish(judge(&result));
        Ok(result)
    }

    /// Takes a step of the machine, and tells the hook.
    fn step<T>(&self, now: Nanos, step: impl FnOnce(&mut Circuit) -> T) -> T {
        let (from, result, to) = {
            let mut circuit = self.0.circuit.borrow_mut();
            let from = circuit.state();
            let result = step(&mut circuit);
            let to = circuit.state();
            if let Some(publisher) = &mut *self.0.publisher.borrow_mut() {
                publisher.publish(circuit.counts(), from, to);
            }
            (from, result, to)
        };
        if from != to {
            let name = self.name();
            match to {
                BreakerState::Open => tracing::warn!(breaker = name, "opened"),
                _ => tracing::info!(breaker = name, state = to.as_str(), "changed"),
            }
            // Not held on to: it may set another one.
            let hook = self.0.hook.borrow().clone();
            if let Some(hook) = hook {
                hook(&BreakerChange { name, from, to, at: now });
            }
        }
        result
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.name()).field("state", &self.state()).finish()
    }
}

/// A call between its beginning and its end.
struct UnderWay<'a> {
    breaker: &'a Breaker,
    local: &'a Local,
    permit: Option<CallPermit>,
}

impl UnderWay<'_> {
    fn finish(&mut self, outcome: CallOutcome) {
        if let Some(permit) = self.permit.take() {
            let now = self.local.now();
            self.breaker.step(now, |circuit| circuit.finish(permit, outcome, now));
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.finish(CallOutcome::Abandoned);
    }
}

/// 503 with Retry-After (RFC 9110 §10.2.3), in whole seconds, at least one.
impl From<CallRefused> for Response {
    fn from(refused: CallRefused) -> Response {
        let seconds = refused.retry_after.as_secs().saturating_add(1);
        Response::problem(503, "a server that this one depends on has failed")
            .with("Retry-After", seconds.to_string())
    }
}

impl IntoResponse for CallRefused {
    fn into_response(self) -> Response {
        self.into()
    }
}
