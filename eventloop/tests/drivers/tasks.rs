//! A protocol that answers with futures: each line of a client is a task, and its answer comes when the
//! task is done. Real and simulated must agree on the answers, their order, and what is left behind.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use corelane_eventloop::{
    Closed, ConnId, Driver, End, Event, Faults, Flow, Io, Lane, LaneConfig, ListenOptions, Local,
    Mio, Nanos, Post, Protocol, TaskId, Tasks, ThreadPool, Turn,
};
use futures_channel::oneshot;

use crate::rig::{Rig, SimRig};
use crate::stage::Stage;
use crate::sweep::{Chance, for_seeds};

type Errand = Pin<Box<dyn Future<Output = String>>>;

/// A lane's errands, and whose they are.
pub(crate) struct Errands {
    pool: ThreadPool,
    /// Made when the first connection comes, as the lane's waker is needed for it.
    tasks: Option<Tasks<String>>,
    owners: BTreeMap<TaskId, ConnId>,
    /// What `wait` waits for, by name.
    awaited: Rc<RefCell<BTreeMap<String, oneshot::Sender<()>>>>,
    /// Futures that were dropped before they were done.
    dropped: Rc<Cell<usize>>,
}

#[derive(Default)]
pub(crate) struct Client {
    running: Vec<TaskId>,
    /// Dropped when the connection closes.
    holds: Vec<oneshot::Sender<()>>,
    eof: bool,
}

#[derive(Debug)]
pub(crate) struct Answer(TaskId, String);

