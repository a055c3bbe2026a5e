//! The `corelane` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    corelane::cli::main()
}
