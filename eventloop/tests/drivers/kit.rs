//! A line protocol that can be told to do everything a protocol can do, one command per line, and a
//! model that says what the client must then receive.
//!
//! A connection carries out its commands strictly in order: each ends before the next begins. So the
//! bytes do not depend on timing, however the input was cut and whenever mail, timers, gates or a slow
//! reader let a command end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use corelane_eventloop::{
    Chunk, Closed, ConnId, Event, Flow, Io, LaneId, Mark, Nanos, Origin, Protocol, Target, Turn,
};
use corelane_mempool::{Key, Shared};

pub(crate) static STATIC: [u8; 4096] = [b's'; 4096];
pub(crate) const FILE: &str = "dir/file.bin";

pub(crate) fn file_contents() -> Vec<u8> {
    (0..40_000_u32).map(|n| b'a' + (n % 26) as u8).collect()
}

#[derive(Debug)]
pub(crate) enum Letter {
    /// To a lane: send this back to that connection.
    Ask { from: ConnId, text: Vec<u8> },
    /// To a connection that asked.
    Answer(Vec<u8>),
}

/// The lane's share of the protocol.
#[derive(Default)]
pub(crate) struct Kit {
    /// What happened, one line per event that both drivers must agree on.
    pub(crate) log: Vec<String>,
    pub(crate) opened: usize,
    pub(crate) closed: usize,
    /// Ids of the connections that are open, by number.
    pub(crate) open: BTreeMap<usize, ConnId>,
    /// The most output that was pending after a step.
    pub(crate) max_pending: u64,
    pub(crate) steps: u64,
    /// Where `dial` goes.
    pub(crate) targets: Vec<SocketAddr>,
    dials: Vec<(ConnId, usize, Vec<u8>)>,
    dialed: Vec<(ConnId, Vec<u8>)>,
    /// Who wants to be stepped by the protocol's stage of the turn.
    nudges: Vec<Key>,
    /// Gates stay shut while this is set.
    pub(crate) hold_gates: bool,
    /// The last gate level given out, and the one to open in the next turn.
    gate_last: u64,
    gate_due: u64,
    /// Connections are refused while this is set.
    pub(crate) refuse: bool,
}

pub(crate) struct KitConn {
    number: usize,
    state: State,
    eof: bool,
    stopping: bool,
    /// What the far end of an outbound connection is asked, and by whom.
    errand: Option<(ConnId, Vec<u8>)>,
}

enum State {
    Ready,
    Sleeping(Nanos),
    AwaitingAnswer,
    AwaitingSent(Mark),
    AwaitingNudge,
    Producing {
        at: u64,
        left: u64,
    },
    /// Shed: marks may still be reached, but nothing more is said.
    Over,
}

impl Protocol for Kit {
    type Conn = KitConn;
    type Mail = Letter;

    fn open(&mut self, io: &mut Io<'_, Letter>) -> Option<KitConn> {
        if self.refuse {
            return None;
        }
        let number = self.opened;
        self.opened += 1;
        self.open.insert(number, io.id());
        let errand = match io.origin() {
            Origin::Connected(tag) => Some(self.dialed[tag as usize].clone()),
            Origin::Accepted(_) => None,
        };
        Some(KitConn { number, state: State::Ready, eof: false, stopping: false, errand })
    }

    fn step(&mut self, conn: &mut KitConn, event: Event<Letter>, io: &mut Io<'_, Letter>) -> Flow {
        self.steps += 1;
        match event {
            Event::Opened | Event::Bytes | Event::Drained => {}
            Event::Eof => conn.eof = true,
            Event::Shed => {
                self.log.push(format!("{} shed", conn.number));
                if conn.errand.is_some() {
                    return Flow::Abort;
                }
                io.out().put(b"shed\n");
                conn.state = State::Over;
                return Flow::Finish;
            }
            Event::Stopping => {
                self.log.push(format!("{} stopping", conn.number));
                conn.stopping = true;
            }
            Event::Timer => match conn.state {
                State::Sleeping(until) => {
                    assert!(io.now() >= until, "a timer fired early");
                    self.log.push(format!("{} woke", conn.number));
                    io.out().put(b"woke\n");
                    conn.state = State::Ready;
                }
                _ => panic!("a timer fired though none was set"),
            },
            Event::Sent(mark) => {
                if let State::AwaitingSent(awaited) = conn.state
                    && mark >= awaited
                {
                    assert!(io.sent() >= awaited.0, "a mark was reported too early");
                    io.out().put(b"sent\n");
                    conn.state = State::Ready;
                }
            }
            Event::Nudged => {
                // Nudged twice: the first time counts.
                if matches!(conn.state, State::AwaitingNudge) {
                    io.out().put(b"nudged\n");
                    conn.state = State::Ready;
                }
            }
            Event::Mail(Letter::Answer(text)) => {
                assert!(matches!(conn.state, State::AwaitingAnswer), "nothing was asked");
                io.out().put(&text);
                io.out().put(b"\n");
                conn.state = State::Ready;
            }
            Event::Mail(Letter::Ask { .. }) => panic!("a question to a connection"),
        }
        let flow = match conn.errand {
            Some(_) => self.run_errand(conn, io),
            None => self.run(conn, io),
        };
        self.max_pending = self.max_pending.max(io.pending());
        flow
    }

