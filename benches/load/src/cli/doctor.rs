//! `corelane doctor`.

use super::{Failure, print, values};
use crate::doctor::{Finding, Level, Machine, Subject, examine};
use crate::units;

/// Looks for what of this machine may distort a load test, and says what to do about it.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    corelane doctor\n  \
    corelane doctor --connections 50k --server-pid $(pidof corelane) --cores 1\n\n\
    Reads files of /proc and /sys and changes nothing. Exit code: 0, with --strict 1 if there is a \
    warning, 2 for wrong usage.")]
pub struct DoctorArgs {
    /// How many connections there will be
    #[arg(short, long, value_name = "COUNT", value_parser = values::count, default_value = "1k")]
    connections: u64,
    /// Each request will have a connection of its own
    #[arg(long)]
    no_keep_alive: bool,
    /// The server is on another machine
    #[arg(long, conflicts_with = "server_pid")]
    remote: bool,
    /// The cores the client will be bound to: 1 or 2,3
    #[arg(long, value_delimiter = ',', value_name = "CORE")]
    cores: Vec<usize>,
    /// The server's process, if it is here
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Show only what is not as it should be
    #[arg(short, long)]
    quiet: bool,
    /// Exit with 1 if there is a warning
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let subject = Subject {
        connections: args.connections,
        keep_alive: !args.no_keep_alive,
        local: !args.remote,
        cores: args.cores.clone(),
        server: args.server_pid,
    };
    let findings = examine(&Machine, &subject);
    let shown = findings.iter().filter(|finding| !args.quiet || finding.level > Level::Good);
    print(&shown.map(|finding| format!("{finding}\n")).collect::<String>());
    print(&format!("{}\n", summary(&findings)));
    let warned = findings.iter().any(|finding| finding.level == Level::Warning);
    if args.strict && warned { Err(Failure::Result) } else { Ok(()) }
}

/// How many there are of each level.
fn summary(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    format!(
        "{}, {}, {} good",
        units::several(count(Level::Warning), "warning"),
        units::several(count(Level::Hint), "hint"),
        count(Level::Good),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let of = |level| Finding {
            level,
            subject: "cores",
            found: String::new(),
            place: String::new(),
            advice: String::new(),
        };
        let one = [Level::Warning, Level::Hint, Level::Good].map(of);
        assert_eq!(summary(&one), "1 warning, 1 hint, 1 good");
        assert_eq!(summary(&one[..1]), "1 warning, 0 hints, 0 good");
        assert_eq!(summary(&[one[0].clone(), one[0].clone()]), "2 warnings, 0 hints, 0 good");
    }
}
