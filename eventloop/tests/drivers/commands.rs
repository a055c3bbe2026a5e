//! Scenarios in which clients tell the [`Kit`] what to do.

use corelane_eventloop::{End, Lane, LaneConfig, ListenOptions, Nanos};
use corelane_mempool::{Budget, Pool, PoolConfig};

use crate::flip::{Flip, flipped};
use crate::kit::{FILE, Kit, file_contents, model};
use crate::rig::Rig;
use crate::stage::Stage;

/// What a scenario yields, to be equal on all drivers.
pub(crate) type Transcript = Vec<String>;

/// Files of which [`Kit`] knows one by name.
pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (FILE, file_contents()),
        ("dir/another", b"x".to_vec()),
        ("dir/sub/deep", b"deep".to_vec()),
        ("empty", Vec::new()),
    ]
}

/// Every command that the model knows, each more than once.
fn everything() -> Vec<String> {
    let mut commands = Vec::new();
    for round in 0..3 {
        commands.extend([
            format!("say hello {round}"),
            "mark ".to_owned(),
            "yield".to_owned(),
            format!("ask 0 question {round}"),
            "ask 1 other lane".to_owned(),
            "sleep 3".to_owned(),
            "nudge".to_owned(),
            format!("file {FILE}"),
            format!("read {FILE}"),
            "gate behind".to_owned(),
            "static 4000".to_owned(),
            "gate again".to_owned(),
            "shared 5000".to_owned(),
            "mark before".to_owned(),
            "produce 100000".to_owned(),
            "say after".to_owned(),
        ]);
    }
    commands
}

fn script(commands: &[String]) -> Vec<u8> {
    commands.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// One connection that does everything there is, pipelined.
pub(crate) fn everything_in_one_send<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default()).with_files(&files());
    let client = stage.client(&script(&everything()));
    stage.rig.finish(client);
    let (text, end) = stage.outcome(client);
    assert!(text.as_bytes() == model(&everything()), "differs from the model");
    assert_eq!(end, End::Closed);
    assert_eq!(stage.protocol().closed, 1);
    stage.protocol().log.clone()
}

/// The same, a byte at a time: every state is met with every cut of its input.
pub(crate) fn everything_byte_by_byte<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default()).with_files(&files());
    let client = stage.client(b"");
    for byte in script(&everything()) {
        stage.rig.send(client, &[byte]);
        stage.turn();
    }
    stage.rig.finish(client);
    let (text, end) = stage.outcome(client);
    assert!(text.as_bytes() == model(&everything()), "differs from the model");
    vec![format!("{end:?}"), stage.protocol().log.join("\n")]
}

/// The same, to a listener that reads before it registers.
pub(crate) fn everything_eagerly<R: Rig>() -> Transcript {
    let eager = ListenOptions { eager: true };
    let mut rig = R::new();
    let mut held = Some(rig.files(&files()));
    let mut stage = Stage::<R, Kit>::on(
        rig,
        1,
        eager,
        |_, post| {
            Lane::new(Kit::default(), LaneConfig::default(), post).with_files(held.take().unwrap())
        },
        64,
    );
    let pipelined = stage.client(&script(&everything()));
    stage.rig.finish(pipelined);
    let short = stage.client(b"say one\nquit\n");
    let silent = stage.client(b"");
    let mut transcript = vec![stage.outcome(short).0];
    assert!(stage.outcome(pipelined).0.as_bytes() == model(&everything()));
    stage.rig.send(silent, b"say late\nquit\n");
    transcript.push(stage.outcome(silent).0);
    transcript
}

/// The same, inside another protocol: gates, marks, files and pauses pass through it.
pub(crate) fn everything_hosted<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Flip<Kit>>::one(Flip(Kit::default())).with_files(&files());
    let client = stage.client(&flipped(&script(&everything())));
    stage.rig.finish(client);
    let (_, end) = stage.outcome(client);
    let plain = flipped(&stage.rig.received(client));
    assert!(plain == model(&everything()), "differs from the model");
    assert_eq!(stage.lanes[0].pool().stats().lent_bytes, 0);
    vec![format!("{end:?}"), stage.protocol().0.log.join("\n")]
}