/// Counts that a future was dropped, unless it got to its end.
struct Unfinished(Rc<Cell<usize>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

impl Errands {
    fn new(pool: ThreadPool) -> Errands {
        Errands {
            pool,
            tasks: None,
            owners: BTreeMap::new(),
            awaited: Rc::default(),
            dropped: Rc::default(),
        }
    }

    fn errand(&mut self, line: &str, local: Local, client: &mut Client) -> Errand {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (number, text) = rest.split_once(' ').unwrap_or((rest, rest));
        let number = Nanos::from_millis(number.parse().unwrap_or(0));
        let text = text.to_owned();
        let awaited = self.awaited.clone();
        match word {
            "say" => Box::pin(async { text }),
            "sleep" => Box::pin(async move {
                let began = local.now();
                local.sleep(number).await;
                assert!(local.now() >= began + number, "woke early");
                text
            }),
            "hurry" => Box::pin(async move {
                let slow = local.sleep(Nanos::from_secs(1000));
                match local.timeout(number, slow).await {
                    Ok(()) => unreachable!("a thousand seconds"),
                    Err(elapsed) => format!("{text}: {elapsed}"),
                }
            }),
            "yield" => Box::pin(async move {
                local.yield_now().await;
                text
            }),
            "wait" => Box::pin(async move {
                let (sender, receiver) = oneshot::channel();
                awaited.borrow_mut().insert(text.clone(), sender);
                match receiver.await {
                    Ok(()) => format!("{text} came"),
                    Err(oneshot::Canceled) => format!("{text} left"),
                }
            }),
            "wake" => Box::pin(async move {
                let sender = awaited.borrow_mut().remove(&text).expect("somebody waits");
                sender.send(()).expect("and still does");
                format!("woke {text}")
            }),
            "hold" => {
                client.holds.extend(awaited.borrow_mut().remove(&text));
                Box::pin(async move { format!("holds {text}") })
            }
            "job" => {
                let job = self.pool.run(move || (1..=number.as_millis()).sum::<u64>());
                Box::pin(async move { format!("{:?}", job.await) })
            }
            "thread" => Box::pin(async move {
                let (sender, receiver) = oneshot::channel();
                let thread = thread::spawn(move || sender.send(text));
                let text = receiver.await.expect("the thread sends");
                thread.join().expect("it does not panic").expect("somebody waits");
                text
            }),
            _ => Box::pin(async { panic!("told to") }),
        }
    }

    fn begin(&mut self, line: &str, client: &mut Client, io: &mut Io<'_, Answer>) {
        let tasks = self.tasks.get_or_insert_with(|| Tasks::new(1000, io.waker()).with_budget(8));
        let local = tasks.local().clone();
        let (errand, unfinished) = (self.errand(line, local, client), self.dropped.clone());
        let Some(tasks) = &mut self.tasks else { return };
        let spawned = tasks.spawn(async move {
            let unfinished = Unfinished(unfinished);
            let text = errand.await;
            std::mem::forget(unfinished);
            text
        });
        let id = spawned.ok().expect("few tasks");
        match tasks.poll(id, io.now()) {
            Some(result) => say(&text(result), io),
            None => {
                client.running.push(id);
                self.owners.insert(id, io.id());
            }
        }
    }

    fn running(&self) -> (usize, Nanos) {
        self.tasks.as_ref().map_or((0, Nanos::MAX), |tasks| (tasks.len(), tasks.next_wake()))
    }
}

fn text(result: Result<String, corelane_eventloop::Panicked>) -> String {
    result.unwrap_or_else(|panicked| panicked.to_string())
}

fn say(text: &str, io: &mut Io<'_, Answer>) {
    io.out().put(text.as_bytes());
    io.out().put(b"\n");
}

impl Protocol for Errands {
    type Conn = Client;
    type Mail = Answer;

    fn open(&mut self, _: &mut Io<'_, Answer>) -> Option<Client> {
        Some(Client::default())
    }

    fn step(&mut self, client: &mut Client, event: Event<Answer>, io: &mut Io<'_, Answer>) -> Flow {
        match event {
            Event::Mail(Answer(id, text)) => {
                client.running.retain(|running| *running != id);
                say(&text, io);
            }
            Event::Eof => client.eof = true,
            _ => {}
        }
        while let Some(end) = io.input().iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&io.input()[..end]).into_owned();
            io.consume(end + 1);
            self.begin(&line, client, io);
        }
        if client.eof && client.running.is_empty() { Flow::Finish } else { Flow::Read }
    }

    fn close(&mut self, client: Client, _: Closed, _: &mut Io<'_, Answer>) {
        for id in client.running {
            self.owners.remove(&id);
            if let Some(tasks) = &mut self.tasks {
                // Or done, with its answer on the way.
                tasks.cancel(id).expect("no destructor panics");
            }
        }
    }

    fn turn(&mut self, turn: &mut Turn<'_, Answer>) {
        let Some(tasks) = &mut self.tasks else { return };
        tasks.run(turn.now(), |id, result| {
            if let Some(owner) = self.owners.remove(&id) {
                turn.post(owner, Answer(id, text(result))).expect("room for mail");
            }
        });
        turn.wake_at(tasks.next_wake());
    }
}

fn stage<R: Rig>() -> Stage<R, Errands> {
    let pool =
        if R::VIRTUAL { ThreadPool::inline() } else { ThreadPool::new("jobs", 2, 100).unwrap() };
    let mut protocol = Some(Errands::new(pool));
    Stage::several(1, 1000, LaneConfig::default(), |_| protocol.take().unwrap())
}

/// What a client gets that sends this and waits for the end.
fn answers<R: Rig>(script: &[u8]) -> (String, End) {
    let mut stage = stage::<R>();
    let client = stage.client(script);
    stage.rig.finish(client);
    let outcome = stage.outcome(client);
    stage.until("nothing runs", |stage| stage.protocol().running() == (0, Nanos::MAX));
    outcome
}

pub(crate) fn tasks_finish_out_of_order<R: Rig>() -> (String, End) {
    let script = b"sleep 90 d\nsleep 50 c\nyield b\nsay a\nhurry 130 e\nsleep 0 a2\n";
    let outcome = answers::<R>(script);
    assert_eq!(outcome.0, "a\na2\nb\nc\nd\ne: the time given is over\n");
    outcome
}

