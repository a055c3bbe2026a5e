//! The file of a Unix socket: replaced when stale, removed at the end.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket};

use crate::listen::{listen, new_socket};
use crate::{Address, ListenConfig, ListenError, ListenErrorKind, Listener};

/// Removes the file of a Unix socket when dropped.
///
/// The kernel leaves the file when its listener closes. A server keeps this guard beside the
/// listener (or all its handles) and drops it when it stops listening. A process that is killed
/// leaves the file to the next [`bind`](crate::bind). A file that has meanwhile been replaced by
/// another process is left alone.
///
/// ```
/// use corelane_acceptor::{Address, ListenConfig, SocketFile, bind};
/// let path = std::env::temp_dir().join(format!("corelane-doc-{}.sock", std::process::id()));
/// let listener = bind(&Address::Unix(path.clone()), &ListenConfig::default())?;
/// let file = SocketFile::of(&listener)?;
/// assert!(path.exists());
/// drop(file);
/// assert!(!path.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping the guard removes the socket file at once"]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: what tells our file from one that replaced it.
    identity: (u64, u64),
}

impl SocketFile {
    /// The guard of this listener's file; `None` for TCP.
    ///
    /// # Errors
    ///
    /// If the file is gone, or the path cannot be made absolute.
    pub fn of(listener: &Listener) -> io::Result<Option<SocketFile>> {
        let Address::Unix(path) = listener.local_address()? else {
            return Ok(None);
        };
        // Absolute, because the process may change its directory before it ends.
        let path = std::path::absolute(path)?;
        let identity = identity(&path)?;
        Ok(Some(SocketFile { path, identity }))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Nobody is left to tell; the next bind replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Binds and listens, replacing a stale file.
///
/// Looking, removing and binding are one step under a lock on the directory, or of two servers that
/// start at once the second could remove the socket the first has just bound. `listen` belongs under
/// it too: a socket that is bound but does not listen yet looks stale.
pub(crate) fn bind(
    path: &Path,
    address: &Address,
    config: &ListenConfig,
) -> Result<Listener, ListenError> {
    let fail = |source| ListenError::new(address, source);
    let _lock = lock_directory(path);
    match bind_and_listen(path, config) {
        Err(error) if config.unlink_stale && is(&error, Errno::ADDRINUSE) => {}
        result => return result.map_err(fail),
    }
    match inspect(path).map_err(fail)? {
        Found::Live => Err(fail(Errno::ADDRINUSE.into())),
        Found::NotASocket => {
            Err(ListenError { kind: ListenErrorKind::NotASocket, ..fail(Errno::ADDRINUSE.into()) })
        }
        Found::Stale => {
            fs::remove_file(path).map_err(fail)?;
            bind_and_listen(path, config).map_err(fail)
        }
        Found::Nothing => bind_and_listen(path, config).map_err(fail),
    }
}

fn bind_and_listen(path: &Path, config: &ListenConfig) -> io::Result<Listener> {
    let socket = new_socket(Domain::UNIX, None)?;
    if let Some(mode) = config.unix_mode {
        // The file is made with the socket's mode, less the umask: so nobody gets in before it is narrow.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(mode))?;
    }
    socket.bind(&SockAddr::unix(path)?)?;
    let widened = widen(path, config.unix_mode).and_then(|()| listen(&socket, config));
    if widened.is_err() {
        // It is of no use to anybody, and in the way of the next one.
        let _ = fs::remove_file(path);
    }
    widened?;
    Ok(Listener::Unix(OwnedFd::from(socket).into()))
}

/// Gives the file the permissions that the umask has kept from it.
fn widen(path: &Path, mode: Option<u32>) -> io::Result<()> {
    let Some(mode) = mode else { return Ok(()) };
    // Not through a link that somebody has put there meanwhile.
    let found = fs::symlink_metadata(path)?;
    match found.file_type().is_socket() && found.mode() & 0o7777 != mode {
        true => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        false => Ok(()),
    }
}

/// What is at a path where binding found something.
enum Found {
    Live,
    Stale,
    NotASocket,
    Nothing,
}

fn inspect(path: &Path) -> io::Result<Found> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => return Ok(Found::NotASocket),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    }
    let probe: Socket = new_socket(Domain::UNIX, None)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(Found::Live),
        // The queue of whoever listens is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Found::Live),
        // A socket of another kind (datagrams), open in some process.
        Err(error) if is(&error, Errno::PROTOTYPE) => Ok(Found::Live),
        Err(error) if is(&error, Errno::CONNREFUSED) => Ok(Found::Stale),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

/// Held until dropped. Without a lock where the directory cannot be read: then only the rare start of
/// two servers at once goes unguarded.
fn lock_directory(path: &Path) -> Option<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new("."))).ok()?;
    // Held for a few system calls by others like us; a foreign holder must not stop the start.
    for _ in 0..50 {
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Err(_) => return None,
        }
    }
    None
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}