/// Input waits while a connection is paused, and nothing is read meanwhile.
pub(crate) fn pause_and_resume<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let client = stage.client(b"say first\nsleep 20\nsay second\n");
    stage.expect(client, "first\n");
    stage.rig.send(client, b"say third\n");
    stage.during(Nanos::from_millis(5));
    assert_eq!(stage.stats().bytes_in, 30, "a paused connection was read");
    stage.expect(client, "first\nwoke\nsecond\nthird\n");
    stage.rig.finish(client);
    vec![stage.outcome(client).0, stage.protocol().log.join("\n")]
}

/// Yielding lets the others go first, and comes back without new input.
pub(crate) fn yield_and_come_back<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let client = stage.client(b"yield\nyield\nsay done\nquit\n");
    let outcome = stage.outcome(client);
    assert_eq!(outcome, ("yielded\nyielded\ndone\n".to_owned(), End::Closed));
    assert_eq!(stage.stats().yields, 2);
    vec![outcome.0]
}

/// Sleeping connections wake in the order of their deadlines, however they were set.
pub(crate) fn timers_in_order<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let spans = [70, 10, 50, 30];
    let clients: Vec<_> =
        spans.map(|span| stage.client(format!("sleep {span}\nquit\n").as_bytes())).to_vec();
    for client in clients {
        assert_eq!(stage.outcome(client), ("woke\n".to_owned(), End::Closed));
    }
    assert_eq!(stage.stats().timers, 4);
    let log = &stage.protocol().log;
    let woken: Vec<_> = log.iter().filter(|line| line.ends_with("woke")).cloned().collect();
    assert_eq!(woken, ["1 woke", "3 woke", "2 woke", "0 woke"]);
    woken
}

/// An early answer arrives although the client keeps sending: nothing of it is lost to a reset.
pub(crate) fn linger_keeps_an_early_answer<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let client = stage.client(b"say early\nlinger\n");
    for _ in 0..10 {
        stage.rig.send(client, &[b'x'; 5_000]);
        stage.turn();
    }
    let (text, end) = stage.outcome(client);
    assert_eq!((text.as_str(), end), ("early\nenough\n", End::Closed));
    assert_eq!(stage.lanes[0].len(), 1, "it lingers until the client has finished");
    stage.rig.finish(client);
    stage.until("the lane is empty", |stage| stage.lanes[0].is_empty());
    vec![text, stage.protocol().log.join("\n")]
}

/// Lingering is bounded in time and in bytes.
pub(crate) fn linger_is_bounded<R: Rig>() -> Transcript {
    let config = LaneConfig {
        linger_time: Nanos::from_millis(30),
        linger_bytes: 10_000,
        ..LaneConfig::default()
    };
    let mut stage = Stage::<R, Kit>::configured(Kit::default(), config);
    let silent = stage.client(b"linger\n");
    stage.expect(silent, "enough\n");
    stage.until("silence is cut", |stage| stage.lanes[0].is_empty());
    let chatty = stage.client(b"linger\n");
    stage.expect(chatty, "enough\n");
    stage.rig.send(chatty, &[b'x'; 50_000]);
    stage.until("a flood is cut", |stage| stage.lanes[0].is_empty());
    assert!(stage.stats().bytes_in < 30_000 + stage_page());
    stage.protocol().log.clone()
}

fn stage_page() -> u64 {
    LaneConfig::default().page as u64
}

/// Output behind a gate leaves only after the lane has opened it; what stands before it, at once.
pub(crate) fn gates_hold_back<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    stage.protocol().hold_gates = true;
    let first = stage.client(b"say before\ngate one\nsay two\nstatic 2000\ngate three\n");
    let second = stage.client(b"gate four\nsay five\nquit\n");
    stage.expect(first, "before\n");
    stage.during(Nanos::from_millis(10));
    assert_eq!((stage.text(first).as_str(), stage.text(second).as_str()), ("before\n", ""));
    stage.protocol().hold_gates = false;
    // Nothing else happens: a client makes the lane turn.
    stage.rig.send(first, b"say last\nquit\n");
    let expected = format!("before\none\ntwo\n{}three\nlast\n", "s".repeat(2000));
    assert_eq!(stage.outcome(first), (expected, End::Closed));
    assert_eq!(stage.outcome(second), ("four\nfive\n".to_owned(), End::Closed));
    vec![stage.text(first), stage.text(second)]
}

