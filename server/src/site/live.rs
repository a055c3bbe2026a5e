//! One lane's application, which follows the configuration.

use std::sync::Arc;

use corelane_eventloop::{ConnId, Files};
use corelane_http::web::{App, Work};
use corelane_http::{Context, Handler, Intake, Replied, Reply, Ticket, Wakes};
use corelane_parser::http1::Head;

use super::build;
use super::source::Source;
use crate::logs::AccessObserver;

/// One lane's application: built from the configuration in force, and rebuilt when that changes.
pub struct Live {
    source: Arc<Source>,
    app: App,
    /// That of the application; 0 before the first.
    generation: u64,
    /// That of the protocol's limits.
    configured: u64,
}

impl Live {
    /// An application of what `source` says, built by the first request or turn.
    pub fn new(source: Arc<Source>) -> Live {
        Live { source, app: App::empty(), generation: 0, configured: 1 }
    }

    /// Builds what is in force, if it is not what runs. True if it did.
    fn follow(&mut self, files: &mut dyn Files) -> bool {
        if self.source.generation() == self.generation {
            return false;
        }
        let blueprint = self.source.blueprint();
        self.generation = blueprint.generation;
        match build::app(&blueprint, files) {
            Ok(mut app) => {
                if let Some(log) = blueprint.shared.access_log() {
                    app = app.observed_by(AccessObserver::new(log));
                }
                self.app.replace(app);
                true
            }
            Err(error) => {
                // It was tried out before: the file system has changed since.
                tracing::error!(%error, generation = self.generation, "a lane keeps its old site");
                false
            }
        }
    }
}

impl Handler for Live {
    type Request = Work;

    #[inline]
    fn begin(&mut self, head: &Head<'_>, context: &mut Context<'_>) -> Work {
        if self.generation == 0 {
            self.follow(context.files());
        }
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

    fn turn(&mut self, wakes: &mut Wakes<'_, '_>) {
        self.follow(wakes.files());
        if self.configured != self.generation && self.generation > 0 {
            self.configured = self.generation;
            wakes.configure(self.source.http_config());
        }
        self.app.turn(wakes);
    }
}
