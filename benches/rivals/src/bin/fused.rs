//! mio and httparse fused by hand: `fused --port N`.
//!
//! The least a server can do with these two crates: one loop, one shared receive page, one reply
//! rendered in advance, no limits, no timers, no request bodies, no metrics. What a general server
//! adds to this is the price of its generality.

use std::io::{ErrorKind, Read, Write};

use corelane_rivals::{App, Failure, Options};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nVrypt";

struct Connection {
    stream: TcpStream,
    /// The head of a request that has not arrived whole.
    held: Vec<u8>,
    /// Replies the socket did not take yet.
    unsent: Vec<u8>,
}

fn main() -> Result<(), Failure> {
    let address = ([127, 0, 0, 1], Options::read(&[App::Fixed])?.port).into();
    let mut listener = TcpListener::bind(address)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut vacant = Vec::new();
    let mut page = vec![0; 64 * 1024];
    let mut replies = Vec::with_capacity(64 * 1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections, &mut vacant)?;
                continue;
            }
            let index = event.token().0;
            let Some(slot) = connections.get_mut(index) else { continue };
            let open = match slot {
                Some(connection) => {
                    serve(connection, &mut page, &mut replies, event.is_read_closed())
                }
                None => continue,
            };
            if !open {
                *slot = None;
                vacant.push(index);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Vec<Option<Connection>>,
    vacant: &mut Vec<usize>,
) -> Result<(), Failure> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => continue,
        };
        let _ = stream.set_nodelay(true);
        let index = vacant.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(index), interest)?;
        connections[index] = Some(Connection { stream, held: Vec::new(), unsent: Vec::new() });
    }
}

/// Answers what arrived. False when the connection is over.
fn serve(
    connection: &mut Connection,
    page: &mut [u8],
    replies: &mut Vec<u8>,
    read_closed: bool,
) -> bool {
    if !connection.unsent.is_empty() {
        let unsent = std::mem::take(&mut connection.unsent);
        if !send(connection, &unsent) {
            return false;
        }
    }
    loop {
        let received = match connection.stream.read(page) {
            Ok(0) => return false,
            Ok(received) => received,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        replies.clear();
        let Some(keep) = answer(&mut connection.held, &page[..received], replies) else {
            return false;
        };
        if !send(connection, replies) || !keep {
            return false;
        }
        // On Linux a short receive has drained the socket, unless the peer's FIN waits behind it.
        if received < page.len() && !read_closed {
            return true;
        }
    }
}

/// One reply for each whole head in `held` + `arrived`. `None` when a head is malformed, false
/// when the connection must close.
fn answer(held: &mut Vec<u8>, arrived: &[u8], replies: &mut Vec<u8>) -> Option<bool> {
    let joined;
    let mut input = if held.is_empty() {
        arrived
    } else {
        held.extend_from_slice(arrived);
        joined = std::mem::take(held);
        &joined
    };
    let mut keep = true;
    while keep && !input.is_empty() {
        let mut fields = [const { std::mem::MaybeUninit::uninit() }; 64];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(input, &mut fields).ok()? {
            httparse::Status::Complete(length) => {
                keep = !request.headers.iter().any(|field| {
                    field.name.eq_ignore_ascii_case("connection")
                        && field.value.eq_ignore_ascii_case(b"close")
                });
                input = &input[length..];
                replies.extend_from_slice(REPLY);
            }
            httparse::Status::Partial => {
                held.extend_from_slice(input);
                break;
            }
        }
    }
    Some(keep)
}

/// Sends `bytes`, keeping what the socket does not take. False when the connection is broken.
fn send(connection: &mut Connection, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match connection.stream.write(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.unsent.extend_from_slice(bytes);
                return true;
            }
            Err(_) => return false,
        }
    }
    true
}