pub(crate) fn tasks_wake_each_other<R: Rig>() -> (String, End) {
    let outcome = answers::<R>(b"wait x\nwait y\nwake y\nwake x\nsay z\n");
    assert_eq!(outcome.0, "woke y\nwoke x\nz\ny came\nx came\n");
    outcome
}

pub(crate) fn a_panic_in_a_task<R: Rig>() -> (String, End) {
    let outcome = answers::<R>(b"sleep 20 on\npanic\nsay after\n");
    assert_eq!(outcome.0, "panicked: told to\nafter\non\n");
    outcome
}

/// A connection that closes does so after the lane's tasks have run.
pub(crate) fn a_task_woken_at_the_end_of_a_turn<R: Rig>() -> String {
    let mut stage = stage::<R>();
    let waits = stage.client(b"wait other\nsay waits\n");
    stage.expect(waits, "waits\n");
    let holds = stage.client(b"hold other\n");
    stage.expect(holds, "holds other\n");
    stage.rig.finish(holds);
    stage.expect(waits, "waits\nother left\n");
    stage.text(waits)
}

pub(crate) fn tasks_are_cancelled_on_close<R: Rig>() -> usize {
    let mut stage = stage::<R>();
    let client = stage.client(b"sleep 900000 a\nwait b\nhurry 900000 c\nsay begun\n");
    stage.expect(client, "begun\n");
    assert_eq!(stage.protocol().running().0, 3);
    stage.rig.reset(client);
    stage.until("nothing runs", |stage| stage.protocol().running() == (0, Nanos::MAX));
    let errands = stage.protocol();
    assert!(errands.owners.is_empty());
    errands.dropped.get()
}

/// The budget is 8 polls.
pub(crate) fn more_tasks_than_a_turn_polls<R: Rig>() -> (String, End) {
    let lines: Vec<String> = (0..100).map(|n| format!("yield {n}\n")).collect();
    let outcome = answers::<R>(lines.concat().as_bytes());
    assert_eq!(outcome.0, lines.concat().replace("yield ", ""));
    outcome
}

pub(crate) fn jobs_come_back<R: Rig>() -> Vec<String> {
    let script: String = (1..=50).map(|n| format!("job {n}\n")).collect();
    let (answers, _) = answers::<R>(script.as_bytes());
    let mut lines: Vec<String> = answers.lines().map(str::to_owned).collect();
    lines.sort();
    assert!(lines.contains(&"Ok(1275)".to_owned()));
    lines
}

/// A lane that sleeps without limit is woken by whatever its tasks wait for: another thread, a thread of
/// a pool, a timer, a connection that closes after the tasks have run.
#[test]
fn tasks_wake_a_sleeping_lane() {
    const ROUNDS: usize = 100;
    let post = Post::mesh(1, 100).remove(0);
    let handle = post.handle();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lane = thread::spawn(move || {
        let pool = ThreadPool::new("jobs", 1, 10).unwrap();
        let mut driver = Mio::new().unwrap();
        driver.listen(listener, 0, ListenOptions::default()).unwrap();
        let mut lane = Lane::new(Errands::new(pool), LaneConfig::default(), post);
        driver.run(&mut lane).unwrap();
        lane.protocol().pool.stats().done
    });
    let began = Instant::now();
    let connect = || {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    };
    let ask = |socket: &mut TcpStream, line: &str, answer: &str| {
        socket.write_all(line.as_bytes()).unwrap();
        let mut got = vec![0; answer.len()];
        socket.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), answer);
    };
    let mut client = connect();
    for _ in 0..ROUNDS {
        ask(&mut client, "thread hello\n", "hello\n");
        ask(&mut client, "job 3\n", "Ok(6)\n");
        ask(&mut client, "sleep 1 soon\n", "soon\n");
        ask(&mut client, "wait x\nsay ok\n", "ok\n");
        let mut other = connect();
        ask(&mut other, "hold x\n", "holds x\n");
        other.shutdown(Shutdown::Write).unwrap();
        ask(&mut client, "", "x left\n");
    }
    // A lost wake would be a read that times out; a late one, the test its time.
    assert!(began.elapsed() < Duration::from_secs(20));
    drop(client);
    handle.stop(Nanos::from_secs(5));
    assert_eq!(lane.join().unwrap(), ROUNDS as u64);
}

