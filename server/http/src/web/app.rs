//! Routes and their handlers, as a [`Handler`] of the protocol.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use corelane_eventloop::{ConnId, Nanos, Panicked, Stage as By};
use corelane_parser::http1::{BodyKind, Head};

use super::chain::{self, Asked, LocalFuture};
use super::endpoint::{Glance, Run};
use super::extensions::Extensions;
use super::head::HeadView;
use super::hosts::Table;
use super::lane::Lane;
use super::later::{Later, Outcome, Start};
use super::observe::{Observe, observe};
use super::params::Params;
use super::request::{FilesCell, Owned, OwnedRequest, Place, Request};
use super::response::Response;
use super::routes::{Route, Routes};
use super::upload::{self, Feed};
use crate::context::Context;
use crate::handler::{Handler, Intake, Ticket, Wakes};
use crate::metrics::{RouteId, RouteNames};
use crate::notes;
use crate::ready::Ready;
use crate::reply::{Fault, Replied, Reply};

/// A body up to this size is read to its end though nobody wants it, so that the connection can go on.
const DRAIN: u64 = 64 * 1024;

/// How many futures a lane may have, unless set otherwise.
const FUTURES: usize = 4096;

/// An application: routes, middleware and handlers of one lane. Built by
/// [`Routes::build`](super::Routes::build), and run by [`Http`](crate::Http).
pub struct App {
    table: Table,
    /// What the routes are counted under, once that is known.
    names: Option<RouteNames>,
    observer: Option<Box<dyn Observe>>,
    /// When this turn began: streams that end otherwise than by themselves cannot ask for it.
    clock: Rc<Cell<Nanos>>,
    /// Made for the first request that is not answered by its head alone.
    later: Option<Later>,
    futures: usize,
}

/// A request between its head and its answer.
pub struct Work(Stage, RouteId);

enum Stage {
    /// There was no body, and an answer was waiting.
    Ready(Rc<Ready>),
    /// The answer is there; of the body, if any, nothing is wanted.
    Answered { response: Response, drains: bool },
    /// Middleware decides; until then nothing of the body is read.
    Deciding(Deciding),
    /// The body is being collected.
    Gathering(Box<Gathering>),
    /// A future works on it, and may read the body.
    Started { ticket: Ticket, body: Option<(Feed, u64)> },
}

struct Deciding {
    ticket: Ticket,
    lane: Lane,
    /// What is answered instead may wait for the end of the body.
    drains: bool,
}

/// The client has left, or nobody needs the decision any more.
impl Drop for Deciding {
    fn drop(&mut self) {
        self.lane.0.gone.borrow_mut().push(self.ticket);
    }
}

struct Gathering {
    route: Rc<Route>,
    request: Owned,
}

impl App {
    pub(crate) fn new(table: Table) -> App {
        let (clock, futures) = (Rc::default(), FUTURES);
        App { table, names: None, observer: None, clock, later: None, futures }
    }

    /// An application without routes: everything is answered with 404.
    pub fn empty() -> App {
        App::new(Table::of(Routes::bare_site()))
    }

    /// Has every response seen by an observer.
    pub fn observed_by(mut self, observer: impl Observe + 'static) -> App {
        self.observer = Some(Box::new(observer));
        self
    }

    /// So many futures of `async` handlers at most, instead of 4,096; further requests get 503.
    pub fn with_futures(mut self, most: usize) -> App {
        self.futures = most;
        self
    }

    /// Takes over the sites and the observer of another application: requests that begin from now on
    /// are theirs. Those under way end as they began. The limit of futures stays, once there was one.
    pub fn replace(&mut self, other: App) {
        let App { table, observer, futures, names: _, clock: _, later: _ } = other;
        if let Some(names) = &self.names {
            table.number(names);
        }
        self.table = table;
        self.observer = observer;
        self.futures = futures;
    }

    /// Futures that run: of requests, and those that handlers spawned.
    pub fn in_flight(&self) -> usize {
        self.later.as_ref().map_or(0, Later::len)
    }

