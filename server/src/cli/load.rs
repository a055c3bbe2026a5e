//! `corelane load` and `corelane doctor`: commands of `corelane-load`, which say what went wrong
//! themselves.

use std::process::ExitCode;

use corelane_load::cli::{self, Args, DoctorArgs};

use super::Failure;

pub(super) fn run(args: Args) -> Result<(), Failure> {
    // What stands behind the name of the command is kept in results.
    let words = cli::words(0).into_iter().skip_while(|word| word != "load").skip(1).collect();
    said(cli::run(args, words))
}

pub(super) fn run_doctor(args: &DoctorArgs) -> Result<(), Failure> {
    said(cli::run_doctor(args))
}

fn said(code: ExitCode) -> Result<(), Failure> {
    if code == ExitCode::SUCCESS { Ok(()) } else { Err(Failure::Said(code)) }
}
