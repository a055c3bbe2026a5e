//! An application, and what it needs before requests and turns.

use corelane_eventloop::{ConnId, Files};
use corelane_http::web::{App, Work};
use corelane_http::{Context, Handler, Intake, Replied, Reply, RouteNames, Ticket, Wakes};
use corelane_parser::http1::{Head, HttpDate};

/// What is done for an application by the lane it runs on.
pub trait Upkeep {
    /// Before a request.
    fn before_request(&mut self, app: &mut App, files: &mut dyn Files);

    /// Before a turn's work.
    fn before_turn(&mut self, app: &mut App, wakes: &mut Wakes<'_, '_>) {
        let _ = (app, wakes);
    }
}

/// An application with its upkeep.
pub struct Kept<U> {
    app: App,
    upkeep: U,
}

impl<U: Upkeep> Kept<U> {
    /// Puts them together.
    pub fn with(app: App, upkeep: U) -> Kept<U> {
        Kept { app, upkeep }
    }
}

impl<U: Upkeep> Handler for Kept<U> {
    type Request = Work;

    fn name_routes(&mut self, routes: &RouteNames) {
        self.app.name_routes(routes);
    }

    #[inline]
    fn begin(&mut self, head: &Head<'_>, context: &mut Context<'_>) -> Work {
        self.upkeep.before_request(&mut self.app, context.files());
        self.app.begin(head, context)
    }

    #[inline]
    fn wants_body(&mut self, work: &Work) -> Intake {
        self.app.wants_body(work)
    }

    #[inline]
    fn body(&mut self, work: &mut Work, data: &[u8]) -> Intake {
        self.app.body(work, data)
    }

    #[inline]
    fn reply(&mut self, work: Work, reply: Reply<'_>) -> Replied {
        self.app.reply(work, reply)
    }

    fn resume(&mut self, ticket: Ticket, reply: Reply<'_>) -> Replied {
        self.app.resume(ticket, reply)
    }

    fn cancel(&mut self, conn: ConnId, ticket: Ticket) {
        self.app.cancel(conn, ticket);
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.app.in_flight()
    }

    fn turn(&mut self, wakes: &mut Wakes<'_, '_>) {
        self.upkeep.before_turn(&mut self.app, wakes);
        self.app.turn(wakes);
    }

    fn date(&mut self, date: &HttpDate) {
        self.app.date(date);
    }
}
