//! What all lanes of a configured site share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use corelane_eventloop::LaneHandle;
use corelane_http::HttpConfig;
use serde_json::{Value, json};

use super::build::{self, BuildError, Shared};
use super::plan::http_config;
use crate::apps::admin::Figures;
use crate::config::{Config, Diff, Effective, Findings};
use crate::logs::AccessLogSlot;
use crate::supervisor::Server;

/// One configuration, and what its lanes share of it.
pub struct Blueprint {
    /// Counts configurations, from 1.
    pub generation: u64,
    /// The configuration.
    pub config: Config,
    pub(super) shared: Shared,
}

/// The configuration in force, for all lanes.
pub struct Source {
    /// The generation that lanes should have. Changed last.
    generation: AtomicU64,
    state: Mutex<State>,
    lanes: Mutex<Vec<LaneHandle>>,
    access_log: OnceLock<AccessLogSlot>,
}

struct State {
    blueprint: Arc<Blueprint>,
    /// What the server was started with: some keys keep their value until the next start.
    started: Effective,
    /// What was loaded last.
    loaded: Effective,
    reload: ReloadState,
}

/// How reloads went, for `/status`.
#[derive(Clone, Debug, Default)]
pub struct ReloadState {
    /// The configuration in force, counted from 1.
    pub generation: u64,
    /// Reloads that took effect.
    pub succeeded: u64,
    /// Reloads that were refused.
    pub failed: u64,
    /// When the last one was tried.
    pub last: Option<SystemTime>,
    /// Why the last one was refused: what is in force differs from what is on the disk then.
    pub error: Option<String>,
    /// Keys that differ on the disk, and take effect at the next start.
    pub pending: Vec<String>,
}

impl Source {
    /// Makes the first configuration ready to serve, and tries it.
    ///
    /// # Errors
    /// If something that it names cannot be used.
    pub fn new(effective: Effective) -> Result<Arc<Source>, BuildError> {
        let config = effective.config.clone();
        let shared = Shared::new(&config, None)?;
        let blueprint = Arc::new(Blueprint { generation: 1, config, shared });
        build::try_out(&blueprint)?;
        let reload = ReloadState { generation: 1, ..ReloadState::default() };
        Ok(Arc::new(Source {
            generation: AtomicU64::new(1),
            state: Mutex::new(State {
                blueprint,
                started: effective.clone(),
                loaded: effective,
                reload,
            }),
            lanes: Mutex::default(),
            access_log: OnceLock::new(),
        }))
    }

