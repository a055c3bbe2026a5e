//! A client on a terminal: line editing, history, reconnecting.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::{InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor, ExternalPrinter};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::history::{self, History};
use super::session::{End, Received, Session};
use super::text::Lines;
use super::{Failure, note};

const PROMPT: &str = "> ";

/// How far apart attempts to connect again are, first and at most. Each is shortened by a random part, so
/// that the clients of a restarted server do not all come at once.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// From when on a connection was more than an attempt: a server may accept only to close.
const LASTING: Duration = BACKOFF_MAX;

/// How long the end waits for a receiving thread that may be connecting.
const GRACE: Duration = Duration::from_millis(500);

/// How often the prompt is told that it is over.
const NUDGE: Duration = Duration::from_millis(10);

/// A message for the printer that moves the cursor up and down again. The printer's queue has one place,
/// so when this is in it, all before has been shown.
const NOTHING: &str = "\x1b[A\n";

pub(super) struct Options {
    /// Attempts to connect again; 0 for none.
    pub(super) retries: u16,
    pub(super) raw: bool,
    pub(super) history: Option<PathBuf>,
}

/// Reads lines from the terminal and sends them until one of both sides ends. `None` if the terminal is too
/// simple for editing lines.
pub(super) fn run(session: &Arc<Session>, options: Options) -> Option<Result<(), Failure>> {
    let mut editor = DefaultEditor::with_config(config()).ok()?;
    let printer = editor.create_external_printer().ok()?;
    let quiet = QuietTerminal::begin().ok()?;
    // While no line is read, these would end the process; while one is, the editor has its own handler.
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(session.stopped())).ok()?;
    }
    let (history, trouble) = History::load(options.history, &mut editor);
    if let Some(why) = trouble {
        note(&why);
    }
    note(&format!("connected to {}; Ctrl-D ends", session.target));
    let (ended, ending) = mpsc::sync_channel(1);
    let receiver = Receiver {
        session: Arc::clone(session),
        screen: Screen { printer: Box::new(printer), has_notes: io::stderr().is_terminal() },
        retries: options.retries,
        raw: options.raw,
        has_left: Arc::default(),
    };
    let has_left = Arc::clone(&receiver.has_left);
    thread::spawn(move || receiver.run(&ended));
    let read = read_lines(session, &mut editor, history);
    session.stop();
    has_left.store(true, Ordering::Relaxed);
    // A printer that waits for its turn is told that there will be none.
    drop(editor);
    drop(quiet);
    let received = ending.recv_timeout(GRACE).unwrap_or(Ok(()));
    Some(read.and(received.map_err(|why| anyhow::Error::msg(why).into())))
}

fn config() -> Config {
    let config = Config::builder().history_ignore_space(true);
    match config.max_history_size(history::LINES_MAX) {
        Ok(config) => config.build(),
        Err(_) => Config::default(),
    }
}

/// Sends each line that is typed, until the user or the other thread wants no more.
fn read_lines(
    session: &Session,
    editor: &mut DefaultEditor,
    mut history: History,
) -> Result<(), Failure> {
    let mut prompt = PROMPT;
    while !session.is_stopped() {
        match editor.readline(prompt) {
            Ok(line) => {
                if let Err(unsent) = session.send_lines(&line) {
                    note(&unsent.to_string());
                }
                if let Err(why) = history.add(&line, editor) {
                    note(&why);
                }
            }
            // Once more is as good as Ctrl-C.
            Err(ReadlineError::Eof) if !session.has_input_ended() => {
                session.end_input();
                // What still comes is shown while nothing is typed.
                prompt = "";
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => break,
            Err(error) => return Err(anyhow::anyhow!("the terminal: {error}").into()),
        }
    }
    Ok(())
}

/// The terminal, told to keep keys as they are until somebody asks. The editor sets it up for each line and
/// then back, and in between it would show keys, or eat Ctrl-C and Ctrl-D.
struct QuietTerminal {
    before: Termios,
}

impl QuietTerminal {
    fn begin() -> io::Result<QuietTerminal> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes -=
            LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        quiet.input_modes -= InputModes::ICRNL | InputModes::IXON;
        tcsetattr(io::stdin(), OptionalActions::Now, &quiet)?;
        Ok(QuietTerminal { before })
    }
}

