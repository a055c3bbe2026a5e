//! Lanes that stand still, have not begun, or have ended, while others go on. On sockets, because it is
//! about who wakes whom.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use corelane::handler::{
    Action, Context, EventHandler, EventServer, Framing, InlineServer, Running, SendError, To,
    Topic,
};
use corelane::supervisor::{AcceptMode, Plan};
use corelane_acceptor::Placement;
use corelane_eventloop::{Closed, Nanos};

const PATIENCE: Duration = Duration::from_secs(20);
const DRAIN: Nanos = Nanos::from_secs(20);

/// What a lane waits at.
#[derive(Default)]
struct Barrier {
    /// Somebody waits; nobody waits any more.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Barrier {
    fn wait(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(state, PATIENCE, |(_, open)| !*open).unwrap());
    }

    fn until_somebody_waits(&self) {
        let state = self.state.lock().unwrap();
        let waited =
            self.changed.wait_timeout_while(state, PATIENCE, |(waits, _)| !*waits).unwrap();
        assert!(waited.0.0, "nobody has come to the barrier");
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// Obeys `stall`, `big`, `stay`, `bye`; tells everyone else what else it hears, and of who leaves.
#[derive(Default)]
struct Hall {
    barrier: Arc<Barrier>,
}

impl EventHandler for Hall {
    type Conn = bool;

    fn framing(&self) -> Framing {
        Framing::lines(100)
    }

    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        cx.reply("welcome");
        Some(false)
    }

    fn on_message<'m>(
        &mut self,
        stays: &mut bool,
        line: &'m [u8],
        cx: &mut Context<'_>,
    ) -> Action<'m> {
        match line {
            b"stall" => self.barrier.wait(),
            b"bye" => return Action::Close,
            b"stay" => *stays = true,
            b"big" => drop(cx.send(To::All, vec![b'x'; 512 << 10])),
            _ => drop(cx.send(To::All, line)),
        }
        Action::reply("ok")
    }

    fn on_stopping(&mut self, stays: &mut bool, _: &mut Context<'_>) -> Action<'static> {
        if *stays { Action::Nothing } else { Action::Close }
    }

    fn on_disconnect(&mut self, _: bool, _: Closed, cx: &mut Context<'_>) {
        let _ = cx.send(To::All, "somebody left");
    }
}

/// Two lanes, which get connections in turn.
fn server(mail: usize) -> (Running, Arc<Barrier>) {
    let mut plan = Plan::new(["127.0.0.1:0".parse().unwrap()]);
    (plan.lanes, plan.mail) = (2, mail);
    plan.accept = AcceptMode::Dispatch(Placement::RoundRobin);
    let barrier = Arc::<Barrier>::default();
    let make = {
        let barrier = barrier.clone();
        move || Hall { barrier: barrier.clone() }
    };
    (EventServer::of(plan, make).start().unwrap(), barrier)
}

struct Client {
    socket: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Client {
    fn new(address: std::net::SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(socket.try_clone().unwrap());
        let mut client = Client { socket, lines };
        client.expect("welcome");
        client
    }

    fn send(&mut self, line: &str) {
        self.socket.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn expect(&mut self, expected: &str) {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    }
}

fn count(server: &Running, names: &[&str]) -> u64 {
    let snapshot = server.registry().snapshot();
    let total =
        |name: &&str| snapshot.counter(&format!("corelane_{name}_total"), &[]).unwrap().total();
    names.iter().map(total).sum()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A lane that stands still, and a client of the other, who has said more than may be on its way to it.
fn one_lane_waits_for_the_other() -> (Running, Arc<Barrier>, [Client; 2]) {
    let (server, barrier) = server(1024);
    let address = server.addresses()[0].tcp().unwrap();
    let (mut speaker, mut other) = (Client::new(address), Client::new(address));
    other.send("stall");
    barrier.until_somebody_waits();
    for _ in 0..17 {
        speaker.send("big");
        speaker.expect("ok");
    }
    (server, barrier, [speaker, other])
}

#[test]
fn what_waited_for_a_lane_goes_on_though_nothing_else_happens() {
    let (server, barrier, _clients) = one_lane_waits_for_the_other();
    // Nothing comes from here any more, and the lane goes to sleep.
    barrier.open();
    let known = ["messages_delivered", "messages_dropped", "messages_lost"];
    until("a message is still on its way", || count(&server, &known) == 17);
    server.stop().unwrap();
}

#[test]
fn a_lane_sleeps_while_it_waits_for_another() {
    let (server, barrier, [mut speaker, _other]) = one_lane_waits_for_the_other();
    // It is not read, nor are words of other threads taken, until the other lane is given up.
    speaker.send("hello");
    let handles = [server.handle(), server.handle()];
    let words = handles.iter().map(|handle| handle.send(To::All, "from outside"));
    assert!(words.collect::<Result<Vec<_>, _>>().is_ok());
    speaker.expect("ok");
    assert!(count(&server, &["messages_lost"]) > 0);
    let turns = count(&server, &["loop_turns"]);
    assert!(turns < 5000, "{turns} turns");
    barrier.open();
    server.stop().unwrap();
}

#[test]
fn every_lane_takes_words_of_others_before_it_has_a_connection() {
    for lane in 0..2 {
        let (server, _) = server(1024);
        let mut client = Client::new(server.addresses()[0].tcp().unwrap());
        // Each handle has another lane.
        let handles = [server.handle(), server.handle()];
        handles[lane].send(To::All, "hello").unwrap();
        client.expect("hello");
        drop(client);
        server.stop().unwrap();
    }
}

#[test]
fn a_lane_that_ends_says_its_last_words_and_is_not_waited_for() {
    let (server, _) = server(4);
    let address = server.addresses()[0].tcp().unwrap();
    let (mut leaves, mut stays) = (Client::new(address), Client::new(address));
    stays.send("stay");
    stays.expect("ok");
    let (handle, nobody) = (server.handle(), Topic::new("nobody").unwrap());
    server.stopper().stop(DRAIN);
    // It is the last on its lane, and is closed when it has heard the end.
    leaves.expect("");
    drop(leaves);
    stays.expect("somebody left");
    until("the lane does not end", || handle.send(nobody, "x") == Err(SendError::Gone));
    // More than its queue takes.
    for _ in 0..8 {
        stays.send("to nobody");
        stays.expect("ok");
    }
    assert_eq!(count(&server, &["messages_lost"]), 0);
    stays.send("bye");
    drop(stays);
    server.join().unwrap();
}

#[test]
fn a_lane_on_the_callers_thread_sleeps_while_it_drains() {
    let server = InlineServer::new("127.0.0.1:0", Hall::default()).unwrap();
    let server = server.drain(Nanos::from_millis(400));
    let address = server.addresses()[0].tcp().unwrap();
    let registry = server.registry().clone();
    let stop = Arc::new(AtomicBool::new(false));
    let client = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut client = Client::new(address);
            client.send("stay");
            client.expect("ok");
            stop.store(true, Ordering::Relaxed);
            // Cut at the end of the drain time.
            let _ = client.lines.read_line(&mut String::new());
        }
    });
    server.run(&stop).unwrap();
    client.join().unwrap();
    let turns = registry.snapshot().counter("corelane_loop_turns_total", &[]).unwrap().total();
    assert!(turns < 200, "{turns} turns");
}
