//! The simulated driver: the same reactor over a network that one seed decides.

mod world;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use super::Driver;
use super::net::{Bulk, Net, Ready};
use super::reactor::Reactor;
use crate::driver::ListenOptions;
use crate::files::{File, FileKind, Files, Meta, RootId, read_memory};
use crate::id::{ListenerId, Peer, Target};
use crate::lane::Lane;
use crate::mail;
use crate::protocol::Protocol;
use crate::time::Nanos;

pub use self::world::{ClientId, End, Faults, World};
use self::world::{Piece, edge};

/// Runs a lane on a simulated network; made by [`World::driver`], where an example stands.
pub struct Sim {
    reactor: Reactor<SimNet>,
}

impl Sim {
    pub(crate) fn new(world: World, number: usize) -> Sim {
        Sim { reactor: Reactor::new(SimNet { world, number, gone: Vec::new() }) }
    }

    pub(crate) fn number(&self) -> usize {
        self.reactor.net.number
    }

    /// Accepts connections that clients make to listener `id` of this driver.
    pub fn listen(&mut self, id: ListenerId, options: ListenOptions) {
        let listened = self.reactor.listen(id, options.eager, |net, token| {
            let mut network = net.world.0.borrow_mut();
            network.doors.entry((net.number, id)).or_default().token = token;
            Ok(id)
        });
        debug_assert!(listened.is_ok(), "listening in memory does not fail");
    }
}

impl Driver for Sim {
    /// As [`Driver::turn`]; virtual time passes instead of real time. If nothing is left to happen and
    /// `wait` is `None`, it returns at once.
    fn turn<P: Protocol>(&mut self, lane: &mut Lane<P>, wait: Option<Nanos>) -> io::Result<()> {
        self.reactor.turn(lane, wait)
    }
}

pub(crate) struct SimNet {
    world: World,
    number: usize,
    /// Tokens of closed connections, for stale events.
    gone: Vec<u64>,
}

impl Net for SimNet {
    /// The number of a pipe.
    type Socket = usize;
    type Listener = ListenerId;

    fn now(&mut self) -> Nanos {
        self.world.0.borrow().now
    }

    fn clock(&self) -> Option<Box<dyn Fn() -> Nanos + Send>> {
        None
    }

    fn wall(&mut self) -> Nanos {
        Nanos::from_secs(784_111_777) + self.now()
    }

    fn poll(&mut self, wait: Option<Nanos>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut network = self.world.0.borrow_mut();
        if network.strikes(|faults| faults.stall) {
            let stalled = network.now + Nanos(network.random(100_000_000));
            network.pass_to(stalled);
        }
        let now = network.now;
        network.pass_to(now);
        let until = wait.map_or(Nanos::MAX, |wait| now + wait);
        while network.edges[self.number].is_empty() {
            match network.next_happening().filter(|&at| at <= until) {
                Some(at) => network.pass_to(at),
                None if until != Nanos::MAX => {
                    network.pass_to(until);
                    break;
                }
                None => break,
            }
        }
        merge(&mut network.edges[self.number], ready);
        if network.strikes(|faults| faults.spurious) && !self.gone.is_empty() {
            let pick = network.random(self.gone.len() as u64) as usize;
            ready.push(edge(self.gone[pick], true, true, false));
        }
        if network.strikes(|faults| faults.spurious)
            && let Some(token) = network.pipes.iter().rev().find_map(|pipe| pipe.token)
        {
            ready.push(edge(token, true, true, false));
        }
        // Epoll promises no order between connections.
        for index in (1..ready.len()).rev() {
            let other = network.random(index as u64 + 1) as usize;
            ready.swap(index, other);
        }
        Ok(())
    }

    fn bell(&self) -> Box<dyn Fn() + Send + Sync> {
        // Lanes of one simulation share a thread: none of them sleeps while another sends.
        Box::new(|| {})
    }

    fn accept(&mut self, listener: &mut ListenerId) -> io::Result<(usize, Peer)> {
        let mut network = self.world.0.borrow_mut();
        let fails = network.strikes(|faults| faults.accept_error);
        let loses = network.chance(500);
        let door = network.doors.entry((self.number, *listener)).or_default();
        let Some(&pipe) = door.queue.front() else { return Err(ErrorKind::WouldBlock.into()) };
        if fails && !loses {
            return Err(io::Error::other("simulated: no descriptor left"));
        }
        door.queue.pop_front();
        if fails {
            network.break_pipe(pipe);
            return Err(ErrorKind::ConnectionAborted.into());
        }
        let port = 1024 + pipe as u16 % 60_000;
        Ok((pipe, Peer::Ip(([127, 0, 0, 1], port).into())))
    }

