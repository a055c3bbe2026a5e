//! Memory that is short, and what one connection can take of it.

use std::sync::Arc;

use corelane_eventloop::{Closed, End, Event, Flow, Lane, LaneConfig, ListenOptions, Nanos};
use corelane_mempool::{Budget, Pool, PoolConfig};

use crate::acts::Acts;
use crate::commands::Transcript;
use crate::kit::Kit;
use crate::rig::{Rig, SimRig};
use crate::stage::Stage;

const KIB: usize = 1 << 10;

/// Lanes that share a budget of so many bytes.
fn budgeted<R: Rig, P>(lanes: usize, limit: usize, engine: fn() -> P) -> (Stage<R, P>, Arc<Budget>)
where
    P: corelane_eventloop::Protocol,
{
    let budget = Budget::new(limit);
    let config = PoolConfig { budget: budget.clone(), ..PoolConfig::default() };
    let stage = Stage::on(
        R::new(),
        lanes,
        ListenOptions::default(),
        |_, post| {
            Lane::new(engine(), LaneConfig::default(), post).with_pool(Pool::new(config.clone()))
        },
        64,
    );
    (stage, budget)
}

/// A client of that lane of which the lane keeps so many bytes: half a line.
fn holding<R: Rig>(stage: &mut Stage<R, Kit>, lane: usize, bytes: usize) -> usize {
    let client = stage.rig.connect(lane);
    let before = stage.lanes[lane].stats().bytes_in;
    let half = [&b"say "[..], &vec![b'x'; bytes - 4]].concat();
    stage.rig.send(client, &half);
    stage.until("half a line is kept", |stage| {
        stage.lanes[lane].stats().bytes_in >= before + bytes as u64
    });
    client
}

/// The costliest are shed first, and of equals the newest; they are told, and everyone else goes on.
pub(crate) fn the_costliest_are_shed<R: Rig>() -> Transcript {
    let (mut stage, budget) = budgeted::<R, Kit>(1, 1024 * KIB, Kit::default);
    let small = holding(&mut stage, 0, 900);
    let large: Vec<_> = (0..28).map(|_| holding(&mut stage, 0, 20_000)).collect();
    let newest = holding(&mut stage, 0, 900);
    stage.until("the newest of the large ones are gone", |stage| stage.lanes[0].len() == 25);
    stage.until("memory is given back", |_| budget.used() <= 768 * KIB);
    for &client in &large[23..] {
        assert_eq!(stage.outcome(client), ("shed\n".to_owned(), End::Closed));
    }
    assert_eq!((stage.stats().shed, stage.stats().closed[Closed::Finished.index()]), (5, 5));
    for &client in large[..23].iter().chain([&small, &newest]) {
        stage.rig.send(client, b"!\nquit\n");
        assert_eq!(stage.outcome(client).1, End::Closed);
        assert!(stage.text(client).ends_with("x!\n"), "an innocent was shed");
    }
    assert_eq!(stage.stats().shed, 5);
    let shed: Vec<_> = stage.protocol().log.iter().filter(|line| line.ends_with(" shed")).collect();
    assert_eq!(shed, ["28 shed", "27 shed", "26 shed", "25 shed", "24 shed"]);
    let stats = stage.lanes[0].pool().stats();
    assert_eq!((stats.lent_bytes, budget.used()), (0, stats.free_bytes));
    stage.protocol().log.clone()
}

/// Who does not answer is closed, and who holds nothing is left alone.
pub(crate) fn who_does_not_answer_is_closed<R: Rig>() -> Transcript {
    let engine = || {
        Acts::<Vec<usize>>::new(|told, conn, event, _| {
            if event == Event::Shed {
                told.push(conn);
            }
            Flow::Read
        })
    };
    let (mut stage, _budget) = budgeted::<R, _>(1, 70 * KIB, engine);
    let idle = stage.client(b"");
    stage.until("it is open", |stage| stage.lanes[0].len() == 1);
    for number in 1..=4_u64 {
        let client = stage.client(&[b'x'; 16 * KIB - 1]);
        stage.until("it is here", |stage| stage.stats().bytes_in >= number * (16 * KIB as u64 - 1));
        if number == 4 {
            assert_eq!(stage.outcome(client).1, End::Reset);
        }
    }
    stage.during(Nanos::from_millis(50));
    assert_eq!((stage.lanes[0].len(), stage.rig.end(idle)), (4, None));
    assert_eq!(stage.protocol().state, [4]);
    assert_eq!(stage.stats().closed[Closed::OutOfMemory.index()], 1);
    stage.protocol().log.clone()
}

/// What is only kept for reuse is given back first.
pub(crate) fn nobody_is_shed_for_what_is_kept_for_reuse<R: Rig>() -> Transcript {
    let (mut stage, budget) = budgeted::<R, Kit>(1, 256 * KIB, Kit::default);
    let pool_config = PoolConfig { budget: budget.clone(), ..PoolConfig::default() };
    let mut pool = Pool::new(pool_config);
    pool.preallocate(KIB, 250).unwrap();
    let lane = stage.lanes.remove(0).with_pool(pool);
    stage.lanes.insert(0, lane);
    let client = holding(&mut stage, 0, 900);
    stage.until("the pool is trimmed", |_| budget.used() < 10 * KIB);
    stage.rig.send(client, b"!\nquit\n");
    assert_eq!(stage.outcome(client).1, End::Closed);
    assert_eq!(stage.stats().shed, 0);
    vec![]
}

