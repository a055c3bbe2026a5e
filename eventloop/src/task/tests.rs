//! The executor by itself, and beside a model written without queues and wheels.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{pending, poll_fn, ready};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::*;

const TICK: Nanos = Nanos(1 << 20);

/// Counts how often the lane was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn tasks<T>(limit: usize) -> Tasks<T> {
    Tasks::new(limit, Waker::noop())
}

/// What a run finished, as text.
fn run<T: std::fmt::Debug>(tasks: &mut Tasks<T>, now: Nanos) -> Vec<String> {
    let mut done = Vec::new();
    tasks.run(now, |_, result| {
        done.push(match result {
            Ok(value) => format!("{value:?}"),
            Err(panicked) => panicked.to_string(),
        });
    });
    done
}

type Place = Rc<RefCell<Option<Waker>>>;

/// Waits for nothing but a wake, and counts its polls. The waker is left in `place`.
fn parked(place: &Place, polls: &Rc<Cell<u32>>) -> impl Future<Output = ()> + use<> {
    let (place, polls) = (place.clone(), polls.clone());
    poll_fn(move |context| {
        polls.set(polls.get() + 1);
        *place.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    })
}

#[test]
fn the_smallest_budget_starves_nobody() {
    let mut tasks = tasks(4).with_budget(1);
    let busy = poll_fn(|context| {
        context.waker().wake_by_ref();
        Poll::<i32>::Pending
    });
    assert!(tasks.spawn(busy).is_ok());
    assert!(run(&mut tasks, Nanos::ZERO).is_empty());
    assert!(tasks.spawn(ready(1)).is_ok());
    let done: Vec<_> = (0..3).flat_map(|_| run(&mut tasks, Nanos::ZERO)).collect();
    assert_eq!(done, ["1"]);
}

#[test]
fn a_full_table_gives_the_future_back() {
    let mut tasks = tasks(1);
    assert!(tasks.spawn(ready(1)).is_ok());
    assert_eq!(tasks.spawn(ready(2)).map_err(|full| full.0.into_inner()), Err(2));
    assert_eq!(run(&mut tasks, Nanos::ZERO), ["1"]);
    assert!(tasks.is_empty() && tasks.spawn(ready(3)).is_ok());
}

#[test]
fn polled_at_once_is_not_polled_again() {
    let mut tasks = tasks(3);
    let (place, polls) = <(Place, Rc<Cell<_>>)>::default();
    let early = tasks.spawn(parked(&place, &polls)).ok().unwrap();
    assert_eq!(tasks.poll(early, Nanos::ZERO), None);
    let soon = tasks.spawn(ready(())).ok().unwrap();
    assert_eq!(tasks.poll(soon, Nanos::ZERO), Some(Ok(())));
    assert_eq!(tasks.poll(soon, Nanos::ZERO), None, "it is gone");
    assert!(run(&mut tasks, Nanos::ZERO).is_empty());
    assert_eq!((polls.get(), tasks.next_wake()), (1, Nanos::MAX));
}

#[test]
fn many_wakes_are_one_poll_and_one_ring() {
    let bell = Arc::new(Bell::default());
    let mut tasks = Tasks::new(3, &bell.clone().into());
    let (place, polls) = <(Place, Rc<Cell<_>>)>::default();
    let id = tasks.spawn(parked(&place, &polls)).ok().unwrap();
    run(&mut tasks, Nanos::ZERO);
    let waker = place.take().unwrap();
    let before = bell.0.load(Ordering::Relaxed);
    for _ in 0..5 {
        waker.wake_by_ref();
    }
    assert_eq!(tasks.next_wake(), Nanos::ZERO);
    run(&mut tasks, Nanos::ZERO);
    assert_eq!((polls.get(), bell.0.load(Ordering::Relaxed) - before), (2, 1));

    // A task that is gone is not woken, nor is its successor in the same place.
    assert_eq!(tasks.cancel(id), Ok(true));
    assert_eq!(tasks.cancel(id), Ok(false));
    polls.set(0);
    assert!(tasks.spawn(parked(&place, &polls)).is_ok());
    run(&mut tasks, Nanos::ZERO);
    let before = bell.0.load(Ordering::Relaxed);
    waker.wake();
    run(&mut tasks, Nanos::ZERO);
    assert_eq!((polls.get(), bell.0.load(Ordering::Relaxed) - before), (1, 0));
}

