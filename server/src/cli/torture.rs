//! `corelane torture`.

use std::io::Write;
use std::time::Duration;

use clap::builder::PossibleValue;

use super::{Failure, duration};
use crate::torture::{self, Group, Load, Target};
use crate::url::Url;

/// Options of `corelane torture`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Sends ambiguous, oversized, cut and slow requests over raw sockets and \
    judges what comes back:\n  \
    ok         as it should be\n  \
    lenient    an RFC allows it, but it is risky, or less than the RFC asks for\n  \
    VIOLATION  against a MUST; or a part of one message was taken for another; or there is no limit\n\n\
    This is an attack: hundreds of connections, and up to 64 MiB on each of a few. Run it only against \
    servers that are yours to attack. Targets that are not loopback need --i-may.\n\n\
    Examples:\n  corelane torture http://127.0.0.1:8080/\n  \
    corelane torture http://127.0.0.1:8080/ --only framing --only close\n  \
    corelane torture http://127.0.0.1:8080/ --only slow --clients 300\n\n\
    Exit code: 0 without a violation, 1 with any or if the server cannot be tested, 2 for wrong usage.")]
pub(super) struct Args {
    /// What to ask for: something small that GET answers, as `http://HOST[:PORT][/PATH]`
    #[arg(value_name = "URL", value_parser = torture::url)]
    url: Url,

    /// Check this group only, repeatable [default: all]
    #[arg(long, value_name = "GROUP")]
    only: Vec<Group>,

    /// Slow clients of each kind at once
    #[arg(long, value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(1..=300))]
    clients: u16,

    /// How long the server may keep a slow client
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::timeout)]
    patience: Duration,

    /// How long an answer may take before it counts as missing
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::timeout)]
    wait: Duration,

    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,

    /// The target is not this machine, and I may attack it
    #[arg(long)]
    i_may: bool,
}

impl clap::ValueEnum for Group {
    fn value_variants<'a>() -> &'a [Group] {
        &Group::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let target = Target::find(&args.url, args.i_may, args.wait).map_err(Failure::Usage)?;
    torture::greet(&target)
        .map_err(|error| Failure::Run(anyhow::anyhow!("{} cannot be tested: {error}", args.url)))?;
    let load = Load { clients: usize::from(args.clients), patience: args.patience };
    let mut sections = Vec::new();
    for group in Group::ALL {
        if args.only.is_empty() || args.only.contains(&group) {
            let section = group.check(&target, load);
            if !args.json {
                print(&section.table());
            }
            sections.push(section);
        }
    }
    if args.json {
        print(&format!("{}\n", torture::json(&args.url.to_string(), &sections)));
    } else {
        print(&torture::summary(&sections));
    }
    match sections.iter().map(torture::Section::violations).sum() {
        0 => Ok(()),
        1 => Err(Failure::Run(anyhow::anyhow!("{}: 1 violation", args.url))),
        n => Err(Failure::Run(anyhow::anyhow!("{}: {n} violations", args.url))),
    }
}

/// Whoever closed the pipe wants no more of it; the exit code still tells.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
