//! Files of the operating system, beneath roots.

use std::collections::BinaryHeap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2, statat};

use crate::files::{DirEntry, File, FileKind, Files, Links, Meta, RootId, read_memory};
use crate::time::Nanos;

/// The operating system's files beneath the given roots.
///
/// The kernel itself refuses whatever would leave a root (`openat2` with `RESOLVE_BENEATH`), symbolic
/// links included, so there is no path to be checked and then swapped.
#[derive(Debug, Default)]
pub struct OsFiles {
    /// `None` where one was closed.
    roots: Vec<Option<Root>>,
    /// Those that were opened by path.
    paths: Vec<(PathBuf, Links, RootId)>,
}

#[derive(Debug)]
struct Root {
    directory: OwnedFd,
    links: Links,
}

/// Said where the kernel, or a filter of a container, does not know the call that everything here
/// stands on.
const NO_OPENAT2: &str = "the system call `openat2` is not available: it needs Linux 5.6 and a \
    container that allows it";

impl OsFiles {
    /// No roots yet: nothing can be opened.
    pub fn new() -> OsFiles {
        OsFiles::default()
    }

    /// Gives access to what is beneath this directory, and says by which number.
    ///
    /// # Errors
    /// If the directory cannot be opened, or the numbers are used up: there are 2^32, and none is
    /// given twice.
    pub fn add_root(&mut self, directory: &Path) -> io::Result<RootId> {
        self.add_root_with(directory, Links::Within)
    }

    /// As [`OsFiles::add_root`], and says what becomes of symbolic links beneath it. The directory
    /// itself may be one.
    ///
    /// # Errors
    /// As [`OsFiles::add_root`].
    pub fn add_root_with(&mut self, directory: &Path, links: Links) -> io::Result<RootId> {
        let id = RootId::try_from(self.roots.len())
            .map_err(|_| io::Error::other("too many roots were opened: restart the program"))?;
        self.roots.push(Some(Root { directory: open_directory(directory)?, links }));
        if let Err(error) = self.beneath(id, Path::new("."), OFlags::PATH) {
            self.roots.pop();
            return Err(error);
        }
        Ok(id)
    }

    fn beneath(&self, root: RootId, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let root = self.roots.get(root as usize).and_then(Option::as_ref);
        let root = root.ok_or(io::ErrorKind::NotFound)?;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let mut resolve = ResolveFlags::NO_MAGICLINKS;
        match root.links {
            Links::Within => resolve |= ResolveFlags::BENEATH,
            Links::Never => resolve |= ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            // Only links may lead out of the root, not the path itself.
            Links::Anywhere => {
                if !path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir))
                {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
            }
        }
        openat2(&root.directory, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve).map_err(
            |error| match error {
                rustix::io::Errno::XDEV => io::ErrorKind::PermissionDenied.into(),
                rustix::io::Errno::NOSYS => io::Error::new(io::ErrorKind::Unsupported, NO_OPENAT2),
                other => other.into(),
            },
        )
    }
}

impl Files for OsFiles {
    fn open_root_with(&mut self, directory: &Path, links: Links) -> io::Result<RootId> {
        let is_known =
            |(path, known, _): &&(PathBuf, Links, RootId)| path == directory && *known == links;
        if let Some(&(_, _, id)) = self.paths.iter().find(is_known) {
            if let Some(Some(root)) = self.roots.get_mut(id as usize) {
                root.directory = open_directory(directory)?;
            }
            return Ok(id);
        }
        let id = self.add_root_with(directory, links)?;
        self.paths.push((directory.to_owned(), links, id));
        Ok(id)
    }

    fn close_root(&mut self, root: RootId) {
        self.paths.retain(|(_, _, id)| *id != root);
        if let Some(root) = self.roots.get_mut(root as usize) {
            *root = None;
        }
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
        names(&self.beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?, limit)
    }

    fn entries(&mut self, root: RootId, path: &Path, limit: usize) -> io::Result<Vec<DirEntry>> {
        let directory = self.beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let known = names(&directory, limit)?.into_iter().filter_map(|name| {
            // What is no link cannot lead out of the root: it needs no lookup from there.
            let found = statat(&directory, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
            let meta = match FileType::from_raw_mode(found.st_mode) {
                FileType::Symlink => self.stat(root, &path.join(&name)).ok()?,
                _ => meta(&found),
            };
            Some(DirEntry { name, meta })
        });
        Ok(known.collect())
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

/// The names in a directory that are UTF-8, sorted: the first `limit` of them.
fn names(directory: &OwnedFd, limit: usize) -> io::Result<Vec<String>> {
    // The largest name on top: it gives way once there are too many.
    let mut names = BinaryHeap::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
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

fn meta(stat: &Stat) -> Meta {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        _ => FileKind::Other,
    };
    Meta {
        len: u64::try_from(stat.st_size).unwrap_or(0),
        modified: Nanos::from_secs(natural(stat.st_mtime)) + Nanos(natural(stat.st_mtime_nsec)),
        changed: Nanos::from_secs(natural(stat.st_ctime)) + Nanos(natural(stat.st_ctime_nsec)),
        inode: natural(stat.st_ino),
        kind,
    }
}

/// A number that is never negative in earnest, whichever type the platform gives it.
fn natural(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn entries_are_what_their_names_lead_to_beneath_the_root() {
        let scratch = std::env::temp_dir().join(format!("corelane-entries-{}", std::process::id()));
        let root = scratch.join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("a"), b"12345").unwrap();
        fs::write(scratch.join("outside"), b"secret").unwrap();
        symlink("a", root.join("inward")).unwrap();
        symlink("../outside", root.join("outward")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();

        let mut files = OsFiles::new();
        let within = files.add_root(&root).unwrap();
        let never = files.add_root_with(&root, Links::Never).unwrap();
        let mut names = |id, limit| {
            let entries = files.entries(id, Path::new(""), limit).unwrap();
            entries.into_iter().map(|e| (e.name, e.meta.kind, e.meta.len)).collect::<Vec<_>>()
        };
        let file = |name: &str| (name.to_owned(), FileKind::Regular, 5);
        let within_names = names(within, 10);
        assert_eq!(within_names[..2], [file("a"), file("inward")]);
        assert_eq!((within_names.len(), &*within_names[2].0), (3, "sub"));
        assert_eq!(names(never, 10).len(), 2);
        assert_eq!(names(within, 1), [file("a")]);

        let opens = |files: &mut OsFiles, id, path: &str| files.open(id, Path::new(path)).is_ok();
        assert!(opens(&mut files, within, "inward") && !opens(&mut files, never, "inward"));
        assert!(!opens(&mut files, within, "outward") && !opens(&mut files, never, "outward"));
        let (_, meta) = files.open(within, Path::new("a")).unwrap();
        assert_eq!(meta, files.stat(within, Path::new("inward")).unwrap());
        assert!(meta.inode > 0 && meta.changed >= meta.modified);

        // What was closed is gone, and its number with it.
        let opened = files.open_root(&root).unwrap();
        assert_eq!(files.open_root(&root).unwrap(), opened);
        files.close_root(opened);
        assert!(!opens(&mut files, opened, "a") && opens(&mut files, within, "a"));
        let again = files.open_root(&root).unwrap();
        assert!(again != opened && opens(&mut files, again, "a"));
        fs::remove_dir_all(&scratch).unwrap();
    }
}