    fn close_listener(&mut self, listener: ListenerId) {
        let mut network = self.world.0.borrow_mut();
        let door = network.doors.entry((self.number, listener)).or_default();
        door.closed = true;
        for pipe in std::mem::take(&mut door.queue) {
            network.break_pipe(pipe);
        }
    }

    fn adopt(&mut self, _socket: mail::Socket) -> io::Result<(usize, Peer)> {
        Err(ErrorKind::Unsupported.into())
    }

    fn connect(&mut self, target: &Target) -> io::Result<(usize, Peer)> {
        match target {
            Target::Ip(to) | Target::From { to, .. } => {
                let pipe = self.world.0.borrow_mut().dial(self.number, *to);
                Ok((pipe, Peer::Ip(*to)))
            }
            Target::Unix(_) => Err(ErrorKind::NotFound.into()),
        }
    }

    fn connect_result(&mut self, pipe: &mut usize) -> io::Result<()> {
        match self.world.0.borrow().pipes[*pipe].connected {
            Some(true) => Ok(()),
            Some(false) => Err(ErrorKind::ConnectionRefused.into()),
            None => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn register(&mut self, pipe: &mut usize, token: u64) -> io::Result<()> {
        let mut network = self.world.0.borrow_mut();
        let p = &mut network.pipes[*pipe];
        p.token = Some(token);
        p.driver = self.number;
        // An outbound connection has nothing to say before it is established or refused.
        let dialing = p.outbound && p.connected.is_none();
        let readable = !p.arrived.is_empty() || p.fin_arrived || p.reset;
        if !dialing {
            network.tell(*pipe, readable, true);
        }
        Ok(())
    }

    fn deregister(&mut self, pipe: &mut usize) -> io::Result<()> {
        self.gone.extend(self.world.0.borrow_mut().pipes[*pipe].token.take());
        Ok(())
    }

    fn receive(&mut self, pipe: &mut usize, into: &mut [u8]) -> io::Result<usize> {
        let mut network = self.world.0.borrow_mut();
        let p = &mut network.pipes[*pipe];
        if p.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if p.arrived.is_empty() {
            return if p.fin_arrived { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let n = into.len().min(p.arrived.len());
        for (to, from) in into.iter_mut().zip(p.arrived.drain(..n)) {
            *to = from;
        }
        Ok(n)
    }

    fn skip(&mut self, pipe: &mut usize, most: usize) -> io::Result<usize> {
        let mut page = vec![0; most.min(64 * 1024)];
        self.receive(pipe, &mut page)
    }

    fn send(&mut self, pipe: &mut usize, slices: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        let mut network = self.world.0.borrow_mut();
        let short = network.strikes(|faults| faults.short_send);
        let p = &mut network.pipes[*pipe];
        if p.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let wanted = bytes.len();
        let mut n = wanted.min(p.room.saturating_sub(p.unsent));
        if n == 0 {
            p.blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        if short {
            n = 1 + network.random(n as u64) as usize;
        }
        bytes.truncate(n);
        let p = &mut network.pipes[*pipe];
        p.unsent += n;
        p.blocked = n < wanted;
        network.depart(*pipe, Piece::Bytes(bytes));
        Ok(n)
    }

    fn send_file(
        &mut self,
        pipe: &mut usize,
        file: &File,
        offset: u64,
        len: u64,
        _bulk: Bulk,
    ) -> io::Result<usize> {
        let mut page = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(64 * 1024)];
        let n = read_memory(file.in_memory().unwrap_or_default(), offset, &mut page);
        if n == 0 { Ok(0) } else { self.send(pipe, &[IoSlice::new(&page[..n])], false) }
    }

    fn unacknowledged(&self, pipe: &usize) -> u64 {
        self.world.0.borrow().pipes[*pipe].unsent as u64
    }

    fn sees_steps(&self, _pipe: &usize) -> bool {
        false
    }

    fn shutdown(&mut self, pipe: &mut usize) -> io::Result<()> {
        self.world.0.borrow_mut().depart(*pipe, Piece::Fin);
        Ok(())
    }

    fn close(&mut self, pipe: usize, reset: bool) {
        let mut network = self.world.0.borrow_mut();
        let p = &mut network.pipes[pipe];
        self.gone.extend(p.token.take());
        p.gone = true;
        // Closing with unread input resets, as TCP does (RFC 2525 §2.17).
        if reset || !p.arrived.is_empty() {
            network.break_pipe(pipe);
        } else {
            network.depart(pipe, Piece::Fin);
        }
    }
}

/// One event per token, as a poll reports them.
fn merge(edges: &mut Vec<Ready>, ready: &mut Vec<Ready>) {
    for edge in edges.drain(..) {
        match ready.iter_mut().find(|known| known.token == edge.token) {
            Some(known) => {
                known.readable |= edge.readable;
                known.writable |= edge.writable;
                known.read_closed |= edge.read_closed;
                known.hung_up |= edge.hung_up;
            }
            None => ready.push(edge),
        }
    }
}

/// Files that exist only in memory, for simulations and tests.
///
/// ```
/// use corelane_eventloop::{Files, MemFiles};
/// use std::path::Path;
/// let mut files = MemFiles::new();
/// files.add(0, "index.html", b"<p>hello".to_vec());
/// let (file, meta) = files.open(0, Path::new("index.html"))?;
/// assert_eq!((meta.len, file.in_memory()), (8, Some(&b"<p>hello"[..])));
/// assert!(files.open(0, Path::new("../index.html")).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct MemFiles {
    files: BTreeMap<(RootId, PathBuf), MemFile>,
    added: u64,
}

#[derive(Debug)]
struct MemFile {
    file: File,
    modified: Nanos,
    inode: u64,
}

impl MemFiles {
    /// No files yet.
    pub fn new() -> MemFiles {
        MemFiles::default()
    }

    /// Adds a file, or puts it in the place of another; directories come to be by the paths of their
    /// files. Its last change was at the epoch.
    pub fn add(&mut self, root: RootId, path: impl Into<PathBuf>, contents: Vec<u8>) {
        self.add_at(root, path, contents, Nanos::ZERO);
    }

    /// As [`MemFiles::add`], and says when its last change was.
    pub fn add_at(
        &mut self,
        root: RootId,
        path: impl Into<PathBuf>,
        contents: Vec<u8>,
        modified: Nanos,
    ) {
        self.added += 1;
        let file = MemFile { file: File::from_memory(contents), modified, inode: self.added };
        self.files.insert((root, path.into()), file);
    }

    /// Removes a file; says whether there was one.
    pub fn remove(&mut self, root: RootId, path: impl Into<PathBuf>) -> bool {
        self.files.remove(&(root, path.into())).is_some()
    }

    /// The path without `.` and `..`, or a refusal if it leaves its root.
    fn resolved(path: &Path) -> io::Result<PathBuf> {
        use std::path::Component;
        let mut resolved = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => resolved.push(name),
                Component::CurDir => {}
                Component::ParentDir if resolved.pop() => {}
                _ => return Err(ErrorKind::PermissionDenied.into()),
            }
        }
        Ok(resolved)
    }

    fn beneath(&self, root: RootId, path: &Path) -> impl Iterator<Item = &Path> {
        self.files
            .keys()
            .filter(move |(r, _)| *r == root)
            .filter_map(move |(_, file)| file.strip_prefix(path).ok())
            .filter(|rest| !rest.as_os_str().is_empty())
    }
}

impl Files for MemFiles {
    fn open(&mut self, root: RootId, path: &Path) -> io::Result<(File, Meta)> {
        let meta = self.stat(root, path)?;
        match self.files.get(&(root, MemFiles::resolved(path)?)) {
            Some(found) => Ok((found.file.clone(), meta)),
            None => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn stat(&mut self, root: RootId, path: &Path) -> io::Result<Meta> {
        let path = MemFiles::resolved(path)?;
        let (len, modified, inode, kind) = match self.files.get(&(root, path.clone())) {
            Some(MemFile { file, modified, inode }) => {
                let len = file.in_memory().unwrap_or_default().len() as u64;
                (len, *modified, *inode, FileKind::Regular)
            }
            None if self.beneath(root, &path).next().is_some() => {
                (0, Nanos::ZERO, 0, FileKind::Directory)
            }
            None => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Meta { len, modified, changed: modified, inode, kind })
    }

    fn list(&mut self, root: RootId, path: &Path, limit: usize) -> io::Result<Vec<String>> {
        if self.stat(root, path)?.kind != FileKind::Directory {
            return Err(ErrorKind::NotADirectory.into());
        }
        let mut names: Vec<String> = self
            .beneath(root, &MemFiles::resolved(path)?)
            .filter_map(|rest| rest.components().next())
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.dedup();
        names.truncate(limit);
        Ok(names)
    }

    fn read(&mut self, file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        Ok(read_memory(file.in_memory().unwrap_or_default(), offset, into))
    }
}
