//! Starting a program on one core, undisturbed, and ending it again.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getrlimit, kill_process, nice, set_parent_process_death_signal,
    setrlimit, setsid,
};

/// How long a program may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// Becomes another program on one core, in a session of its own.
///
/// A session of its own is an autogroup of its own: where `kernel.sched_autogroup_enabled` is 1,
/// `nice` acts only inside a session, and what else runs on the machine competes with the session
/// as a whole. Writing -20 to the autogroup (if permitted) gives the measured program its core.
#[derive(Debug, clap::Args)]
pub struct Launch {
    #[arg(long)]
    pub(crate) core: usize,
    /// Leave three quarters of the core to a neighbour that wants it
    #[arg(long)]
    pub(crate) yielding: bool,
    /// Descriptors that it may have [default: as many as permitted]
    #[arg(long)]
    pub(crate) descriptors: Option<u64>,
    pub(crate) program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

impl Launch {
    /// Of `program`, on `core` and without further terms.
    pub fn new(core: usize, program: PathBuf) -> Self {
        Self { core, yielding: false, descriptors: None, program, arguments: Vec::new() }
    }

    /// The command that does it, to which arguments of the program can be added: the `launch`
    /// subcommand of the program that calls this.
    pub(crate) fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("own path")?);
        command.args(["launch", "--core", &self.core.to_string()]);
        command.args(self.yielding.then_some("--yielding"));
        command.args(self.descriptors.map(|most| format!("--descriptors={most}")));
        command.arg("--").arg(&self.program).args(&self.arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// Replaces this process. Returns only on failure.
    ///
    /// # Errors
    /// When the core is not there, or the program cannot be started.
    pub fn exec(self) -> anyhow::Result<()> {
        // Not SIGKILL: nginx's master must have the chance to end its worker.
        set_parent_process_death_signal(Some(Signal::TERM)).context("prctl")?;
        setsid().context("setsid")?;
        prioritise(self.yielding);
        corelane_load::pin(self.core)?;
        match self.descriptors {
            None => _ = raise_descriptors()?,
            Some(most) => {
                let limit = Rlimit { current: Some(most), maximum: Some(most) };
                setrlimit(Resource::Nofile, limit).context("setrlimit")?;
            }
        }
        let error = Command::new(&self.program).args(&self.arguments).exec();
        Err(error).with_context(|| format!("cannot start {}", self.program.display()))
    }
}

/// Raises the limit of descriptors of this process as far as permitted, and says how far that is.
///
/// # Errors
/// When the system refuses.
pub fn raise_descriptors() -> anyhow::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("setrlimit")?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Raises the priority as far as permitted (the record says how far that was). Five steps of
/// `nice` are a factor of three in CPU time: a yielding process has a quarter of its core beside
/// one that is not.
fn prioritise(yielding: bool) {
    let (best, unprivileged) = if yielding { (-15, 5) } else { (-20, 0) };
    // The first counts where autogroups are enabled, the second where they are not.
    let set = |value: i32| fs::write("/proc/self/autogroup", value.to_string());
    let _ = set(best).or_else(|_| set(unprivileged));
    let _ = nice(best).or_else(|_| nice(unprivileged));
}

/// The command that starts `program` on `core`, through the `launch` subcommand of the program that
/// calls this.
///
/// # Errors
/// When that program's own path is unknown.
pub fn command(core: usize, program: &Path) -> anyhow::Result<Command> {
    Launch::new(core, program.to_owned()).command()
}

/// A started program, ended when this is dropped.
#[derive(Debug)]
pub struct Guard(pub Child);

impl Guard {
    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.0.try_wait().context("wait")?.is_none() {
            if started.elapsed() > limit {
                bail!("still running after {} s", limit.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        if self.wait(GRACE).is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// The cores of a run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Cores {
    /// The core that servers are bound to
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// The core that clients are bound to
    #[arg(long, default_value_t = 1)]
    pub load_core: usize,
}

impl Cores {
    /// Both must be there, and different.
    ///
    /// # Errors
    /// When they are not.
    pub fn check(self) -> anyhow::Result<()> {
        if self.server_core == self.load_core {
            bail!(
                "servers and clients need a core each: choose other --server-core and --load-core"
            );
        }
        let allowed = rustix::thread::sched_getaffinity(None).context("sched_getaffinity")?;
        for core in [self.server_core, self.load_core] {
            if core >= rustix::thread::CpuSet::MAX_CPU || !allowed.is_set(core) {
                bail!(
                    "core {core} is not there for this process: choose another, or run on two cores"
                );
            }
        }
        Ok(())
    }
}

/// What a program named `name` exits with, after it has said why.
pub fn exit_code(name: &str, result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_for_both_is_refused() {
        assert!(Cores { server_core: 0, load_core: 0 }.check().is_err());
        assert!(Cores { server_core: 0, load_core: 1_000_000 }.check().is_err());
    }

    #[test]
    fn a_guard_ends_its_process() {
        let guard = Guard(Command::new("sleep").arg("60").spawn().unwrap());
        let process = guard.0.id();
        drop(guard);
        assert!(!Path::new(&format!("/proc/{process}")).exists());
    }

    #[test]
    fn waiting_has_a_limit() {
        let mut guard = Guard(Command::new("sleep").arg("60").spawn().unwrap());
        assert!(guard.wait(Duration::from_millis(50)).is_err());
    }
}