/// Names, lengths, contents, and what is refused.
pub(crate) fn files_are_read_and_sent<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default()).with_files(&files());
    let script = format!(
        "stat {FILE}\nstat dir\nstat nothing\nstat \nlist dir\nlist \nlist {FILE}\nread {FILE}\n\
         stat dir/../empty\nstat ./dir/./sub\nread ../{FILE}\nstat /etc/passwd\nstat dir/../../etc\n\
         read dir\nread empty\nlist nothing\nsay before\nfile {FILE}\nsay after\nquit\n"
    );
    let client = stage.client(script.as_bytes());
    let (text, end) = stage.outcome(client);
    assert_eq!(end, End::Closed);
    let head = "Regular 40000\nDirectory 0\nNotFound\nDirectory 0\nanother,file.bin\ndir,empty\n\
                NotADirectory\ndefghijklm\nRegular 0\nDirectory 0\nPermissionDenied\n\
                PermissionDenied\nPermissionDenied\nIsADirectory\n\nNotFound\nbefore\n40000:";
    // A directory's length is the file system's affair.
    let told: String = text
        .lines()
        .map(|line| if line.starts_with("Directory") { "Directory 0" } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(&told[..head.len()], head);
    let contents = String::from_utf8(file_contents()).unwrap();
    assert_eq!(&told[head.len()..], format!("{contents}cde\nafter\n"));
    vec![told]
}

/// A file that is shorter than the output promised closes the connection.
pub(crate) fn a_truncated_file<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default()).with_files(&files());
    let client = stage.client(b"say before\nshort dir/file.bin\nsay never\n");
    let (text, _) = stage.outcome(client);
    assert!(!text.contains("never"));
    stage.protocol().log.clone()
}

/// Outbound connections: established, refused, and each closed exactly once.
pub(crate) fn outbound_connections<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let (served, refusing) = (stage.rig.serve(), stage.rig.refusing());
    stage.protocol().targets = vec![served, refusing];
    let client = stage.client(b"dial 0 one\ndial 1 two\ndial 0 three\nquit\n");
    for question in ["one\n", "three\n"] {
        let mut far = None;
        stage.until("the far end is reached", |stage| {
            far = far.or_else(|| stage.rig.accept(served));
            far.is_some()
        });
        let far = far.unwrap();
        stage.expect(far, question);
        stage.rig.send(far, format!("far {question}").as_bytes());
        assert_eq!(stage.outcome(far).1, End::Closed);
        stage.rig.finish(far);
    }
    let (text, end) = stage.outcome(client);
    let failed = "dial failed: connect_failed: connection refused";
    assert_eq!((text, end), (format!("far one\n{failed}\nfar three\n"), End::Closed));
    assert_eq!(stage.stats().connected, 2);
    let kit = stage.protocol();
    assert_eq!((kit.opened, kit.closed), (4, 4));
    kit.log.clone()
}

/// A panic closes its own connection; the others do not notice.
pub(crate) fn a_panic_is_contained<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let calm = stage.client(b"say one\n");
    stage.expect(calm, "one\n");
    let wild = stage.client(b"say lost\npanic\nsay never\n");
    let (text, _) = stage.outcome(wild);
    assert!(!text.contains("never"));
    assert_eq!(stage.stats().panics, 1);
    stage.rig.send(calm, b"say two\nquit\n");
    assert_eq!(stage.outcome(calm), ("one\ntwo\n".to_owned(), End::Closed));
    stage.protocol().log.clone()
}

