//! Echo and broadcast on mio, fused by hand: `wire_mio --echo|--broadcast --port N`.
//!
//! The least that a server can do with this crate: one loop, one shared receive page, one receive
//! for each readable event, and for a broadcast one gathered text and one write to each receiver in
//! each turn. No timers, no metrics, no limit of connections. What a framework adds to this is its
//! price.

use std::io::{ErrorKind, Read, Write};

use corelane_rivals::Failure;
use corelane_rivals::wire::{LINE_BYTES_MAX, Options, Service, UNSENT_BYTES_MAX};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const PAGE_BYTES: usize = 64 * 1024;
/// Gathered lines above this leave before the turn is over.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

struct Connection {
    stream: TcpStream,
    /// The beginning of a line that has not arrived whole.
    held: Vec<u8>,
    /// Output that the socket did not take yet.
    unsent: Vec<u8>,
}

/// Lines of one sender, in the gathered text.
struct Piece {
    sender: usize,
    from: usize,
    to: usize,
}

struct Server {
    service: Service,
    listener: TcpListener,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    page: Box<[u8]>,
    /// The lines of this turn, and whose they are.
    gathered: Vec<u8>,
    pieces: Vec<Piece>,
    /// What a sender gets of a turn with its own lines in it.
    others: Vec<u8>,
}

fn main() -> Result<(), Failure> {
    let options = Options::read()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], options.port).into())?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        service: options.service,
        listener,
        poll,
        connections: Vec::new(),
        vacant: Vec::new(),
        page: vec![0; PAGE_BYTES].into_boxed_slice(),
        gathered: Vec::with_capacity(2 * GATHERED_BYTES_MAX),
        pieces: Vec::new(),
        others: Vec::new(),
    };
    let mut events = Events::with_capacity(1024);
    loop {
        match server.poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => server.accept()?,
                Token(index) => server.handle(index, event),
            }
        }
        server.deliver();
    }
}

impl Server {
    fn accept(&mut self) -> Result<(), Failure> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => continue,
            };
            let _ = stream.set_nodelay(true);
            let index = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(index), interest)?;
            let connection = Connection { stream, held: Vec::new(), unsent: Vec::new() };
            self.connections[index] = Some(connection);
        }
    }

    fn handle(&mut self, index: usize, event: &Event) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let open = connection.flush()
            && match self.service {
                Service::Echo => connection.echo(&mut self.page, event.is_read_closed()),
                Service::Broadcast => self.gather(index, event.is_read_closed()),
            };
        if !open {
            self.connections[index] = None;
            self.vacant.push(index);
        }
    }

    /// Receives lines and puts them to those of this turn. False when the connection is over.
    fn gather(&mut self, index: usize, read_closed: bool) -> bool {
        loop {
            let Some(connection) = &mut self.connections[index] else { return false };
            let received = match connection.stream.read(&mut self.page) {
                Ok(0) => return false,
                Ok(received) => received,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            let arrived = &self.page[..received];
            let whole = arrived.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            if whole > 0 {
                let from = self.gathered.len();
                self.gathered.append(&mut connection.held);
                self.gathered.extend_from_slice(&arrived[..whole]);
                self.pieces.push(Piece { sender: index, from, to: self.gathered.len() });
            }
            connection.held.extend_from_slice(&arrived[whole..]);
            if connection.held.len() > LINE_BYTES_MAX {
                return false;
            }
            if self.gathered.len() > GATHERED_BYTES_MAX {
                self.deliver();
            }
            // On Linux a short receive has drained the socket, unless the peer's FIN waits behind.
            if received < PAGE_BYTES && !read_closed {
                return true;
            }
        }
    }

    /// Sends the gathered lines: one write for each receiver.
    fn deliver(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        // Few senders among many receivers: whose lines they are is looked at for those only.
        let mut senders: Vec<usize> = self.pieces.iter().map(|piece| piece.sender).collect();
        senders.sort_unstable();
        let mut senders = senders.into_iter().peekable();
        for (index, slot) in self.connections.iter_mut().enumerate() {
            let mut own = false;
            while senders.next_if_eq(&index).is_some() {
                own = true;
            }
            let Some(connection) = slot else { continue };
            let lines = if own {
                self.others.clear();
                for piece in self.pieces.iter().filter(|piece| piece.sender != index) {
                    self.others.extend_from_slice(&self.gathered[piece.from..piece.to]);
                }
                &self.others
            } else {
                &self.gathered
            };
            if !connection.send(lines) {
                *slot = None;
                self.vacant.push(index);
            }
        }
        self.gathered.clear();
        self.pieces.clear();
    }
}

impl Connection {
    /// Sends back what arrives. False when the connection is over.
    fn echo(&mut self, page: &mut [u8], read_closed: bool) -> bool {
        // A client that does not read is not read: it goes on when the socket takes something.
        while self.unsent.is_empty() {
            let received = match self.stream.read(page) {
                Ok(0) => return false,
                Ok(received) => received,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            if !self.send(&page[..received]) {
                return false;
            }
            if received < page.len() && !read_closed {
                break;
            }
        }
        true
    }

    /// Sends `bytes`, keeping what the socket does not take; nothing of them when there is too much
    /// already. False when the connection is broken.
    fn send(&mut self, mut bytes: &[u8]) -> bool {
        if !self.unsent.is_empty() {
            if self.unsent.len() <= UNSENT_BYTES_MAX {
                self.unsent.extend_from_slice(bytes);
            }
            return true;
        }
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent.extend_from_slice(bytes);
                    return true;
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends what waits. False when the connection is broken.
    fn flush(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        // Nothing is kept for the next time: most connections never need it.
        self.unsent = Vec::new();
        true
    }
}