    fn close(&mut self, conn: KitConn, why: Closed, io: &mut Io<'_, Letter>) {
        self.closed += 1;
        assert!(self.open.remove(&conn.number).is_some(), "closed twice");
        self.log.push(format!("{} closed: {why}", conn.number));
        if let (Some((from, _)), true) = (conn.errand, why != Closed::Finished) {
            let text = format!("dial failed: {why}").into_bytes();
            io.post(from, Letter::Answer(text)).expect("room in the ring");
        }
    }

    fn mail(&mut self, mail: Letter, turn: &mut Turn<'_, Letter>) {
        match mail {
            Letter::Ask { from, text } => {
                turn.post(from, Letter::Answer(text)).expect("room in the ring");
            }
            Letter::Answer(_) => panic!("an answer to a lane"),
        }
    }

    fn turn(&mut self, turn: &mut Turn<'_, Letter>) {
        for (from, target, text) in std::mem::take(&mut self.dials) {
            let tag = self.dialed.len() as u64;
            self.dialed.push((from, text));
            turn.connect(Target::Ip(self.targets[target]), tag).expect("few are dialed");
        }
        for key in self.nudges.drain(..) {
            turn.nudge(key);
            turn.nudge(key);
        }
        if !self.hold_gates {
            // One turn late, so that the output does have to wait.
            turn.open_gates(self.gate_due);
            self.gate_due = self.gate_last;
            if self.gate_due > turn.gates_open() {
                turn.wake_at(turn.now());
            }
        }
    }
}

impl Kit {
    /// One that can dial these addresses.
    pub(crate) fn dialing(targets: Vec<SocketAddr>) -> Kit {
        Kit { targets, ..Kit::default() }
    }

    /// An outbound connection: asks, and takes the answer home.
    fn run_errand(&mut self, conn: &mut KitConn, io: &mut Io<'_, Letter>) -> Flow {
        let Some((from, text)) = &conn.errand else { return Flow::Read };
        if io.sent() + io.pending() == 0 {
            io.out().put(text);
            io.out().put(b"\n");
        }
        let Some(end) = io.input().iter().position(|byte| *byte == b'\n') else {
            return if conn.eof { Flow::Abort } else { Flow::Read };
        };
        let answer = io.input()[..end].to_vec();
        io.consume(end + 1);
        io.post(*from, Letter::Answer(answer)).expect("room in the ring");
        Flow::Finish
    }

    fn run(&mut self, conn: &mut KitConn, io: &mut Io<'_, Letter>) -> Flow {
        loop {
            match conn.state {
                State::Ready => {}
                State::Producing { ref mut at, ref mut left } => {
                    produce(at, left, io);
                    if *left > 0 {
                        return Flow::Read;
                    }
                    io.out().put(b"\n");
                    conn.state = State::Ready;
                }
                // Paused, not read from, until what is awaited comes.
                _ => return Flow::Pause,
            }
            if io.is_full() {
                return Flow::Read;
            }
            let Some(end) = io.input().iter().position(|byte| *byte == b'\n') else {
                return match (conn.eof, conn.stopping && io.input().is_empty() && io.received() > 0)
                {
                    (true, _) => {
                        io.out().put(b"bye\n");
                        Flow::Finish
                    }
                    (_, true) => Flow::Finish,
                    _ => Flow::Read,
                };
            };
            let line = String::from_utf8_lossy(&io.input()[..end]).into_owned();
            io.consume(end + 1);
            if let Some(flow) = self.execute(&line, conn, io) {
                return flow;
            }
            // The lane steps again with what is left: one command per step.
            if matches!(conn.state, State::Ready) && !io.input().is_empty() {
                return Flow::Read;
            }
        }
    }

