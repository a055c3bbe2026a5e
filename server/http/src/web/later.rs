//! Requests that are answered by futures.

use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;

use corelane_eventloop::{ConnId, Full, Nanos, Panicked, Stage, TaskId, Tasks};

use super::chain::{self, Asked, LocalFuture};
use super::endpoint::Run;
use super::lane::Lane;
use super::request::OwnedRequest;
use super::response::Response;
use super::routes::Route;
use super::upload::BodyReader;
use crate::handler::{Ticket, Wakes};

/// How a request's future ended.
pub(crate) enum Outcome {
    /// With a response that has passed the chain.
    Response(Response),
    /// The chain let the request pass, and that was all; or its endpoint is a plain function: to be run
    /// where there are files.
    Passed,
    /// It belonged to no request.
    Aside,
}

/// What a future of a request begins with.
pub(crate) struct Start {
    pub(crate) route: Rc<Route>,
    pub(crate) request: OwnedRequest,
    /// The link that decides later, and its decision.
    pub(crate) waits: Option<(usize, LocalFuture<Result<(), Response>>)>,
    /// The first link that was not asked.
    pub(crate) next: usize,
    pub(crate) body: Option<BodyReader>,
    /// The chain is all there is to be asked.
    pub(crate) decides: bool,
}

/// A request that a future works on.
pub(crate) struct Running {
    pub(crate) route: Rc<Route>,
    pub(crate) request: OwnedRequest,
    task: TaskId,
    conn: ConnId,
    done: Option<Result<Outcome, Panicked>>,
}

/// The futures of one lane.
pub(crate) struct Later {
    tasks: Tasks<Outcome>,
    lane: Lane,
    running: BTreeMap<Ticket, Running>,
    by_task: BTreeMap<TaskId, Ticket>,
    tickets: Ticket,
}

impl Later {
    pub(crate) fn new(limit: usize, waker: &Waker) -> Later {
        let tasks = Tasks::new(limit, waker);
        let lane = Lane::new(tasks.local().clone());
        let (running, by_task) = (BTreeMap::new(), BTreeMap::new());
        Later { tasks, lane, running, by_task, tickets: 0 }
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// A ticket that was not given out before.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// Begins to work on a request. `None` if too many are worked on.
    pub(crate) fn begin(&mut self, ticket: Ticket, start: Start, now: Nanos) -> Option<()> {
        let (route, request) = (start.route.clone(), start.request.clone());
        let conn = request.0.place.conn;
        self.tasks.advance(now);
        let task = self.tasks.spawn(work(start, self.lane.clone())).ok()?;
        let done = self.tasks.poll(task, now);
        if done.is_none() {
            self.by_task.insert(task, ticket);
        }
        self.running.insert(ticket, Running { route, request, task, conn, done });
        Some(())
    }

    /// Takes out a request whose future has ended.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<(Running, Result<Outcome, Panicked>)> {
        let running = self.running.get_mut(&ticket)?;
        let done = running.done.take()?;
        Some((self.running.remove(&ticket)?, done))
    }

    /// Takes out a request that its chain has let pass.
    pub(crate) fn passed(&mut self, ticket: Ticket) -> Option<(Rc<Route>, OwnedRequest)> {
        let done = self.running.get(&ticket)?.done.as_ref()?;
        if !matches!(done, Ok(Outcome::Passed)) {
            return None;
        }
        let Running { route, request, .. } = self.running.remove(&ticket)?;
        Some((route, request))
    }

    /// Whether the future of this request has ended.
    pub(crate) fn is_done(&self, ticket: Ticket) -> bool {
        self.running.get(&ticket).is_none_or(|running| running.done.is_some())
    }

    /// The route and the request that a ticket is about.
    pub(crate) fn of(&self, ticket: Ticket) -> Option<(Rc<Route>, OwnedRequest)> {
        let running = self.running.get(&ticket)?;
        Some((running.route.clone(), running.request.clone()))
    }

