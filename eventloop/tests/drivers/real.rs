//! What only real sockets and real threads have.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use corelane_eventloop::{
    Driver, Event, Flow, Io, Lane, LaneConfig, LaneHandle, LaneStats, ListenOptions, Listener, Mio,
    Nanos, Peer, Post, Socket,
};

use crate::acts::Acts;
use crate::kit::{Kit, Letter};

/// A lane that runs in a thread of its own until it is stopped.
struct Running {
    handle: LaneHandle,
    thread: JoinHandle<LaneStats>,
}

fn run(listener: Option<Listener>, post: Post<Letter>) -> Running {
    let handle = post.handle();
    let thread = thread::spawn(move || {
        let mut driver = Mio::new().unwrap();
        if let Some(listener) = listener {
            driver.listen(listener, 0, ListenOptions::default()).unwrap();
        }
        let mut lane = Lane::new(Kit::default(), LaneConfig::default(), post);
        driver.run(&mut lane).unwrap();
        *lane.stats()
    });
    Running { handle, thread }
}

impl Running {
    fn stop(self) -> LaneStats {
        self.handle.stop(Nanos::from_secs(5));
        self.thread.join().unwrap()
    }
}

fn listener() -> (Listener, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

fn ask(mut socket: impl Read + Write, script: &[u8]) -> String {
    socket.write_all(script).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn unix_sockets() {
    let path = std::env::temp_dir().join(format!("corelane-unix-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let running = run(Some(listener.into()), Post::mesh(1, 16).remove(0));
    let answer = ask(UnixStream::connect(&path).unwrap(), b"say hello\nproduce 300000\nquit\n");
    assert_eq!(answer.len(), 6 + 300_001);
    let _ = std::fs::remove_file(&path);
    assert_eq!(running.stop().accepted, 1);
}

/// A sleeping lane takes over sockets from another thread at once.
#[test]
fn adopted_sockets() {
    let running = run(None, Post::mesh(1, 16).remove(0));
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(2));
        let client = TcpStream::connect(door.local_addr().unwrap()).unwrap();
        running
            .handle
            .adopt(Socket::Tcp(door.accept().unwrap().0), 3, ListenOptions::default())
            .unwrap();
        assert_eq!(ask(client, b"say adopted\nquit\n"), "adopted\n");
    }
    let (client, server) = UnixStream::pair().unwrap();
    running.handle.adopt(Socket::Unix(server), 3, ListenOptions::default()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ask_nothing(client), "bye\n");
    assert_eq!(running.stop().accepted, 21);
}

fn ask_nothing(mut socket: impl Read) -> String {
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// Mail wakes lanes that sleep in their poll, there and back, many times over.
#[test]
fn mail_wakes_sleeping_lanes() {
    let mut posts = Post::mesh(2, 64);
    let (second, first) = (posts.pop().unwrap(), posts.pop().unwrap());
    let (listener, address) = listener();
    let (first, second) = (run(Some(listener), first), run(None, second));
    let began = Instant::now();
    let mut client = TcpStream::connect(address).unwrap();
    // One after the other, so that both have time to fall asleep.
    for _ in 0..200 {
        let mut answer = [0; 2];
        client.write_all(b"ask 1 x\n").unwrap();
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"x\n");
    }
    assert_eq!(ask(client, b"quit\n"), "");
    // A lost wake would cost a sleep without end; a late one, the test its time.
    assert!(began.elapsed() < Duration::from_secs(10));
    let (first, second) = (first.stop(), second.stop());
    assert_eq!((first.mail_out, second.mail_in), (200, 200));
    assert!(first.wakes > 0 && second.wakes > 0);
}

/// The successor of a lane, with a driver of its own, is woken as its predecessor was.
#[test]
fn a_successor_is_woken() {
    let first = Lane::new(Kit::default(), LaneConfig::default(), Post::mesh(1, 16).remove(0));
    let mut first = (Mio::new().unwrap(), first);
    first.0.turn(&mut first.1, Some(Nanos::ZERO)).unwrap();
    let post = first.1.into_post();
    drop(first.0);
    let running = run(None, post);
    thread::sleep(Duration::from_millis(30));
    let began = Instant::now();
    let (client, server) = UnixStream::pair().unwrap();
    running.handle.adopt(Socket::Unix(server), 0, ListenOptions::default()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(ask(client, b"say woken\nquit\n"), "woken\n");
    assert!(began.elapsed() < Duration::from_secs(5));
    running.stop();
}

/// The peer's address is the client's own.
#[test]
fn peers_have_addresses() {
    let step = |_: &mut (), _, event, io: &mut Io<'_, u64>| {
        if matches!(event, Event::Opened) {
            let peer = io.peer().to_string();
            io.out().put(peer.as_bytes());
            return Flow::Finish;
        }
        Flow::Read
    };
    let mut lane =
        Lane::new(Acts::<()>::new(step), LaneConfig::default(), Post::mesh(1, 1).remove(0));
    let (listener, address) = listener();
    let mut driver = Mio::new().unwrap();
    driver.listen(listener, 0, ListenOptions::default()).unwrap();
    let client = TcpStream::connect(address).unwrap();
    let local = client.local_addr().unwrap();
    while lane.stats().closed_total() == 0 {
        driver.turn(&mut lane, Some(Nanos::from_millis(10))).unwrap();
    }
    assert_eq!(ask_nothing(client), Peer::Ip(local).to_string());
}
