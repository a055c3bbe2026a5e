//! Scenarios with protocols of their own: what a lane promises beside bytes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use corelane_eventloop::{
    Admit, Chunk, Closed, ConnId, End, Event, Faults, Flow, Hosted, Io, Lane, LaneConfig,
    ListenOptions, Mark, Nanos, Origin, Protocol, Target, Verdict,
};
use corelane_mempool::{Budget, Pool, PoolConfig};

use crate::acts::Acts;
use crate::commands::{Transcript, lines};
use crate::flip::{Flip, flipped};
use crate::kit::{Kit, model};
use crate::rig::{Rig, SimRig};
use crate::stage::Stage;

/// Mail arrives in the order in which it was sent; what does not fit comes back.
pub(crate) fn mail_is_ordered_and_bounded<R: Rig>() -> Transcript {
    let step = |_: &mut Vec<u64>, _, _, io: &mut Io<'_, u64>| {
        for byte in io.input() {
            let lane = u16::from(*byte - b'0');
            let refused: Vec<u64> =
                (0..10).filter_map(|n| io.send(lane, n).err()).map(|full| full.0).collect();
            io.out().put(format!("{refused:?}\n").as_bytes());
        }
        io.consume(io.input().len());
        Flow::Read
    };
    let config = LaneConfig { turn_mail: 3, ..LaneConfig::default() };
    let mut stage = Stage::<R, Acts<Vec<u64>>>::several(2, 8, config, |_| {
        let mut acts = Acts::new(step);
        acts.on_mail = |got, mail, _| got.push(mail);
        acts
    });
    let client = stage.client(b"0");
    stage.expect(client, "[8, 9]\n");
    stage.rig.send(client, b"1");
    stage.expect(client, "[8, 9]\n[8, 9]\n");
    stage.rig.send(client, b"7");
    stage.until("a lane that does not exist", |stage| stage.text(client).len() > 20);
    for lane in 0..2 {
        stage.until("all mail", |stage| stage.lanes[lane].stats().mail_in == 8);
        assert_eq!(stage.lanes[lane].protocol().state, (0..8).collect::<Vec<_>>());
    }
    assert_eq!((stage.stats().mail_out, stage.stats().mail_refused), (16, 14));
    vec![stage.text(client)]
}

/// Mail to a connection that is gone is dropped and counted, and does not reach the one that took its
/// place.
pub(crate) fn mail_to_the_gone<R: Rig>() -> Transcript {
    let step = |first: &mut Option<ConnId>, number, event, io: &mut Io<'_, u64>| {
        let first = *first.get_or_insert(io.id());
        match event {
            Event::Bytes if number == 0 => return Flow::Finish,
            Event::Bytes => {
                io.post(first, 1).unwrap();
                io.post(io.id(), 2).unwrap();
                io.consume(io.input().len());
            }
            Event::Mail(mail) => {
                io.out().put(format!("mail {mail}").as_bytes());
                return Flow::Finish;
            }
            _ => {}
        }
        Flow::Read
    };
    let mut stage = Stage::<R, Acts<Option<ConnId>>>::one(Acts::new(step));
    let first = stage.client(b"x");
    stage.outcome(first);
    stage.until("its place is free", |stage| stage.lanes[0].is_empty());
    let second = stage.client(b"x");
    let outcome = stage.outcome(second);
    assert_eq!(outcome.0, "mail 2");
    assert_eq!((stage.stats().mail_stale, stage.stats().mail_in), (1, 2));
    vec![outcome.0]
}

#[derive(Default)]
struct Alarm {
    asked: Option<Nanos>,
    rang: Option<Nanos>,
}

