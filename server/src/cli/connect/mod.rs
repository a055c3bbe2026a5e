//! `corelane connect`.
//!
//! One thread reads the user, or standard input; another reads the server. They share a [`Session`].

mod history;
mod pipe;
mod session;
mod terminal;
mod text;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use session::{Session, Target};

use super::{Failure, duration};

/// Options of `corelane connect`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Every line that is typed goes to the server, and what it says is shown above the \
    line that is being typed. Ctrl-D ends the input and waits for the rest, until the server is silent for \
    --wait, or five times that in all; Ctrl-C ends at once. \
    Lines that begin with a space are not kept in the history.\n\n\
    If standard input or output is no terminal, the input is sent as it is and what comes back is written as \
    it comes, until the server closes or, once the input has ended, says nothing for --wait. Then \
    there is no reconnecting, since nobody would see what was lost.\n\n\
    A server cannot control the terminal: control characters and bytes that are no UTF-8 are shown as \
    \\x1b or \\u{9b}.\n\n\
    Examples:\n  corelane connect\n  \
    corelane connect chat.example:4000 --crlf\n  \
    printf 'hello\\n' | corelane connect unix:/run/echo.sock --wait 200ms\n\n\
    Exit code: 0 for an orderly end by either side, 1 if there is no connection, or no more, 2 for wrong \
    usage."
)]
pub(super) struct Args {
    /// Where the server is: `HOST:PORT`, `PORT` on this machine, or `unix:PATH`
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = Target::parse)]
    target: Target,

    /// End lines with CR LF, as older protocols want it
    #[arg(long)]
    crlf: bool,

    /// How long to wait for more once the input has ended
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration::timeout)]
    wait: Duration,

    /// End when the server does
    #[arg(long)]
    no_reconnect: bool,

    /// Attempts to connect again, one after another and ever further apart, up to 5 s
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "no_reconnect",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    retries: u16,

    /// Let the server control the terminal: colours, the cursor, the title, and worse
    #[arg(long)]
    raw: bool,

    /// Where typed lines are kept, the last 1000 of them [default: corelane/connect_history in
    /// XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "FILE", conflicts_with = "no_history")]
    history: Option<PathBuf>,

    /// Keep no typed lines
    #[arg(long)]
    no_history: bool,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let session = Arc::new(Session::new(args.target.clone(), args.wait, args.crlf));
    session
        .connect()
        .map_err(|error| anyhow::anyhow!("cannot connect to {}: {error}", args.target))?;
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        let history = if args.no_history { None } else { args.history.or_else(history::default) };
        let retries = if args.no_reconnect { 0 } else { args.retries };
        let options = terminal::Options { retries, raw: args.raw, history };
        if let Some(ended) = terminal::run(&session, options) {
            return ended;
        }
    }
    pipe::run(&session, args.raw)
}

/// Tells the user what happens. Unlike the log, it is there when this returns: the next prompt comes
/// after it.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "corelane: {line}");
}
