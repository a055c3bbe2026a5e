//! One lane's application, which follows the configuration.

use std::rc::Rc;
use std::sync::Arc;

use corelane_eventloop::Files;
use corelane_http::Wakes;
use corelane_http::middleware::RateLimitMetrics;
use corelane_http::web::App;
use corelane_metrics::Shard;

use super::build;
use super::source::Source;
use crate::apps::kept::{Kept, Upkeep};
use crate::logs::AccessObserver;

/// One lane's application: built from the configuration in force, and rebuilt when that changes.
pub type Live = Kept<Follower>;

/// Keeps an application at the configuration in force.
pub struct Follower {
    source: Arc<Source>,
    /// That of the application; 0 before the first.
    generation: u64,
    /// That of the protocol's limits.
    configured: u64,
    counted: Option<Counted>,
}

/// Where the middleware of a lane counts.
pub(super) type Counted = (RateLimitMetrics, Rc<Shard>);

impl Live {
    /// An application of what `source` says, built by the first request or turn.
    pub fn new(source: Arc<Source>) -> Live {
        Live::of(source, None)
    }

    /// The same, whose middleware counts into this lane's shard.
    pub fn counting(source: Arc<Source>, metrics: RateLimitMetrics, shard: Rc<Shard>) -> Live {
        Live::of(source, Some((metrics, shard)))
    }

    fn of(source: Arc<Source>, counted: Option<Counted>) -> Live {
        Kept::with(App::empty(), Follower { source, generation: 0, configured: 1, counted })
    }
}

impl Follower {
    /// Builds what is in force, if it is not what runs.
    fn follow(&mut self, current: &mut App, files: &mut dyn Files) {
        if self.source.generation() == self.generation {
            return;
        }
        let blueprint = self.source.blueprint();
        self.generation = blueprint.generation;
        match build::app(&blueprint, files, self.counted.as_ref()) {
            Ok(mut app) => {
                if let Some(log) = blueprint.shared.access_log() {
                    app = app.observed_by(AccessObserver::new(log));
                }
                current.replace(app);
            }
            Err(error) => {
                // It was tried out before: the file system has changed since.
                tracing::error!(%error, generation = self.generation, "a lane keeps its old site");
            }
        }
    }
}

impl Upkeep for Follower {
    #[inline]
    fn before_request(&mut self, app: &mut App, files: &mut dyn Files) {
        if self.generation == 0 {
            self.follow(app, files);
        }
    }

    fn before_turn(&mut self, app: &mut App, wakes: &mut Wakes<'_, '_>) {
        self.follow(app, wakes.files());
        if self.configured != self.generation && self.generation > 0 {
            self.configured = self.generation;
            wakes.configure(self.source.http_config());
        }
    }
}