    fn observe(&mut self, request: &Request<'_>, response: &mut Response, now: Nanos) {
        observe(&mut self.observer, &self.clock, request, response, now);
    }

    /// Has a future work on a request.
    fn start(&mut self, mut start: Start, most: u64, reads: bool, now: Nanos) -> Stage {
        let Some(later) = &mut self.later else { return sorry("there is nobody to wait") };
        let ticket = later.ticket();
        let mut body = None;
        if reads {
            let (feed, reader) = upload::pipe(later.lane(), start.request.0.place.conn, ticket);
            start.body = Some(reader);
            body = Some((feed, most));
        }
        let (route, request) = (start.route.clone(), start.request.clone());
        if later.begin(ticket, start, now).is_some() {
            return Stage::Started { ticket, body };
        }
        let request = request.view();
        let mut response = Response::problem(503, "too many requests are being worked on")
            .with("Retry-After", "1");
        chain::show(&route.chain, route.chain.len(), &request, &mut response);
        self.observe(&request, &mut response, now);
        Stage::Answered { response, drains: false }
    }

    /// Has a future decide whether a request goes on.
    fn decide(&mut self, start: Start, drains: bool, now: Nanos) -> Stage {
        let lane = start.request.lane().clone();
        match self.start(start, 0, false, now) {
            Stage::Started { ticket, .. } => match self.passed(ticket) {
                Some(stage) => stage,
                None => Stage::Deciding(Deciding { ticket, lane, drains }),
            },
            other => other,
        }
    }

    /// Goes on with a request that middleware has let pass.
    fn passed(&mut self, ticket: Ticket) -> Option<Stage> {
        let (route, request) = self.later.as_mut()?.passed(ticket)?;
        if matches!(route.endpoint.run, Run::Upload(_)) {
            let (most, next) = (route.limits.body_bytes, route.chain.len());
            let now = request.lane().local().now();
            let start = Start { route, request, waits: None, next, body: None, decides: false };
            return Some(self.start(start, most, true, now));
        }
        // What has decided is gone, so nobody else holds the request.
        Some(match Rc::into_inner(request.0) {
            Some(request) => Stage::Gathering(Box::new(Gathering { route, request })),
            None => sorry("the request is held by middleware"),
        })
    }

    /// What becomes of the body of a request about which middleware decides.
    fn judge(&self, deciding: &Deciding) -> Intake {
        match self.later.as_ref().is_none_or(|later| later.is_done(deciding.ticket)) {
            false => Intake::Hold,
            true if deciding.drains => Intake::More,
            true => Intake::Answer,
        }
    }

    /// Answers in the place of a handler whose request's body is too large.
    fn refuse_upload(&mut self, ticket: Ticket, most: u64) -> Stage {
        let mut response = too_large(most);
        if let Some(later) = &mut self.later {
            if let Some((route, request)) = later.of(ticket) {
                let request = request.view();
                response = guarded(&request, || {
                    chain::show(&route.chain, route.chain.len(), &request, &mut response);
                    response
                });
                observe(&mut self.observer, &self.clock, &request, &mut response, request.now());
            }
            later.cancel(ticket);
        }
        Stage::Answered { response, drains: false }
    }

    /// What a future came to, as a response. It is observed.
    fn settle(&mut self, ticket: Ticket, context: &mut Context<'_>) -> Option<(Response, RouteId)> {
        let (running, done) = self.later.as_mut()?.take(ticket)?;
        let (now, tracer) = (context.now(), context.tracer);
        let files: FilesCell<'_> = RefCell::new(context.files());
        let view = running.request.0.view(Some(&files));
        let request = Request { tracer: Some(tracer), ..view };
        let mut response = match done {
            Ok(Outcome::Response(response)) => response,
            Ok(Outcome::Passed | Outcome::Aside) => {
                guarded(&request, || plain(&running.route, &request))
            }
            Err(panic) => {
                let mut response = panicked(&request, &panic);
                guarded(&request, || {
                    let chain = &running.route.chain;
                    chain::show(chain, chain.len(), &request, &mut response);
                    response
                })
            }
        };
        self.observe(&request, &mut response, now);
        Some((response, running.route.number.get()))
    }
}

