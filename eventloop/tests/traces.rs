//! Traces of single connections, on the simulated network: what is noted, in which order, when.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corelane_eventloop::{
    ClientId, Closed, Driver, Event, Faults, Flow, Io, Lane, LaneConfig, ListenOptions, Nanos,
    Post, Protocol, Sim, Stage, TraceDesk, TraceReport, TraceState, Turn, World,
};

/// Answers each line: at once, or after 5 ms if it begins with `l`, never if with `n`; ends with `q`;
/// panics with `p`.
struct Lines;

impl Protocol for Lines {
    type Conn = ();
    type Mail = ();

    fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
        Some(())
    }

    fn step(&mut self, _: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        match event {
            Event::Bytes => {
                let input = io.input();
                let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
                    return Flow::Read;
                };
                io.consume(end + 1);
                io.note(Stage::Parser, "line", || format!("{} bytes", end + 1));
                match input[0] {
                    b'l' => {
                        io.deadline(io.now() + Nanos::from_millis(5));
                        return Flow::Pause;
                    }
                    b'n' => return Flow::Pause,
                    b'p' => panic!("as was asked for"),
                    _ => io.out().put(&input[..=end]),
                }
                if input[0] == b'q' { Flow::Finish } else { Flow::Read }
            }
            Event::Timer => {
                io.out().put(b"late\n");
                io.note(Stage::Handler, "answered", || "late".to_owned());
                Flow::Read
            }
            Event::Eof => Flow::Finish,
            _ => Flow::Read,
        }
    }

    fn close(&mut self, _: (), _: Closed, _: &mut Io<'_, ()>) {}

    fn turn(&mut self, _: &mut Turn<'_, ()>) {}
}

struct Rig {
    world: World,
    driver: Sim,
    lane: Lane<Lines>,
    desk: Arc<TraceDesk>,
}

impl Rig {
    fn new(config: LaneConfig) -> Rig {
        let world = World::new(7, Faults::NONE);
        let mut driver = world.driver();
        driver.listen(0, ListenOptions::default());
        let desk = Arc::new(TraceDesk::default());
        let post = Post::mesh(1, 16).remove(0);
        let lane = Lane::new(Lines, config, post).with_traces(desk.clone());
        Rig { world, driver, lane, desk }
    }

    /// Has the next connection traced: clients of a world have ports from 1024 on, in their order.
    fn arm(&self, number: u16) -> u64 {
        let peer = ([127, 0, 0, 1], 1024 + number).into();
        self.desk.arm(peer, self.world.now()).unwrap()
    }

    fn connect(&self) -> ClientId {
        self.world.connect(&self.driver, 0)
    }

    /// Turns until `client` has received so much.
    fn until(&mut self, client: ClientId, received: &[u8]) {
        for _ in 0..100 {
            if self.world.received(client) == received {
                return;
            }
            self.driver.turn(&mut self.lane, Some(Nanos::from_millis(1))).unwrap();
        }
        panic!("received {:?}", String::from_utf8_lossy(&self.world.received(client)));
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.driver.turn(&mut self.lane, Some(Nanos::from_millis(1))).unwrap();
        }
    }

    fn report(&self, id: u64) -> TraceReport {
        self.desk.report(id, self.world.now()).unwrap()
    }
}

/// Each note in a line, without its time.
fn lines(report: &TraceReport) -> Vec<String> {
    let line = |note: &corelane_eventloop::Note| {
        format!("{} {}: {}", note.stage.name(), note.event, note.detail)
    };
    report.notes.iter().map(line).collect()
}

fn at(report: &TraceReport, event: &str) -> Nanos {
    report.notes.iter().find(|note| note.event == event).expect(event).at
}

#[test]
fn the_steps_of_a_connection_in_order() {
    let mut rig = Rig::new(LaneConfig::default());
    let id = rig.arm(0);
    let client = rig.connect();
    rig.world.send(client, b"hello\n");
    rig.until(client, b"hello\n");
    assert_eq!(rig.report(id).state, TraceState::Running);
    rig.world.send(client, b"quit\n");
    rig.until(client, b"hello\nquit\n");
    rig.turns(2);
    let report = rig.report(id);
    assert_eq!((report.state, report.lane, report.left_out), (TraceState::Closed, Some(0), 0));
    let told: Vec<String> =
        lines(&report).into_iter().filter(|line| !line.contains("woke")).collect();
    assert_eq!(
        told,
        [
            "acceptor accepted: listener 0, loop 0, which has 1 connection",
            "loop stepped: waits for more input",
            "kernel received: 6 bytes",
            "parser line: 6 bytes",
            "output queued: 6 bytes",
            "loop stepped: waits for more input",
            "output its turn to send: 6 bytes to send",
            "kernel sent: 6 bytes, which is all",
            "kernel received: 5 bytes",
            "parser line: 5 bytes",
            "output queued: 5 bytes",
            "loop stepped: ends when all is sent",
            "output its turn to send: 5 bytes to send",
            "kernel sent: 5 bytes, which is all",
            "loop closed: finished; 11 bytes received, 11 bytes sent",
        ]
    );
    assert!(report.notes.is_sorted_by_key(|note| note.at));
}

