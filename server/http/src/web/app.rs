//! Routes and their handlers, as a [`Handler`] of the protocol.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use corelane_parser::http1::{BodyKind, Head};

use super::chain::{self, Asked};
use super::endpoint::Run;
use super::extensions::Extensions;
use super::head::HeadView;
use super::params::Params;
use super::request::{FilesCell, Owned, Place, Request};
use super::response::Response;
use super::router::Router;
use super::routes::{Resource, Route};
use crate::context::Context;
use crate::handler::{Handler, Intake};
use crate::reply::{Replied, Reply};

/// A body up to this size is read to its end though nobody wants it, so that the connection can go on.
const DRAIN: u64 = 64 * 1024;

/// An application: routes, middleware and handlers of one lane. Built by
/// [`Routes::build`](super::Routes::build), and run by [`Http`](crate::Http).
pub struct App {
    router: Router<Rc<Resource>>,
    fallback: Rc<Route>,
    observer: Option<Box<dyn Observe>>,
}

/// Sees every response of an application, for logs.
pub trait Observe {
    /// A response is about to be sent. `bytes` is the length of its content, if known.
    fn answered(&mut self, request: &Request<'_>, status: u16, bytes: Option<u64>);

    /// A turn of the lane ends.
    fn flush(&mut self) {}
}

/// A request between its head and its answer.
pub struct Work(Stage);

enum Stage {
    /// The answer is there; of the body, if any, nothing is wanted.
    Answered { response: Response, drains: bool },
    /// The body is being collected.
    Gathering(Box<Gathering>),
}

struct Gathering {
    route: Rc<Route>,
    request: Owned,
}

impl App {
    pub(crate) fn new(router: Router<Rc<Resource>>, fallback: Rc<Route>) -> App {
        App { router, fallback, observer: None }
    }

    /// Has every response seen by an observer.
    pub fn observed_by(mut self, observer: impl Observe + 'static) -> App {
        self.observer = Some(Box::new(observer));
        self
    }
}

/// Tells the observer of a response.
fn observe(observer: &mut Option<Box<dyn Observe>>, request: &Request<'_>, response: &Response) {
    if let Some(observer) = observer {
        let status = if response.malformed { 500 } else { response.status };
        observer.answered(request, status, response.content.len());
    }
}

/// Answers a request whose head is all there is of it, or all that is wanted.
fn answer_head(route: &Rc<Route>, request: &Request<'_>) -> Response {
    guarded(request, || match chain::ask(&route.chain, 0, request) {
        Asked::Passed => finish(route, request),
        Asked::Answered(at, mut response) => {
            chain::show(&route.chain, at, request, &mut response);
            response
        }
        Asked::Waits(..) => Response::problem(500, "not yet"),
    })
}

/// Runs the endpoint, and shows its response to the whole chain.
fn finish(route: &Rc<Route>, request: &Request<'_>) -> Response {
    let Run::Plain(run) = &route.endpoint.run;
    let mut response = run(request);
    chain::show(&route.chain, route.chain.len(), request, &mut response);
    response
}

/// Runs handlers and middleware; a panic among them is a 500.
fn guarded(request: &Request<'_>, run: impl FnOnce() -> Response) -> Response {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| panicked(request, &*panic))
}

#[cold]
fn panicked(request: &Request<'_>, panic: &(dyn Any + Send)) -> Response {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        conn = %request.conn(),
        peer = %request.peer(),
        method = request.method().as_str(),
        path = request.path(),
        route = request.route().unwrap_or(""),
        panic = said.unwrap_or(""),
        "a handler panicked"
    );
    Response { panicked: true, ..Response::problem(500, "the handler failed") }
}

/// What a request is told when its body is larger than its route takes.
fn too_large(most: u64) -> Response {
    Response::problem(413, format!("the body may have {most} bytes here"))
}

impl Handler for App {
    type Request = Work;