impl Drop for QuietTerminal {
    fn drop(&mut self) {
        // It fails if the terminal has gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// The thread that reads the server, and connects again.
struct Receiver {
    session: Arc<Session>,
    screen: Screen,
    retries: u16,
    raw: bool,
    /// Whether the thread that reads the user is done.
    has_left: Arc<AtomicBool>,
}

impl Receiver {
    fn run(mut self, ended: &mpsc::SyncSender<Result<(), String>>) {
        let result = self.receive();
        self.screen.settle();
        let _ = ended.send(result);
        // The editor takes this as Ctrl-C. It may be between two lines and not notice the first.
        self.session.stop();
        while !self.has_left.load(Ordering::Relaxed) {
            let _ = signal_hook::low_level::raise(SIGINT);
            thread::sleep(NUDGE);
        }
    }

    /// Shows what comes until nothing more will.
    fn receive(&mut self) -> Result<(), String> {
        let mut attempts = 0;
        loop {
            let mut lines = Lines::new(self.raw);
            let began = Instant::now();
            let end = self.session.receive(|received| {
                let text = match received {
                    Received::Bytes(bytes) => lines.push(bytes),
                    Received::Quiet => lines.quiet(),
                };
                self.screen.show(text);
                if self.session.has_lingered() {
                    self.session.stop();
                }
                Ok(())
            });
            self.screen.show(lines.finish());
            let (lost, broke) = match end {
                End::Silent | End::Stopped | End::Output(_) => return Ok(()),
                End::Closed if self.session.has_input_ended() => return Ok(()),
                End::Closed => ("the server closed the connection".to_owned(), false),
                End::Lost(error) => (format!("connection lost: {error}"), true),
            };
            if self.retries == 0 && broke {
                return Err(lost);
            }
            self.screen.note(&lost);
            if self.retries == 0 {
                return Ok(());
            }
            if began.elapsed() >= LASTING {
                attempts = 0;
            }
            if !self.reconnect(&mut attempts)? {
                return Ok(());
            }
        }
    }

    /// Connects again; false if the user no longer wants to.
    fn reconnect(&mut self, attempts: &mut u16) -> Result<bool, String> {
        let target = self.session.target.clone();
        while *attempts < self.retries {
            let delay = backoff(*attempts);
            *attempts += 1;
            let of = format!("{attempts} of {}", self.retries);
            self.screen.note(&format!("connecting again in {delay:.1?}, attempt {of}"));
            if !self.session.pause(delay) {
                return Ok(false);
            }
            match self.session.connect() {
                Ok(()) => {
                    self.screen.note(&format!("connected to {target} again"));
                    return Ok(true);
                }
                Err(error) => self.screen.note(&error.to_string()),
            }
        }
        Err(format!("cannot connect to {target} again: gave up after {} attempts", self.retries))
    }
}

/// How long to wait before an attempt that so many came before.
fn backoff(attempts: u16) -> Duration {
    let most = BACKOFF_MIN.saturating_mul(1 << attempts.min(10)).min(BACKOFF_MAX);
    most.mul_f64(1.0 - random_part() / 2.0)
}

/// From 0 to 1, different in each call: what the standard library has against flooded tables.
fn random_part() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

/// The part of the terminal above the prompt.
struct Screen {
    printer: Box<dyn ExternalPrinter + Send>,
    /// Whether standard error is the terminal too, and so must not disturb the prompt.
    has_notes: bool,
}

impl Screen {
    /// Shows whole lines. Fails only when the prompt has gone for good, and then nobody waits for them.
    fn show(&mut self, lines: String) {
        if !lines.is_empty() {
            let _ = self.printer.print(lines);
        }
    }

    fn note(&mut self, line: &str) {
        if self.has_notes {
            self.show(format!("corelane: {line}\n"));
        } else {
            note(line);
        }
    }

    /// Waits until everything is on the screen.
    fn settle(&mut self) {
        let _ = self.printer.print(NOTHING.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_ever_further_apart() {
        for (attempts, most) in [(0, 250), (1, 500), (4, 4000), (5, 5000), (999, 5000)] {
            let (delay, most) = (backoff(attempts), Duration::from_millis(most));
            assert!(most / 2 <= delay && delay <= most, "{attempts}: {delay:?}");
        }
    }
}
