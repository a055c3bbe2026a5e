//! Listeners: bound, listening, ready to accept. This module, `inherit.rs` and `unix.rs` are the only ones
//! that touch sockets.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::Address;
use crate::unix;

/// How to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenConfig {
    /// Connections the kernel keeps until they are accepted; 4,096 by default. Linux clamps it to
    /// `net.core.somaxconn`: [`Listener::effective_backlog`] tells what is left.
    pub backlog: u32,
    /// Send small segments at once (`TCP_NODELAY`); on by default. On Linux connections inherit it
    /// from the listener, so it costs nothing per connection; elsewhere it is set after each accept
    /// through [`Listener::accept`].
    pub nodelay: bool,
    /// Bytes that the kernel takes of a connection's output before it can send them
    /// (`TCP_NOTSENT_LOWAT`); 64 KiB by default, 0 for as many as it likes, which is megabytes. What is
    /// on its way does not count. It bounds what a client that does not read takes of the kernel's
    /// memory, and costs wake-ups where a large answer goes to a client as fast as we are. Inherited
    /// from the listener; Linux only.
    pub unsent_bytes: u32,
    /// Let other processes of this user listen on the same TCP port (`SO_REUSEPORT`), as in a
    /// rolling restart; off by default, since the kernel then sends them part of the connections and
    /// nobody notices a server left running by mistake. [`bind_group`] needs no help from this.
    pub reuse_port: bool,
    /// Let `[::]` listen for IPv6 only; off by default, so that it serves IPv4 as well.
    pub ipv6_only: bool,
    /// Permissions of a Unix socket, such as `0o660`, in force before the first client can connect.
    /// By default the process's umask decides.
    pub unix_mode: Option<u32>,
    /// Replace a Unix socket left behind by a process that is gone; on by default. One that somebody
    /// listens on is never replaced, nor is a file that is no socket.
    pub unlink_stale: bool,
}

impl Default for ListenConfig {
    fn default() -> ListenConfig {
        ListenConfig {
            backlog: 4_096,
            nodelay: true,
            unsent_bytes: 64 * 1024,
            reuse_port: false,
            ipv6_only: false,
            unix_mode: None,
            unlink_stale: true,
        }
    }
}

/// A listening socket: non-blocking, and closed on exec.
///
/// Take the standard type out of it (`match`) to hand it to an event loop.
///
/// ```
/// use corelane_acceptor::{Address, ListenConfig, bind};
/// let listener = bind(&"127.0.0.1:0".parse()?, &ListenConfig::default())?;
/// let Address::Tcp(address) = listener.local_address()? else { unreachable!() };
/// assert_ne!(address.port(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Listener {
    /// For TCP over IPv4 or IPv6.
    Tcp(TcpListener),
    /// For a Unix stream socket. Dropping it leaves the file; [`SocketFile`](crate::SocketFile)
    /// removes it.
    Unix(UnixListener),
}

impl Listener {
    /// The address it is bound to, with the port the kernel chose for port 0.
    pub fn local_address(&self) -> io::Result<Address> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Listener::Unix(listener) => match listener.local_addr()?.as_pathname() {
                Some(path) => Ok(Address::Unix(path.to_owned())),
                None => Err(io::Error::new(io::ErrorKind::Unsupported, "Unix socket has no path")),
            },
        }
    }

    /// Sets what can still be set on a socket that listens already, such as an inherited one: the
    /// options that connections get from it. Its backlog, its sharing of a port and its permissions
    /// stay as they are.
    pub fn configure(&self, config: &ListenConfig) -> io::Result<()> {
        if let Listener::Tcp(listener) = self {
            set_tcp_options(&SockRef::from(listener), config)?;
        }
        Ok(())
    }

    pub(crate) fn is_listening(&self) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        return SockRef::from(self).is_listener();
        // Elsewhere accepting will tell.
        #[cfg(not(target_os = "linux"))]
        Ok(true)
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.set_nonblocking(true),
            Listener::Unix(listener) => listener.set_nonblocking(true),
        }
    }

    /// The address, also of a Unix socket that has no file.
    pub(crate) fn shown_address(&self) -> io::Result<Address> {
        #[cfg(target_os = "linux")]
        if let Listener::Unix(listener) = self {
            use std::os::linux::net::SocketAddrExt;
            if let Some(name) = listener.local_addr()?.as_abstract_name() {
                return Ok(Address::Unix(format!("@{}", name.escape_ascii()).into()));
            }
        }
        self.local_address()
    }

    /// A second handle on the same socket and the same queue of connections.
    ///
    /// Among several that wait for one queue, whoever comes first accepts.
    pub fn try_clone(&self) -> io::Result<Listener> {
        match self {
            Listener::Tcp(listener) => listener.try_clone().map(Listener::Tcp),
            Listener::Unix(listener) => listener.try_clone().map(Listener::Unix),
        }
    }

    /// Accepts one connection, non-blocking and closed on exec; `WouldBlock` if none waits.
    ///
    /// The peer's address is `None` for Unix sockets. On Linux one system call.
    pub fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Listener::Tcp(listener) => accept_tcp(listener),
            Listener::Unix(listener) => accept_unix(listener),
        }
    }

    /// What the kernel makes of a backlog of `wish`: on Linux not above `net.core.somaxconn`, which is
    /// 4,096 on current systems and may be raised with sysctl.
    pub fn effective_backlog(wish: u32) -> u32 {
        let limit = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        limit.ok().and_then(|text| text.trim().parse().ok()).map_or(wish, |limit| wish.min(limit))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

/// An accepted connection.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

/// An address that cannot be listened on: which, why, and what to do.
#[derive(Debug)]
pub struct ListenError {
    /// The address.
    pub address: Address,
    /// Why not.
    pub kind: ListenErrorKind,
    /// What the kernel said.
    pub source: io::Error,
}

/// Why an address cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenErrorKind {
    /// Somebody listens there already.
    InUse,
    /// The process may not: a port below 1024, or a directory it cannot write to.
    PermissionDenied,
    /// No interface of this machine has the IP address.
    NotAvailable,
    /// There is a file at the path of the Unix socket, and it is no socket.
    NotASocket,
    /// Any other refusal; the source tells.
    Other,
}