/// A wake asked for while mail is handled is kept until its time.
pub(crate) fn wake_asked_for_by_mail<R: Rig>() -> Transcript {
    let step = |_: &mut Alarm, _, event, io: &mut Io<'_, u64>| {
        if matches!(event, Event::Opened) {
            io.send(0, 1).unwrap();
            io.out().push(Chunk::Gate(1));
            io.out().put(b"rang");
        }
        Flow::Read
    };
    let mut acts = Acts::new(step);
    acts.on_mail = |alarm: &mut Alarm, _, turn| {
        alarm.asked = Some(turn.now());
        turn.wake_at(turn.now() + Nanos::from_millis(20));
    };
    acts.on_turn = |alarm, turn| {
        if alarm.rang.is_none()
            && alarm.asked.is_some_and(|at| turn.now() >= at + Nanos::from_millis(20))
        {
            alarm.rang = Some(turn.now());
            turn.open_gates(1);
        }
    };
    let mut stage = Stage::<R, Acts<Alarm>>::one(acts);
    let client = stage.client(b"");
    stage.expect(client, "rang");
    let Alarm { asked, rang } = &stage.protocol().state;
    let waited = rang.unwrap().since(asked.unwrap());
    // Real time may take longer for reasons of its own.
    assert!(!R::VIRTUAL || waited == Nanos::from_millis(20), "{waited:?}");
    vec![stage.text(client)]
}

#[derive(Default)]
struct Marks {
    set: Vec<Mark>,
    reached: Vec<Mark>,
}

/// Marks are reported in order, not before the bytes before them have left, and all of them.
pub(crate) fn marks_are_reached_in_order<R: Rig>() -> Transcript {
    const PIECE: usize = 100_000;
    let step = |marks: &mut Marks, _, event, io: &mut Io<'_, u64>| {
        match event {
            Event::Opened => {
                for _ in 0..100 {
                    io.out().put(&[b'm'; PIECE]);
                    let mark = io.out().mark();
                    marks.set.push(mark);
                }
            }
            Event::Sent(mark) => {
                assert!(io.sent() >= mark.0);
                marks.reached.push(mark);
                if Some(&mark) == marks.set.last() {
                    return Flow::Finish;
                }
            }
            _ => {}
        }
        Flow::Read
    };
    let config = LaneConfig { turn_bytes: 40_000, ..LaneConfig::default() };
    let mut stage = Stage::<R, Acts<Marks>>::configured(Acts::new(step), config);
    let client = stage.client(b"");
    stage.rig.set_reading(client, false);
    stage.during(Nanos::from_millis(20));
    stage.rig.set_reading(client, true);
    let (text, end) = stage.outcome(client);
    assert_eq!((text.len(), end), (100 * PIECE, End::Closed));
    let marks = &stage.protocol().state;
    assert!(marks.reached.is_sorted_by(|a, b| a < b), "{:?}", marks.reached);
    assert!(marks.reached.len() > 1, "they left one after the other");
    assert_eq!(marks.reached.last(), marks.set.last());
    vec![stage.protocol().log.join("\n")]
}

/// Room that is asked for and not used costs nothing and stops nothing.
pub(crate) fn room_without_commit<R: Rig>() -> Transcript {
    let step = |_: &mut (), _, event, io: &mut Io<'_, u64>| {
        match event {
            Event::Opened => assert!(io.out().room(100).len() >= 100),
            Event::Bytes => {
                let input = io.input();
                io.out().room(10)[0] = input[0];
                io.out().commit(1);
                io.consume(1);
            }
            _ => {}
        }
        Flow::Read
    };
    let mut stage = Stage::<R, Acts<()>>::one(Acts::new(step));
    let client = stage.client(b"");
    stage.until("it is open", |stage| stage.lanes[0].len() == 1);
    stage.turn();
    assert_eq!(stage.lanes[0].pool().stats().lent_bytes, 0);
    stage.rig.send(client, b"abc");
    stage.expect(client, "abc");
    vec![]
}

/// Whoever yields is not stepped with input again before the next turn, not even after an event that
/// asks for more.
pub(crate) fn yield_lasts_for_the_turn<R: Rig>() -> Transcript {
    let step = |order: &mut String, _, event, io: &mut Io<'_, u64>| {
        let Event::Bytes = event else { return Flow::Read };
        order.push('b');
        let input = io.input();
        io.out().put(&input[..1]);
        io.consume(1);
        io.out().mark();
        if io.input().is_empty() { Flow::Read } else { Flow::Yield }
    };
    let mut acts = Acts::new(step);
    acts.on_turn = |order: &mut String, _| order.push('|');
    let mut stage = Stage::<R, Acts<String>>::one(acts);
    let client = stage.client(b"abcde");
    stage.expect(client, "abcde");
    let order = &stage.protocol().state;
    assert_eq!(order.matches('b').count(), 5);
    assert!(!order.contains("bb"), "stepped twice in a turn: {order}");
    vec![]
}

