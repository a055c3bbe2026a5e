//! Starting a program that listens, and waiting until it does.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::launch::{Guard, Launch};
use crate::scratch::Scratch;

/// How long a server may take until it accepts connections.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A program that accepts connections; ended when this is dropped.
#[derive(Debug)]
pub struct Started {
    guard: Guard,
    address: SocketAddr,
}

impl Started {
    /// Starts what `launch` says, with `arguments` for a free port, and waits until it accepts
    /// connections there. `name` is what errors call it.
    ///
    /// # Errors
    /// When it cannot be started, or does not listen; with the last that it said.
    pub fn start(
        name: &str,
        launch: &Launch,
        arguments: impl FnOnce(u16) -> anyhow::Result<Vec<String>>,
        scratch: &Scratch,
    ) -> anyhow::Result<Self> {
        Self::start_command(name, scratch.path(), |port| {
            let mut command = launch.command()?;
            command.args(arguments(port)?);
            Ok(command)
        })
    }

    /// The same of any command, for a free port. Its log is written to the folder `scratch`.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub fn start_command(
        name: &str,
        scratch: &Path,
        command: impl FnOnce(u16) -> anyhow::Result<Command>,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let log_path = scratch.join(format!("{name}-{}.log", address.port()));
        let log = File::create(&log_path).context("cannot create a log")?;
        let child = command(address.port())?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut started = Self { guard: Guard(child), address };
        started.wait_until_ready().with_context(|| {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last = log.lines().next_back().unwrap_or("it said nothing").to_owned();
            format!("{name} did not start: {last}")
        })?;
        Ok(started)
    }

    /// The first of its processes.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.guard.0.id()
    }

    /// The first of its processes, to wait for.
    pub fn guard(&mut self) -> &mut Guard {
        &mut self.guard
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_LIMIT {
            if let Some(status) = self.guard.0.try_wait().context("wait")? {
                bail!("{status}");
            }
            if TcpStream::connect_timeout(&self.address, START_LIMIT).is_ok() {
                // What a server does once after its start should not be in the first round.
                thread::sleep(Duration::from_millis(200));
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("no connection within {} s", START_LIMIT.as_secs())
    }
}

/// A port that nobody listens on at this moment.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot find a free port")?;
    listener.local_addr().context("cannot find a free port")
}
