#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod client;
pub mod heat;
pub mod interval;
pub mod model;
pub mod options;
pub mod poller;
pub mod report;
pub mod run;
pub mod sample;
pub mod target;
pub mod text;
pub mod ui;
pub mod view;

pub use client::{Client, ClientError, Patience};
pub use heat::{Heat, HeatAnswer};
pub use interval::{Interval, LoopShare, RouteShare};
pub use model::{Link, Model, News};
pub use options::Options;
pub use poller::{Command, Poller};
pub use run::{RunError, run};
pub use sample::{Sample, SampleError};
pub use target::{Target, TargetError};
pub use ui::{Ui, View};
pub use view::Theme;