/// Stopping: everyone is told, work in flight ends, the deadline cuts the rest, and nobody new comes.
pub(crate) fn stop_drains<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let idle = stage.client(b"say idle\n");
    let busy = stage.client(b"sleep 30\nsay done\n");
    let stuck = stage.client(b"say stuck\nsleep 5000\n");
    stage.expect(idle, "idle\n");
    stage.expect(stuck, "stuck\n");
    // In the listener's queue when the lane stops.
    let queued = stage.client(b"say queued\n");
    stage.rig.arrive(queued);
    let handle = stage.lanes[0].handle();
    handle.stop(Nanos::from_millis(200));
    let mut transcript = Vec::new();
    for (client, text) in [(idle, "idle\n"), (queued, "queued\n"), (busy, "woke\ndone\n")] {
        assert_eq!(stage.outcome(client), (text.to_owned(), End::Closed));
    }
    let late = stage.client(b"say late\n");
    assert_eq!(stage.outcome(late), (String::new(), End::Reset));
    transcript.push(stage.outcome(stuck).0);
    stage.until("the lane is finished", |stage| stage.lanes[0].is_finished());
    transcript.extend(stage.protocol().log.clone());
    transcript
}

#[derive(Default)]
struct Dialing {
    target: Option<SocketAddr>,
    events: Vec<String>,
}

/// A connection that finishes in its first step is not stepped again, not even by a stop.
pub(crate) fn no_step_after_the_end<R: Rig>() -> Transcript {
    let step = |dialing: &mut Dialing, number, event, io: &mut Io<'_, u64>| {
        dialing.events.push(format!("{number} {event:?}"));
        match (io.origin(), event) {
            (Origin::Connected(_), Event::Opened) => Flow::Finish,
            (Origin::Accepted(_), Event::Stopping) => Flow::Finish,
            _ => Flow::Read,
        }
    };
    let mut acts = Acts::new(step);
    acts.on_turn = |dialing, turn| {
        if let Some(target) = dialing.target.take() {
            turn.connect(Target::Ip(target), 0).unwrap();
        }
    };
    let mut stage = Stage::<R, Acts<Dialing>>::one(acts);
    let client = stage.client(b"");
    stage.until("it is open", |stage| stage.lanes[0].len() == 1);
    let target = stage.rig.serve();
    stage.protocol().state.target = Some(target);
    stage.until("it dials", |stage| stage.lanes[0].len() == 2);
    stage.lanes[0].handle().stop(Nanos::from_secs(1));
    stage.until("the lane is finished", |stage| stage.lanes[0].is_finished());
    stage.outcome(client);
    // Whether it opens before the others are told of the stop or after is up to the network.
    let events = &mut stage.protocol().state.events;
    events.sort();
    assert_eq!(*events, ["0 Opened", "0 Stopping", "1 Opened"]);
    stage.protocol().log.clone()
}

/// What is to be skipped is dropped to the byte, and what follows is seen; whether the peer ends within
/// it is seen, too. The connection is made from an address that is asked for.
pub(crate) fn skipped_input_is_not_seen<R: Rig>() -> Transcript {
    /// Skips `LENGTH` bytes, then takes a line.
    const LENGTH: usize = 300_000;
    let step = |dialing: &mut Dialing, number, event, io: &mut Io<'_, u64>| match event {
        Event::Opened => {
            io.skip(LENGTH as u64 - 1);
            io.skip(1);
            Flow::Read
        }
        Event::Eof => {
            let kind = if io.received() < LENGTH as u64 { "within" } else { "behind" };
            dialing.events.push(format!("{number} ends {kind}, left {}", io.input().len()));
            Flow::Finish
        }
        _ => {
            assert!(io.received() >= LENGTH as u64, "{} bytes", io.received());
            if let Some(end) = io.input().iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&io.input()[..end]).into_owned();
                io.consume(end + 1);
                dialing.events.push(format!("{number} reads {line}"));
            }
            Flow::Read
        }
    };
    let mut acts = Acts::new(step);
    acts.on_turn = |dialing, turn| {
        if let Some(to) = dialing.target.take() {
            turn.connect(Target::From { source: to.ip(), to }, 0).unwrap();
        }
    };
    let mut stage = Stage::<R, Acts<Dialing>>::one(acts);
    let target = stage.rig.serve();
    let body = vec![b'\n'; LENGTH];
    for sent in [[&body[..], b"after\n"].concat(), body[..LENGTH / 2].to_vec()] {
        stage.protocol().state.target = Some(target);
        stage.until("it dials", |stage| stage.lanes[0].len() == 1);
        let mut far = None;
        stage.until("it is accepted", |stage| {
            far = far.or_else(|| stage.rig.accept(target));
            far.is_some()
        });
        let far = far.unwrap();
        stage.rig.send(far, &sent);
        stage.rig.finish(far);
        stage.until("it is closed", |stage| stage.lanes[0].is_empty());
    }
    let events = &stage.protocol().state.events;
    assert_eq!(*events, ["0 reads after", "0 ends behind, left 0", "1 ends within, left 0"]);
    stage.protocol().log.clone()
}