fn sorry(detail: &str) -> Stage {
    Stage::Answered { response: Response::problem(500, detail), drains: false }
}

/// Runs an endpoint that answers at once, and shows its response, or what stands in for that of one
/// that panicked, to the whole chain.
fn plain(route: &Route, request: &Request<'_>) -> Response {
    let mut response = guarded(request, || match &route.endpoint.run {
        Run::Plain(run) => run(request),
        Run::Async(_) | Run::Upload(_) => Response::problem(500, "the endpoint is not a plain one"),
    });
    note_run(request, &response);
    chain::show(&route.chain, route.chain.len(), request, &mut response);
    response
}

fn note_run(request: &Request<'_>, response: &Response) {
    request.note(By::Handler, "ran", || match response.panicked {
        true => "it panicked".to_owned(),
        false => "it answers at once".to_owned(),
    });
}

/// Runs handlers and middleware; a panic among them is a 500.
fn guarded(request: &Request<'_>, run: impl FnOnce() -> Response) -> Response {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| panicked(request, &Panicked::from_payload(panic)))
}

#[cold]
fn panicked(request: &Request<'_>, panic: &Panicked) -> Response {
    tracing::error!(
        conn = %request.conn(),
        peer = %request.peer(),
        method = request.method().as_str(),
        path = request.path(),
        route = request.route().unwrap_or(""),
        panic = panic.message(),
        "a handler panicked"
    );
    Response { panicked: true, ..Response::problem(500, "the handler failed") }
}

/// What a request is told when its body is larger than its route takes.
fn too_large(most: u64) -> Response {
    Response::problem(413, format!("the body may have {most} bytes here"))
}

/// What the head of a request comes to.
enum Early {
    /// It goes on to its endpoint, perhaps once a link has decided.
    Goes(Option<(usize, LocalFuture<Result<(), Response>>)>),
    /// It is answered.
    Answered(Response),
}

/// Asks the chain, and what can answer a head. `whole`: there is nothing behind the head, or nothing
/// that is wanted.
fn ask(route: &Route, request: &Request<'_>, whole: bool, body_bytes: Option<u64>) -> Early {
    if let Run::Plain(run) = &route.endpoint.run
        && route.chain.is_empty()
        && whole
        && body_bytes.is_none()
    {
        let response = guarded(request, || run(request));
        note_run(request, &response);
        return Early::Answered(response);
    }
    let asked = catch_unwind(AssertUnwindSafe(|| match chain::ask(&route.chain, 0, request) {
        Asked::Passed if body_bytes.is_some_and(|bytes| bytes > route.limits.body_bytes) => {
            let mut response = too_large(route.limits.body_bytes);
            chain::show(&route.chain, route.chain.len(), request, &mut response);
            Early::Answered(response)
        }
        Asked::Passed if whole && matches!(route.endpoint.run, Run::Plain(_)) => {
            Early::Answered(plain(route, request))
        }
        Asked::Passed => Early::Goes(None),
        Asked::Answered(at, mut response) => {
            chain::show(&route.chain, at, request, &mut response);
            Early::Answered(response)
        }
        Asked::Waits(at, decision) => Early::Goes(Some((at, decision))),
    }));
    asked.unwrap_or_else(|panic| Early::Answered(panicked(request, &Panicked::from_payload(panic))))
}

/// An answer that waits for this request.
#[inline]
fn ready(
    route: &Route,
    head: &Head<'_>,
    params: &Params<'_>,
    context: &Context<'_>,
) -> Option<Rc<Ready>> {
    let shortcut = route.endpoint.shortcut.as_ref()?;
    let bare = head.body() == BodyKind::None;
    let (now, is_routed) = (context.now(), route.label.is_some());
    let ready = bare.then(|| shortcut(&Glance { head, params, is_routed, now })).flatten()?;
    context.note(By::Handler, "found", || notes::ready(&ready));
    Some(ready)
}

impl Handler for App {
    type Request = Work;

    fn name_routes(&mut self, names: &RouteNames) {
        self.table.number(names);
        self.names = Some(names.clone());
    }

