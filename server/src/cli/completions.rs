//! `corelane completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Failure;

/// Options of `corelane completions`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    corelane completions bash > /etc/bash_completion.d/corelane\n  \
    corelane completions fish > ~/.config/fish/completions/corelane.fish")]
pub(super) struct Args {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    // `generate` panics where it cannot write: into memory it can.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "corelane", &mut script);
    super::config::print(&String::from_utf8_lossy(&script));
    Ok(())
}
