//! `static_features`: what servers of files do, feature by feature, from requests actually sent.
//!
//! Every server serves the same directory, set up by its own documented means to have each feature
//! where it can. docs/STATIC.md is this program's output between two marks.

mod cell;
mod checks;
mod client;
mod peer;
mod probe;
mod table;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use corelane_benches::build::Binaries;
use corelane_benches::environment::today;
use corelane_benches::launch;
use corelane_benches::scratch::Scratch;
use corelane_benches::start;

use crate::cell::Cell;
use crate::checks::{Feature, groups};
use crate::peer::Peer;
use crate::probe::Probe;
use crate::table::Table;
use crate::tree::Tree;

/// Shows what corelane and other servers of files do, feature by feature.
#[derive(Debug, Parser)]
struct Arguments {
    /// Servers to ask [default: all that are there]
    #[arg(long, value_enum, value_delimiter = ',')]
    server: Vec<Peer>,
    /// Only features with this in their names; nothing is then written
    #[arg(long)]
    only: Option<String>,
    /// The document to renew [default: docs/STATIC.md, unless --server or --only is given]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Ask the corelane that is there
    #[arg(long)]
    no_build: bool,
}

fn main() -> ExitCode {
    launch::exit_code("static_features", run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let binaries = Binaries::locate()?;
    if !arguments.no_build {
        binaries.build("corelane", "corelane")?;
    }
    let wanted = start::chosen(&arguments.server);
    let peers = start::present(&wanted, |peer: Peer| peer.program(&binaries))?;
    let scratch = Scratch::new()?;
    let tree = Tree::make(scratch.path())?;
    let columns =
        peers.iter().map(|peer| (peer.to_string(), peer.version(&binaries))).collect::<Vec<_>>();
    let mut table = Table::new(today(), columns);
    for group in groups() {
        table.begin(group.name);
        let chosen = |feature: &&Feature| {
            arguments.only.as_ref().is_none_or(|part| feature.name.contains(part.as_str()))
        };
        for feature in group.features.iter().filter(chosen) {
            let cells =
                peers.iter().map(|&peer| ask(peer, feature, &tree, scratch.path(), &binaries));
            let row = table.add(feature.name, cells.collect());
            println!("{row}");
        }
    }
    let partial = arguments.only.is_some() || !arguments.server.is_empty();
    match (&arguments.out, partial) {
        (Some(path), _) => table.write(path),
        (None, true) => Ok(()),
        (None, false) => table.write(&binaries.root.join("docs/STATIC.md")),
    }
}

/// One cell.
fn ask(peer: Peer, feature: &Feature, tree: &Tree, scratch: &Path, binaries: &Binaries) -> Cell {
    let once = |_| ask_once(peer, feature, tree, scratch, binaries);
    Cell::together(&(0..feature.rounds).map(once).collect::<Vec<_>>())
}

/// One try, of a fresh server: what one check leaves behind is not in the next one's way.
fn ask_once(
    peer: Peer,
    feature: &Feature,
    tree: &Tree,
    scratch: &Path,
    binaries: &Binaries,
) -> Cell {
    let result =
        peer::start(peer, feature.profile, tree, scratch, binaries).and_then(|mut running| {
            let mut probe = Probe { running: &mut running, tree };
            // Who serves nothing refuses everything rightly.
            anyhow::ensure!(probe.is_up(), "it does not serve files");
            (feature.check)(&mut probe)
        });
    result.unwrap_or_else(|error| Cell::Unknown(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_document_has_every_feature_and_says_how_to_renew_it() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/STATIC.md");
        let document = std::fs::read_to_string(path).unwrap();
        assert!(document.contains("cargo run --release --bin static_features"));
        for feature in groups().iter().flat_map(|group| &group.features) {
            assert!(document.contains(&format!("| {} |", feature.name)), "{}", feature.name);
        }
    }
}
