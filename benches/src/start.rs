//! What the programs that compare servers begin with.

use std::path::PathBuf;

use anyhow::bail;
use clap::ValueEnum;

use crate::build::Binaries;
use crate::environment::Environment;
use crate::launch::Cores;
use crate::namespace;

/// Options of every program that compares servers.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// The cores of servers and clients.
    #[command(flatten)]
    pub cores: Cores,
    /// Measure the programs that are there, without building them
    #[arg(long)]
    no_build: bool,
}

impl Options {
    /// Finds what is to be measured, and has `build` build it, unless what is there is asked for.
    ///
    /// # Errors
    /// When the cores are not there, this program is not an optimised one, or building fails.
    pub fn prepare(
        &self,
        build: impl FnOnce(&Binaries) -> anyhow::Result<()>,
    ) -> anyhow::Result<Binaries> {
        self.cores.check()?;
        let binaries = Binaries::locate()?;
        if !self.no_build {
            build(&binaries)?;
        }
        Ok(binaries)
    }
}

/// What was asked for; everything if nothing was.
pub fn chosen<T: ValueEnum + Clone>(asked: &[T]) -> Vec<T> {
    if asked.is_empty() { T::value_variants().to_vec() } else { asked.to_vec() }
}

/// Those whose program is there; says which is not, and why.
///
/// # Errors
/// When there is none.
pub fn present<T: Copy>(
    wanted: &[T],
    program: impl Fn(T) -> anyhow::Result<PathBuf>,
) -> anyhow::Result<Vec<T>> {
    let mut servers = Vec::new();
    for &server in wanted {
        match program(server) {
            Ok(_) => servers.push(server),
            Err(reason) => println!("left out: {reason}"),
        }
    }
    if servers.is_empty() {
        bail!("none of the servers asked for is there");
    }
    Ok(servers)
}

/// Gives this process a network of its own, where permitted, and says where the figures come from.
pub fn isolated(binaries: &Binaries) -> Environment {
    let network = namespace::isolate();
    let mut environment = Environment::read(binaries);
    environment.note("network", network);
    environment
}
