//! `corelane top`.

use corelane_viewer::{Options, RunError};

use super::Failure;

/// Options of `corelane top`.
pub(super) type Args = Options;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    corelane_viewer::run(args).map_err(|error| match error {
        RunError::Options(message) => Failure::Usage(message),
        error => Failure::Run(error.into()),
    })
}
