//! `corelane check`.

use std::path::Path;

use super::Failure;
use super::config::{ConfigArgs, print};
use crate::config::{Config, Effective};
use crate::site::Source;

/// Options of `corelane check`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Reads the file, and CORELANE_* variables over it, and looks at the folders, \
    files and addresses that are named. Nothing is started.\n\n\
    Exit code: 0 if a server could start with it, 78 if not, 2 for wrong usage.\n\n\
    Examples:\n  corelane check -c site.json\n  corelane check -c site.toml --set port=80"
)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let Some(file) = &args.config.file else {
        return Err(Failure::Usage("which file? give it by --config FILE".to_owned()));
    };
    let loaded = args.config.load()?;
    try_out(&loaded, file)?;
    print(&format!("{}: ok: {}\n", file.display(), summary(&loaded)));
    Ok(())
}

/// Builds what a server would serve, which finds what the keys alone do not tell: routes that collide.
fn try_out(loaded: &Effective, file: &Path) -> Result<(), Failure> {
    let mut trial = loaded.clone();
    // To open the log would make the file.
    trial.config.logs.access.path = None;
    match Source::new(trial) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::Config(format!("error: {}: {error}", file.display()))),
    }
}

/// What the configuration amounts to, in one line.
fn summary(loaded: &Effective) -> String {
    let config = &loaded.config;
    let routes =
        config.routes.len() + config.hosts.iter().map(|host| host.routes.len()).sum::<usize>();
    let mut parts = vec![config.environment.to_string(), addresses(config)];
    if let Some(dir) = &config.static_dir {
        parts.push(format!("files of {}", dir.get().display()));
    }
    parts.push(counted(config.hosts.len(), "host"));
    parts.push(counted(routes, "route"));
    if !loaded.warnings.is_empty() {
        parts.push(counted(loaded.warnings.len(), "warning"));
    }
    parts.join(", ")
}

fn addresses(config: &Config) -> String {
    match config.listeners.as_slice() {
        [] => format!("{}:{}", config.host, config.port.get()),
        listeners => listeners.iter().map(|l| l.get()).collect::<Vec<_>>().join(" and "),
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
