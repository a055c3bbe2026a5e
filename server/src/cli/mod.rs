//! The command line of the `corelane` program.
//!
//! Exit codes: 0 for an orderly end, 1 for a failure at run time, 2 for wrong usage, 78 for a wrong
//! configuration.

mod broadcast;
mod check;
mod completions;
mod config;
mod connect;
mod echo;
mod explain;
mod fixed;
mod http;
mod limits;
mod listen;
mod load;
mod logs;
mod man;
mod messages;
mod run;
mod site;
mod terminal;
mod top;
mod torture;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::duration;
use crate::logs::Logs;

/// The exit code for a wrong configuration, as in sysexits.h.
const EX_CONFIG: u8 = 78;

/// How long the end of the program waits for its last words to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A high-performance server: one pinned loop per core.
#[derive(Parser, Debug)]
#[command(name = "corelane", version, about, propagate_version = true)]
#[command(after_help = "Examples:\n  \
    corelane static public                     serve a folder, on port 8080\n  \
    corelane check -c site.json                what is wrong with a configuration?\n  \
    corelane serve -c site.json --port 3000    serve it, on another port\n  \
    corelane fixed --body hello                give every request the same answer\n  \
    corelane connect 127.0.0.1:4000            talk to a server by lines\n  \
    corelane broadcast --bind 127.0.0.1        a chat; join it with nc 127.0.0.1 8080\n  \
    corelane load http://127.0.0.1:8080/ -r 20k  how fast are its answers?
  \
    corelane top                               what is the server doing?\n  \
    corelane torture http://127.0.0.1:8080/    attack a server of yours\n  \
    corelane explain http://127.0.0.1:8080/    where does the time of a request go?\n  \
    corelane serve --help                      all options of a command\n\n\
    Exit code: 0 for an orderly end, 1 for a failure at run time, 2 for wrong usage, 78 for a wrong \
    configuration.")]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    log: logs::LogArgs,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve the files of a folder.
    Static(Box<site::StaticArgs>),
    /// Serve what a configuration file says.
    Serve(Box<site::ServeArgs>),
    /// Answer every request with one fixed response.
    Fixed(Box<fixed::Args>),
    /// Send back every byte.
    Echo(Box<echo::Args>),
    /// Run a chat of lines: what one says, everyone else hears.
    Broadcast(Box<broadcast::Args>),
    /// Talk to a server by lines: chat, echo, anything with text.
    Connect(connect::Args),
    /// Show what a running server does: rates, latency, a heat map, loops, routes.
    Top(top::Args),
    /// Load a server, and tell how long its answers take.
    Load(Box<corelane_load::cli::Args>),
    /// Look for what of this machine may distort a load test.
    Doctor(corelane_load::cli::DoctorArgs),
    /// Attack an HTTP/1.1 server and say which rules it breaks.
    Torture(torture::Args),
    /// Show the journey of one request through a running server, with the time of each step.
    Explain(Box<explain::Args>),
    /// Check a configuration file, and say all that is wrong with it.
    Check(check::Args),
    /// Show the configuration that is in force, or the schema of files.
    Config(config::Args),
    /// Print a script that completes this program's commands and options.
    Completions(completions::Args),
    /// Print the manual page, or write one for each command.
    Man(man::Args),
}

/// Why a command ended without success.
#[derive(Debug)]
enum Failure {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// The configuration is wrong: a line for each finding.
    Config(String),
    /// Something failed while running.
    Run(anyhow::Error),
    /// The command has said what went wrong itself.
    Said(ExitCode),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Run(error)
    }
}

/// Reads the command line and runs the command.
pub fn main() -> ExitCode {
    // First of all, because it changes the environment.
    listen::inherit();
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((cli, matches))
    });
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are no failures; a broken pipe while printing them is none of ours.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let ended = cli.log.start().and_then(|_| match cli.command {
        Command::Static(args) => site::run_static(*args, of_command(&matches)),
        Command::Serve(args) => site::run_serve(*args, of_command(&matches)),
        Command::Fixed(args) => fixed::run(*args),
        Command::Connect(args) => connect::run(args),
        Command::Echo(args) => echo::run(*args),
        Command::Broadcast(args) => broadcast::run(*args),
        Command::Top(args) => top::run(&args),
        Command::Load(args) => load::run(*args),
        Command::Doctor(args) => load::run_doctor(&args),
        Command::Torture(args) => torture::run(args),
        Command::Explain(args) => explain::run(*args),
        Command::Check(args) => check::run(args),
        Command::Config(args) => config::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
    });
    let code = match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            say(&format!("error: {message}\n\nFor more information, try '--help'."));
            ExitCode::from(2)
        }
        Err(Failure::Config(message)) => {
            say(&message);
            ExitCode::from(EX_CONFIG)
        }
        Err(Failure::Said(code)) => code,
        Err(Failure::Run(error)) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(1)
        }
    };
    if let Some(logs) = Logs::current() {
        logs.flush(LAST_WORDS);
    }
    code
}

/// What was said to the command itself.
fn of_command(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| matches)
}

/// Prints a line on standard error. Who reads it may be gone, and then `eprintln!` would panic.
fn say(line: &str) {
    match Logs::current() {
        Some(logs) => logs.say(line),
        None => drop(writeln!(std::io::stderr(), "{line}")),
    }
}
