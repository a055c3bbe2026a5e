//! Files as protocols see them: named beneath a root, read by position, sent without being read.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::time::Nanos;

/// The number of a directory that files may be opened beneath, in the order they were added to the
/// driver.
pub type RootId = u32;

/// An open file, cheap to clone. It has no position: reads and sends name their offset, so that one
/// open file serves many connections.
#[derive(Clone, Debug)]
pub struct File(Arc<Contents>);

#[derive(Debug)]
enum Contents {
    Os(fs::File),
    Memory(Vec<u8>),
}

impl File {
    /// A file of the operating system, opened for reading.
    pub fn from_os(file: fs::File) -> File {
        File(Arc::new(Contents::Os(file)))
    }

    /// A file that exists only in memory, as the simulator's do.
    ///
    /// ```
    /// use corelane_eventloop::File;
    /// let file = File::from_memory(b"hello".to_vec());
    /// assert_eq!(file.in_memory(), Some(&b"hello"[..]));
    /// assert!(file.as_os().is_none());
    /// ```
    pub fn from_memory(contents: Vec<u8>) -> File {
        File(Arc::new(Contents::Memory(contents)))
    }

    /// The operating system's file, if it is one.
    pub fn as_os(&self) -> Option<&fs::File> {
        match &*self.0 {
            Contents::Os(file) => Some(file),
            Contents::Memory(_) => None,
        }
    }

    /// The contents, if they are in memory.
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &*self.0 {
            Contents::Os(_) => None,
            Contents::Memory(contents) => Some(contents),
        }
    }
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// Length in bytes.
    pub len: u64,
    /// Last change of the contents, since the Unix epoch. Anybody may set it.
    pub modified: Nanos,
    /// Last change of the contents or of what is known of them, name and mode included, since the
    /// Unix epoch. Only the clock sets it.
    pub changed: Nanos,
    /// Which file of its file system it is: another one under the same name has another number.
    pub inode: u64,
    /// What kind of thing the name is.
    pub kind: FileKind,
}

/// One name in a directory, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// The name.
    pub name: String,
    /// What it stands for; of a symbolic link, what that leads to.
    pub meta: Meta,
}

/// What becomes of symbolic links beneath a root. Those that lead out of it are never followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Links {
    /// They are followed as long as they stay within the root.
    #[default]
    Within,
    /// None is followed, neither at the end of a path nor on the way.
    Never,
    /// They are followed wherever they lead: whoever can put one beneath the root gives out any file
    /// that the process can read.
    Anywhere,
}

/// The kinds of directory entries that matter to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A device, socket, pipe or anything else that must not be served.
    Other,
}

/// Access to files, supplied by the driver.
///
/// Paths are relative to a root, with `/` between names; a path that would leave its root (by `..`,
/// by being absolute, or through a symbolic link) is refused with `PermissionDenied`.
/// Calls may block for as long as the file system takes to look up a name; data is read by the
/// kernel when it is sent.
pub trait Files {
    /// Gives access to what is beneath a directory, and says by which number. The same path again
    /// keeps its number and is opened anew, so that a directory that was replaced is seen.
    ///
    /// # Errors
    /// If the directory cannot be opened, its number would be beyond 2^32, or the driver gives no access.
    fn open_root(&mut self, directory: &Path) -> io::Result<RootId> {
        self.open_root_with(directory, Links::Within)
    }

    /// As [`Files::open_root`], and says what becomes of symbolic links beneath the directory. With
    /// another policy the same path has another number.
    ///
    /// # Errors
    /// As [`Files::open_root`].
    fn open_root_with(&mut self, directory: &Path, links: Links) -> io::Result<RootId> {
        let _ = (directory, links);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Ends access to what is beneath a root, and closes its directory. Its number is given to no other.
    fn close_root(&mut self, root: RootId) {
        let _ = root;
    }

    /// Opens a regular file for reading.
    fn open(&mut self, root: RootId, path: &Path) -> io::Result<(File, Meta)>;

    /// Looks at a name without opening it.
    fn stat(&mut self, root: RootId, path: &Path) -> io::Result<Meta>;

    /// The names in a directory, sorted: the first `limit` of them.
    fn list(&mut self, root: RootId, path: &Path, limit: usize) -> io::Result<Vec<String>>;

    /// The first `limit` names in a directory, sorted, and what they stand for. Names that lead nowhere,
    /// or out of the root, are left out. Costs a system call or three per name.
    fn entries(&mut self, root: RootId, path: &Path, limit: usize) -> io::Result<Vec<DirEntry>> {
        let names = self.list(root, path, limit)?;
        let known = names.into_iter().filter_map(|name| {
            let meta = self.stat(root, &path.join(&name)).ok()?;
            Some(DirEntry { name, meta })
        });
        Ok(known.collect())
    }

    /// Reads from `offset` into `into`; returns how many bytes, 0 at the end of the file.
    fn read(&mut self, file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

/// Copies from `offset`; 0 at or beyond the end.
pub(crate) fn read_memory(contents: &[u8], offset: u64, into: &mut [u8]) -> usize {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(contents.len());
    let n = into.len().min(contents.len() - start);
    into[..n].copy_from_slice(&contents[start..start + n]);
    n
}

/// Stands in where no files were given.
pub(crate) struct NoFiles;

impl Files for NoFiles {
    fn open(&mut self, _root: RootId, _path: &Path) -> io::Result<(File, Meta)> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn stat(&mut self, _root: RootId, _path: &Path) -> io::Result<Meta> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&mut self, _root: RootId, _path: &Path, _limit: usize) -> io::Result<Vec<String>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read(&mut self, _file: &File, _offset: u64, _into: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }
}