    /// Drops the future of a request that nobody waits for.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        if let Some(running) = self.running.remove(&ticket)
            && self.by_task.remove(&running.task).is_some()
            && let Err(panic) = self.tasks.cancel(running.task)
        {
            tracing::error!(%panic, "a handler panicked while it was dropped");
        }
    }

    /// Futures that run.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Lets the futures go on.
    pub(crate) fn turn(&mut self, wakes: &mut Wakes<'_, '_>) {
        for ticket in self.lane.0.gone.take() {
            self.cancel(ticket);
        }
        if wakes.stopping() {
            self.lane.stop();
        }
        let Later { tasks, lane, running, by_task, .. } = self;
        tasks.run(wakes.now(), |task, result| match by_task.remove(&task) {
            Some(ticket) => {
                if let Some(running) = running.get_mut(&ticket) {
                    let detail = || "its future has ended".to_owned();
                    wakes.turn.note(running.conn.key, Stage::Handler, "done", detail);
                    running.done = Some(result);
                    wakes.answer(running.conn, ticket);
                }
            }
            None => {
                if let Err(panic) = result {
                    tracing::error!(%panic, "a future that a handler spawned panicked");
                }
            }
        });
        for future in lane.0.spawns.take() {
            let aside = async move {
                future.await;
                Outcome::Aside
            };
            if let Err(Full(_)) = tasks.spawn(aside) {
                tracing::warn!(limit = tasks.limit(), "too many futures: one is dropped");
            }
        }
        for conn in lane.0.pulls.take() {
            wakes.pull(conn);
        }
        let wake = tasks.next_wake();
        if wake != Nanos::MAX {
            wakes.wake_at(wake);
        }
    }
}

/// All of the work on a request, within its time.
async fn work(start: Start, lane: Lane) -> Outcome {
    let (route, request) = (start.route.clone(), start.request.clone());
    let pace = start.body.as_ref().map(BodyReader::pace);
    let mut through = pin!(through(start));
    let mut left = route.limits.time;
    loop {
        if let Ok(outcome) = lane.local().timeout(left, through.as_mut()).await {
            return outcome;
        }
        left = pace.as_ref().map_or(Nanos::ZERO, |pace| pace.left(route.limits.time));
        if left == Nanos::ZERO {
            break;
        }
    }
    let late = Response::problem(503, "the handler took too long");
    let mut response = Response { timed_out: true, ..late };
    chain::show(&route.chain, route.chain.len(), &request.view(), &mut response);
    Outcome::Response(response)
}

/// Asks the rest of the chain, and the endpoint.
async fn through(start: Start) -> Outcome {
    let Start { route, request, mut waits, mut next, body, decides } = start;
    let chain = &route.chain;
    loop {
        if let Some((at, decision)) = waits.take() {
            if let Err(response) = decision.await {
                return answered(&route, &request, at, response);
            }
            next = at + 1;
        }
        let asked = chain::ask(chain, next, &request.view());
        match asked {
            Asked::Passed => break,
            Asked::Answered(at, response) => return answered(&route, &request, at, response),
            Asked::Waits(at, decision) => waits = Some((at, decision)),
        }
    }
    if decides {
        return Outcome::Passed;
    }
    let response = match (&route.endpoint.run, body) {
        (Run::Plain(_), _) => return Outcome::Passed,
        (Run::Async(run), _) => run(request.clone()).await,
        (Run::Upload(run), Some(body)) => run(request.clone(), body).await,
        (Run::Upload(_), None) => Response::problem(500, "the body was not prepared"),
    };
    answered(&route, &request, chain.len(), response)
}

/// Shows a response to the links further out.
fn answered(route: &Route, request: &OwnedRequest, at: usize, mut response: Response) -> Outcome {
    chain::show(&route.chain, at, &request.view(), &mut response);
    Outcome::Response(response)
}
