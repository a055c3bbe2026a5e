#![doc = include_str!("../README.md")]

mod chunked;
pub mod compare;
mod connection;
pub mod doctor;
mod error;
mod limits;
mod outcome;
mod plan;
pub mod process;
mod record;
pub mod report;
mod request;
mod response;
mod run;
mod source;
mod tally;
mod units;
mod worker;

pub use error::Error;
pub use limits::pin;
pub use outcome::{
    BUSY_MAX, Interval, LATE, LATE_SHARE_MAX, Late, Outcome, RequestOutcome, Watched,
};
pub use plan::{Expect, Plan, Stop};
pub use record::{
    Column, Discipline, End, Environment, Fault, Heat, Load, QUANTILES, ReadError, Record, SCHEMA,
    Second, Sends, ServerSide, Target, Usage,
};
pub use report::Report;
pub use request::Request;
pub use run::{Held, run};
pub use tally::Faults;