#[derive(Default)]
struct Tally {
    taken: AtomicI64,
    released: AtomicI64,
    cancelled: AtomicI64,
}

struct AtMost {
    open: usize,
    then: Verdict,
    tally: Arc<Tally>,
}

impl Admit for AtMost {
    fn admit(&mut self, _: Nanos, open: usize) -> Verdict {
        if open >= self.open {
            return self.then;
        }
        self.tally.taken.fetch_add(1, Ordering::Relaxed);
        Verdict::Take
    }
    fn cancel(&mut self) {
        self.tally.cancelled.fetch_add(1, Ordering::Relaxed);
    }
    fn release(&mut self) {
        self.tally.released.fetch_add(1, Ordering::Relaxed);
    }
    fn failed(&mut self, _: Nanos, _: &std::io::Error) -> Option<Nanos> {
        None
    }
}

fn admitting<R: Rig>(open: usize, then: Verdict) -> (Stage<R, Kit>, Arc<Tally>) {
    let tally = Arc::new(Tally::default());
    let stage = Stage::on(
        R::new(),
        1,
        ListenOptions::default(),
        |_, post| {
            let admit = AtMost { open, then, tally: tally.clone() };
            Lane::new(Kit::default(), LaneConfig::default(), post).with_admit(Box::new(admit))
        },
        64,
    );
    (stage, tally)
}

/// Every place taken is given back exactly once: by a close, a refusal, or an empty queue.
fn check_balance<R: Rig>(stage: &mut Stage<R, Kit>, tally: &Tally) {
    stage.until("the lane is empty", |stage| stage.lanes[0].is_empty());
    let [taken, released, cancelled] =
        [&tally.taken, &tally.released, &tally.cancelled].map(|n| n.load(Ordering::Relaxed));
    assert_eq!(taken, released + cancelled);
    let stats = stage.stats();
    assert_eq!(released as u64, stats.closed_total() + u64::from(stage.protocol().refuse));
}

/// Clients for whom there is no room learn it at once.
pub(crate) fn admission_sheds<R: Rig>() -> Transcript {
    let (mut stage, tally) = admitting::<R>(2, Verdict::Shed);
    let taken = [stage.client(b"say one\n"), stage.client(b"say two\n")];
    stage.expect(taken[0], "one\n");
    stage.expect(taken[1], "two\n");
    let shed = stage.client(b"");
    assert_eq!(stage.outcome(shed), (String::new(), End::Reset));
    assert_eq!(stage.stats().refused, 1);
    for client in taken {
        stage.rig.finish(client);
        stage.outcome(client);
    }
    stage.until("room", |stage| stage.lanes[0].is_empty());
    stage.protocol().refuse = true;
    let refused = stage.client(b"");
    assert_eq!(stage.outcome(refused).1, End::Reset);
    check_balance(&mut stage, &tally);
    stage.protocol().log.clone()
}

/// Or they wait in the queue until a connection closes, or until the time that admission named.
pub(crate) fn admission_pauses<R: Rig>() -> Transcript {
    let (mut stage, tally) = admitting::<R>(1, Verdict::PauseUntil(Nanos::MAX));
    let first = stage.client(b"say one\n");
    stage.expect(first, "one\n");
    let second = stage.client(b"say two\nquit\n");
    stage.during(Nanos::from_millis(20));
    assert_eq!(stage.text(second), "");
    stage.rig.finish(first);
    assert_eq!(stage.outcome(first).0, "one\nbye\n");
    assert_eq!(stage.outcome(second).0, "two\n");
    check_balance(&mut stage, &tally);
    stage.protocol().log.clone()
}

