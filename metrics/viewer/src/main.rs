//! `corelane-viewer`: what a running server does, on a terminal.

use std::process::ExitCode;

use clap::Parser;
use corelane_viewer::{Options, RunError, run};

/// Shows what a running server does: rates, latency, a heat map, loops and routes.
#[derive(Debug, Parser)]
#[command(name = "corelane-viewer", version)]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    match run(&Cli::parse().options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corelane-viewer: {error}");
            ExitCode::from(if matches!(error, RunError::Options(_)) { 2 } else { 1 })
        }
    }
}