    fn begin(&mut self, head: &Head<'_>, context: &mut Context<'_>) -> Work {
        let now = context.now();
        let place = Place {
            now,
            wall: context.wall(),
            since: context.since(),
            peer: context.peer(),
            origin: context.origin(),
            conn: context.conn(),
            random: context.random(),
        };
        let waker = context.waker;
        let (route, params) = self.table.site(head).route(head);
        context.note(By::Router, "matched", || notes::route(route.label.as_deref()));
        let ready = ready(&route, head, &params, context);
        if let (Some(ready), None) = (&ready, &self.observer) {
            return Work(Stage::Ready(ready.clone()), route.number.get());
        }
        let (extensions, tracer) = (Extensions::default(), context.tracer);
        let files: FilesCell<'_> = RefCell::new(context.files());
        let request = Request {
            head: HeadView::Parsed(*head),
            body: &[],
            params,
            route: route.label.as_deref(),
            place,
            extensions: &extensions,
            files: Some(&files),
            tracer: Some(tracer),
        };
        if let Some(ready) = ready {
            if let Some(observer) = &mut self.observer {
                observer.answered(&request, 200, Some(ready.len()), now);
            }
            return Work(Stage::Ready(ready), route.number.get());
        }
        let (drains, bytes) = match head.body() {
            BodyKind::None => (true, None),
            BodyKind::Length(bytes) => (bytes <= DRAIN && !head.expects_continue(), Some(bytes)),
            _ => (false, None),
        };
        let whole = head.body() == BodyKind::None || !route.endpoint.takes_body;
        let waits = match ask(&route, &request, whole, bytes) {
            Early::Answered(mut response) => {
                observe(&mut self.observer, &self.clock, &request, &mut response, now);
                return Work(Stage::Answered { response, drains }, route.number.get());
            }
            Early::Goes(waits) => waits,
        };
        let number = route.number.get();
        let params = request.params.to_owned();
        let later = self.later.get_or_insert_with(|| Later::new(self.futures, waker));
        let lane = later.lane().clone();
        let owned = Owned::of(head, params, route.label.clone(), place, extensions, lane);
        let most = route.limits.body_bytes;
        let reads = matches!(route.endpoint.run, Run::Upload(_));
        let decides = !whole && (!reads || waits.is_some());
        if decides && waits.is_none() {
            let gathering = Gathering { route, request: owned };
            return Work(Stage::Gathering(Box::new(gathering)), number);
        }
        let next = if waits.is_some() { 0 } else { route.chain.len() };
        let request = OwnedRequest(Rc::new(owned));
        let start = Start { route, request, waits, next, body: None, decides };
        let stage = match decides {
            true => self.decide(start, drains, now),
            false => self.start(start, most, reads, now),
        };
        Work(stage, number)
    }

    fn wants_body(&mut self, work: &Work) -> Intake {
        let wanted = match &work.0 {
            Stage::Ready(_) => false,
            Stage::Answered { drains, .. } => *drains,
            Stage::Deciding(deciding) => return self.judge(deciding),
            Stage::Gathering(_) => true,
            Stage::Started { ticket, body } => {
                let done = self.later.as_ref().is_none_or(|later| later.is_done(*ticket));
                body.is_some() && !done
            }
        };
        if wanted { Intake::More } else { Intake::Answer }
    }