impl ListenError {
    pub(crate) fn new(address: &Address, source: io::Error) -> ListenError {
        let kind = match Errno::from_io_error(&source) {
            Some(Errno::ADDRINUSE) => ListenErrorKind::InUse,
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => ListenErrorKind::PermissionDenied,
            Some(Errno::ADDRNOTAVAIL) => ListenErrorKind::NotAvailable,
            _ => ListenErrorKind::Other,
        };
        ListenError { address: address.clone(), kind, source }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address)?;
        let unix = matches!(self.address, Address::Unix(_));
        match self.kind {
            ListenErrorKind::InUse if unix => {
                f.write_str("a process listens there already; stop it or choose another path")
            }
            ListenErrorKind::InUse => {
                f.write_str("the port is in use; stop the process that has it or choose another")
            }
            ListenErrorKind::PermissionDenied if unix => write!(
                f,
                "{}; let this user write to the directory, or choose another path",
                self.source
            ),
            ListenErrorKind::PermissionDenied => write!(
                f,
                "{}; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
                self.source
            ),
            ListenErrorKind::NotAvailable => f.write_str(
                "no interface of this machine has that address; use one it has, or 0.0.0.0 for all",
            ),
            ListenErrorKind::NotASocket => {
                f.write_str("the file there is not a socket; move it away or choose another path")
            }
            ListenErrorKind::Other => write!(f, "{}", self.source),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Listens on one address.
///
/// # Errors
///
/// [`ListenError`] says what, where, and what to do.
pub fn bind(address: &Address, config: &ListenConfig) -> Result<Listener, ListenError> {
    let bound = match address {
        Address::Tcp(tcp) => {
            let port = if config.reuse_port { Port::Shared } else { Port::Exclusive };
            bind_tcp(*tcp, config, port)
        }
        Address::Unix(path) => return unix::bind(path, address, config),
    };
    bound.and_then(into_listener).map_err(|source| ListenError::new(address, source))
}

/// Listens `count` times (at least once) on one address, for as many loops that each accept for
/// themselves.
///
/// For TCP on Linux each listener has a queue of its own and the kernel spreads connections over
/// them by a hash of their addresses (`SO_REUSEPORT`). Port 0 works: the first listener gets a port
/// from the kernel, the rest share it. Closing one of them resets the connections that wait in its
/// queue. Unix sockets, and TCP elsewhere, know no such group: there all listeners are handles on
/// one queue.
///
/// # Implementation notes
///
/// `SO_REUSEPORT` has a trap: any process of the same user that sets it can bind the port too, so a
/// server started twice would not fail, it would share. Therefore the first listener is bound and
/// put to listening *without* it, which fails if anybody else has the port; then it gets the option
/// while it listens, and the others join it. The port is never free in between, so of two
/// servers starting at once at most one gets it. (In the worst case neither: both bound before
/// either listened.) What remains possible, and is how the option is meant: another process of this
/// user that joins later without such a check. [`ListenConfig::reuse_port`] leaves the check out.
///
/// # Errors
///
/// As [`bind`]; listeners already bound are closed.
pub fn bind_group(
    address: &Address,
    count: usize,
    config: &ListenConfig,
) -> Result<Vec<Listener>, ListenError> {
    let fail = |source| ListenError::new(address, source);
    match address {
        Address::Tcp(tcp) if cfg!(target_os = "linux") => {
            bind_tcp_group(*tcp, count, config).map_err(fail)
        }
        _ => {
            let mut listeners = vec![bind(address, config)?];
            for _ in 1..count {
                let clone = listeners[0].try_clone().map_err(fail)?;
                listeners.push(clone);
            }
            Ok(listeners)
        }
    }
}

/// Waits until a listener is readable or the time is over, and sets `ready` accordingly.
///
/// An interrupted wait ends early with nothing ready.
pub(crate) fn wait(
    listeners: &[Listener],
    ready: &mut Vec<bool>,
    timeout: Duration,
) -> io::Result<()> {
    let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    let mut polls: Vec<PollFd<'_>> =
        listeners.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).collect();
    ready.clear();
    match rustix::event::poll(&mut polls, Some(&timeout)) {
        // Errors count as readable: accept then tells which.
        Ok(_) => ready.extend(polls.iter().map(|poll| !poll.revents().is_empty())),
        Err(Errno::INTR) => ready.resize(listeners.len(), false),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// May others have the port as well?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Exclusive,
    Shared,
}

fn bind_tcp_group(
    address: SocketAddr,
    count: usize,
    config: &ListenConfig,
) -> io::Result<Vec<Listener>> {
    let first = if config.reuse_port {
        bind_tcp(address, config, Port::Shared)?
    } else {
        let first = bind_tcp(address, config, Port::Exclusive)?;
        share_port(&first)?;
        first
    };
    let mut chosen = address;
    if let Some(local) = first.local_addr()?.as_socket() {
        chosen.set_port(local.port());
    }
    let mut listeners = vec![into_listener(first)?];
    for _ in 1..count {
        listeners.push(into_listener(bind_tcp(chosen, config, Port::Shared)?)?);
    }
    Ok(listeners)
}

fn bind_tcp(address: SocketAddr, config: &ListenConfig, port: Port) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = new_socket(domain, Some(Protocol::TCP))?;
    // A server that restarts must not wait for its old connections to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    if port == Port::Shared {
        share_port(&socket)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(config.ipv6_only)?;
    }
    set_tcp_options(&SockRef::from(&socket), config)?;
    socket.bind(&address.into())?;
    listen(&socket, config)?;
    Ok(socket)
}

