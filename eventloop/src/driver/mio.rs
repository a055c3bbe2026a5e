//! The driver for real sockets: epoll, kqueue or IOCP through `mio`, edge-triggered.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

#[cfg(target_os = "linux")]
use super::alarm::Alarm;
use super::net::{Bulk, EVENTS, GENERATION_BITS, Net, RESERVED, Ready};
use super::reactor::Reactor;
use super::{Driver, calls};
use crate::files::File;
use crate::id::{ListenerId, Peer, Target};
use crate::lane::Lane;
use crate::mail;
use crate::protocol::Protocol;
use crate::time::Nanos;

/// Where the clocks of all lanes of this process begin: a connection that moves takes its times along.
fn clock_zero() -> Instant {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    *ZERO.get_or_init(Instant::now)
}

const WAKER: u64 = RESERVED + 0xffff_ffff;
/// The alarm's token.
#[cfg(target_os = "linux")]
const ALARM: u64 = WAKER - 1;

/// Input dropped in one call at most.
const SKIP: usize = 1 << 20;

/// Runs lanes on real sockets.
///
/// A complete server; `Echo` stands for any protocol:
///
/// ```
/// use corelane_eventloop::{Closed, Driver, Event, Flow, Io, Lane, LaneConfig, ListenOptions, Mio};
/// use corelane_eventloop::{Nanos, Post, Protocol};
/// use std::io::{Read, Write};
///
/// struct Echo;
/// impl Protocol for Echo {
///     type Conn = ();
///     type Mail = ();
///     fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
///         Some(())
///     }
///     fn step(&mut self, _: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
///         let input = io.input();
///         io.out().put(input);
///         io.consume(input.len());
///         if matches!(event, Event::Eof | Event::Stopping) { Flow::Finish } else { Flow::Read }
///     }
///     fn close(&mut self, _: (), _: Closed, _: &mut Io<'_, ()>) {}
/// }
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let post = Post::mesh(1, 16).remove(0);
/// let mut lane = Lane::new(Echo, LaneConfig::default(), post);
/// let handle = lane.handle();
/// let server = std::thread::spawn(move || {
///     let mut driver = Mio::new()?;
///     driver.listen(listener, 0, ListenOptions::default())?;
///     driver.run(&mut lane)
/// });
///
/// let mut client = std::net::TcpStream::connect(address)?;
/// client.write_all(b"hello")?;
/// client.shutdown(std::net::Shutdown::Write)?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello");
/// handle.stop(Nanos::from_secs(1));
/// server.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Mio {
    reactor: Reactor<MioNet>,
}

/// A listening socket to be given to a driver. It is made non-blocking.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