#[test]
fn a_wait_takes_the_time_that_it_takes() {
    let mut rig = Rig::new(LaneConfig::default());
    let id = rig.arm(0);
    let client = rig.connect();
    rig.world.send(client, b"later\n");
    rig.until(client, b"late\n");
    let report = rig.report(id);
    // Deadlines fire at most a millisecond late.
    let waited = at(&report, "answered").since(at(&report, "line"));
    assert!((Nanos::from_millis(5)..Nanos::from_millis(6)).contains(&waited), "{waited:?}");
    assert_eq!(at(&report, "deadline"), at(&report, "answered"));
    let again = {
        let mut rig = Rig::new(LaneConfig::default());
        let id = rig.arm(0);
        let client = rig.connect();
        rig.world.send(client, b"later\n");
        rig.until(client, b"late\n");
        rig.report(id).notes
    };
    assert_eq!(report.notes, again, "the same seed, the same notes at the same times");
}

#[test]
fn what_others_take_is_told() {
    let mut rig = Rig::new(LaneConfig::default());
    let ids = [0, 1, 2].map(|number| rig.arm(number));
    let clients = [(); 3].map(|()| rig.connect());
    rig.turns(20);
    for client in clients {
        rig.world.send(client, b"x\n");
    }
    for client in clients {
        rig.until(client, b"x\n");
    }
    let mut before = Vec::new();
    for id in ids {
        let told = lines(&rig.report(id));
        let of = |event: &str| told.iter().filter(|line| line.contains(event)).count();
        assert_eq!(of("received: 2 bytes"), 1, "nothing of the others: {told:?}");
        let at = told.iter().position(|line| line.contains("received")).unwrap();
        before.push(told[at - 1].clone());
    }
    // They came at the same time, and are stepped in any order.
    before.sort();
    assert_eq!(before[..2], ["loop served others: 1 step", "loop served others: 2 steps"]);
    assert!(before[2].starts_with("loop woke"), "{before:?}");
}

#[test]
fn only_the_awaited_peer_is_traced_and_only_for_a_while() {
    let mut rig = Rig::new(LaneConfig::default());
    let foreign = rig.connect();
    let id = rig.arm(1);
    rig.world.send(foreign, b"a\n");
    rig.until(foreign, b"a\n");
    let report = rig.report(id);
    assert_eq!((report.state, report.notes.len()), (TraceState::Armed, 0));
    rig.world.advance(rig.world.now() + TraceDesk::PATIENCE);
    let late = rig.connect();
    rig.world.send(late, b"b\n");
    rig.until(late, b"b\n");
    let report = rig.report(id);
    assert_eq!((report.state, report.notes.len()), (TraceState::Expired, 0));
}

#[test]
fn a_trace_ends_after_a_while_and_counts_what_it_leaves_out() {
    let mut rig = Rig::new(LaneConfig::default());
    let id = rig.arm(0);
    let client = rig.connect();
    let mut expected = Vec::new();
    for _ in 0..60 {
        rig.world.send(client, b"again\n");
        expected.extend_from_slice(b"again\n");
        rig.until(client, &expected);
    }
    let full = rig.report(id);
    assert_eq!(full.notes.len(), 256);
    assert!(full.left_out > 0);
    rig.world.advance(rig.world.now() + TraceDesk::LENGTH);
    rig.turns(2);
    assert_eq!(rig.report(id).state, TraceState::CutShort);
    let left_out = rig.report(id).left_out;
    rig.world.send(client, b"again\n");
    expected.extend_from_slice(b"again\n");
    rig.until(client, &expected);
    assert_eq!(rig.report(id).left_out, left_out);
}

#[test]
fn a_connection_that_dies_is_told_of() {
    for (line, last) in [
        (&b"panic\n"[..], "loop closed: panicked; 6 bytes received, 0 bytes sent"),
        (b"never\n", "loop closed: lost: connection reset; 6 bytes received, 0 bytes sent"),
    ] {
        let mut rig = Rig::new(LaneConfig::default());
        let id = rig.arm(0);
        let client = rig.connect();
        rig.world.send(client, line);
        rig.turns(20);
        rig.world.reset(client);
        rig.turns(20);
        let report = rig.report(id);
        assert_eq!(report.state, TraceState::Closed);
        assert_eq!(lines(&report).last().unwrap(), last);
    }
    // With its lane.
    let mut rig = Rig::new(LaneConfig::default());
    let id = rig.arm(0);
    let _client = rig.connect();
    rig.turns(20);
    assert_eq!(rig.report(id).state, TraceState::Running);
    drop(rig.lane);
    assert_eq!(rig.desk.report(id, Nanos::ZERO).unwrap().state, TraceState::CutShort);
}

#[test]
fn a_refused_connection_is_told_of() {
    let mut rig = Rig::new(LaneConfig { connections: 1, ..LaneConfig::default() });
    let id = rig.arm(1);
    let _clients = [rig.connect(), rig.connect()];
    rig.turns(20);
    let report = rig.report(id);
    assert_eq!(report.state, TraceState::Closed);
    assert_eq!(
        lines(&report),
        ["acceptor refused: by this loop, which is full, or by its protocol"]
    );
}
