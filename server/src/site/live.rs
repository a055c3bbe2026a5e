//! One lane's application, which follows the configuration.

use std::rc::Rc;
use std::sync::Arc;

use corelane_eventloop::{Files, Nanos, RootId};
use corelane_http::Wakes;
use corelane_http::middleware::RateLimitMetrics;
use corelane_http::web::App;
use corelane_metrics::Shard;

use super::build;
use super::source::Source;
use crate::apps::kept::{Kept, Upkeep};
use crate::logs::AccessObserver;

/// What a lane could not build is tried again after this.
const RETRY: Nanos = Nanos::from_secs(1);

/// One lane's application: built from the configuration in force, and rebuilt when that changes.
pub type Live = Kept<Follower>;

/// Keeps an application at the configuration in force.
pub struct Follower {
    source: Arc<Source>,
    /// That of the application; 0 before the first.
    generation: u64,
    /// The last one that could not be built, and when that is tried again.
    failed: Option<(u64, Nanos)>,
    /// Folders of the application, and of the one before, whose requests may not be done yet.
    roots: [Vec<RootId>; 2],
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
        let (failed, roots) = (None, Default::default());
        let follower = Follower { source, generation: 0, failed, roots, configured: 1, counted };
        Kept::with(App::empty(), follower)
    }
}

impl Follower {
    /// Builds what is in force, if it is not what runs.
    fn follow(&mut self, current: &mut App, files: &mut dyn Files, now: Nanos) {
        let wanted = self.source.generation();
        let waits = self.failed.is_some_and(|(failed, again)| failed == wanted && now < again);
        if wanted == self.generation || waits {
            return;
        }
        let blueprint = self.source.blueprint();
        let generation = blueprint.generation;
        let mut roots = Vec::new();
        let unused = match build::app(&blueprint, files, &mut roots, self.counted.as_ref()) {
            Ok(mut app) => {
                if let Some(log) = blueprint.shared.access_log() {
                    app = app.observed_by(AccessObserver::new(log));
                }
                current.replace(app);
                (self.generation, self.failed) = (generation, None);
                let former = std::mem::replace(&mut self.roots[0], roots);
                std::mem::replace(&mut self.roots[1], former)
            }
            Err(error) => {
                // It was tried out before: the file system has changed since.
                if self.failed.is_none_or(|(failed, _)| failed != generation) {
                    tracing::error!(%error, generation, "a lane keeps its old site, and tries again");
                }
                self.failed = Some((generation, now + RETRY));
                roots
            }
        };
        for root in unused {
            if !self.roots.iter().flatten().any(|used| *used == root) {
                files.close_root(root);
            }
        }
    }
}

impl Upkeep for Follower {
    #[inline]
    fn before_request(&mut self, app: &mut App, files: &mut dyn Files) {
        if self.generation == 0 {
            // If that fails, the turn tries again.
            self.follow(app, files, Nanos::ZERO);
        }
    }

    fn before_turn(&mut self, app: &mut App, wakes: &mut Wakes<'_, '_>) {
        let now = wakes.now();
        self.follow(app, wakes.files(), now);
        if let Some((_, again)) = self.failed {
            wakes.wake_at(again);
        }
        if self.configured != self.generation && self.generation > 0 {
            self.configured = self.generation;
            wakes.configure(self.source.http_config());
        }
    }
}
