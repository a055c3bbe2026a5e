//! What stands between the protocol and the handlers.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use corelane_eventloop::{Nanos, Stage};

use super::request::Request;
use super::response::Response;

/// A future of one lane.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Looks at requests before their handler, and at responses behind it. One instance serves all
/// requests of its routes on one lane; what it knows of a single request it leaves on that
/// ([`Request::insert`]): dropped with it, also when the client leaves.
///
/// Those added first are outermost: asked first before the handler, last behind it. Whoever answers
/// in [`before`](Middleware::before) keeps the request from those further in; its response passes
/// through those further out only.
///
/// ```
/// use corelane_http::web::{Before, Middleware, Request, Response};
///
/// /// Adds how long the client has waited, by the lane's clock: it stands still while a handler runs,
/// /// so this is what `async` handlers and slow uploads took.
/// struct ServerTiming;
///
/// impl Middleware for ServerTiming {
///     fn name(&self) -> &'static str {
///         "server-timing"
///     }
///     fn after(&self, request: &Request<'_>, response: &mut Response) {
///         let took = request.now().since(request.since());
///         response.set("Server-Timing", format!("app;dur={}", took.as_millis()));
///     }
/// }
/// ```
pub trait Middleware {
    /// A short name, for messages, metrics and logs.
    fn name(&self) -> &'static str;

    /// Sets limits of a route that it is put before. Called once for each, when the application is
    /// built.
    fn configure(&self, limits: &mut RouteLimits) {
        let _ = limits;
    }

    /// A request's head is there; its body is not.
    fn before(&self, request: &Request<'_>) -> Before {
        let _ = request;
        Before::Next
    }

    /// The response is there, and may be changed. The body of the request may be gone.
    fn after(&self, request: &Request<'_>, response: &mut Response) {
        let _ = (request, response);
    }
}

/// The same middleware, before several routes.
impl<M: Middleware + ?Sized> Middleware for Rc<M> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn configure(&self, limits: &mut RouteLimits) {
        (**self).configure(limits);
    }

    fn before(&self, request: &Request<'_>) -> Before {
        (**self).before(request)
    }

    fn after(&self, request: &Request<'_>, response: &mut Response) {
        (**self).after(request, response);
    }
}

/// What middleware does with a request.
pub enum Before {
    /// Lets it pass.
    Next,
    /// Answers in the handler's place.
    Answer(Response),
    /// Decides later: passes it on, or answers. The request is copied for that, and of its body nothing is
    /// collected before.
    Wait(LocalFuture<Result<(), Response>>),
}

/// Limits of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLimits {
    /// Largest request body in bytes that is collected. Default 1 MiB. What the protocol's own limit
    /// ([`Limits::body_bytes`](corelane_parser::http1::Limits)) refuses never gets here.
    pub body_bytes: u64,
    /// How long an `async` handler may take, from the end of the request's body on; then 503. Default
    /// 30 s. One that reads the body as it arrives has that time for each piece it reads, and behind the
    /// last one: how long it waits for the client is for the protocol's least rate
    /// ([`HttpConfig::body_rate`](crate::HttpConfig::body_rate)). Middleware that decides later has it, too.
    pub time: Nanos,
}

impl Default for RouteLimits {
    fn default() -> RouteLimits {
        RouteLimits { body_bytes: 1 << 20, time: Nanos::from_secs(30) }
    }
}

/// A chain, outermost first.
pub(crate) type Chain = Rc<[Rc<dyn Middleware>]>;

/// How asking a chain ended.
pub(crate) enum Asked {
    /// All let it pass.
    Passed,
    /// The one at this place answered: those before it see the response.
    Answered(usize, Response),
    /// The one at this place decides later.
    Waits(usize, LocalFuture<Result<(), Response>>),
}

/// Asks the links of a chain from this place on.
pub(crate) fn ask(chain: &Chain, from: usize, request: &Request<'_>) -> Asked {
    for (at, link) in chain.iter().enumerate().skip(from) {
        let verdict = link.before(request);
        request.note(Stage::Middleware, "before", || note(&**link, &verdict));
        match verdict {
            Before::Next => {}
            Before::Answer(response) => return Asked::Answered(at, response),
            Before::Wait(decision) => return Asked::Waits(at, decision),
        }
    }
    Asked::Passed
}

/// Shows a response to the first `links` of a chain, innermost first.
pub(crate) fn show(chain: &Chain, links: usize, request: &Request<'_>, response: &mut Response) {
    for link in chain[..links].iter().rev() {
        link.after(request, response);
        request.note(Stage::Middleware, "after", || link.name().to_owned());
    }
}

/// What a trace says of a link that was asked.
#[cold]
fn note(link: &dyn Middleware, verdict: &Before) -> String {
    match verdict {
        Before::Next => format!("{}: passes it on", link.name()),
        Before::Answer(response) => format!("{}: answers with {}", link.name(), response.status),
        Before::Wait(_) => format!("{}: decides later", link.name()),
    }
}