/// A client that does not read holds up only itself: what is pending for it is bounded, and all of it
/// arrives once it reads.
pub(crate) fn watermarks_bound_output<R: Rig>() -> Transcript {
    const MUCH: usize = 20 << 20;
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let client = stage.client(format!("say go\nproduce {MUCH}\nsay end\nquit\n").as_bytes());
    stage.rig.set_reading(client, false);
    stage.during(Nanos::from_millis(30));
    let sent = stage.stats().bytes_out;
    assert!(sent < MUCH as u64, "nothing held the lane up");
    let other = stage.client(b"say other\nquit\n");
    assert_eq!(stage.outcome(other).0, "other\n");
    stage.rig.set_reading(client, true);
    let (text, end) = stage.outcome(client);
    assert_eq!((text.len(), end), (MUCH + 8, End::Closed));
    assert!(
        text.as_bytes()
            == model(&lines(&["say go", &format!("produce {MUCH}"), "say end", "quit"]))
    );
    assert!(stage.stats().watermarks > 0);
    let limit = LaneConfig::default().high + 1001;
    let most = stage.protocol().max_pending;
    assert!(most <= limit, "{most} bytes were pending");
    vec![text[text.len() - 20..].to_owned()]
}

pub(crate) fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// The peer's last byte does not end the answers.
pub(crate) fn half_close<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let client = stage.client(b"say one\nsleep 10\nproduce 200000\nsay unfinished");
    stage.rig.finish(client);
    let (text, end) = stage.outcome(client);
    assert_eq!(end, End::Closed);
    assert!(text.as_bytes() == model(&lines(&["say one", "sleep 10", "produce 200000"])));
    let empty = stage.client(b"");
    stage.rig.finish(empty);
    vec![stage.outcome(empty).0]
}

/// The reasons that no other scenario meets.
pub(crate) fn close_reasons<R: Rig>() -> Transcript {
    let config = LaneConfig { input: 2048, page: 1024, ..LaneConfig::default() };
    let mut stage = Stage::<R, Kit>::configured(Kit::default(), config);
    let aborted = stage.client(b"say lost\nabort\n");
    assert_eq!(stage.outcome(aborted).1, End::Reset);
    let overflowing = stage.client(&[b'x'; 9000]);
    stage.outcome(overflowing);
    let reset = stage.client(b"say here\n");
    stage.expect(reset, "here\n");
    stage.rig.reset(reset);
    stage.until("the reset is noticed", |stage| stage.protocol().closed == 3);
    let stalled = stage.client(b"say stays\n");
    stage.expect(stalled, "stays\n");
    stage.lanes[0].handle().cut();
    stage.outcome(stalled);
    let counts = stage.stats().closed;
    let mut transcript = stage.protocol().log.clone();
    transcript.push(format!("{counts:?}"));
    transcript
}

/// Who is not read from is still missed when it resets, also after it has sent its last byte; who has
/// only sent its last byte is not.
pub(crate) fn a_reset_is_noticed_while_paused<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let asleep = b"say here\nsleep 60000\nsay never\n";
    let [plain, halved, waiting] = [0; 3].map(|_| {
        let client = stage.client(asleep);
        stage.expect(client, "here\n");
        client
    });
    stage.rig.reset(plain);
    stage.until("the reset is noticed", |stage| stage.protocol().closed == 1);
    stage.rig.finish(halved);
    stage.rig.finish(waiting);
    stage.during(Nanos::from_millis(20));
    assert_eq!(stage.protocol().closed, 1, "a half-close is no reset");
    stage.rig.reset(halved);
    stage.until("the second reset is noticed", |stage| stage.protocol().closed == 2);
    assert_eq!((stage.lanes[0].len(), stage.stats().timers), (1, 0));
    stage.protocol().log.clone()
}

/// The memory budget refuses: only the connection that asked too much is closed.
pub(crate) fn out_of_memory<R: Rig>() -> Transcript {
    let budget = Budget::new(100_000);
    let pool = Pool::new(PoolConfig { budget: budget.clone(), ..PoolConfig::default() });
    let config = LaneConfig { high: 1 << 20, ..LaneConfig::default() };
    let mut pool = Some(pool);
    let mut stage = Stage::<R, Kit>::on(
        R::new(),
        1,
        ListenOptions::default(),
        |_, post| Lane::new(Kit::default(), config.clone(), post).with_pool(pool.take().unwrap()),
        64,
    );
    let modest = stage.client(b"say small\n");
    stage.expect(modest, "small\n");
    let greedy = stage.client(b"produce 500000\n");
    stage.outcome(greedy);
    stage.rig.send(modest, b"say still here\nquit\n");
    assert_eq!(stage.outcome(modest).0, "small\nstill here\n");
    let stats = stage.lanes[0].pool().stats();
    assert_eq!((stats.lent_bytes, budget.used()), (0, stats.free_bytes));
    stage.protocol().log.clone()
}

