//! A server under measurement, and what it uses.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use corelane_benches::build::Binaries;
use corelane_benches::scratch::Scratch;
use corelane_benches::server::{Running, Server, Setup};
use corelane_load::process;

use crate::client::Client;
use crate::probe::Visitor;
use crate::sockets::{Queues, Sockets};
use crate::table::Figure;

/// Given to a server to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a server may take to close what its clients have closed.
const RETURN_LIMIT: Duration = Duration::from_secs(10);
/// Requests before the first figure is read: what they set up is no cost of the others.
const WARM_UP_REQUESTS: usize = 100;

/// Where servers come from.
#[derive(Debug)]
pub(crate) struct Stable {
    pub(crate) binaries: Binaries,
    pub(crate) scratch: Scratch,
    pub(crate) server_core: usize,
}

impl Stable {
    /// How servers are started unless a measure wants it otherwise.
    pub(crate) fn setup(&self) -> Setup {
        Setup { as_shipped: true, ..Setup::new(self.server_core) }
    }

    /// A fresh server with the limits it is shipped with, warmed up.
    pub(crate) fn start(&self, server: Server, setup: &Setup) -> anyhow::Result<Subject> {
        let running = Running::start(server, setup, &self.binaries, &self.scratch)?;
        let subject = Subject { running };
        let mut visitor = Visitor::new(subject.address());
        for _ in 0..WARM_UP_REQUESTS {
            visitor.ask().context("warming up")?;
        }
        drop(visitor);
        subject.settle();
        Ok(subject)
    }
}

/// A server under measurement.
#[derive(Debug)]
pub(crate) struct Subject {
    running: Running,
}

/// What a server uses at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: usize,
}

/// What a server uses more than before, once its clients are gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aftermath {
    kept_bytes: u64,
    descriptors: usize,
}

impl Aftermath {
    /// `when` completes "memory kept".
    pub(crate) fn figures(self, when: &str) -> [Figure; 2] {
        let descriptors = Figure::new(format!("descriptors left {when}"), self.descriptors);
        [
            Figure::kibibytes(format!("memory kept {when}, KiB"), self.kept_bytes as f64),
            descriptors.goal("0"),
        ]
    }
}

impl Subject {
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        process::resident_bytes(self.running.process()).context("memory of the server")
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let cpu = process::cpu(self.running.process()).context("CPU time of the server")?;
        Ok(Duration::from_nanos(cpu.ran_nanos))
    }

    /// Memory and descriptors.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let mut descriptors = 0;
        for member in process::family(self.running.process())? {
            descriptors += fs::read_dir(format!("/proc/{member}/fd"))?.count();
        }
        Ok(Usage { resident_bytes: self.resident_bytes()?, descriptors })
    }

    /// How many of `clients` it has a descriptor for.
    pub(crate) fn held(&self, clients: &[Client]) -> anyhow::Result<usize> {
        Ok(Sockets::read()?.held(self.address().port(), clients))
    }

    /// What the kernel holds for its ends of the connections of `clients`.
    pub(crate) fn queues(&self, clients: &[Client]) -> anyhow::Result<Queues> {
        Ok(Sockets::read()?.queues(self.address().port(), clients))
    }

    /// Waits until it has accepted all of `clients`.
    pub(crate) fn wait_until_held(&self, clients: &[Client]) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut held = self.held(clients)?;
        while held < clients.len() {
            if started.elapsed() > RETURN_LIMIT {
                bail!("it holds {held} of {} connections", clients.len());
            }
            thread::sleep(Duration::from_millis(50));
            held = self.held(clients)?;
        }
        Ok(())
    }

    /// What is left once all clients are gone: when descriptors are what they were, or will not be.
    pub(crate) fn aftermath(&self, before: Usage) -> anyhow::Result<Aftermath> {
        let started = Instant::now();
        while started.elapsed() < RETURN_LIMIT && self.usage()?.descriptors > before.descriptors {
            thread::sleep(Duration::from_millis(50));
        }
        self.settle();
        let after = self.usage()?;
        Ok(Aftermath {
            kept_bytes: after.resident_bytes.saturating_sub(before.resident_bytes),
            descriptors: after.descriptors.saturating_sub(before.descriptors),
        })
    }

    pub(crate) fn settle(&self) {
        thread::sleep(SETTLE);
    }
}
