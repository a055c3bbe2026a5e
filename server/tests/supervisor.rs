//! The supervisor as a library: lanes that die, steps that panic, stopping at a bad moment.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use corelane::supervisor::{AcceptMode, Plan, Server, StartError, Supervisor};
use corelane_acceptor::Placement;
use corelane_eventloop::{Closed, Event, Flow, Io, Nanos, Protocol, Turn};

const MODES: [AcceptMode; 2] = [AcceptMode::PerLane, AcceptMode::Dispatch(Placement::RoundRobin)];

/// What waits to go wrong, in any lane.
#[derive(Default)]
struct Mishaps {
    /// How many turns will panic yet.
    turns: AtomicU32,
}

/// Echoes; panics at `!` in a step, and at `?` once in the next turn.
struct Fragile(Arc<Mishaps>);

impl Protocol for Fragile {
    type Conn = ();
    type Mail = ();

    fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
        Some(())
    }

    fn step(&mut self, _: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        let input = io.input();
        assert!(!input.contains(&b'!'), "this test wants a step to panic");
        if input.contains(&b'?') {
            self.0.turns.fetch_add(1, Ordering::Relaxed);
        }
        io.out().put(input);
        io.consume(input.len());
        if matches!(event, Event::Eof | Event::Stopping) { Flow::Finish } else { Flow::Read }
    }

    fn close(&mut self, _: (), _: Closed, _: &mut Io<'_, ()>) {}

    fn turn(&mut self, _: &mut Turn<'_, ()>) {
        let due = |n: u32| n.checked_sub(1);
        let strikes = self.0.turns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok();
        assert!(!strikes, "this test wants a turn to panic");
    }
}

fn start(lanes: usize, accept: AcceptMode) -> (Server, Arc<Mishaps>) {
    let plan =
        Plan { lanes, accept, cores: Vec::new(), ..Plan::new(["127.0.0.1:0".parse().unwrap()]) };
    let mishaps = Arc::new(Mishaps::default());
    let shared = mishaps.clone();
    let server = Supervisor::new(plan).start(move |_, _| Fragile(shared.clone())).unwrap();
    (server, mishaps)
}

