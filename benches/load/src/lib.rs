#![doc = include_str!("../README.md")]

mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compare;
mod connection;
pub mod doctor;
mod engine;
mod error;
mod ledger;
mod limits;
mod meters;
mod outcome;
mod plan;
pub mod process;
mod progress;
mod record;
pub mod report;
mod request;
mod response;
mod result;
mod run;
mod schedule;
mod server_side;
mod source;
mod supply;
mod tally;
mod units;
mod url;
mod worker;

pub use error::Error;
pub use limits::pin;
pub use outcome::{
    BUSY_MAX, Interval, LATE, LATE_SHARE_MAX, Late, Outcome, RequestOutcome, Watched,
};
pub use plan::{Arrivals, Expect, Pace, Plan, Stop, Timeouts, Weighted};
pub use progress::{Phase, Progress};
pub use record::{
    Column, Discipline, End, Environment, Fault, Heat, Load, QUANTILES, ReadError, Record, SCHEMA,
    Second, Sends, ServerSide, Step, Target, Usage,
};
pub use request::Request;
pub use run::{Held, run, run_watched};
pub use server_side::{Admin, Reading};
pub use tally::Faults;
pub use url::Url;

#[cfg(test)]
mod simulation;
