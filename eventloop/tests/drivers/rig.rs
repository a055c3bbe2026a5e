//! Two worlds to play the same scenario in: loopback sockets under [`Mio`], a [`World`] under [`Sim`].

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use corelane_eventloop::{
    ClientId, Driver, End, Faults, Files, ListenOptions, MemFiles, Mio, Nanos, OsFiles, Sim, World,
};

/// A world: drivers with one listener each (number 0), clients, a far end, files.
/// Clients are plain numbers, in the order in which they came to be.
pub(crate) trait Rig: Sized {
    type Driver: Driver;
    /// How long a driver may wait in one turn.
    const WAIT: Nanos;
    /// Whether time passes only while a driver waits.
    const VIRTUAL: bool;

    fn new() -> Self;
    fn driver(&mut self, options: ListenOptions) -> Self::Driver;
    fn files(&mut self, files: &[(&str, Vec<u8>)]) -> Box<dyn Files + Send>;

    fn connect(&mut self, driver: usize) -> usize;
    fn send(&mut self, client: usize, bytes: &[u8]);
    /// Waits until the client's connection is in the listener's queue.
    fn arrive(&mut self, client: usize);
    /// The client half-closes, after everything it sent.
    fn finish(&mut self, client: usize);
    fn reset(&mut self, client: usize);
    fn set_reading(&mut self, client: usize, reads: bool);
    /// Has the client read so many bytes at such intervals.
    fn set_pace(&mut self, client: usize, bytes: usize, every: Nanos);
    fn received(&mut self, client: usize) -> Vec<u8>;
    fn received_len(&mut self, client: usize) -> usize;
    fn end(&mut self, client: usize) -> Option<End>;

    /// An address at which outbound connections succeed.
    fn serve(&mut self) -> SocketAddr;
    /// The far end of the next outbound connection to it.
    fn accept(&mut self, address: SocketAddr) -> Option<usize>;
    /// An address at which outbound connections are refused.
    fn refusing(&mut self) -> SocketAddr;

    /// Moves bytes for the clients, and lets a little time pass if no driver waits.
    fn pass(&mut self, drivers_wait: bool);
    /// Time as the clients see it.
    fn now(&self) -> Nanos;
}

/// Real sockets. The clients are non-blocking, in the same thread as the lanes.
pub(crate) struct MioRig {
    start: Instant,
    addresses: Vec<SocketAddr>,
    clients: Vec<Client>,
    doors: Vec<TcpListener>,
    directory: Option<PathBuf>,
}

#[derive(Default)]
struct Client {
    socket: Option<TcpStream>,
    backlog: Vec<u8>,
    finishing: bool,
    reads: bool,
    pace: Option<(usize, Duration)>,
    /// When it last read at its pace.
    read: Option<Instant>,
    received: Vec<u8>,
    end: Option<End>,
}

impl Client {
    fn new(socket: TcpStream) -> Client {
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        Client { socket: Some(socket), reads: true, ..Client::default() }
    }

