//! `corelane-load`: the command `corelane load` as a program of its own.

use std::process::ExitCode;

use clap::Parser;

/// The arguments and what clap needs around them.
#[derive(Parser)]
#[command(name = "corelane-load", version)]
struct Program {
    #[command(flatten)]
    args: corelane_load::cli::Args,
}

fn main() -> ExitCode {
    let Program { args } = Program::parse();
    corelane_load::cli::run(args, corelane_load::cli::words(1))
}
