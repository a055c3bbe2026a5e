#![doc = include_str!("../README.md")]

pub mod affinity;

mod admit;
mod config;
mod driver;
mod files;
mod flush;
mod id;
mod io;
mod lane;
mod link;
mod mail;
mod moving;
mod out;
mod pool;
mod protocol;
mod readers;
mod relief;
mod services;
mod stats;
mod step;
mod task;
mod time;
mod trace;
mod wheel;
mod wrap;

pub use admit::{Admit, AdmitAll, Verdict};
pub use config::LaneConfig;
#[cfg(target_os = "linux")]
pub use driver::OsFiles;
pub use driver::{
    ClientId, Driver, End, Faults, ListenOptions, Listener, MemFiles, Mio, Sim, World,
};
pub use files::{DirEntry, File, FileKind, Files, Links, Meta, RootId};
pub use id::{ConnId, LaneId, ListenerId, Origin, Peer, Target};
pub use io::{Io, Parts, Turn};
pub use lane::Lane;
pub use mail::{Full, LaneHandle, Post, Socket};
pub use moving::Luggage;
pub use out::{COPY_LIMIT, Chunk, Mark, Out, OutQueue};
pub use pool::{Job, JobError, ThreadPool, ThreadPoolStats};
pub use protocol::{Closed, Event, Flow, Protocol};
pub use services::Random;
pub use stats::LaneStats;
pub use task::{Elapsed, Local, Panicked, Sleep, TaskId, Tasks, YieldNow};
pub use time::Nanos;
pub use trace::{ArmError, Note, Stage, TraceDesk, TraceReport, TraceState, Tracer};
pub use wheel::Wheel;
pub use wrap::Hosted;
