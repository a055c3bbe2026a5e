//! The floor: what the kernel costs when the server does nothing.
//!
//! One epoll loop that parses nothing and writes a canned reply. No server that reads its requests
//! can be cheaper on the same system calls, so `compare` shows every server as a multiple of this.
//! How it knows how many replies are due without parsing: `--request-bytes` says how long each
//! request is; without it, every receive is answered once. A file is sent as the best static servers
//! send it: it stays open, and a canned head with MSG_MORE goes before `sendfile`; a large one is corked.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use rustix::event::epoll;
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, listen, recv,
    send, socket_with, sockopt,
};

/// Marks the listener's events; connections are marked with their index.
const LISTENER: u64 = u64::MAX;
/// Connections taken from the backlog at once, so that those already open are not kept waiting.
const ACCEPT_COUNT_MAX: usize = 64;
const PAGE_BYTES: usize = 64 * 1024;
/// Files of this length leave the kernel in fewer packets under TCP_CORK.
const CORKED_BYTES_MIN: u64 = 256 * 1024;
const BACKLOG: i32 = 4096;

/// Answers everything with the same reply, without looking.
#[derive(Debug, Parser)]
struct Arguments {
    /// Listens here on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Length of each request; 0 answers each receive once
    #[arg(long, default_value_t = 0)]
    request_bytes: usize,
    /// The reply's body
    #[arg(long, default_value = "Vrypt")]
    body: String,
    /// The reply's media type
    #[arg(long, default_value = "text/plain")]
    media_type: String,
    /// Send this file instead of the body, after a canned head; one request at a time
    #[arg(long, conflicts_with = "close")]
    file: Option<PathBuf>,
    /// Close each connection after its reply
    #[arg(long)]
    close: bool,
    /// Wake only when a new connection has sent something (TCP_DEFER_ACCEPT), and answer it at once
    #[arg(long)]
    eager: bool,
}

struct Floor {
    arguments: Arguments,
    epoll: OwnedFd,
    listener: OwnedFd,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    reply_length: usize,
    /// The reply, as often as a page can hold requests.
    replies: Vec<u8>,
    page: Vec<u8>,
    /// What replies are followed by, and its length.
    file: Option<(File, u64)>,
}

struct Connection {
    socket: OwnedFd,
    /// Bytes of a request that has not arrived whole.
    partial: usize,
    /// Where in the file the part begins that the socket has not taken yet.
    unsent_from: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    Floor::new(Arguments::parse())?.serve()
}

impl Floor {
    fn new(arguments: Arguments) -> anyhow::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        if arguments.eager {
            defer_accept(&listener)?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
        bind(&listener, &address).with_context(|| format!("cannot listen on {address}"))?;
        listen(&listener, BACKLOG)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)?;
        let connection = if arguments.close { "Connection: close\r\n" } else { "" };
        let file = match &arguments.file {
            None => None,
            Some(path) => {
                let file = File::open(path).with_context(|| path.display().to_string())?;
                let length = file.metadata()?.len();
                Some((file, length))
            }
        };
        let (body, length) = match &file {
            Some((_, length)) => ("", *length),
            None => (arguments.body.as_str(), arguments.body.len() as u64),
        };
        let reply = format!(
            "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Type: {}\r\n\
             {connection}Content-Length: {length}\r\n\r\n{body}",
            arguments.media_type,
        );
        let request_count_max = PAGE_BYTES.checked_div(arguments.request_bytes).unwrap_or(0) + 1;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            vacant: Vec::new(),
            reply_length: reply.len(),
            replies: reply.repeat(request_count_max).into_bytes(),
            page: vec![0; PAGE_BYTES],
            file,
            arguments,
        })
    }

    fn serve(mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(1024);
        loop {
            events.clear();
            let space = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, space, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("epoll_wait"),
            }
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    // An index that this program gave out, so it fits.
                    index => self.answer_at(index as usize),
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        for _ in 0..ACCEPT_COUNT_MAX {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error).context("accept"),
            };
            if !self.arguments.close {
                sockopt::set_tcp_nodelay(&socket, true)?;
            }
            let mut connection = Connection { socket, partial: 0, unsent_from: None };
            // Eager: what asked to be closed is answered and gone before epoll hears of it.
            if self.arguments.eager && !self.answer(&mut connection) {
                continue;
            }
            let index = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let mut interest =
                epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
            interest.set(epoll::EventFlags::OUT, self.file.is_some());
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&self.epoll, &connection.socket, data, interest)?;
            self.connections[index] = Some(connection);
        }
        Ok(())
    }

    fn answer_at(&mut self, index: usize) {
        let Some(mut connection) = self.connections[index].take() else { return };
        if self.answer(&mut connection) {
            self.connections[index] = Some(connection);
        } else {
            self.vacant.push(index);
        }
    }

    /// One receive and one send. False when the connection is over.
    fn answer(&mut self, connection: &mut Connection) -> bool {
        if connection.unsent_from.is_some() {
            // Nothing is to be received: the client waits for the rest.
            return self.send_file(connection);
        }
        let received = match recv(&connection.socket, &mut *self.page, RecvFlags::empty()) {
            Ok((0, _)) => return false,
            Ok((received, _)) => received,
            // Accepted before its request came: epoll will tell.
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        };
        let due = match self.arguments.request_bytes {
            0 => 1,
            length => {
                connection.partial += received;
                let due = connection.partial / length;
                connection.partial %= length;
                due
            }
        };
        if self.file.is_some() {
            return due == 0 || self.answer_with_file(connection);
        }
        let replies = &self.replies[..due * self.reply_length];
        // The load never lets more replies pile up than a socket's buffer takes; if it does, the
        // connection is dropped, and the load reports that.
        let sent = replies.is_empty()
            || send(&connection.socket, replies, SendFlags::NOSIGNAL) == Ok(replies.len());
        sent && !(self.arguments.close && due > 0)
    }

    /// A canned head, then the file. False when the connection is over.
    fn answer_with_file(&self, connection: &mut Connection) -> bool {
        let head = &self.replies[..self.reply_length];
        let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
        connection.unsent_from = Some(0);
        let corks = self.file.as_ref().is_some_and(|(_, length)| *length >= CORKED_BYTES_MIN);
        let cork = |connection: &Connection, on| {
            !corks || sockopt::set_tcp_cork(&connection.socket, on).is_ok()
        };
        cork(connection, true)
            && send(&connection.socket, head, flags) == Ok(head.len())
            && self.send_file(connection)
            && cork(connection, false)
    }

    /// As much of the file as the socket takes. False when the connection is over.
    fn send_file(&self, connection: &mut Connection) -> bool {
        let (Some((file, length)), Some(mut offset)) = (&self.file, connection.unsent_from) else {
            return false;
        };
        while offset < *length {
            let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
            match sendfile(&connection.socket, file, Some(&mut offset), left) {
                // The file has become shorter than its head said.
                Ok(0) => return false,
                Ok(_) => {}
                Err(Errno::AGAIN) => {
                    connection.unsent_from = Some(offset);
                    return true;
                }
                Err(_) => return false,
            }
        }
        connection.unsent_from = None;
        true
    }
}

/// Sets TCP_DEFER_ACCEPT: a connection is reported when its first bytes are there.
#[allow(unsafe_code)] // No safe binding knows this option.
fn defer_accept(listener: &OwnedFd) -> std::io::Result<()> {
    let seconds: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the pointer and length describe one live `c_int`.
    let result = unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
