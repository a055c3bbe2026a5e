//! Where the access log goes.

use std::convert::Infallible;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::str::FromStr;

/// Who may read a new file: it holds addresses of people.
const MODE: u32 = 0o640;

/// Where the access log goes. As text: `stdout` or `-`, `stderr`, else the path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to; made with permissions 640 if there is none.
    File(PathBuf),
}

impl FromStr for AccessTarget {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<AccessTarget, Infallible> {
        Ok(match text {
            "stdout" | "-" => AccessTarget::Stdout,
            "stderr" => AccessTarget::Stderr,
            path => AccessTarget::File(path.into()),
        })
    }
}

impl fmt::Display for AccessTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessTarget::Stdout => f.write_str("stdout"),
            AccessTarget::Stderr => f.write_str("stderr"),
            AccessTarget::File(path) => path.display().fmt(f),
        }
    }
}

impl AccessTarget {
    /// Opens it. Standard streams are written to without the standard library's buffer and lock.
    pub(super) fn open(&self) -> io::Result<File> {
        match self {
            AccessTarget::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
            AccessTarget::Stderr => io::stderr().as_fd().try_clone_to_owned().map(File::from),
            AccessTarget::File(path) => {
                OpenOptions::new().append(true).create(true).mode(MODE).open(path)
            }
        }
    }
}
