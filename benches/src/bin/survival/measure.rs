//! What is measured.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use corelane_benches::server::{Server, Setup};

use crate::slow::{self, Kind};
use crate::subject::{Stable, Subject};
use crate::table::{Figure, Table};
use crate::{bombs, churn, exhaustion, memory};

/// The body that slow readers ask for: more than a socket takes at once.
const LARGE_BODY_BYTES: usize = 100 * 1024;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Measure {
    /// Memory of connections that had one response each
    Idle,
    /// Memory of connections that sent 200 bytes of a head
    PartialHead,
    /// Memory of clients that pipeline and never read
    NeverReads,
    /// Clients that send a byte of a head each second
    SlowHeads,
    /// Clients that send a byte of a body each second
    SlowBodies,
    /// Clients that read a few bytes each second
    SlowReaders,
    /// All three at once
    SlowAll,
    /// Heads, chunks and trailers without an end
    Bombs,
    /// Connections that come and are reset
    Churn,
    /// More connections than descriptors
    Descriptors,
}

/// The numbers of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) connections: usize,
    pub(crate) pipeliners: usize,
    pub(crate) churn: usize,
    pub(crate) slow: slow::Plan,
}

impl Measure {
    /// Measures one server that is started for it.
    pub(crate) fn run(
        self,
        server: Server,
        stable: &Stable,
        plan: &Plan,
    ) -> anyhow::Result<Vec<Figure>> {
        let small = || stable.start(server, &stable.setup());
        let large = || {
            let body = vec![b'L'; LARGE_BODY_BYTES];
            stable.start(server, &Setup { body, ..stable.setup() })
        };
        let short = || {
            let descriptors = Some(exhaustion::DESCRIPTOR_COUNT_MAX);
            stable.start(server, &Setup { descriptors, ..stable.setup() })
        };
        let slow = |subject: &Subject, kinds: &[Kind]| slow::slow(subject, kinds, plan.slow);
        match self {
            Self::Idle => memory::idle(&small()?, plan.connections),
            Self::PartialHead => memory::partial_head(&small()?, plan.connections),
            Self::NeverReads => memory::never_reads(&small()?, plan.pipeliners, plan.slow.limit),
            Self::SlowHeads => slow(&small()?, &[Kind::Head]),
            Self::SlowBodies => slow(&small()?, &[Kind::Body]),
            Self::SlowReaders => slow(&large()?, &[Kind::Reader]),
            Self::SlowAll => slow(&large()?, &Kind::ALL),
            Self::Bombs => bombs::bombs(small),
            Self::Churn => churn::churn(&small()?, plan.churn),
            Self::Descriptors => exhaustion::descriptors(&short()?),
        }
    }

    /// An empty table.
    pub(crate) fn table(self) -> Table {
        Table::new(self.to_string(), self.explanation())
    }

    /// What it may take for one server, at most.
    pub(crate) fn time_max(self, plan: &Plan) -> Duration {
        match self {
            Self::Idle | Self::PartialHead => Duration::from_secs(15),
            Self::Bombs => Duration::from_secs(60),
            Self::Churn | Self::Descriptors => Duration::from_secs(30),
            _ => plan.slow.limit + Duration::from_secs(10),
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Idle => "Resident memory for each connection that had one response.",
            Self::PartialHead => {
                "Resident memory for each connection that sent 200 bytes of a head and no end."
            }
            Self::NeverReads => {
                "Clients with a small receive buffer that pipeline small requests for as long as the \
                 server takes them, and never read."
            }
            Self::SlowHeads => "Clients that send one byte of a head each second.",
            Self::SlowBodies => "Clients that send one byte of a body of 100,000 each second.",
            Self::SlowReaders => {
                "Clients with a small receive buffer that pipeline requests for 100 KiB and read \
                 little of the responses each second (the rivals answer with 5 bytes)."
            }
            Self::SlowAll => "All of them at once; everybody is answered with 100 KiB.",
            Self::Bombs => {
                "Eight clients send each up to 8 MiB of input without an end, to a fresh server. \
                 Answer; growth of resident memory for each client."
            }
            Self::Churn => {
                "Storms of connections that are reset with nothing sent, part of a head, a request, or \
                 part of a body."
            }
            Self::Descriptors => {
                "A server may have 256 descriptors, and 1,000 connections want one each for three \
                 seconds."
            }
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