#[test]
fn a_panic_is_that_of_one_task() {
    /// Panics when dropped.
    struct Mine;
    impl Drop for Mine {
        fn drop(&mut self) {
            panic!("stepped on");
        }
    }
    let mut tasks: Tasks<u32> = tasks(9);
    let id = tasks.spawn(async { panic!("told {}", "to") }).ok().unwrap();
    let mine = Mine;
    let trodden = tasks.spawn(async move { pending::<u32>().await + size_of_val(&mine) as u32 });
    assert!(tasks.spawn(async { std::panic::panic_any(7_u8) }).is_ok());
    assert!(tasks.spawn(ready(4)).is_ok());
    let done = run(&mut tasks, Nanos::ZERO);
    assert_eq!(done, ["panicked: told to", "panicked: a value that is not text", "4"]);
    assert_eq!(tasks.poll(id, Nanos::ZERO), None);
    let panicked = tasks.cancel(trodden.ok().unwrap()).unwrap_err();
    assert_eq!((panicked.message(), tasks.len()), ("stepped on", 0));
    let mine = Mine;
    assert!(tasks.spawn(async move { size_of_val(&mine) as u32 }).is_ok());
    assert_eq!(run(&mut tasks, Nanos::ZERO), ["panicked: stepped on"]);
    let mine = Mine;
    assert!(tasks.spawn(async move { size_of_val(&mine) as u32 }).is_ok());
    // And dropped with the rest, in silence.
}

#[test]
fn a_run_is_bounded_and_in_turn() {
    let mut tasks = tasks(100).with_budget(10);
    let local = tasks.local().clone();
    for n in 0..15 {
        let local = local.clone();
        let future = async move {
            if n == 0 {
                local.yield_now().await;
            }
            n
        };
        assert!(tasks.spawn(future).is_ok());
    }
    let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(run(&mut tasks, Nanos(5)), numbers(1..10));
    assert_eq!(tasks.next_wake(), Nanos(5));
    assert_eq!(run(&mut tasks, Nanos(6)), [vec!["0".into()], numbers(10..15)].concat());
    assert_eq!(tasks.next_wake(), Nanos::MAX);
    for _ in 0..15 {
        let sleep = local.sleep(Nanos(1));
        assert!(tasks.spawn(async { (sleep.await, 0).1 }).is_ok());
    }
    assert!(run(&mut tasks, Nanos(6)).is_empty() && run(&mut tasks, Nanos(6)).is_empty());
    let later = Nanos(7) + TICK;
    assert_eq!((run(&mut tasks, later).len(), tasks.next_wake()), (10, later));
    assert_eq!((run(&mut tasks, later).len(), tasks.next_wake()), (5, Nanos::MAX));
}

#[test]
fn new_tasks_and_woken_ones_keep_nobody_waiting() {
    let mut tasks = tasks(100).with_budget(2);
    let local = tasks.local().clone();
    let mut done = Vec::new();
    for n in 0..20 {
        // Two new ones in each run, as many as it polls.
        for part in ["a", "b"] {
            let local = local.clone();
            let future = async move {
                local.yield_now().await;
                format!("{n}{part}")
            };
            assert!(tasks.spawn(future).is_ok());
        }
        done.extend(run(&mut tasks, Nanos::ZERO));
    }
    assert_eq!(done.len(), 19, "one of each kind in every run, but for the first");
    while !tasks.is_empty() {
        done.extend(run(&mut tasks, Nanos::ZERO));
    }
    let expected =
        (0..20).flat_map(|n| ["a", "b"].map(|part| format!("{:?}", format!("{n}{part}"))));
    assert_eq!(done, expected.collect::<Vec<_>>());
}

#[test]
fn a_task_that_wakes_itself_cannot_trap_the_lane() {
    let mut tasks: Tasks<()> = tasks(2).with_budget(10);
    let spins = poll_fn(|context| {
        context.waker().wake_by_ref();
        Poll::Pending
    });
    assert!(tasks.spawn(spins).is_ok());
    run(&mut tasks, Nanos::ZERO);
    assert_eq!((tasks.next_wake(), tasks.len()), (Nanos::ZERO, 1));
}

/// Whatever ends a run, the next one goes on with what was woken.
#[test]
fn an_owner_that_panics_loses_one_result() {
    let mut tasks = tasks(9);
    for n in 0..3 {
        assert!(tasks.spawn(ready(n)).is_ok());
    }
    let run_over = contained(|| tasks.run(Nanos::ZERO, |_, _| panic!("told to")));
    assert!(run_over.is_err());
    assert_eq!(run(&mut tasks, Nanos::ZERO), ["1", "2"]);
}

#[test]
fn tasks_within_a_task_wake_the_outer_ones() {
    let mut outer = tasks(9);
    let (sender, receiver) = futures_channel::oneshot::channel();
    assert!(outer.spawn(async { receiver.await.ok() }).is_ok());
    let mut inner = tasks(9);
    assert!(inner.spawn(async { sender.send(7).ok() }).is_ok());
    let runs_inner = async move {
        run(&mut inner, Nanos::ZERO);
        Some(8)
    };
    assert!(outer.spawn(runs_inner).is_ok());
    let mut done = run(&mut outer, Nanos::ZERO);
    assert_eq!(outer.next_wake(), Nanos::ZERO);
    done.extend(run(&mut outer, Nanos::ZERO));
    assert_eq!(done, ["Some(8)", "Some(7)"]);
}

