//! What the admin pages tell of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use corelane_acceptor::{Address, Open};
use corelane_eventloop::TraceDesk;
use corelane_mempool::Budget;
use corelane_metrics::{HistogramId, Registry};
use serde_json::Value;

use super::figures::Figures;
use super::heat;
use crate::logs::{AccessLogSlot, Logs};
use crate::supervisor::{Identity, Server};

/// Tells figures.
pub type Tell = Arc<dyn Fn(&mut Figures) + Send + Sync>;

/// What the admin pages tell of.
#[derive(Clone)]
pub struct Subject {
    /// Which start of the server it is.
    pub identity: Identity,
    /// Metrics of the public lanes.
    pub registry: Arc<Registry>,
    /// The histogram of its latencies, if it has one.
    pub latency: Option<HistogramId>,
    /// Set once a heat map of them was begun.
    pub is_mapped: Arc<AtomicBool>,
    /// What the server listens on.
    pub addresses: Vec<Address>,
    /// How many lanes it has.
    pub lanes: usize,
    /// Its open connections, and how many there may be.
    pub open: Arc<Open>,
    /// Where traces of single connections are asked for.
    pub traces: Arc<TraceDesk>,
    /// Restarted lanes.
    pub restarts: Arc<AtomicU64>,
    /// The memory of its buffers.
    pub budget: Arc<Budget>,
    /// Set once the server is stopping.
    pub stopping: Arc<AtomicBool>,
    /// The program's log, if it has one.
    pub log: Option<Logs>,
    /// Its access log.
    pub access_log: AccessLogSlot,
    /// What there is to say of the configuration in force, if it can be reloaded.
    pub site: Option<Arc<dyn Fn() -> Value + Send + Sync>>,
    /// Who tells further figures, each time somebody asks.
    pub figures: Vec<Tell>,
}

impl Subject {
    /// Of a server that has just started, with the logs of this process.
    pub fn of(server: &Server) -> Subject {
        Subject {
            identity: server.identity().clone(),
            registry: server.registry().clone(),
            latency: None,
            is_mapped: Arc::default(),
            addresses: server.addresses().to_vec(),
            lanes: server.lanes(),
            open: server.open().clone(),
            traces: server.traces().clone(),
            restarts: server.restarts().clone(),
            budget: server.budget().clone(),
            stopping: server.stopping().clone(),
            log: Logs::current().cloned(),
            access_log: AccessLogSlot::default(),
            site: None,
            figures: Vec::new(),
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// What all pages of the admin lane share.
pub(super) struct Pages {
    pub(super) subject: Subject,
    pub(super) heat: heat::Slot,
}

impl Pages {
    pub(super) fn new(subject: Subject) -> Pages {
        Pages { subject, heat: heat::Slot::default() }
    }
}