/// Encodes to half: every second byte is left out.
struct Halve(Kit);

impl Protocol for Halve {
    type Conn = Hosted<<Kit as Protocol>::Conn>;
    type Mail = <Kit as Protocol>::Mail;

    fn open(&mut self, io: &mut Io<'_, Self::Mail>) -> Option<Self::Conn> {
        Hosted::open(&mut self.0, io)
    }
    fn step(
        &mut self,
        conn: &mut Self::Conn,
        event: Event<Self::Mail>,
        io: &mut Io<'_, Self::Mail>,
    ) -> Flow {
        let plain = io.input();
        io.consume(plain.len());
        let mut at = 0;
        conn.step(&mut self.0, event, plain, io, |bytes, out| {
            let kept = bytes.iter().skip(at % 2).step_by(2).copied().collect::<Vec<_>>();
            at += bytes.len();
            out.put(&kept);
        })
    }
    fn close(&mut self, conn: Self::Conn, why: Closed, io: &mut Io<'_, Self::Mail>) {
        conn.close(&mut self.0, why, io);
    }
}

/// An inner protocol that is full goes on even if so little is left of its output that the lane never
/// was.
pub(crate) fn hosted_output_may_shrink<R: Rig>() -> Transcript {
    let config = LaneConfig { high: 2_000, low: 500, ..LaneConfig::default() };
    let mut stage = Stage::<R, Halve>::configured(Halve(Kit::default()), config);
    let commands = lines(&["produce 50000", "produce 2999", "produce 2999", "say end", "quit"]);
    let client = stage.client(format!("{}\n", commands.join("\n")).as_bytes());
    let (text, end) = stage.outcome(client);
    let most = model(&commands).len() / 2;
    assert!(text.len().abs_diff(most) < 100, "{} of {most} bytes", text.len());
    assert_eq!(end, End::Closed);
    vec![format!("{}", text.len())]
}

/// What an inner protocol leaves unconsumed is limited as it is for an outer one.
pub(crate) fn hosted_input_is_limited<R: Rig>() -> Transcript {
    let config = LaneConfig { input: 4096, page: 1024, ..LaneConfig::default() };
    let mut stage = Stage::<R, Flip<Kit>>::configured(Flip(Kit::default()), config);
    let client = stage.client(&flipped(&[b'x'; 100_000]));
    stage.outcome(client);
    assert!(stage.stats().bytes_in < 10_000, "{} bytes were read", stage.stats().bytes_in);
    let mut transcript = stage.protocol().0.log.clone();

    let budget = Budget::new(1024);
    let pool = Pool::new(PoolConfig { budget, ..PoolConfig::default() });
    let pool = Mutex::new(Some(pool));
    let mut stage = Stage::<R, Flip<Kit>>::on(
        R::new(),
        1,
        ListenOptions::default(),
        |_, post| {
            Lane::new(Flip(Kit::default()), LaneConfig::default(), post)
                .with_pool(pool.lock().unwrap().take().unwrap())
        },
        64,
    );
    let client = stage.client(&flipped(&[b'x'; 10_000]));
    stage.outcome(client);
    transcript.extend(stage.protocol().0.log.clone());
    transcript
}

/// An event for a connection that is gone is recognized, though another has taken its place. Only the
/// simulated network can be told to report such.
#[test]
fn stale_events() {
    let rig = SimRig::with(3, Faults { spurious: 1000, ..Faults::NONE });
    let mut stage = Stage::<SimRig, Kit>::on(
        rig,
        1,
        ListenOptions::default(),
        |_, post| Lane::new(Kit::default(), LaneConfig::default(), post),
        64,
    );
    let first = stage.client(b"quit\n");
    stage.outcome(first);
    let second = stage.client(b"say here\n");
    stage.expect(second, "here\n");
    let before = *stage.stats();
    stage.protocol().steps = 0;
    for _ in 0..50 {
        stage.turn();
    }
    assert_eq!(stage.stats().stale_events - before.stale_events, 50);
    assert_eq!(stage.stats().receives - before.receives, 50, "those for the live one");
    assert_eq!(stage.protocol().steps, 0);
}
