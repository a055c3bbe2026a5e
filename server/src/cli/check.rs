//! `corelane check`.

use super::Failure;
use super::config::{ConfigArgs, print, refused};
use super::site::rehearse;
use crate::config::{Config, Effective, Findings};

/// Options of `corelane check`.
#[derive(clap::Args, Debug)]
#[command(
    override_usage = "corelane check [OPTIONS] --config <FILE>",
    after_help = "Reads the file, and CORELANE_* variables over it, looks at the folders, files and \
    addresses that are named, and at the limit of descriptors. Nothing is started, and no address \
    is listened on: whether another process has it shows when the server starts.\n\n\
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
    let findings = rehearse(&loaded);
    if !findings.is_empty() {
        return Err(refused(Findings(findings)));
    }
    print(&format!("{}: ok: {}\n", file.display(), summary(&loaded)));
    Ok(())
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