/// Sets what connections get from their listener.
fn set_tcp_options(socket: &SockRef<'_>, config: &ListenConfig) -> io::Result<()> {
    if config.nodelay {
        socket.set_tcp_nodelay(true)?;
    }
    #[cfg(target_os = "linux")]
    if config.unsent_bytes > 0 {
        socket.set_tcp_notsent_lowat(config.unsent_bytes)?;
    }
    Ok(())
}

fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

/// A stream socket, non-blocking and closed on exec from the start where the system can.
pub(crate) fn new_socket(domain: Domain, protocol: Option<Protocol>) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, protocol)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub(crate) fn listen(socket: &Socket, config: &ListenConfig) -> io::Result<()> {
    socket.listen(i32::try_from(config.backlog).unwrap_or(i32::MAX))
}

fn into_listener(socket: Socket) -> io::Result<Listener> {
    Ok(Listener::Tcp(OwnedFd::from(socket).into()))
}

#[cfg(target_os = "linux")]
fn accept_tcp(listener: &TcpListener) -> io::Result<(Stream, Option<SocketAddr>)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (fd, peer) = acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((Stream::Tcp(fd.into()), peer))
}

#[cfg(target_os = "linux")]
fn accept_unix(listener: &UnixListener) -> io::Result<(Stream, Option<SocketAddr>)> {
    use rustix::net::{SocketFlags, accept_with};
    let fd = accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    Ok((Stream::Unix(fd.into()), None))
}

#[cfg(not(target_os = "linux"))]
fn accept_tcp(listener: &TcpListener) -> io::Result<(Stream, Option<SocketAddr>)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    // Not every system lets connections inherit it.
    stream.set_nodelay(socket2::SockRef::from(listener).tcp_nodelay()?)?;
    Ok((Stream::Tcp(stream), Some(peer)))
}

#[cfg(not(target_os = "linux"))]
fn accept_unix(listener: &UnixListener) -> io::Result<(Stream, Option<SocketAddr>)> {
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((Stream::Unix(stream), None))
}