    /// Begins a command. A flow ends the step.
    fn execute(&mut self, line: &str, conn: &mut KitConn, io: &mut Io<'_, Letter>) -> Option<Flow> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = || rest.parse::<u64>().expect("a number");
        match word {
            "say" => self.say(rest, io),
            "yield" => {
                io.out().put(b"yielded\n");
                return Some(Flow::Yield);
            }
            "sleep" => {
                let until = io.now() + Nanos::from_millis(number());
                // Set far off, then moved: nearer here, and taken back first every other time.
                io.deadline(until + Nanos::from_secs(3));
                if until.0.is_multiple_of(2) {
                    io.no_deadline();
                }
                io.deadline(until);
                conn.state = State::Sleeping(until);
            }
            "ask" => {
                let (lane, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let lane = lane.parse::<usize>().expect("a lane") % io.lanes();
                let letter = Letter::Ask { from: io.id(), text: text.into() };
                io.send(lane as LaneId, letter).expect("room in the ring");
                conn.state = State::AwaitingAnswer;
            }
            "dial" => {
                let (target, text) = rest.split_once(' ').unwrap_or((rest, ""));
                self.dials.push((io.id(), target.parse().expect("a target"), text.into()));
                conn.state = State::AwaitingAnswer;
            }
            "gate" => {
                self.gate_last += 1;
                io.out().push(Chunk::Gate(self.gate_last));
                self.say(rest, io);
            }
            "mark" => {
                io.out().put(rest.as_bytes());
                conn.state = State::AwaitingSent(io.out().mark());
            }
            "nudge" => {
                // Also from a step that comes after the protocol's stage of this turn.
                io.waker().wake_by_ref();
                self.nudges.push(io.id().key);
                conn.state = State::AwaitingNudge;
            }
            "produce" => conn.state = State::Producing { at: 0, left: number() },
            "static" => io.out().push(Chunk::Static(&STATIC[..number() as usize])),
            "shared" => {
                let bytes = vec![b'h'; number() as usize];
                io.out().push(Chunk::Shared(Shared::from(bytes)));
            }
            "file" | "short" | "stat" | "list" | "read" => file(word, rest, io),
            "quit" => return Some(Flow::Finish),
            "linger" => {
                io.out().put(b"enough\n");
                return Some(Flow::Linger);
            }
            "abort" => return Some(Flow::Abort),
            "panic" => panic!("told to"),
            other => panic!("unknown command {other:?}"),
        }
        None
    }

    fn say(&mut self, text: &str, io: &mut Io<'_, Letter>) {
        io.out().put(text.as_bytes());
        io.out().put(b"\n");
    }
}

fn produce(at: &mut u64, left: &mut u64, io: &mut Io<'_, Letter>) {
    while *left > 0 && !io.is_full() {
        let n = (*left).min(1000);
        let piece: Vec<u8> = (*at..*at + n).map(|n| b'0' + (n % 10) as u8).collect();
        io.out().put(&piece);
        *at += n;
        *left -= n;
    }
}

fn file(word: &str, path: &str, io: &mut Io<'_, Letter>) {
    let path = Path::new(path);
    let answer = match word {
        "stat" => io.files().stat(0, path).map(|meta| format!("{:?} {}\n", meta.kind, meta.len)),
        "list" => io.files().list(0, path, 2).map(|names| format!("{}\n", names.join(","))),
        "read" => io.files().open(0, path).and_then(|(file, _)| {
            let mut piece = [0; 10];
            let n = io.files().read(&file, 3, &mut piece)?;
            Ok(format!("{}\n", String::from_utf8_lossy(&piece[..n])))
        }),
        _ => io.files().open(0, path).map(|(file, meta)| {
            let len = if word == "short" { meta.len + 10 } else { meta.len };
            io.out().put(format!("{len}:").as_bytes());
            io.out().push(Chunk::File { file: file.clone(), offset: 0, len });
            // A second range of the same file, behind the first.
            io.out().push(Chunk::File { file, offset: 2, len: 3 });
            "\n".to_owned()
        }),
    };
    let answer = answer.unwrap_or_else(|error| format!("{:?}\n", error.kind()));
    io.out().put(answer.as_bytes());
}

/// What the client must receive if nothing is lost: the naive model.
pub(crate) fn model(commands: &[String]) -> Vec<u8> {
    let mut expected = Vec::new();
    for line in commands {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "say" | "gate" => expected.extend_from_slice(format!("{rest}\n").as_bytes()),
            "yield" => expected.extend_from_slice(b"yielded\n"),
            "sleep" => expected.extend_from_slice(b"woke\n"),
            "nudge" => expected.extend_from_slice(b"nudged\n"),
            "ask" => {
                let text = rest.split_once(' ').map_or("", |(_, text)| text);
                expected.extend_from_slice(format!("{text}\n").as_bytes());
            }
            "dial" => {
                let (target, text) = rest.split_once(' ').unwrap();
                let answer = match target {
                    "0" => format!("far {text}\n"),
                    _ => "dial failed: connect_failed: connection refused\n".to_owned(),
                };
                expected.extend_from_slice(answer.as_bytes());
            }
            "mark" => expected.extend_from_slice(format!("{rest}sent\n").as_bytes()),
            "produce" => {
                let n: u64 = rest.parse().unwrap();
                expected.extend((0..n).map(|n| b'0' + (n % 10) as u8));
                expected.push(b'\n');
            }
            "static" => expected.extend_from_slice(&STATIC[..rest.parse().unwrap()]),
            "shared" => expected.extend(std::iter::repeat_n(b'h', rest.parse().unwrap())),
            "file" => {
                let contents = file_contents();
                expected.extend_from_slice(format!("{}:", contents.len()).as_bytes());
                expected.extend_from_slice(&contents);
                expected.extend_from_slice(&contents[2..5]);
                expected.push(b'\n');
            }
            "read" => expected.extend_from_slice(b"defghijklm\n"),
            "quit" => return expected,
            "linger" => {
                expected.extend_from_slice(b"enough\n");
                return expected;
            }
            other => panic!("the model does not know {other:?}"),
        }
    }
    expected.extend_from_slice(b"bye\n");
    expected
}