/// An answer of which nothing has left must not look like one that was complete: the connection is
/// reset. (The sweep found it closed in order, where all that could be queued had left before.)
#[test]
fn an_answer_for_which_there_is_no_memory_is_not_silently_left_out() {
    let (mut stage, budget) = budgeted::<SimRig, Kit>(1, 1024 * KIB, Kit::default);
    let client = stage.client(b"say one\n");
    stage.expect(client, "one\n");
    // Others take everything; what the lane keeps for reuse it gives back, and they take that too.
    budget.try_charge(budget.limit() - budget.used()).unwrap();
    stage.until("the pool is trimmed", |_| budget.used() < budget.limit());
    budget.try_charge(budget.limit() - budget.used()).unwrap();
    stage.rig.send(client, b"say two\n");
    let (text, end) = stage.outcome(client);
    assert_eq!(end, End::Reset, "{text:?}");
    assert_eq!(stage.stats().closed[Closed::OutOfMemory.index()], 1);
}

/// Lanes that share a budget each shed their part, and not each the whole.
#[test]
fn lanes_share_the_burden() {
    let (mut stage, budget) = budgeted::<SimRig, Kit>(2, 1024 * KIB, Kit::default);
    for _ in 0..14 {
        holding(&mut stage, 0, 20_000);
        holding(&mut stage, 1, 20_000);
    }
    assert_eq!(budget.used(), 896 * KIB);
    budget.set_limit(512 * KIB);
    stage.until("memory is given back", |_| budget.used() <= 448 * KIB);
    stage.during(Nanos::from_secs(1));
    // The first to look sheds half of what is too much, the other half of the rest and its part.
    let mut shed = [0, 1].map(|lane| stage.lanes[lane].stats().shed);
    shed.sort_unstable();
    assert_eq!(shed, [6, 8]);
}

/// There would be no use in telling whoever does not read: what waits for it is dropped.
#[test]
fn who_does_not_read_is_closed_without_a_word() {
    let (mut stage, budget) = budgeted::<SimRig, Kit>(1, 256 * KIB, Kit::default);
    let clients: Vec<_> = (0..12).map(|_| stage.client(b"")).collect();
    for &client in &clients {
        stage.rig.set_reading(client, false);
        stage.rig.send(client, b"produce 1000000\n");
        stage.during(Nanos::from_millis(200));
    }
    assert!(budget.used() <= 224 * KIB);
    let closed = stage.stats().closed[Closed::OutOfMemory.index()];
    assert!(closed > 0 && stage.stats().shed == closed, "{closed}");
    let told = stage.protocol().log.iter().any(|line| line.ends_with(" shed"));
    assert!(!told && stage.lanes[0].len() == 12 - closed as usize);
    // The others get everything.
    for client in clients {
        if stage.rig.end(client).is_none() {
            stage.rig.set_reading(client, true);
            stage.rig.finish(client);
            assert_eq!(
                (stage.outcome(client).0.len(), stage.rig.end(client)),
                (1_000_005, Some(End::Closed))
            );
        }
    }
}

/// Whoever else has the memory: a lane that holds none sheds nobody, and does not spin.
#[test]
fn a_lane_that_holds_nothing_sleeps_through_it() {
    let (mut stage, budget) = budgeted::<SimRig, Kit>(1, 1024 * KIB, Kit::default);
    let client = stage.client(b"say here\n");
    stage.expect(client, "here\n");
    budget.try_charge(budget.limit() - budget.used()).unwrap();
    stage.rig.send(client, b"say still\n");
    stage.until("the answer or the end", |stage| {
        stage.rig.received_len(client) > 5 || stage.rig.end(client).is_some()
    });
    let turns = stage.stats().turns;
    stage.during(Nanos::from_secs(10));
    // As many as the stage itself makes.
    assert!(stage.stats().turns - turns <= 110, "it spins");
    assert_eq!((stage.stats().shed, stage.lanes[0].len()), (0, 1));
}

/// The most memory that the lane lends while a client sends `script` over and over, in such pieces,
/// and reads nothing.
fn most_lent(script: &[u8], piece: usize) -> usize {
    let config = LaneConfig { read_rate: 0, ..LaneConfig::default() };
    let mut stage = Stage::<SimRig, Kit>::configured(Kit::default(), config);
    let client = stage.client(b"");
    stage.rig.set_reading(client, false);
    let mut most = 0;
    let stream: Vec<u8> = script.iter().copied().cycle().take(300_000).collect();
    for piece in stream.chunks(piece) {
        stage.rig.send(client, piece);
        stage.turn();
        most = most.max(stage.lanes[0].pool().stats().lent_bytes);
    }
    assert_eq!(stage.protocol().closed, 0);
    assert!(stage.stats().watermarks > 0, "its output never waited");
    most
}

/// A client that pipelines and never reads takes no more than 64 KiB, whatever it asks for and however
/// its bytes are cut.
#[test]
fn who_pipelines_and_never_reads_takes_little() {
    let line = |length: usize| format!("say {}\n", "x".repeat(length)).into_bytes();
    let scripts: Vec<Vec<u8>> = vec![
        line(1),
        line(30),
        line(600),
        line(1_100),
        line(5_000),
        line(15_000),
        [line(20_000), line(1).repeat(3_000)].concat(),
        b"static 1100\n".to_vec(),
        b"static 1024\nsay x\n".to_vec(),
        b"shared 5000\nsay x\n".to_vec(),
        [b"static 1024\n".to_vec(), line(1_100)].concat(),
        b"gate x\n".to_vec(),
        [b"gate x\n".to_vec(), line(600), line(600)].concat(),
        b"produce 1000000\n".to_vec(),
    ];
    for script in &scripts {
        for piece in [50_000, 7_000, 900] {
            let most = most_lent(script, piece);
            let told = String::from_utf8_lossy(&script[..script.len().min(30)]).into_owned();
            println!("{most:6} bytes at most: {told:?} in pieces of {piece}");
            assert!(most <= 64 * KIB, "{most} bytes are lent: {told:?} in pieces of {piece}");
        }
    }
}