    fn pump(&mut self) {
        let Some(mut socket) = self.socket.as_ref() else { return };
        while !self.backlog.is_empty() {
            match socket.write(&self.backlog) {
                Ok(n) => drop(self.backlog.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // How it ended is seen by reading.
                Err(_) => self.backlog.clear(),
            }
        }
        if self.finishing && self.backlog.is_empty() {
            self.finishing = false;
            let _ = socket.shutdown(Shutdown::Write);
        }
        let mut page = [0; 64 * 1024];
        let mut share = usize::MAX;
        if let Some((bytes, every)) = self.pace {
            let due = self.read.is_none_or(|read| read.elapsed() >= every);
            share = if due { bytes } else { 0 };
        }
        while self.reads && self.end.is_none() && share > 0 {
            let room = page.len().min(share);
            match socket.read(&mut page[..room]) {
                Ok(0) => self.end = Some(End::Closed),
                Ok(n) => {
                    self.read = Some(Instant::now());
                    share -= n;
                    self.received.extend_from_slice(&page[..n]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.end = Some(End::Reset),
            }
        }
    }
}

impl MioRig {
    fn directory(&mut self) -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let directory = self.directory.get_or_insert_with(|| {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("corelane-drivers-{}-{number}", std::process::id());
            std::env::temp_dir().join(name)
        });
        std::fs::create_dir_all(&*directory).unwrap();
        directory.clone()
    }
}

impl Drop for MioRig {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

impl Rig for MioRig {
    type Driver = Mio;
    const WAIT: Nanos = Nanos::from_millis(1);
    const VIRTUAL: bool = false;

    fn new() -> MioRig {
        MioRig {
            start: Instant::now(),
            addresses: Vec::new(),
            clients: Vec::new(),
            doors: Vec::new(),
            directory: None,
        }
    }

    fn driver(&mut self, options: ListenOptions) -> Mio {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.addresses.push(listener.local_addr().unwrap());
        let mut driver = Mio::new().unwrap();
        driver.listen(listener, 0, options).unwrap();
        driver
    }

    fn files(&mut self, files: &[(&str, Vec<u8>)]) -> Box<dyn Files + Send> {
        let directory = self.directory();
        for (path, contents) in files {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, contents).unwrap();
        }
        let mut files = OsFiles::new();
        files.add_root(&directory).unwrap();
        Box::new(files)
    }

    fn connect(&mut self, driver: usize) -> usize {
        self.clients.push(match TcpStream::connect(self.addresses[driver]) {
            Ok(socket) => Client::new(socket),
            Err(_) => Client { socket: None, end: Some(End::Reset), ..Client::default() },
        });
        self.clients.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.clients[client].backlog.extend_from_slice(bytes);
        self.clients[client].pump();
    }

    fn arrive(&mut self, _: usize) {
        // Connecting was synchronous.
    }

    fn finish(&mut self, client: usize) {
        self.clients[client].finishing = true;
        self.clients[client].pump();
    }

    fn reset(&mut self, client: usize) {
        let client = &mut self.clients[client];
        if let Some(socket) = client.socket.take() {
            socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        client.end = Some(End::Reset);
    }

    fn set_reading(&mut self, client: usize, reads: bool) {
        let client = &mut self.clients[client];
        (client.reads, client.pace) = (reads, None);
    }

    fn set_pace(&mut self, client: usize, bytes: usize, every: Nanos) {
        let client = &mut self.clients[client];
        (client.reads, client.pace) = (true, Some((bytes, every.into())));
    }

    fn received(&mut self, client: usize) -> Vec<u8> {
        self.clients[client].received.clone()
    }

    fn received_len(&mut self, client: usize) -> usize {
        self.clients[client].received.len()
    }

    fn end(&mut self, client: usize) -> Option<End> {
        self.clients[client].end
    }

    fn serve(&mut self) -> SocketAddr {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        door.set_nonblocking(true).unwrap();
        self.doors.push(door);
        self.doors.last().unwrap().local_addr().unwrap()
    }

    fn accept(&mut self, address: SocketAddr) -> Option<usize> {
        let door = self.doors.iter().find(|door| door.local_addr().unwrap() == address)?;
        let (socket, _) = door.accept().ok()?;
        self.clients.push(Client::new(socket));
        Some(self.clients.len() - 1)
    }

    fn refusing(&mut self) -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn pass(&mut self, drivers_wait: bool) {
        self.clients.iter_mut().for_each(Client::pump);
        if !drivers_wait {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    fn now(&self) -> Nanos {
        self.start.elapsed().into()
    }
}

/// The simulated network.
pub(crate) struct SimRig {
    pub(crate) world: World,
    numbers: Vec<Rc<RefCell<Sim>>>,
    clients: Vec<ClientId>,
    served: u16,
}

/// A driver that the rig keeps a hand on, since clients connect to drivers.
pub(crate) struct SharedSim(Rc<RefCell<Sim>>);

impl Driver for SharedSim {
    fn turn<P: corelane_eventloop::Protocol>(
        &mut self,
        lane: &mut corelane_eventloop::Lane<P>,
        wait: Option<Nanos>,
    ) -> std::io::Result<()> {
        self.0.borrow_mut().turn(lane, wait)
    }
}

impl SimRig {
    /// The world's name of a client.
    pub(crate) fn id(&self, client: usize) -> ClientId {
        self.clients[client]
    }

    pub(crate) fn with(seed: u64, faults: Faults) -> SimRig {
        SimRig {
            world: World::new(seed, faults),
            numbers: Vec::new(),
            clients: Vec::new(),
            served: 0,
        }
    }
}

impl Rig for SimRig {
    type Driver = SharedSim;
    const WAIT: Nanos = Nanos::from_millis(100);
    const VIRTUAL: bool = true;

    fn new() -> SimRig {
        SimRig::with(1, Faults::NONE)
    }

    fn driver(&mut self, options: ListenOptions) -> SharedSim {
        let mut driver = self.world.driver();
        driver.listen(0, options);
        let shared = Rc::new(RefCell::new(driver));
        self.numbers.push(shared.clone());
        SharedSim(shared)
    }

    fn files(&mut self, files: &[(&str, Vec<u8>)]) -> Box<dyn Files + Send> {
        let mut memory = MemFiles::new();
        for (path, contents) in files {
            memory.add(0, path, contents.clone());
        }
        Box::new(memory)
    }

    fn connect(&mut self, driver: usize) -> usize {
        self.clients.push(self.world.connect(&self.numbers[driver].borrow(), 0));
        self.clients.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.world.send(self.clients[client], bytes);
    }

    fn arrive(&mut self, _: usize) {
        while self.world.advance(self.world.now()) && self.world.advance(self.world.now()) {}
    }

    fn finish(&mut self, client: usize) {
        self.world.finish(self.clients[client]);
    }

    fn reset(&mut self, client: usize) {
        self.world.reset(self.clients[client]);
    }

    fn set_reading(&mut self, client: usize, reads: bool) {
        self.world.set_reading(self.clients[client], reads);
    }

    fn set_pace(&mut self, client: usize, bytes: usize, every: Nanos) {
        self.world.set_pace(self.clients[client], bytes, every);
    }

    fn received(&mut self, client: usize) -> Vec<u8> {
        self.world.received(self.clients[client])
    }

    fn received_len(&mut self, client: usize) -> usize {
        self.world.received_len(self.clients[client])
    }

    fn end(&mut self, client: usize) -> Option<End> {
        self.world.end(self.clients[client])
    }

    fn serve(&mut self) -> SocketAddr {
        self.served += 1;
        let address = ([10, 0, 0, 1], self.served).into();
        self.world.serve(address);
        address
    }

    fn accept(&mut self, address: SocketAddr) -> Option<usize> {
        let client = self.world.accept(address)?;
        self.clients.push(client);
        Some(self.clients.len() - 1)
    }

    fn refusing(&mut self) -> SocketAddr {
        ([10, 0, 0, 2], 9).into()
    }

    fn pass(&mut self, drivers_wait: bool) {
        if !drivers_wait {
            self.world.advance(self.world.now() + Nanos::from_millis(1));
        }
    }

    fn now(&self) -> Nanos {
        self.world.now()
    }
}
