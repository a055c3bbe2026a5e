//! One run of the program.

use std::io::{BufRead, BufReader, PipeReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;

/// Nothing that a test waits for may take longer: a test that hangs says so instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The program, to be run with these arguments.
pub(crate) fn corelane(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane"));
    command.args(args).env_remove("RUST_LOG");
    command
}

/// Runs the program to its end, which must come by itself.
pub(crate) fn run(args: &[&str]) -> Finished {
    finish(corelane(args))
}

/// Runs a command to its end, which must come by itself.
pub(crate) fn finish(mut command: Command) -> Finished {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (done, ended) = mpsc::channel();
    let waiter = std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = match ended.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            // Not waited for yet, so the number is still that of our child.
            let _ = kill_process(pid, Signal::KILL);
            panic!("the program did not end by itself");
        }
    };
    waiter.join().unwrap().unwrap();
    Finished::of(output)
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    fn of(output: Output) -> Finished {
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A running server, killed if the test drops it.
pub(crate) struct Program {
    child: Child,
    addresses: Vec<String>,
    admin: Option<String>,
    /// What it printed once it listened.
    pub(crate) announcement: String,
    stderr: Option<JoinHandle<String>>,
}

impl Program {
    /// Starts `corelane fixed` with one loop, without StatsD, on a port that the kernel chooses;
    /// `args` may say otherwise.
    pub(crate) fn fixed(args: &[&str]) -> Program {
        Program::start(Program::fixed_command(args))
    }

    /// The same, logging refusals to a standard error whose reader is gone.
    pub(crate) fn fixed_unheard(args: &[&str]) -> Program {
        let mut command = Program::fixed_command(args);
        command.env("RUST_LOG", "corelane_http=debug");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Program::start_with(command, Stdio::from(writer))
    }

    /// The same, logging refusals to a standard error that nobody reads, though somebody could.
    pub(crate) fn fixed_unread(args: &[&str]) -> (Program, PipeReader) {
        let mut command = Program::fixed_command(args);
        command.env("RUST_LOG", "corelane_http=debug");
        let (reader, writer) = std::io::pipe().unwrap();
        (Program::start_with(command, Stdio::from(writer)), reader)
    }

    /// How `corelane fixed` is started by [`Program::fixed`].
    pub(crate) fn fixed_command(args: &[&str]) -> Command {
        Program::command("fixed", args)
    }

    /// Starts another command that listens, in the same way.
    pub(crate) fn listening(command: &str, args: &[&str]) -> Program {
        Program::start(Program::command(command, args))
    }

    fn command(command: &str, args: &[&str]) -> Command {
        let mut all = vec![command, "--no-pin"];
        let mut default = |option: &'static str, value: &'static str| {
            if !args.contains(&option) {
                all.extend([option, value]);
            }
        };
        default("--statsd", "off");
        default("--workers", "1");
        default("--port", "0");
        default("--bind", "127.0.0.1");
        all.extend(args);
        corelane(&all)
    }

    /// Starts a command that ends up as the program, and waits until it listens.
    pub(crate) fn start(command: Command) -> Program {
        Program::start_with(command, Stdio::piped())
    }

    fn start_with(mut command: Command, stderr: Stdio) -> Program {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        Program::spawn(command)
    }

    /// Starts a command whose standard output is a pipe, and waits until it listens.
    pub(crate) fn spawn(mut command: Command) -> Program {
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().map(|stderr| std::thread::spawn(|| collect(stderr)));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (line_read, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                if line_read.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let mut program = Program {
            child,
            addresses: Vec::new(),
            admin: None,
            announcement: String::new(),
            stderr,
        };
        loop {
            let line = match lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("the program does not say it listens"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the program did not start: {}", program.wait().stderr)
                }
            };
            program.announcement += &line;
            program.announcement.push('\n');
            if let Some(address) = line.strip_prefix("listening on ") {
                program.addresses.push(address.trim_start_matches("http://").to_owned());
            } else if let Some(admin) = line.strip_prefix("admin on ") {
                program.admin = admin.split_once(": ").map(|(address, _)| address.to_owned());
            } else if line.contains(" loop") {
                return program;
            }
        }
    }

    /// What it listens on, in the order of `--bind`.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The first address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0].parse().unwrap()
    }

    /// A new connection to the first address.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// The admin listener.
    pub(crate) fn admin_address(&self) -> &str {
        self.admin.as_ref().unwrap()
    }

    /// A new connection to the admin listener.
    pub(crate) fn admin(&self) -> Client {
        Client::connect(self.admin_address().parse().unwrap())
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// True as long as it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Finished {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(Duration::from_millis(2));
        };
        let stderr = self.stderr.take().map(|stderr| stderr.join().unwrap()).unwrap_or_default();
        Finished { code: status.code(), stdout: std::mem::take(&mut self.announcement), stderr }
    }

    /// Stops it, which must succeed and leave nothing to complain about.
    pub(crate) fn stop(self) {
        self.terminate();
        let finished = self.wait();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail, without harm, if it has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut stderr: ChildStderr) -> String {
    let mut text = String::new();
    let _ = stderr.read_to_string(&mut text);
    text
}

/// A path for a test's own file, in the folder that the build tool keeps for that.
pub(crate) fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()))
}

/// A file with these contents, removed when dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str, contents: &[u8]) -> Scratch {
        let path = scratch(name);
        std::fs::write(&path, contents).unwrap();
        Scratch(path)
    }

    /// A folder with these files, removed when dropped.
    pub(crate) fn folder(name: &str, files: &[(&str, &[u8])]) -> Scratch {
        let folder = scratch(name);
        for (name, contents) in files {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, contents).unwrap();
        }
        Scratch(folder)
    }

    /// Other contents, all at once, as careful editors write them.
    pub(crate) fn replace(&self, contents: &[u8]) {
        let beside = self.0.with_extension("new");
        std::fs::write(&beside, contents).unwrap();
        std::fs::rename(beside, &self.0).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // One of the two fails, without harm.
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until something is so, for [`PATIENCE`] at most.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Bytes that would show a piece missing, doubled or out of place.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