    fn begin(&mut self, head: &Head<'_>, context: &mut Context<'_>) -> Work {
        let place = Place {
            now: context.now(),
            wall: context.wall(),
            since: context.since(),
            peer: context.peer(),
            origin: context.origin(),
            conn: context.conn(),
            random: context.random(),
        };
        let (route, params) = match self.router.at(head.path()) {
            Some(found) => (found.value.route(head.method().as_str()).clone(), found.params),
            None => (self.fallback.clone(), Params::NONE),
        };
        let extensions = Extensions::default();
        let files: FilesCell<'_> = RefCell::new(context.files());
        let request = Request {
            head: HeadView::Parsed(*head),
            body: &[],
            params: params.clone(),
            route: route.label.as_deref(),
            place,
            extensions: &extensions,
            files: Some(&files),
        };
        let drains = match head.body() {
            BodyKind::None => true,
            BodyKind::Length(bytes) => bytes <= DRAIN && !head.expects_continue(),
            _ => false,
        };
        if head.body() == BodyKind::None || !route.endpoint.takes_body {
            let response = answer_head(&route, &request);
            observe(&mut self.observer, &request, &response);
            return Work(Stage::Answered { response, drains });
        }
        let most = route.limits.body_bytes;
        let asked = match head.body() {
            BodyKind::Length(bytes) if bytes > most => Some(too_large(most)),
            _ => None,
        };
        let early =
            guarded_option(&request, || match (asked, chain::ask(&route.chain, 0, &request)) {
                (None, Asked::Passed) => None,
                (Some(mut response), Asked::Passed) => {
                    chain::show(&route.chain, route.chain.len(), &request, &mut response);
                    Some(response)
                }
                (_, Asked::Answered(at, mut response)) => {
                    chain::show(&route.chain, at, &request, &mut response);
                    Some(response)
                }
                (_, Asked::Waits(..)) => Some(Response::problem(500, "not yet")),
            });
        if let Some(response) = early {
            observe(&mut self.observer, &request, &response);
            return Work(Stage::Answered { response, drains });
        }
        let label = route.label.clone();
        let request = Owned::of(head, &params, label, place, extensions);
        Work(Stage::Gathering(Box::new(Gathering { route, request })))
    }

    fn wants_body(&mut self, work: &Work) -> bool {
        match &work.0 {
            Stage::Answered { drains, .. } => *drains,
            Stage::Gathering(_) => true,
        }
    }

    fn body(&mut self, work: &mut Work, data: &[u8]) -> Intake {
        let Stage::Gathering(gathering) = &mut work.0 else { return Intake::More };
        let most = gathering.route.limits.body_bytes;
        let body = &mut gathering.request.body;
        if (body.len() + data.len()) as u64 <= most {
            body.extend_from_slice(data);
            return Intake::More;
        }
        body.clear();
        let request = gathering.request.view(None);
        let mut response = too_large(most);
        let chain = &gathering.route.chain;
        let response = guarded(&request, || {
            chain::show(chain, chain.len(), &request, &mut response);
            response
        });
        observe(&mut self.observer, &request, &response);
        work.0 = Stage::Answered { response, drains: false };
        Intake::Answer
    }

    fn reply(&mut self, work: Work, mut reply: Reply<'_>) -> Replied {
        let response = match work.0 {
            Stage::Answered { response, .. } => response,
            Stage::Gathering(gathering) => {
                let files: FilesCell<'_> = RefCell::new(reply.context().files());
                let request = gathering.request.view(Some(&files));
                let response = guarded(&request, || finish(&gathering.route, &request));
                observe(&mut self.observer, &request, &response);
                response
            }
        };
        send(response, reply)
    }

    fn turn(&mut self, _wakes: &mut crate::Wakes<'_, '_>) {
        if let Some(observer) = &mut self.observer {
            observer.flush();
        }
    }
}

fn guarded_option(
    request: &Request<'_>,
    run: impl FnOnce() -> Option<Response>,
) -> Option<Response> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Some(panicked(request, &*panic)))
}

/// Sends a response.
fn send(response: Response, reply: Reply<'_>) -> Replied {
    let Response { status, fields, content, malformed, panicked } = response;
    if malformed {
        return reply.malformed();
    }
    let replied = reply.respond(status, &fields, content);
    Replied { panicked, ..replied }
}