    fn body(&mut self, work: &mut Work, data: &[u8]) -> Intake {
        if let Stage::Deciding(deciding) = &work.0 {
            let ticket = deciding.ticket;
            let Some(stage) = self.passed(ticket) else { return self.judge(deciding) };
            work.0 = stage;
            if matches!(work.0, Stage::Answered { .. }) {
                return Intake::Answer;
            }
        }
        let (route, request) = match &mut work.0 {
            Stage::Ready(_) | Stage::Answered { .. } | Stage::Deciding(_) => return Intake::More,
            Stage::Started { body: None, .. } => return Intake::More,
            Stage::Started { ticket, body: Some((feed, most)) } => {
                if self.later.as_ref().is_none_or(|later| later.is_done(*ticket)) {
                    return Intake::Answer;
                }
                let intake = feed.put(data);
                if feed.total() <= *most {
                    return intake;
                }
                let (ticket, most) = (*ticket, *most);
                work.0 = self.refuse_upload(ticket, most);
                return Intake::Answer;
            }
            Stage::Gathering(gathering) => {
                let body = &mut gathering.request.body;
                if (body.len() + data.len()) as u64 <= gathering.route.limits.body_bytes {
                    body.extend_from_slice(data);
                    return Intake::More;
                }
                (&gathering.route, &mut gathering.request)
            }
        };
        request.body = Vec::new();
        let request = request.view(None);
        let mut response = guarded(&request, || {
            let mut response = too_large(route.limits.body_bytes);
            chain::show(&route.chain, route.chain.len(), &request, &mut response);
            response
        });
        observe(&mut self.observer, &self.clock, &request, &mut response, request.now());
        work.0 = Stage::Answered { response, drains: false };
        Intake::Answer
    }

    fn reply(&mut self, work: Work, reply: Reply<'_>) -> Replied {
        let mut reply = reply.of_route(work.1);
        let now = reply.context().now();
        let stage = match work.0 {
            Stage::Ready(ready) => return reply.ready(&ready),
            Stage::Answered { response, .. } => return send(response, reply),
            Stage::Gathering(gathering)
                if matches!(gathering.route.endpoint.run, Run::Plain(_)) =>
            {
                let tracer = reply.context().tracer;
                let files: FilesCell<'_> = RefCell::new(reply.context().files());
                let view = gathering.request.view(Some(&files));
                let request = Request { tracer: Some(tracer), ..view };
                let mut response = guarded(&request, || plain(&gathering.route, &request));
                self.observe(&request, &mut response, now);
                Stage::Answered { response, drains: true }
            }
            Stage::Gathering(gathering) => {
                let Gathering { route, request } = *gathering;
                let (next, request) = (route.chain.len(), OwnedRequest(Rc::new(request)));
                let start = Start { route, request, waits: None, next, body: None, decides: false };
                self.start(start, 0, false, now)
            }
            other => other,
        };
        match stage {
            Stage::Ready(ready) => reply.ready(&ready),
            Stage::Answered { response, .. } => send(response, reply),
            Stage::Deciding(deciding) => self.resume(deciding.ticket, reply),
            Stage::Gathering(_) => reply.respond(500, &Default::default(), Default::default()),
            Stage::Started { ticket, body } => {
                if let Some((feed, _)) = body {
                    feed.finish(reply.body_is_whole());
                }
                self.resume(ticket, reply)
            }
        }
    }

    fn resume(&mut self, ticket: Ticket, mut reply: Reply<'_>) -> Replied {
        let known = self.later.as_ref().is_some_and(|later| !later.is_done(ticket));
        if known {
            return reply.later(ticket);
        }
        match self.settle(ticket, reply.context()) {
            Some((response, route)) => send(response, reply.of_route(route)),
            None => send(Response::problem(500, "the handler was lost"), reply),
        }
    }

    fn cancel(&mut self, _conn: ConnId, ticket: Ticket) {
        if let Some(later) = &mut self.later {
            later.cancel(ticket);
        }
    }

    #[inline]
    fn in_flight(&self) -> usize {
        App::in_flight(self)
    }

    fn turn(&mut self, wakes: &mut Wakes<'_, '_>) {
        if let Some(later) = &mut self.later {
            later.turn(wakes);
        }
        self.clock.set(wakes.now());
        if let Some(observer) = &mut self.observer {
            observer.flush();
        }
    }
}

/// Sends a response.
fn send(response: Response, reply: Reply<'_>) -> Replied {
    let Response { status, fields, content, malformed, panicked, timed_out } = response;
    if malformed {
        return reply.malformed();
    }
    let replied = reply.respond(status, &fields, content);
    let fault = match (panicked, timed_out) {
        (true, _) => Fault::Panicked,
        (false, true) => Fault::TimedOut,
        (false, false) => replied.fault,
    };
    Replied { fault, ..replied }
}