impl From<std::net::TcpListener> for Listener {
    fn from(listener: std::net::TcpListener) -> Listener {
        Listener::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<std::os::unix::net::UnixListener> for Listener {
    fn from(listener: std::os::unix::net::UnixListener) -> Listener {
        Listener::Unix(listener)
    }
}

/// How connections of a listener are taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListenOptions {
    /// Receive at once after accepting, and register with the poll only what stays open: saves two
    /// system calls on short connections. Where the system can (Linux, TCP), connections are not even
    /// reported before their first bytes are there, or a second has passed. Only for protocols in
    /// which the client speaks first.
    pub eager: bool,
}

impl Mio {
    /// A driver with no listener yet.
    ///
    /// # Errors
    /// If the operating system gives no poll: usually out of file descriptors.
    pub fn new() -> io::Result<Mio> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), narrow(WAKER))?);
        let net = MioNet {
            poll,
            events: Events::with_capacity(EVENTS),
            waker,
            start: clock_zero(),
            scratch: Box::default(),
            #[cfg(target_os = "linux")]
            alarm: None,
        };
        Ok(Mio { reactor: Reactor::new(net) })
    }

    /// Polls without blocking for up to this long after the last event before blocking. Trades CPU
    /// time for latency; off (zero) by default.
    pub fn with_busy_poll(mut self, busy_poll: Nanos) -> Mio {
        self.reactor.busy_poll = busy_poll;
        self
    }

    /// Ends waits on time to a few microseconds (Linux), rather than within the millisecond after it in
    /// which a poll does: for protocols that do something at certain times
    /// ([`Turn::wake_at`](crate::Turn::wake_at)). Costs one more system call for each wait that is to
    /// end within 2 ms, and one more turn for each longer one that does end. Deadlines of connections are as coarse as ever.
    ///
    /// # Errors
    /// If the operating system gives no timer.
    pub fn with_fine_waits(mut self) -> io::Result<Mio> {
        #[cfg(target_os = "linux")]
        {
            let alarm = Alarm::new(self.reactor.net.poll.registry(), narrow(ALARM))?;
            self.reactor.net.alarm = Some(alarm);
        }
        Ok(self)
    }

    /// Accepts connections from this listener; the protocol sees them with
    /// [`Origin::Accepted`](crate::Origin::Accepted)`(id)`.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking or registered.
    pub fn listen(
        &mut self,
        listener: impl Into<Listener>,
        id: ListenerId,
        options: ListenOptions,
    ) -> io::Result<()> {
        let listener = listener.into();
        self.reactor.listen(id, options.eager, |net, token| {
            let mut listener = Door::new(listener)?;
            if options.eager {
                listener.defer_accept();
            }
            let registry = net.poll.registry();
            let token = narrow(token);
            match &mut listener {
                Door::Tcp(listener) => registry.register(listener, token, Interest::READABLE)?,
                #[cfg(unix)]
                Door::Unix(listener) => registry.register(listener, token, Interest::READABLE)?,
            }
            Ok(listener)
        })
    }
}

impl Driver for Mio {
    fn turn<P: Protocol>(&mut self, lane: &mut Lane<P>, wait: Option<Nanos>) -> io::Result<()> {
        self.reactor.turn(lane, wait)
    }
}

pub(crate) struct MioNet {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    start: Instant,
    /// Where input is received that is dropped. Allocated when it is needed; TCP never writes to it.
    scratch: Box<[u8]>,
    #[cfg(target_os = "linux")]
    alarm: Option<Alarm>,
}

pub(crate) enum Door {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(mio::net::UnixListener),
}

