//! Small servers that behave, and misbehave, in known ways.

#![allow(dead_code)] // Each test program uses a part of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nVrypt";
pub(crate) const CLOSING: &str =
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nVrypt";

/// What a server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Reply(String),
    ReplyAndClose(String),
    Close,
    /// Ends it by a reset.
    Reset,
    Ignore,
}

/// A server that asks `act` what to do with request `index` of a connection, counted from 0.
/// Where it listens, and how many requests it has seen.
pub(crate) fn serve(
    act: impl Fn(u64) -> Act + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicU64>) {
    serve_lines(move |index, _| act(index))
}

/// As [`serve`]; `act` is told the request line, too.
pub(crate) fn serve_lines(
    act: impl Fn(u64, &str) -> Act + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicU64::new(0));
    let act = Arc::new(act);
    let counter = Arc::clone(&seen);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (act, seen) = (Arc::clone(&act), Arc::clone(&counter));
            thread::spawn(move || converse(stream.unwrap(), &*act, &seen));
        }
    });
    (address, seen)
}

fn converse(mut stream: TcpStream, act: &dyn Fn(u64, &str) -> Act, seen: &AtomicU64) {
    let (mut input, mut page, mut index) = (Vec::new(), [0; 4096], 0);
    loop {
        let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
            match stream.read(&mut page) {
                Ok(0) | Err(_) => return,
                Ok(count) => input.extend_from_slice(&page[..count]),
            }
            continue;
        };
        let head: Vec<u8> = input.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head);
        let line = head.lines().next().unwrap_or_default();
        seen.fetch_add(1, Ordering::SeqCst);
        let closes = match act(index, line) {
            Act::Reply(text) => stream.write_all(text.as_bytes()).is_err(),
            Act::ReplyAndClose(text) => {
                let _ = stream.write_all(text.as_bytes());
                // What still comes is read, or a reset would overtake the answer (RFC 9112, section 9.6).
                let _ = stream.shutdown(Shutdown::Write);
                while matches!(stream.read(&mut page), Ok(1..)) {}
                true
            }
            Act::Close => true,
            Act::Reset => {
                let at_once = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&stream, at_once).unwrap();
                true
            }
            Act::Ignore => false,
        };
        if closes {
            return;
        }
        index += 1;
    }
}
