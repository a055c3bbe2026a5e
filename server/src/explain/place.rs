//! Where the server is, and its admin pages.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use corelane_acceptor::Address;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::exchange::Wire;
use crate::url::Url;

/// Reads the URL of a request to explain.
pub(crate) fn url(text: &str) -> Result<Url, String> {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme.starts_with("unix") || text.starts_with("unix:") {
        true => Err(NO_UNIX.to_owned()),
        false => Url::parse(text),
    }
}

/// Why a Unix socket cannot be asked about.
const NO_UNIX: &str = "clients of Unix sockets have no address by which the server could know this one; \
                       have it listen on a loopback address as well, and explain that";

/// A socket that knows its address before it connects.
pub(super) struct Bound {
    socket: OwnedFd,
    local: SocketAddr,
    target: SocketAddr,
}

/// Binds a socket that will connect to `target`.
pub(super) fn bind(target: SocketAddr) -> io::Result<Bound> {
    // The system says which of its addresses reaches the target; nothing is sent for that.
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let probe = UdpSocket::bind(any)?;
    probe.connect(target)?;
    let mut from = probe.local_addr()?;
    from.set_port(0);
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    net::bind(&socket, &from)?;
    let local = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok(Bound { socket, local, target })
}

impl Bound {
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Connects, within this time.
    pub(super) fn connect(self, wait: Duration) -> io::Result<TcpStream> {
        let deadline = Instant::now() + wait;
        match net::connect(&self.socket, &self.target) {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => {
                loop {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let mut polled = [PollFd::new(&self.socket, PollFlags::OUT)];
                    match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
                        Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                        Ok(_) => break,
                        Err(Errno::INTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                sockopt::socket_error(&self.socket)??;
            }
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(self.socket);
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

/// The admin pages of the server.
pub(crate) struct Admin {
    pub(crate) address: Address,
    pub(crate) token: Option<String>,
}

impl Admin {
    /// Asks for a page on a connection of its own: status and body.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
        wait: Duration,
    ) -> Result<(u16, Vec<u8>), String> {
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        // By IP address or as localhost: other names are refused, since they could be anybody's.
        let host = match &self.address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(_) => "localhost".to_owned(),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{}Content-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            token.unwrap_or_default(),
            body.len(),
        );
        let answered = match &self.address {
            Address::Tcp(address) => TcpStream::connect_timeout(address, wait)
                .map_err(|error| error.to_string())
                .and_then(|stream| Wire::new(stream, wait)?.ask(request.as_bytes(), false)),
            Address::Unix(path) => connect_unix(path, wait)
                .map_err(|error| error.to_string())
                .and_then(|stream| Wire::unix(stream, wait)?.ask(request.as_bytes(), false)),
        };
        match answered {
            Ok(exchange) => Ok((exchange.status, exchange.body)),
            Err(why) => Err(format!(
                "the admin pages at {self} do not answer: {why}; start the server with --admin, and say \
                 here where that is"
            )),
        }
    }
}

/// Connects within this time: also to a listener that does not accept and whose queue is full.
fn connect_unix(path: &Path, wait: Duration) -> io::Result<UnixStream> {
    let family = AddressFamily::UNIX;
    let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The time for sending holds for connecting, too (SO_SNDTIMEO, socket(7)).
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(wait))?;
    match net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => Ok(UnixStream::from(socket)),
        Err(Errno::AGAIN) => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error.into()),
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn unix_sockets_are_refused_with_a_reason() {
        assert_eq!(url("http://localhost").unwrap().host(), "localhost");
        for text in ["unix:/run/site.sock", "http+unix://run/site.sock", "unix://run/site.sock"] {
            let error = url(text).unwrap_err();
            assert_eq!(error.contains("Unix sockets"), text.starts_with("unix"), "{text}: {error}");
        }
    }

    #[test]
    fn admin_pages_whose_queue_is_full_are_not_waited_for_for_ever() {
        let path = std::env::temp_dir().join(format!("corelane-explain-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let address = SocketAddrUnix::new(&path).unwrap();
        let socket =
            |flags| net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let listener = socket(SocketFlags::CLOEXEC);
        net::bind(&listener, &address).unwrap();
        net::listen(&listener, 0).unwrap();
        // Until there is no room.
        let mut waiting = Vec::new();
        loop {
            let next = socket(SocketFlags::NONBLOCK);
            if net::connect(&next, &address).is_err() {
                break;
            }
            waiting.push(next);
        }
        let (done, ended) = std::sync::mpsc::channel();
        let place = path.clone();
        std::thread::spawn(move || {
            done.send(connect_unix(&place, Duration::from_millis(50)).err())
        });
        let error = ended.recv_timeout(Duration::from_secs(20)).expect("it waits for ever");
        assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_bound_socket_connects_from_where_it_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bound = bind(listener.local_addr().unwrap()).unwrap();
        let local = bound.local();
        assert_ne!(local.port(), 0);
        let _stream = bound.connect(Duration::from_secs(5)).unwrap();
        assert_eq!(listener.accept().unwrap().1, local);
        let gone = listener.local_addr().unwrap();
        drop(listener);
        assert!(bind(gone).unwrap().connect(Duration::from_secs(5)).is_err());
    }
}
