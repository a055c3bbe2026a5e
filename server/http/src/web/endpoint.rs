//! What a route ends in.

use std::rc::Rc;

use corelane_eventloop::Nanos;
use corelane_parser::http1::Head;

use super::chain::LocalFuture;
use super::params::Params;
use super::request::{OwnedRequest, Request};
use super::response::{IntoResponse, Response};
use super::upload::BodyReader;
use crate::ready::Ready;

type Plain = dyn Fn(&Request<'_>) -> Response;
type Async = dyn Fn(OwnedRequest) -> LocalFuture<Response>;
type Upload = dyn Fn(OwnedRequest, BodyReader) -> LocalFuture<Response>;

/// What answers the requests of a route.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) run: Run,
    /// Whether it is to see the request's body.
    pub(crate) takes_body: bool,
    /// Tried first where nothing stands before the endpoint.
    pub(crate) shortcut: Option<Rc<Shortcut>>,
}

/// Finds an answer that is ready: the usual answer without all that the unusual one needs.
pub(crate) type Shortcut = dyn Fn(&Glance<'_, '_>) -> Option<Rc<Ready>>;

/// What a shortcut sees of a request, which has no body.
pub(crate) struct Glance<'r, 'a> {
    pub(crate) head: &'r Head<'a>,
    pub(crate) params: &'r Params<'a>,
    /// Whether a pattern matched.
    pub(crate) is_routed: bool,
    pub(crate) now: Nanos,
}

#[derive(Clone)]
pub(crate) enum Run {
    /// Answers at once.
    Plain(Rc<Plain>),
    /// Answers by a future, once the body is there.
    Async(Rc<Async>),
    /// Answers by a future that reads the body.
    Upload(Rc<Upload>),
}

impl Endpoint {
    fn of(run: Run) -> Endpoint {
        Endpoint { run, takes_body: true, shortcut: None }
    }

    /// Tries a shortcut first.
    pub(crate) fn with_shortcut(
        self,
        find: impl Fn(&Glance<'_, '_>) -> Option<Rc<Ready>> + 'static,
    ) -> Endpoint {
        Endpoint { shortcut: Some(Rc::new(find)), ..self }
    }

    /// A function that answers at once, and gets the request's body whole, if it has one. It must not
    /// block: it holds up every connection of its lane.
    pub fn new<R: IntoResponse>(f: impl Fn(&Request<'_>) -> R + 'static) -> Endpoint {
        let run = move |request: &Request<'_>| f(request).into_response();
        Endpoint::of(Run::Plain(Rc::new(run)))
    }

    /// As [`Endpoint::new`], for a function that looks at no body: it answers as soon as the head is
    /// there.
    pub fn of_head<R: IntoResponse>(f: impl Fn(&Request<'_>) -> R + 'static) -> Endpoint {
        Endpoint { takes_body: false, ..Endpoint::new(f) }
    }

    /// An `async` function, which may wait for timers, upstream servers or a
    /// [`ThreadPool`](corelane_eventloop::ThreadPool): meanwhile the lane serves others. It gets the
    /// request's body whole, and runs on the lane itself, so what it holds need not be `Send`. It is
    /// dropped if the client leaves, or after [`RouteLimits::time`](super::RouteLimits).
    ///
    /// ```
    /// use corelane_eventloop::Nanos;
    /// use corelane_http::web::{Endpoint, OwnedRequest, Routes};
    ///
    /// async fn slow(request: OwnedRequest) -> &'static str {
    ///     request.lane().local().sleep(Nanos::from_millis(100)).await;
    ///     "done\n"
    /// }
    ///
    /// let app = Routes::new().on("GET", "/slow", Endpoint::asynchronous(slow)).build()?;
    /// # Ok::<(), corelane_http::web::RouteError>(())
    /// ```
    pub fn asynchronous<F, R>(f: impl Fn(OwnedRequest) -> F + 'static) -> Endpoint
    where
        F: Future<Output = R> + 'static,
        R: IntoResponse,
    {
        let run = move |request: OwnedRequest| -> LocalFuture<Response> {
            let answer = f(request);
            Box::pin(async move { answer.await.into_response() })
        };
        Endpoint::of(Run::Async(Rc::new(run)))
    }

    /// An `async` function that reads the request's body as it arrives. It begins as soon as the head
    /// is there; if it answers before the body is whole, the connection closes after the answer.
    /// [`RouteLimits::time`](super::RouteLimits) counts anew with each piece it reads.
    ///
    /// ```
    /// use corelane_http::web::{BodyReader, Endpoint, OwnedRequest, Response, Routes};
    ///
    /// async fn count(_request: OwnedRequest, mut body: BodyReader) -> Response {
    ///     let mut bytes = 0;
    ///     loop {
    ///         match body.read().await {
    ///             Ok(Some(piece)) => bytes += piece.len(),
    ///             Ok(None) => return Response::text(format!("{bytes}\n")),
    ///             Err(cut) => return Response::problem(400, cut),
    ///         }
    ///     }
    /// }
    ///
    /// let app = Routes::new().on("POST", "/upload", Endpoint::uploading(count)).build()?;
    /// # Ok::<(), corelane_http::web::RouteError>(())
    /// ```
    pub fn uploading<F, R>(f: impl Fn(OwnedRequest, BodyReader) -> F + 'static) -> Endpoint
    where
        F: Future<Output = R> + 'static,
        R: IntoResponse,
    {
        let run = move |request: OwnedRequest, body: BodyReader| -> LocalFuture<Response> {
            let answer = f(request, body);
            Box::pin(async move { answer.await.into_response() })
        };
        Endpoint::of(Run::Upload(Rc::new(run)))
    }
}