#[test]
fn a_dropped_sleep_releases_its_timer() {
    let mut tasks = tasks(2);
    let local = tasks.local().clone();
    let race = local.timeout(Nanos::from_secs(9), local.sleep(Nanos::from_secs(1)));
    let id = tasks.spawn(race).ok().unwrap();
    assert_eq!(tasks.next_wake(), Nanos::ZERO);
    run(&mut tasks, Nanos::ZERO);
    assert!(tasks.next_wake() <= Nanos::from_secs(1) + TICK);
    assert_eq!(run(&mut tasks, Nanos::from_secs(1) + TICK), ["Ok(())"]);
    assert_eq!(tasks.next_wake(), Nanos::MAX, "the nine seconds are forgotten");

    let id2 = tasks.spawn(local.timeout(Nanos::from_secs(1), pending())).ok().unwrap();
    run(&mut tasks, local.now());
    assert_ne!((id, tasks.next_wake()), (id2, Nanos::MAX));
    assert_eq!(tasks.cancel(id2), Ok(true));
    assert_eq!((tasks.next_wake(), tasks.len()), (Nanos::MAX, 0));
}

#[test]
fn the_clock_does_not_run_backwards() {
    let mut tasks: Tasks<()> = tasks(1);
    tasks.advance(Nanos(7));
    run(&mut tasks, Nanos(3));
    assert_eq!(tasks.local().now(), Nanos(7));
}

#[test]
fn wakes_from_other_threads_are_not_lost() {
    const ROUNDS: usize = 2_000;
    let sleeper = std::thread::current();
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut tasks = Tasks::new(8, &Arc::new(Unpark(sleeper)).into());
    let (to_thread, at_thread) = std::sync::mpsc::channel::<futures_channel::oneshot::Sender<_>>();
    let thread = std::thread::spawn(move || {
        for (n, sender) in at_thread.into_iter().enumerate() {
            sender.send(n).expect("somebody waits");
        }
    });
    for _ in 0..4 {
        let to_thread = to_thread.clone();
        let asks = async move {
            for _ in 0..ROUNDS / 4 {
                let (sender, receiver) = futures_channel::oneshot::channel();
                to_thread.send(sender).expect("the thread lives");
                receiver.await.expect("an answer");
            }
        };
        assert!(tasks.spawn(asks).is_ok());
    }
    drop(to_thread);
    let mut done = 0;
    while done < 4 {
        tasks.run(Nanos::ZERO, |_, result| done += result.map_or(0, |()| 1));
        if done < 4 && tasks.next_wake() == Nanos::MAX {
            let before = std::time::Instant::now();
            std::thread::park_timeout(std::time::Duration::from_secs(20));
            assert!(before.elapsed().as_secs() < 20, "a wake was lost");
        }
    }
    thread.join().unwrap();
}

/// What a task of the property test does, one act after the other.
#[derive(Clone, Debug)]
enum Act {
    /// So many ticks: the timers are exact then.
    Sleep(u64),
    Yield,
    /// Waits for its flag to be raised, and takes it down.
    Await,
    Panic,
}

#[derive(Clone, Debug)]
enum Step {
    Spawn(Vec<Act>),
    /// Raises the flag of some task and wakes it.
    Raise(usize),
    /// Wakes some task for nothing.
    Wake(usize),
    Cancel(usize),
    PollAtOnce(usize),
    Run(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_u64..200).prop_map(Act::Sleep),
        2 => Just(Act::Yield),
        3 => Just(Act::Await),
        1 => Just(Act::Panic),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(act(), 0..5).prop_map(Step::Spawn),
        4 => any::<usize>().prop_map(Step::Raise),
        1 => any::<usize>().prop_map(Step::Wake),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => any::<usize>().prop_map(Step::PollAtOnce),
        5 => (0_u64..150).prop_map(Step::Run),
    ]
}

