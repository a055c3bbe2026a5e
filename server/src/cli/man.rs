//! `corelane man`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Failure;

/// Options of `corelane man`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  corelane man | man -l -\n  corelane man /usr/local/share/man/man1"
)]
pub(super) struct Args {
    /// Write a page for each command into this folder [default: print one page for all of them]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let program = super::Cli::command();
    match args.dir {
        Some(dir) => {
            std::fs::create_dir_all(&dir)
                .and_then(|()| clap_mangen::generate_to(program, &dir))
                .with_context(|| format!("{}: pages cannot be written there", dir.display()))?;
        }
        None => {
            let mut page = Vec::new();
            whole(program, &mut page).context("the page cannot be made")?;
            super::config::print(&String::from_utf8_lossy(&page));
        }
    }
    Ok(())
}

/// One page: the program, then each command with its options.
fn whole(program: Command, page: &mut dyn Write) -> io::Result<()> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    Man::new(program.clone()).render(page)?;
    for command in program.get_subcommands() {
        section(command, page)?;
    }
    Ok(())
}

fn section(command: &Command, page: &mut dyn Write) -> io::Result<()> {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_uppercase();
    writeln!(page, ".SH \"{name}\"")?;
    let man = Man::new(command.clone());
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    if command.get_arguments().next().is_some() {
        man.render_options_section(page)?;
    }
    for command in command.get_subcommands() {
        section(command, page)?;
    }
    Ok(())
}