    /// The server that runs: its lanes are told of every new configuration.
    pub fn attach(&self, server: &Server) {
        let lanes = server.handles().iter().cloned();
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).extend(lanes);
    }

    /// Has the access log in force put there, now and after every reload.
    pub fn log_into(&self, slot: AccessLogSlot) {
        slot.set(self.blueprint().shared.access_log().cloned());
        let _ = self.access_log.set(slot);
    }

    /// The generation in force. One load.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The configuration in force.
    pub fn blueprint(&self) -> Arc<Blueprint> {
        self.lock().blueprint.clone()
    }

    /// What there is to say of the configuration in force, as JSON.
    pub fn status(&self) -> Value {
        let state = self.reload_state();
        let last = state.last.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        json!({
            "generation": state.generation,
            "reloads": {
                "succeeded": state.succeeded,
                "failed": state.failed,
                "last_unix_seconds": last.map(|last| last.as_secs()),
                "last_success": state.error.is_none(),
                "error": state.error,
            },
            "pending_restart": state.pending,
        })
    }

    /// How reloads went, and what the threads do that serve the site besides its lanes.
    pub fn figures(&self, figures: &mut Figures) {
        let state = self.reload_state();
        for (result, count) in [("success", state.succeeded), ("failure", state.failed)] {
            let help = "Loads of the configuration after the first, by how they ended.";
            figures.counter("corelane_config_reloads_total", help, &[("result", result)], count);
        }
        let help = "The configuration in force, counted from 1.";
        figures.gauge("corelane_config_generation", help, &[], state.generation);
        let help = "1 if the configuration on the disk was in force when it was last looked at.";
        let success = u64::from(state.error.is_none());
        figures.gauge("corelane_config_last_reload_success", help, &[], success);
        let last = state.last.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(last) = last {
            let help = "When it was last loaded again, since 1970.";
            let name = "corelane_config_last_reload_timestamp_seconds";
            figures.gauge(name, help, &[], last.as_secs());
        }
        if let Some(pool) = self.blueprint().shared.links.passwords() {
            let pool_label = ("pool", "passwords");
            let (help, name) =
                ("Jobs that wait for a thread.", "corelane_thread_pool_jobs_waiting");
            figures.gauge(name, help, &[pool_label], pool.queued);
            let (help, name) = ("Jobs that run.", "corelane_thread_pool_jobs_running");
            figures.gauge(name, help, &[pool_label], pool.running);
            let help = "Jobs that ended, or were not begun.";
            for (outcome, count) in [
                ("done", pool.done),
                ("panicked", pool.panicked),
                ("abandoned", pool.abandoned),
                ("refused", pool.refused),
            ] {
                let labels = [pool_label, ("outcome", outcome)];
                figures.counter("corelane_thread_pool_jobs_total", help, &labels, count);
            }
        }
    }

    /// What clients may send and how long they may take: as configured now, but for what lanes were
    /// started with and take over at the next start only.
    pub(super) fn http_config(&self) -> HttpConfig {
        let state = self.lock();
        let started = http_config(&state.started.config);
        let mut config = http_config(&state.blueprint.config);
        config.limits.head_bytes = started.limits.head_bytes;
        config.limits.request_line_bytes = started.limits.request_line_bytes;
        config.limits.field_line_bytes = started.limits.field_line_bytes;
        HttpConfig {
            body_rate: started.body_rate,
            body_grace: started.body_grace,
            body_credit: started.body_credit,
            ..config
        }
    }

    /// How reloads went.
    pub fn reload_state(&self) -> ReloadState {
        self.lock().reload.clone()
    }

    /// Puts another configuration into force, if it is right: every lane takes it over in its next
    /// turn. Returns what changed.
    ///
    /// # Errors
    /// What is wrong with it. The old one stays in force then.
    pub fn reload(&self, loaded: Result<Effective, Findings>) -> Result<Diff, ReloadError> {
        let outcome = loaded.map_err(ReloadError::from).and_then(|new| self.take_over(new));
        let mut state = self.lock();
        state.reload.last = Some(SystemTime::now());
        match &outcome {
            Ok(diff) => {
                state.reload.succeeded += 1;
                state.reload.error = None;
                state.reload.pending = diff.restart.iter().map(ToString::to_string).collect();
            }
            Err(error) => {
                state.reload.failed += 1;
                state.reload.error = Some(error.to_string());
            }
        }
        outcome
    }

    fn take_over(&self, new: Effective) -> Result<Diff, ReloadError> {
        // Only one at a time gets here: reloads come from one thread. The lock is not held while files
        // are read, since `/status` asks for it.
        let before = self.blueprint();
        let shared = Shared::new(&new.config, Some(&before.shared))?;
        let generation = before.generation + 1;
        let blueprint = Arc::new(Blueprint { generation, config: new.config.clone(), shared });
        build::try_out(&blueprint)?;
        let mut state = self.lock();
        let diff =
            Diff { hot: state.loaded.diff(&new).hot, restart: state.started.diff(&new).restart };
        state.blueprint = blueprint;
        state.reload.generation = generation;
        state.loaded = new;
        drop(state);
        if let Some(slot) = self.access_log.get() {
            slot.set(self.blueprint().shared.access_log().cloned());
        }
        self.generation.store(generation, Ordering::Release);
        for lane in self.lanes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            lane.waker().wake_by_ref();
        }
        Ok(diff)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a reload was refused.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is wrong.
    #[error(transparent)]
    Findings(#[from] Findings),
    /// Something that it names cannot be used.
    #[error(transparent)]
    Build(#[from] BuildError),
}
