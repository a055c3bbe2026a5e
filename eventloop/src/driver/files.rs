//! Files of the operating system, beneath roots.

use std::collections::BinaryHeap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};

use crate::files::{File, FileKind, Files, Meta, RootId, read_memory};
use crate::time::Nanos;

/// The operating system's files beneath the given roots.
///
/// The kernel itself refuses whatever would leave a root (`openat2` with `RESOLVE_BENEATH`), symbolic
/// links included, so there is no path to be checked and then swapped.
#[derive(Debug, Default)]
pub struct OsFiles {
    roots: Vec<OwnedFd>,
    /// Those that were opened by path.
    paths: Vec<(PathBuf, RootId)>,
}

impl OsFiles {
    /// No roots yet: nothing can be opened.
    pub fn new() -> OsFiles {
        OsFiles::default()
    }

    /// Gives access to what is beneath this directory, and says by which number.
    ///
    /// # Errors
    /// If the directory cannot be opened, or there are 65,536 already.
    pub fn add_root(&mut self, directory: &Path) -> io::Result<RootId> {
        let id = RootId::try_from(self.roots.len())
            .map_err(|_| io::Error::other("too many roots: at most 65,536"))?;
        self.roots.push(open_directory(directory)?);
        Ok(id)
    }

    fn beneath(&self, root: RootId, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let root = self.roots.get(usize::from(root)).ok_or(io::ErrorKind::NotFound)?;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve).map_err(|error| {
            match error {
                rustix::io::Errno::XDEV => io::ErrorKind::PermissionDenied.into(),
                other => other.into(),
            }
        })
    }
}

impl Files for OsFiles {
    fn open_root(&mut self, directory: &Path) -> io::Result<RootId> {
        if let Some(&(_, id)) = self.paths.iter().find(|(path, _)| path == directory) {
            if let Some(root) = self.roots.get_mut(usize::from(id)) {
                *root = open_directory(directory)?;
            }
            return Ok(id);
        }
        let id = self.add_root(directory)?;
        self.paths.push((directory.to_owned(), id));
        Ok(id)
    }

    fn open(&mut self, root: RootId, path: &Path) -> io::Result<(File, Meta)> {
        // NONBLOCK: opening a named pipe must not wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = self.beneath(root, path, flags)?;
        let meta = meta(&fstat(&file)?);
        match meta.kind {
            FileKind::Regular => Ok((File::from_os(fs::File::from(file)), meta)),
            FileKind::Directory => Err(io::ErrorKind::IsADirectory.into()),
            FileKind::Other => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn stat(&mut self, root: RootId, path: &Path) -> io::Result<Meta> {
        let name = self.beneath(root, path, OFlags::PATH)?;
        Ok(meta(&fstat(&name)?))
    }

    fn list(&mut self, root: RootId, path: &Path, limit: usize) -> io::Result<Vec<String>> {
        let directory = self.beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        // The largest name on top: it gives way once there are too many.
        let mut names = BinaryHeap::new();
        for entry in rustix::fs::Dir::read_from(&directory)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
                if names.len() > limit {
                    names.pop();
                }
            }
        }
        Ok(names.into_sorted_vec())
    }

    fn read(&mut self, file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        match file.as_os() {
            Some(file) => file.read_at(into, offset),
            None => Ok(read_memory(file.in_memory().unwrap_or_default(), offset, into)),
        }
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn meta(stat: &Stat) -> Meta {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        _ => FileKind::Other,
    };
    let modified = Nanos::from_secs(natural(stat.st_mtime)) + Nanos(natural(stat.st_mtime_nsec));
    Meta { len: u64::try_from(stat.st_size).unwrap_or(0), modified, kind }
}

/// A number that is never negative in earnest, whichever type the platform gives it.
fn natural(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(0)
}