/// One line of a client, or a pair of them, and what is to come of it in any order.
fn chores(chance: &mut Chance, number: u64) -> Vec<(String, String)> {
    let bits = chance.below(9);
    let span = chance.below(1 << bits);
    let one = |line: String, answer: String| vec![(line, answer)];
    match chance.below(8) {
        0 => one(format!("say {number}"), number.to_string()),
        1 => one(format!("yield {number}"), number.to_string()),
        2 | 3 => one(format!("sleep {span} {number}"), number.to_string()),
        4 => one(format!("hurry {span} {number}"), format!("{number}: the time given is over")),
        5 => one(format!("job {span}"), format!("Ok({})", span * (span + 1) / 2)),
        6 if chance.one_in(10) => one("panic".into(), "panicked: told to".into()),
        _ => vec![
            (format!("wait {number}"), format!("{number} came")),
            (format!("wake {number}"), format!("woke {number}")),
        ],
    }
}

/// Clients with random lines, some of which leave midway. What they received, by client.
fn play_chores(seed: u64, faults: Faults) -> Vec<Vec<u8>> {
    let mut chance = Chance(seed);
    let pool = ThreadPool::inline();
    let mut protocol = Some(Errands::new(pool));
    let lane = |_, post| Lane::new(protocol.take().unwrap(), LaneConfig::default(), post);
    let rig = SimRig::with(seed, faults);
    let mut stage: Stage<SimRig, Errands> = Stage::on(rig, 1, ListenOptions::default(), lane, 1000);
    let mut expected = Vec::new();
    for client in 0..1 + chance.below(6) {
        let lines = 1 + chance.below(20);
        let chores: Vec<_> =
            (0..lines).flat_map(|n| chores(&mut chance, client * 100 + n)).collect();
        let script: String = chores.iter().map(|(line, _)| format!("{line}\n")).collect();
        let client = stage.client(script.as_bytes());
        stage.during(Nanos::from_millis(chance.below(50)));
        let leaves = chance.one_in(4);
        if leaves {
            stage.rig.reset(client);
        } else {
            stage.rig.finish(client);
        }
        expected.push((leaves, chores));
    }
    stage.until("all clients are gone", |stage| {
        (0..expected.len()).all(|client| stage.rig.end(client).is_some())
            && stage.lanes[0].is_empty()
    });
    stage.until("nothing runs", |stage| stage.protocol().running() == (0, Nanos::MAX));
    assert!(stage.protocol().owners.is_empty());
    let received: Vec<_> = (0..expected.len()).map(|client| stage.rig.received(client)).collect();
    for ((leaves, chores), received) in expected.into_iter().zip(&received) {
        let mut answers: Vec<String> = chores.into_iter().map(|(_, answer)| answer).collect();
        let whole = received.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in String::from_utf8_lossy(&received[..whole]).lines() {
            let known = answers.iter().position(|answer| answer == line);
            answers.swap_remove(
                known.unwrap_or_else(|| panic!("{line:?} is no answer, or came twice")),
            );
        }
        let lossless = faults.reset == 0 && !leaves;
        assert!(!lossless || answers.is_empty(), "never came: {answers:?}");
    }
    received
}

/// Nothing is lost that need not be, nothing comes twice, nothing is left behind, and a seed decides
/// everything.
#[test]
fn sweep_tasks() {
    for_seeds(500, "sweep_tasks", |seed| {
        play_chores(seed, Faults::LOSSLESS);
        let lossy = [0, 1].map(|_| play_chores(seed, Faults::ALL));
        assert!(lossy[0] == lossy[1], "not the same twice");
    });
}
