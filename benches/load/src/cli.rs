//! The command line: `corelane load`, `corelane doctor`, and the program `corelane-load`, which is the
//! former alone. Behind the feature `cli`.
//!
//! Exit codes: 0 for a run with answers and no more faults than allowed, also one that was ended by a signal;
//! 1 for all others and what could not be started or written; 2 for wrong usage; 130 after a further signal.

mod compare;
mod doctor;
mod kept;
mod live;
mod options;
mod output;
mod ramp;
mod values;

use std::fs;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::doctor::{Machine, environment, examine};
use crate::record::{End, Record, ServerSide};
use crate::{Admin, Held, Phase, Plan, Progress, Reading, report, run_watched};
use live::View;
use options::{Job, Options};

pub use doctor::DoctorArgs;

/// Asks a server over HTTP/1.1 and tells what happened, faults first.
///
/// By the clock (an open loop) with --rate, which shows what users would see; or each connection one
/// request after the other (a closed loop) with --connections alone, which shows how much the server can
/// do. Load only servers that are yours.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:\n  \
    corelane load http://127.0.0.1:8080/ --rate 20k --duration 30s --html report.html\n  \
    corelane load http://127.0.0.1:8080/ --connections 64            how much can it do?\n  \
    corelane load http://127.0.0.1:8080/ --ramp 1k..50k:5s           where does latency rise?\n  \
    corelane load 9=http://localhost/a 1=http://localhost/b -r 500   nine of ten requests to /a\n  \
    corelane load http://localhost/ -r 1k --body-file a.json -H 'Content-Type: application/json'\n  \
    corelane load http://localhost/ -r 1k --server-metrics http://127.0.0.1:9100\n  \
    corelane load compare before.json after.json                     is it slower?\n  \
    corelane load show result.json --html report.html                draw a result again\n\n\
    Exit code: 0 for a run with answers and without faults (or with --allow-faults, if no larger share of the \
    requests failed), also for one that was ended by a signal; 1 for one without an answer, with more faults, with a step \
    that could not run or with a file that could not be written, and for one that could not start; 2 for wrong \
    usage; 130 if a further signal ended it at once. With --idle: 0 if all connections were open to the end, \
    without a fault, else 1.")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Say whether two results of the same load differ by more than chance.
    Compare(compare::CompareArgs),
    /// Show a result that was written with --json, or draw it again.
    Show(ShowArgs),
}

#[derive(clap::Args, Debug)]
struct ShowArgs {
    /// What was written with --json
    #[arg(value_name = "RESULT")]
    result: std::path::PathBuf,
    #[command(flatten)]
    files: output::Files,
}

/// Why a command ended without success.
#[derive(Debug)]
enum Failure {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// Something failed.
    Run(anyhow::Error),
    /// It went well, but the result is not: already said.
    Result,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Run(error)
    }
}

/// Runs the command. `words` is the command line behind the name of the command: it is kept in results.
pub fn run(args: Args, words: Vec<String>) -> ExitCode {
    exit(match args.command {
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Show(args)) => show(&args),
        None => load(&args.options, words),
    })
}

/// Runs `corelane doctor`.
pub fn run_doctor(args: &DoctorArgs) -> ExitCode {
    exit(doctor::run(args))
}

/// The words of this program's command line behind the first `skipped`. What is not UTF-8 is replaced.
#[must_use]
pub fn words(skipped: usize) -> Vec<String> {
    std::env::args_os().skip(skipped).map(|word| word.to_string_lossy().into_owned()).collect()
}

fn exit(ended: Result<(), Failure>) -> ExitCode {
    let (said, code) = match ended {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Result) => return ExitCode::FAILURE,
        Err(Failure::Usage(why)) => (format!("{why}\n\nFor more information, try '--help'."), 2),
        Err(Failure::Run(error)) => (format!("{error:#}"), 1),
    };
    // Who reads it may be gone.
    let _ = writeln!(io::stderr(), "error: {said}");
    ExitCode::from(code)
}

/// Whoever closed the pipe wants no more of it.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let record = read(&args.result)?;
    args.files.check()?;
    if !args.files.take_stdout() {
        print(&report::text(&record));
    }
    args.files.write(&record)?;
    Ok(())
}