#[derive(Default)]
struct Flag {
    raised: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Flag {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

fn ticks(count: u64) -> Nanos {
    Nanos(count * TICK.0)
}

async fn play(local: Local, acts: Vec<Act>, flag: Rc<Flag>, number: usize) -> usize {
    for act in acts {
        match act {
            Act::Sleep(span) => {
                let until = local.now() + ticks(span);
                local.sleep(ticks(span)).await;
                assert!(local.now() >= until, "woke early");
            }
            Act::Yield => local.yield_now().await,
            Act::Await => {
                poll_fn(|context| {
                    *flag.waker.borrow_mut() = Some(context.waker().clone());
                    if flag.raised.take() { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            Act::Panic => panic!("act"),
        }
    }
    number
}

/// A task as the model sees it: the acts that are left, and since when it is at the first of them.
struct Modelled {
    acts: std::collections::VecDeque<Act>,
    /// When the sleep at the front began, once it has.
    began: Option<Nanos>,
    /// In which run the yield at the front began, once it has.
    yielded: Option<u64>,
    id: TaskId,
    flag: Rc<Flag>,
    raised: bool,
}

/// How a task that is polled now ends up.
#[derive(PartialEq, Debug)]
enum Fate {
    Waits,
    Done,
    Panics,
}

impl Modelled {
    /// Plays on as far as it can.
    fn play(&mut self, now: Nanos, run: u64) -> Fate {
        loop {
            match self.acts.front() {
                None => return Fate::Done,
                Some(Act::Panic) => return Fate::Panics,
                Some(Act::Sleep(span)) => {
                    let began = *self.began.get_or_insert(now);
                    if now < began + ticks(*span) {
                        return Fate::Waits;
                    }
                }
                Some(Act::Yield) => {
                    if *self.yielded.get_or_insert(run) == run {
                        return Fate::Waits;
                    }
                }
                Some(Act::Await) => {
                    if !std::mem::take(&mut self.raised) {
                        return Fate::Waits;
                    }
                }
            }
            self.acts.pop_front();
            (self.began, self.yielded) = (None, None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Every task ends as the model says, and in the run in which the model says. The model polls all
    /// tasks in each run, so one that was not woken though it could go on would be found, too.
    #[test]
    fn agrees_with_a_naive_model(steps in prop::collection::vec(step(), 1..120)) {
        const LIMIT: usize = 12;
        let mut tasks: Tasks<usize> = tasks(LIMIT);
        let mut model: BTreeMap<usize, Modelled> = BTreeMap::new();
        let (mut now, mut runs, mut spawned) = (Nanos::ZERO, 0, 0);
        let pick = |model: &BTreeMap<usize, Modelled>, n: usize| {
            model.keys().nth(n % model.len().max(1)).copied()
        };
        for step in steps {
            match step {
                Step::Spawn(acts) => {
                    let flag = Rc::new(Flag::default());
                    let future = play(tasks.local().clone(), acts.clone(), flag.clone(), spawned);
                    let Ok(id) = tasks.spawn(future) else {
                        prop_assert_eq!(model.len(), LIMIT);
                        continue;
                    };
                    model.insert(spawned, Modelled {
                        acts: acts.into(), began: None, yielded: None, id, flag,
                        raised: false,
                    });
                    spawned += 1;
                }
                Step::Raise(n) => if let Some(task) = pick(&model, n).map(|n| &model[&n]) {
                    task.flag.raised.set(true);
                    task.flag.wake();
                    let n = pick(&model, n).unwrap();
                    model.get_mut(&n).unwrap().raised = true;
                }
                Step::Wake(n) => if let Some(n) = pick(&model, n) {
                    model[&n].flag.wake();
                }
                Step::Cancel(n) => if let Some(n) = pick(&model, n) {
                    let id = model.remove(&n).unwrap().id;
                    prop_assert_eq!(tasks.cancel(id), Ok(true));
                    prop_assert_eq!(tasks.poll(id, now), None);
                }
                Step::PollAtOnce(n) => if let Some(n) = pick(&model, n) {
                    let task = model.get_mut(&n).unwrap();
                    let fate = task.play(now, runs);
                    let result = tasks.poll(task.id, now);
                    match result {
                        None => prop_assert_eq!(fate, Fate::Waits),
                        Some(Ok(number)) => prop_assert_eq!((fate, number), (Fate::Done, n)),
                        Some(Err(_)) => prop_assert_eq!(fate, Fate::Panics),
                    }
                    if tasks.len() < model.len() {
                        model.remove(&n);
                    }
                }
                Step::Run(span) => {
                    now += ticks(span);
                    runs += 1;
                    let mut ended = BTreeMap::new();
                    tasks.run(now, |id, result| { ended.insert(id, result); });
                    for (n, mut task) in std::mem::take(&mut model) {
                        match (task.play(now, runs), ended.remove(&task.id)) {
                            (Fate::Waits, None) => { model.insert(n, task); }
                            (Fate::Done, Some(Ok(number))) => prop_assert_eq!(number, n),
                            (Fate::Panics, Some(Err(_))) => {}
                            (fate, ended) => prop_assert!(false, "{n}: {fate:?}, but {ended:?}"),
                        }
                    }
                    prop_assert!(ended.is_empty());
                }
            }
            prop_assert_eq!(tasks.len(), model.len());
        }
    }
}
