//! The files that results are written to.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Failure;
use crate::record::Record;
use crate::report;

/// Files to write; `-` is standard output.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Results")]
pub(super) struct Files {
    /// Everything, as JSON: for `compare` and `show`, and for programs; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// A row for each second, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Histograms of each second, as an HdrHistogram log
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,
    /// The tag of the intervals of the HdrHistogram log, to join several
    #[arg(long, value_name = "WORD", requires = "hlog", value_parser = tag)]
    tag: Option<String>,
    /// A page with the heat map, to be opened in a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Files {
    /// Whether standard output is taken by one of them.
    pub(super) fn take_stdout(&self) -> bool {
        self.all().into_iter().flatten().any(|path| path == Path::new("-"))
    }

    /// Makes sure that each can be written, before an hour of load and not after it.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let twice = |what: std::fmt::Arguments<'_>| {
            Failure::Usage(format!("{what} can take one result: name other files for the others"))
        };
        let (named, to_stdout): (Vec<_>, Vec<_>) =
            self.all().into_iter().flatten().partition(|path| *path != Path::new("-"));
        if to_stdout.len() > 1 {
            return Err(twice(format_args!("standard output (-)")));
        }
        let mut seen = Vec::new();
        for path in named {
            let file = open(path).with_context(|| format!("cannot write {}", path.display()))?;
            if file.is_some() && seen.contains(&file) {
                return Err(twice(format_args!("{}", path.display())));
            }
            seen.push(file);
        }
        Ok(())
    }

    fn all(&self) -> [Option<&Path>; 4] {
        [&self.json, &self.csv, &self.hlog, &self.html].map(Option::as_deref)
    }

    /// Writes all of them. One that cannot be written does not keep the others from it, and each that cannot
    /// is told.
    pub(super) fn write(&self, record: &Record) -> anyhow::Result<()> {
        let html = |out: &mut dyn Write| out.write_all(report::html(record).as_bytes());
        let written = [
            to(self.json.as_deref(), |out| record.write_json(out)),
            to(self.csv.as_deref(), |out| report::csv(record, out)),
            to(self.hlog.as_deref(), |out| report::hlog(record, self.tag.as_deref(), out)),
            to(self.html.as_deref(), html),
        ];
        let failures: Vec<_> = written.into_iter().filter_map(Result::err).collect();
        match failures.is_empty() {
            true => Ok(()),
            false => {
                let said: Vec<_> = failures.iter().map(|error| format!("{error:#}")).collect();
                Err(anyhow::Error::msg(said.join("\nerror: ")))
            }
        }
    }
}

/// Opens or makes it, and says which file it is, whatever its path; a device or a pipe is none.
fn open(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let meta = File::options().create(true).append(true).open(path)?.metadata()?;
    Ok(meta.is_file().then(|| (meta.dev(), meta.ino())))
}

/// What the log's format has room for.
fn tag(text: &str) -> Result<String, String> {
    match report::is_tag(text) {
        true => Ok(text.to_owned()),
        false => Err("a tag is one word, without comma".to_owned()),
    }
}

fn to(
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let written = if path == Path::new("-") {
        let mut out = io::stdout().lock();
        write(&mut out).and_then(|()| out.flush())
    } else {
        File::create(path).and_then(|file| {
            let mut out = BufWriter::new(file);
            write(&mut out).and_then(|()| out.flush())
        })
    };
    written.with_context(|| format!("cannot write {}", path.display()))
}