impl Door {
    fn new(listener: Listener) -> io::Result<Door> {
        match listener {
            Listener::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Door::Tcp(TcpListener::from_std(listener)))
            }
            #[cfg(unix)]
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Ok(Door::Unix(mio::net::UnixListener::from_std(listener)))
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Door {
    /// Has connections reported when their first bytes are there. Best effort: without it, the first
    /// receive may find nothing.
    #[allow(unsafe_code)]
    fn defer_accept(&self) {
        use std::os::fd::AsRawFd;
        let Door::Tcp(listener) = self else { return };
        let seconds: libc::c_int = 1;
        // SAFETY: the descriptor is open for as long as `listener` is borrowed, and the option's value
        // is a C int that lives across the call, whose size is passed along.
        unsafe {
            libc::setsockopt(
                listener.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_DEFER_ACCEPT,
                (&raw const seconds).cast(),
                size_of_val(&seconds) as libc::socklen_t,
            );
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Door {
    fn defer_accept(&self) {}
}

pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

/// Runs the same expression on whichever kind of socket it is.
macro_rules! on_socket {
    ($socket:expr, $name:ident => $body:expr) => {
        match $socket {
            Socket::Tcp($name) => $body,
            #[cfg(unix)]
            Socket::Unix($name) => $body,
        }
    };
}

impl Net for MioNet {
    type Socket = Socket;
    type Listener = Door;

    fn now(&mut self) -> Nanos {
        self.start.elapsed().into()
    }

    fn clock(&self) -> Option<Box<dyn Fn() -> Nanos + Send>> {
        let start = self.start;
        Some(Box::new(move || start.elapsed().into()))
    }

    fn wall(&mut self) -> Nanos {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().into()
    }

    fn poll(&mut self, wait: Option<Nanos>, ready: &mut Vec<Ready>) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        let wait = match (&self.alarm, wait) {
            (Some(alarm), Some(after)) if after > Nanos::ZERO => match after.as_millis() {
                0..=1 => {
                    alarm.set(after)?;
                    None
                }
                // The poll's own end will do until shortly before.
                millis => Some(Nanos::from_millis(millis - 1)),
            },
            _ => wait,
        };
        match self.poll.poll(&mut self.events, wait.map(Into::into)) {
            // A signal: the turn goes on without events.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        ready.extend(self.events.iter().filter_map(|event| {
            let token = widen(event.token());
            (!is_ours(token)).then(|| Ready {
                token,
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                writable: event.is_writable() || event.is_write_closed() || event.is_error(),
                read_closed: event.is_read_closed() || event.is_priority(),
                // As long as we have not shut down our side, which we do only at the end.
                hung_up: event.is_write_closed() || event.is_error(),
            })
        }));
        Ok(())
    }

    fn bell(&self) -> Box<dyn Fn() + Send + Sync> {
        let waker = self.waker.clone();
        Box::new(move || {
            // It fails only if the lane's poll is gone, and then there is nobody to wake.
            let _ = waker.wake();
        })
    }

    fn accept(&mut self, listener: &mut Door) -> io::Result<(Socket, Peer)> {
        match listener {
            Door::Tcp(listener) => {
                let (socket, peer) = listener.accept()?;
                Ok((Socket::Tcp(socket), Peer::Ip(peer)))
            }
            #[cfg(unix)]
            Door::Unix(listener) => {
                let (socket, _) = listener.accept()?;
                Ok((Socket::Unix(socket), Peer::Unix))
            }
        }
    }

    fn close_listener(&mut self, listener: Door) {
        drop(listener);
    }

    fn adopt(&mut self, socket: mail::Socket) -> io::Result<(Socket, Peer)> {
        match socket {
            mail::Socket::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                let peer = socket.peer_addr()?;
                Ok((Socket::Tcp(TcpStream::from_std(socket)), Peer::Ip(peer)))
            }
            #[cfg(unix)]
            mail::Socket::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Ok((Socket::Unix(mio::net::UnixStream::from_std(socket)), Peer::Unix))
            }
        }
    }

    fn connect(&mut self, target: &Target) -> io::Result<(Socket, Peer)> {
        match target {
            Target::Ip(address) => {
                let socket = TcpStream::connect(*address)?;
                socket.set_nodelay(true)?;
                Ok((Socket::Tcp(socket), Peer::Ip(*address)))
            }
            Target::From { source, to } => {
                let socket = connect_from(*source, *to)?;
                Ok((Socket::Tcp(socket), Peer::Ip(*to)))
            }
            #[cfg(unix)]
            Target::Unix(path) => {
                Ok((Socket::Unix(mio::net::UnixStream::connect(path)?), Peer::Unix))
            }
            #[cfg(not(unix))]
            Target::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn connect_result(&mut self, socket: &mut Socket) -> io::Result<()> {
        on_socket!(socket, socket => {
            socket.take_error()?.map_or(Ok(()), Err)?;
            socket.peer_addr().map(drop)
        })
    }

    fn register(&mut self, socket: &mut Socket, token: u64) -> io::Result<()> {
        let token = narrow(token);
        let both = Interest::READABLE | Interest::WRITABLE;
        // A receive stops short at urgent data, so its coming must be known.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let both = both | Interest::PRIORITY;
        on_socket!(socket, socket => self.poll.registry().register(socket, token, both))
    }

    fn deregister(&mut self, socket: &mut Socket) -> io::Result<()> {
        on_socket!(socket, socket => self.poll.registry().deregister(socket))
    }

    fn receive(&mut self, socket: &mut Socket, into: &mut [u8]) -> io::Result<usize> {
        on_socket!(socket, socket => calls::receive(socket, into))
    }

    fn skip(&mut self, socket: &mut Socket, most: usize) -> io::Result<usize> {
        if self.scratch.is_empty() {
            self.scratch = vec![0; SKIP].into();
        }
        on_socket!(socket, socket => calls::skip(socket, most, &mut self.scratch))
    }

    fn send(
        &mut self,
        socket: &mut Socket,
        slices: &[IoSlice<'_>],
        more: bool,
    ) -> io::Result<usize> {
        on_socket!(socket, socket => calls::send(socket, slices, more))
    }

    fn send_file(
        &mut self,
        socket: &mut Socket,
        file: &File,
        offset: u64,
        len: u64,
        bulk: Bulk,
    ) -> io::Result<usize> {
        #[cfg(not(target_os = "linux"))]
        let _ = bulk;
        match (file.as_os(), file.in_memory()) {
            #[cfg(target_os = "linux")]
            (Some(file), _)
                if bulk != Bulk::Small
                    && let Socket::Tcp(socket) = socket =>
            {
                calls::corked(socket, || match bulk {
                    Bulk::Roomy => {
                        calls::with_room(socket, || calls::send_file(socket, file, offset, len))
                    }
                    _ => calls::send_file(socket, file, offset, len),
                })
            }
            (Some(file), _) => {
                on_socket!(socket, socket => calls::send_file(socket, file, offset, len))
            }
            (_, Some(contents)) => {
                let rest = contents.get(offset as usize..).unwrap_or_default();
                let part = &rest[..rest.len().min(len as usize)];
                if part.is_empty() {
                    return Ok(0);
                }
                self.send(socket, &[IoSlice::new(part)], false)
            }
            (None, None) => Ok(0),
        }
    }

    fn unacknowledged(&self, socket: &Socket) -> u64 {
        on_socket!(socket, socket => calls::unacknowledged(socket))
    }

    fn sees_steps(&self, socket: &Socket) -> bool {
        // A Unix socket frees memory when a whole buffer has been read, which is up to 64 KiB.
        !cfg!(target_os = "linux") || !matches!(socket, Socket::Tcp(_))
    }

    fn shutdown(&mut self, socket: &mut Socket) -> io::Result<()> {
        on_socket!(socket, socket => socket.shutdown(Shutdown::Write))
    }

    fn close(&mut self, socket: Socket, reset: bool) {
        #[cfg(unix)]
        if reset && let Socket::Tcp(socket) = &socket {
            // Zero linger makes close send a reset; if it cannot be set, a plain close has to do.
            let _ = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
        }
        drop(socket);
    }
}

/// Starts a connection from an address of ours. As `mio` does, which cannot bind before it connects.
fn connect_from(source: std::net::IpAddr, to: std::net::SocketAddr) -> io::Result<TcpStream> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&std::net::SocketAddr::from((source, 0)).into())?;
    match socket.connect(&to.into()) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock && !is_under_way(&error) => {
            Err(error)
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// What a non-blocking connect says on Unix when it has begun.
fn is_under_way(error: &io::Error) -> bool {
    cfg!(unix) && error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

/// The waker and the alarm have ended the poll, and that is all.
fn is_ours(token: u64) -> bool {
    #[cfg(target_os = "linux")]
    if token == ALARM {
        return true;
    }
    token == WAKER
}

/// A 64-bit token as `mio` takes it. Where pointers have 32 bits, 20 bits of index and
/// [`GENERATION_BITS`] of the generation are kept of a key.
fn narrow(token: u64) -> Token {
    if usize::BITS >= u64::BITS {
        return Token(token as usize);
    }
    if token >= RESERVED {
        return Token(1 << 31 | (token & 0x7fff_ffff) as usize);
    }
    let generation = (token >> 32) & ((1 << GENERATION_BITS) - 1);
    Token((generation << 20 | (token & 0xf_ffff)) as usize)
}

/// The reverse of [`narrow`], up to the bits that were lost.
fn widen(Token(token): Token) -> u64 {
    let token = token as u64;
    if usize::BITS >= u64::BITS {
        return token;
    }
    if token >> 31 == 1 {
        return RESERVED | if token >= 0xffff_fffe { token } else { token & 0x7fff_ffff };
    }
    (token >> 20) << 32 | (token & 0xf_ffff)
}