/// Connections of all lanes ask all lanes; each answer finds its way.
pub(crate) fn mail_between_lanes<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::several(3, 64, LaneConfig::default(), |_| Kit::default());
    let clients: Vec<_> = (0..9).map(|number| stage.rig.connect(number % 3)).collect();
    let commands: Vec<String> = (0..50).map(|n| format!("ask {} n{n}", n % 3)).collect();
    for &client in &clients {
        stage.rig.send(client, &script(&commands));
        stage.rig.finish(client);
    }
    for client in clients {
        let (text, end) = stage.outcome(client);
        assert_eq!((text.as_bytes(), end), (&model(&commands)[..], End::Closed));
    }
    let out: u64 = stage.lanes.iter().map(|lane| lane.stats().mail_out).sum();
    let into: u64 = stage.lanes.iter().map(|lane| lane.stats().mail_in).sum();
    assert_eq!((out, into), (900, 900));
    vec![]
}

/// A megabyte goes in and comes out.
pub(crate) fn a_megabyte_of_lines<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default());
    let commands: Vec<String> = (0..20_000).map(|n| format!("say line number {n:040}")).collect();
    let client = stage.client(&script(&commands));
    stage.rig.finish(client);
    let (text, end) = stage.outcome(client);
    assert!(text.as_bytes() == model(&commands));
    assert_eq!(end, End::Closed);
    vec![format!("{}", text.len())]
}

/// A connection that floods the lane does not starve another.
pub(crate) fn a_flood_starves_nobody<R: Rig>() -> Transcript {
    let config = LaneConfig { turn_bytes: 16 * 1024, ..LaneConfig::default() };
    let mut stage = Stage::<R, Kit>::configured(Kit::default(), config);
    let flood = stage.client(b"");
    let modest = stage.client(b"");
    stage.until("both are open", |stage| stage.protocol().opened == 2);
    stage.rig.send(flood, &script(&vec!["yield".to_owned(); 100]));
    stage.rig.send(flood, &script(&vec!["say x".to_owned(); 200_000]));
    stage.rig.send(modest, b"say quick\n");
    let before = stage.stats().bytes_in;
    stage.expect(modest, "quick\n");
    let meanwhile = stage.stats().bytes_in - before;
    assert!(meanwhile < 300_000, "{meanwhile} bytes of the flood went first");
    stage.rig.finish(flood);
    let (text, _) = stage.outcome(flood);
    assert_eq!(text.len(), 100 * 8 + 200_000 * 2 + 4);
    vec![]
}

/// An idle connection holds no buffer, whatever it has done before.
pub(crate) fn idle_connections_hold_no_memory<R: Rig>() -> Transcript {
    let mut stage = Stage::<R, Kit>::one(Kit::default()).with_files(&files());
    let clients: Vec<_> = (0..20).map(|_| stage.client(&script(&everything()[..13]))).collect();
    let expected = model(&everything()[..13]).len() - "bye\n".len();
    for client in &clients {
        stage.until("the answers", |stage| stage.rig.received_len(*client) == expected);
    }
    assert_eq!(stage.lanes[0].len(), 20);
    assert_eq!(stage.lanes[0].pool().stats().lent_bytes, 0);
    // Half a line has to be kept.
    stage.rig.send(clients[0], b"say half");
    stage.until("half a line", |stage| stage.lanes[0].pool().stats().lent_bytes > 0);
    stage.rig.send(clients[0], b"\n");
    stage.until("it is given back", |stage| stage.lanes[0].pool().stats().lent_bytes == 0);
    vec![stage.text(clients[1])]
}