fn read(path: &std::path::Path) -> anyhow::Result<Record> {
    Record::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn load(options: &Options, words: Vec<String>) -> Result<(), Failure> {
    let job = options.job()?;
    if options.idle {
        return hold(&job.plan);
    }
    options.files.check()?;
    let findings = examine(&Machine, &job.subject());
    let mut side = Side::of(options.admin()?, !job.plan.warm_up.is_zero())?;
    let stop = Stop::watch()?;
    let mut record = match options.ramp {
        None => once(options, &job, &job.plan, &stop, &mut side)?,
        Some(ramp) => ramp::run(options, &job, ramp, &stop, &mut side)?,
    };
    record.arguments = kept::arguments(words);
    record.environment = environment(&Machine, &findings);
    match side.end() {
        Ok(measured) => record.server_side = measured,
        Err(error) => {
            let why = format!("the server's figures could not be read at the end: {error}");
            record.unknown.push(why);
        }
    }
    if let (Some(process), None, true) =
        (job.plan.watch, &record.server, record.elapsed_seconds > 0.0)
    {
        let why =
            format!("process {process} was not there all the time: its CPU time is not known");
        record.unknown.push(why);
    }
    // The text first: should a disk be full, the figures have been seen.
    if !options.files.take_stdout() {
        print(&report::text(&record));
    }
    options.files.write(&record)?;
    let good = record.answered > 0 && record.is_within(options.allow_faults);
    match good && !matches!(record.end, End::Failed(_)) {
        true => Ok(()),
        false => Err(Failure::Result),
    }
}

/// One run, shown while it goes on, until it is done or the user has enough.
fn once(
    options: &Options,
    job: &Job,
    plan: &Plan,
    stop: &Stop,
    side: &mut Side,
) -> anyhow::Result<Record> {
    let mut view = View::new(options.mode(), options.title(plan));
    let outcome = run_watched(plan, |progress: &Progress<'_>| {
        side.look(progress.phase);
        view.show(progress);
        match stop.asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let intervals = outcome.as_ref().map(|outcome| &outcome.intervals[..]).unwrap_or_default();
    view.end(intervals);
    Ok(Record::new(job.load(plan), &outcome?))
}

/// What the server measures beside us, if it is asked.
struct Side {
    admin: Option<Admin>,
    /// Its figures when the run began.
    before: Option<Reading>,
    /// The run has not been seen behind its warm-up.
    warms_up: bool,
    /// Reads them again when the warm-up is over: by a thread, so that the run is looked at meanwhile.
    warm: Option<JoinHandle<io::Result<Reading>>>,
}

impl Side {
    /// Fails before the run if the server does not answer. `warms_up` says whether there is a warm-up.
    fn of(admin: Option<Admin>, warms_up: bool) -> anyhow::Result<Self> {
        let before = admin.as_ref().map(Admin::read).transpose();
        let before = before.context("cannot read the server's figures")?;
        Ok(Self { admin, before, warms_up, warm: None })
    }

    /// Called as the run goes on: what comes before measuring is not meant.
    fn look(&mut self, phase: Phase) {
        if self.warms_up && phase != Phase::WarmUp {
            self.warms_up = false;
            self.warm = self.admin.clone().map(|admin| thread::spawn(move || admin.read()));
        }
    }

    fn end(self) -> io::Result<Option<ServerSide>> {
        let (Some(admin), Some(mut before)) = (self.admin, self.before) else { return Ok(None) };
        let unread = match self.warm.map(JoinHandle::join) {
            Some(Ok(Ok(warm))) => {
                before = warm;
                None
            }
            Some(Ok(Err(error))) => Some(format!(
                "When the warm-up was over its figures could not be read ({error}): the warm-up is among them."
            )),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None if self.warms_up => Some(
                "The run was over before its warm-up was seen to be: the warm-up is among its figures."
                    .to_owned(),
            ),
            None => None,
        };
        let mut side = before.until(&admin.read()?);
        side.notes.extend(unread);
        Ok(Some(side))
    }
}

/// Whether the user asked to stop.
struct Stop(Arc<AtomicBool>);

/// A second signal that comes sooner is taken for the first, which a wrapper has handed on once more.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

impl Stop {
    /// From now on signals are counted by a thread, which may find that nothing more is waited for.
    fn watch() -> anyhow::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let mut signals =
            signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).context("signals")?;
        let asked = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&asked);
        let count = move || {
            let (mut first, mut count) = (None, 0);
            for _ in &mut signals {
                let since_first = first.get_or_insert_with(Instant::now).elapsed();
                count += 1;
                told.store(true, Ordering::Relaxed);
                if ends_at_once(count, since_first) {
                    live::give_back();
                    std::process::exit(130);
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(count).context("signals")?;
        Ok(Self(asked))
    }

    fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether so many signals mean that not even the result is waited for.
fn ends_at_once(signals: u32, since_first: Duration) -> bool {
    signals > 2 || (signals == 2 && since_first >= SAME_SIGNAL)
}

/// Opens the connections, and holds them until a byte or the end of standard input.
fn hold(plan: &Plan) -> Result<(), Failure> {
    let mut held = Held::open(plan).map_err(anyhow::Error::from)?;
    let open = held.open_count().map_err(anyhow::Error::from)?;
    print(&format!("open {open} of {}, faults {}\n", plan.connections, held.faults()));
    // The end of input ends the hold as well as a byte does.
    let _ = io::stdin().read(&mut [0; 1]).context("standard input")?;
    let kept = held.open_count().map_err(anyhow::Error::from)?;
    print(&format!("still open {kept}\n"));
    match kept == plan.connections && held.faults().total() == 0 {
        true => Ok(()),
        false => Err(Failure::Result),
    }
}

/// The contents of a file that an option names.
fn contents(option: &str, path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| {
        Failure::Usage(format!("{option}: cannot read {}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests;