fn address(server: &Server) -> SocketAddr {
    server.addresses()[0].tcp().unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(address(server)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn echoes(client: &mut TcpStream, text: &[u8]) -> bool {
    let mut answer = vec![0; text.len()];
    client.write_all(text).is_ok() && client.read_exact(&mut answer).is_ok() && answer == text
}

/// True once the server has ended the connection, in order or not; what it said before does not matter.
fn ended(client: &mut TcpStream) -> bool {
    match client.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn counted(server: &Server, name: &str) -> u64 {
    server.registry().snapshot().counter(name, &[]).unwrap().total()
}

fn stop(server: Server) {
    let begun = Instant::now();
    server.stop(Nanos::from_secs(20));
    server.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn serves_and_stops_in_both_modes() {
    for mode in MODES {
        let (server, _) = start(2, mode);
        assert_eq!(server.lanes(), 2);
        let mut clients: Vec<TcpStream> = (0..8).map(|_| connect(&server)).collect();
        for client in &mut clients {
            assert!(echoes(client, b"hello"), "{mode:?}");
        }
        assert_eq!(server.open().count(), 8);
        drop(clients);
        wait_until("all places are given back", || server.open().count() == 0);
        stop(server);
    }
}

#[test]
fn a_panic_in_a_step_closes_only_its_connection() {
    for mode in MODES {
        let (server, _) = start(1, mode);
        let (mut unlucky, mut other) = (connect(&server), connect(&server));
        assert!(echoes(&mut unlucky, b"a") && echoes(&mut other, b"b"));
        unlucky.write_all(b"!").unwrap();
        assert!(ended(&mut unlucky));
        assert!(echoes(&mut other, b"c"), "{mode:?}");
        wait_until("the panic is counted", || counted(&server, "corelane_loop_panics_total") == 1);
        assert_eq!(server.restarts().load(Ordering::Relaxed), 0);
        drop(other);
        wait_until("all places are given back", || server.open().count() == 0);
        stop(server);
    }
}

#[test]
fn a_lane_that_dies_is_restarted_and_serves_again() {
    for mode in MODES {
        let (server, _) = start(1, mode);
        for deaths in 1..=3 {
            let mut clients: Vec<TcpStream> = (0..3).map(|_| connect(&server)).collect();
            for client in &mut clients {
                assert!(echoes(client, b"hello"), "{mode:?}, after {} deaths", deaths - 1);
            }
            clients[0].write_all(b"?").unwrap();
            for client in &mut clients {
                assert!(ended(client), "its connections are lost");
            }
            wait_until("the restart is counted", || {
                server.restarts().load(Ordering::Relaxed) == deaths
                    && counted(&server, "corelane_loop_restarts_total") == deaths
            });
            wait_until("all places are given back", || server.open().count() == 0);
            // What the last turn of each life counted is there, and nothing was forgotten since.
            assert_eq!(counted(&server, "corelane_connections_accepted_total"), 3 * deaths);
            assert_eq!(counted(&server, "corelane_bytes_received_total"), 16 * deaths, "{mode:?}");
            let snapshot = server.registry().snapshot();
            let closed = [("reason", "panicked")];
            let closed = snapshot.counter("corelane_connections_closed_total", &closed).unwrap();
            assert_eq!(closed.total(), 3 * deaths, "{mode:?}");
            for gauge in snapshot.gauges() {
                assert_eq!(gauge.total(), 0, "{mode:?}: {}", gauge.description().name);
            }
        }
        let mut client = connect(&server);
        assert!(echoes(&mut client, b"served again"));
        drop(client);
        stop(server);
    }
}

#[test]
fn the_other_lane_does_not_notice() {
    let (server, _) = start(2, AcceptMode::Dispatch(Placement::RoundRobin));
    let (mut one, mut two) = (connect(&server), connect(&server));
    assert!(echoes(&mut one, b"1") && echoes(&mut two, b"2"));
    // Both lanes could take the mishap: the one that was just woken does.
    one.write_all(b"?").unwrap();
    assert!(ended(&mut one));
    assert!(echoes(&mut two, b"still here"));
    drop(two);
    stop(server);
}

#[test]
fn a_stop_while_a_lane_is_restarted() {
    for mode in MODES {
        let (server, _) = start(1, mode);
        let mut client = connect(&server);
        assert!(echoes(&mut client, b"hello"));
        client.write_all(b"?").unwrap();
        assert!(ended(&mut client));
        // A lane that died young waits a while before it comes back; this is within that while.
        stop(server);
    }
}

#[test]
fn a_lane_that_dies_while_stopping_ends() {
    for mode in MODES {
        let (server, mishaps) = start(1, mode);
        let mut client = connect(&server);
        assert!(echoes(&mut client, b"hello"));
        mishaps.turns.store(1, Ordering::Relaxed);
        // The turn that obeys the order to stop dies, and the order with it.
        stop(server);
        assert!(ended(&mut client), "{mode:?}");
    }
}

#[test]
fn a_lane_that_does_not_turn_is_told_from_one_that_sleeps() {
    /// Holds up its lane until it is let go.
    struct Stuck(Arc<Mutex<()>>);

    impl Protocol for Stuck {
        type Conn = ();
        type Mail = ();

        fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
            Some(())
        }

        fn step(&mut self, _: &mut (), _: Event<()>, io: &mut Io<'_, ()>) -> Flow {
            drop(self.0.lock());
            io.out().put(b"!");
            Flow::Finish
        }

        fn close(&mut self, _: (), _: Closed, _: &mut Io<'_, ()>) {}
    }

    let patience = Duration::from_secs(10);
    let gate = Arc::new(Mutex::new(()));
    let shut = gate.lock().unwrap();
    let plan = Plan { lanes: 2, cores: Vec::new(), ..Plan::new(["127.0.0.1:0".parse().unwrap()]) };
    let shared = gate.clone();
    let server = Supervisor::new(plan).start(move |_, _| Stuck(shared.clone())).unwrap();
    let pulse = server.pulse();
    assert!(pulse.check(patience).is_empty(), "lanes that sleep are alive");
    let mut client = connect(&server);
    client.write_all(b"x").unwrap();
    wait_until("a lane is held up", || pulse.check(Duration::from_millis(20)).len() == 1);
    drop(shut);
    assert!(pulse.check(patience).is_empty());
    assert!(ended(&mut client));
    stop(server);
    assert!(pulse.check(Duration::ZERO).is_empty(), "lanes that ended in order are not missed");
}

#[test]
fn a_stopped_server_takes_no_connection() {
    for mode in MODES {
        /// Never lets its connection go.
        struct Stuck;
        impl Protocol for Stuck {
            type Conn = ();
            type Mail = ();
            fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
                Some(())
            }
            fn step(&mut self, _: &mut (), _: Event<()>, io: &mut Io<'_, ()>) -> Flow {
                let input = io.input();
                io.out().put(input);
                io.consume(input.len());
                Flow::Read
            }
            fn close(&mut self, _: (), _: Closed, _: &mut Io<'_, ()>) {}
        }
        let plan = Plan {
            lanes: 2,
            accept: mode,
            cores: Vec::new(),
            ..Plan::new(["127.0.0.1:0".parse().unwrap()])
        };
        let server = Supervisor::new(plan).start(|_, _| Stuck).unwrap();
        let mut client = connect(&server);
        assert!(echoes(&mut client, b"hello"));
        server.stop(Nanos::from_secs(60));
        wait_until("new connections are refused", || TcpStream::connect(address(&server)).is_err());
        assert!(echoes(&mut client, b"still served"), "{mode:?}");
        server.stopper().cut();
        assert!(ended(&mut client));
        server.join().unwrap();
    }
}

#[test]
fn an_address_in_use_is_an_error_and_nothing_runs() {
    let (server, _) = start(1, AcceptMode::PerLane);
    let plan = Plan { lanes: 1, ..Plan::new([server.addresses()[0].clone()]) };
    let second = Supervisor::new(plan).start(|_, _| Fragile(Arc::default()));
    let Err(error) = second else { panic!("two servers on one port") };
    assert!(matches!(error, StartError::Listen(_)), "{error:?}");
    assert!(error.to_string().contains("in use"), "{error}");
    stop(server);
}
