//! Latencies, exactly: from the poll that brought a request to the flush that took the last byte of its
//! answer.

use corelane_eventloop::{ClientId, Driver, End, Faults, Nanos, World};
use corelane_http::{Context, Handler, HttpConfig, Replied, Reply};
use corelane_parser::http1::Head;

use crate::rig::Rig;

const MS: u64 = 1_000_000;

/// Answers `/spend/N` after N ms that the loop has for nothing else, and `/bytes/N` with as many bytes.
struct Busy(World);

impl Handler for Busy {
    type Request = (String, usize);

    fn begin(&mut self, head: &Head<'_>, _: &mut Context<'_>) -> (String, usize) {
        let (what, number) = head.path()[1..].split_once('/').unwrap();
        (what.to_owned(), number.parse().unwrap())
    }

    fn reply(&mut self, (what, number): (String, usize), reply: Reply<'_>) -> Replied {
        if what == "bytes" {
            return reply.send(200, &[], &vec![b'x'; number]);
        }
        let until = self.0.now() + Nanos::from_millis(number as u64);
        while self.0.now() < until {
            self.0.advance(until);
        }
        reply.send(200, &[], b"")
    }
}

fn rig(config: HttpConfig, seed: u64, faults: Faults, eager: bool) -> Rig<Busy> {
    let world = World::new(seed, faults);
    Rig::of(Busy(world.clone()), config, world, eager)
}

fn get(what: &str, number: usize) -> String {
    format!("GET /{what}/{number} HTTP/1.1\r\nHost: test\r\n\r\n")
}

fn gets(what: &str, numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|number| get(what, number)).collect()
}

/// How many latencies there are, and their sum in ms.
fn latencies(rig: &Rig<Busy>) -> (u64, u64) {
    let all = rig.all_latencies();
    assert_eq!(all.sum() % MS, 0);
    (all.count(), all.sum() / MS)
}

#[test]
fn requests_that_wait_for_their_turn_began_when_they_came() {
    let config = HttpConfig { turn_requests: 2, ..HttpConfig::default() };
    let mut rig = rig(config, 1, Faults::NONE, false);
    let client = rig.connect();
    rig.world.send(client, gets("spend", [1; 6]).as_bytes());
    rig.pass(Nanos::from_millis(20));
    assert_eq!(latencies(&rig), (6, 2 + 2 + 4 + 4 + 6 + 6));
}

#[test]
fn the_rest_of_a_head_is_of_the_request_that_it_began_with() {
    let config = HttpConfig { turn_requests: 1, ..HttpConfig::default() };
    let mut rig = rig(config, 1, Faults::NONE, false);
    let client = rig.connect();
    let bytes = gets("spend", [4, 0]);
    let (now, later) = bytes.split_at(bytes.len() - 3);
    rig.world.send(client, now.as_bytes());
    rig.pass(Nanos::from_millis(20));
    // Another comes with the end of the second.
    rig.world.send(client, (later.to_owned() + &get("spend", 1)).as_bytes());
    rig.pass(Nanos::from_millis(20));
    assert_eq!(latencies(&rig), (3, 4 + 20 + 1));
}

#[test]
fn newcomers_do_not_shorten_what_others_waited() {
    let mut rig = rig(HttpConfig::default(), 1, Faults::NONE, true);
    let known = rig.connect();
    rig.world.send(known, get("spend", 0).as_bytes());
    rig.pass(Nanos::from_millis(10));
    assert_eq!(latencies(&rig), (1, 0));
    // All three come with one poll: the newcomers are served first, one after the other.
    let newcomers = [rig.connect(), rig.connect()];
    for client in [known, newcomers[0], newcomers[1]] {
        rig.world.send(client, get("spend", 2).as_bytes());
    }
    rig.driver.turn(&mut rig.lane, Some(Nanos::from_millis(1))).unwrap();
    assert_eq!(latencies(&rig), (4, 2 + 4 + 6));
}

/// What each flush completes: checked after each turn, from the lengths of the answers and the bytes
/// that the kernel took.
struct Watch {
    client: ClientId,
    /// Where each answer ends in the output.
    ends: Vec<u64>,
    /// When the requests came.
    since: Nanos,
    sent: u64,
    sum: u64,
}

impl Watch {
    /// Sends requests for so many bytes each, to a client that reads slowly.
    fn begin(rig: &mut Rig<Busy>, sizes: &[usize], every: Nanos) -> Watch {
        let client = rig.connect();
        rig.world.set_send_buffer(client, 4096);
        rig.world.set_pace(client, 3000, every);
        rig.world.send(client, gets("bytes", sizes.iter().copied()).as_bytes());
        let ends = sizes.iter().scan(0, |end, &size| {
            *end += size as u64 + head_len(size);
            Some(*end)
        });
        let ends = ends.collect();
        while rig.lane.stats().bytes_in == 0 {
            rig.driver.turn(&mut rig.lane, Some(Nanos::from_millis(1))).unwrap();
        }
        let mut watch = Watch { client, ends, since: rig.world.now(), sent: 0, sum: 0 };
        watch.look(rig);
        watch
    }

    fn turn(&mut self, rig: &mut Rig<Busy>) {
        rig.driver.turn(&mut rig.lane, Some(Nanos::from_millis(1))).unwrap();
        self.look(rig);
    }

    #[track_caller]
    fn look(&mut self, rig: &Rig<Busy>) {
        let out = rig.lane.stats().bytes_out;
        let sent = self.ends.iter().filter(|&&end| end <= out).count() as u64;
        self.sum += (sent - self.sent) * rig.world.now().since(self.since).0;
        self.sent = sent;
        let all = rig.all_latencies();
        assert_eq!((all.count(), all.sum()), (self.sent, self.sum), "{out} bytes were sent");
    }

    fn is_done(&self) -> bool {
        self.sent == self.ends.len() as u64
    }
}

/// The length of the head of an answer of so many bytes.
fn head_len(size: usize) -> u64 {
    let mut rig = rig(HttpConfig::default(), 1, Faults::NONE, false);
    let client = rig.connect();
    rig.world.send(client, get("bytes", size).as_bytes());
    rig.pass(Nanos::from_millis(1));
    (rig.world.received_len(client) - size) as u64
}

/// However the kernel takes what is there, in which pieces and with what in front: each answer is
/// recorded by the flush that takes its last byte, not before and not after.
#[test]
fn each_answer_is_recorded_with_the_flush_that_takes_its_last_byte() {
    let even = vec![700; 60];
    let uneven: Vec<usize> = (0..60).map(|n| 1_000 + 37 * n).collect();
    let mixed = vec![10, 10, 10, 60_000, 10, 10, 200_000, 10, 20, 10];
    for sizes in [even, uneven, mixed] {
        for seed in 0..20 {
            let faults = Faults { short_send: 300, ..Faults::NONE };
            let mut rig = rig(HttpConfig::default(), seed, faults, false);
            let mut watch = Watch::begin(&mut rig, &sizes, Nanos::from_millis(1));
            let mut turns = 0;
            while !watch.is_done() {
                watch.turn(&mut rig);
                turns += 1;
                assert!(turns < 20_000, "{} of {} are sent", watch.sent, sizes.len());
            }
            assert!(turns > 10, "it takes many flushes");
            assert_eq!(rig.counter("corelane_http_unsent_total", &[]), 0);
        }
    }
}

/// A client that always has further requests under way and reads slowly leaves output waiting for good.
#[test]
fn output_that_never_drains_is_recorded_as_it_leaves() {
    let mut rig = rig(HttpConfig::default(), 1, Faults::NONE, false);
    let watch = Watch::begin(&mut rig, &[900; 40], Nanos::from_millis(10));
    let len = watch.ends[0];
    let mut asked = 40;
    for _ in 0..200 {
        let out = rig.lane.stats().bytes_out;
        while asked * len < out + 60_000 {
            rig.world.send(watch.client, get("bytes", 900).as_bytes());
            asked += 1;
        }
        rig.pass(Nanos::from_millis(10));
        let out = rig.lane.stats().bytes_out;
        assert!(rig.requests() * len > out, "something waits at all times");
        assert_eq!(rig.latencies(), out / len);
    }
    assert!(rig.latencies() > 100);
    let max = Nanos(rig.all_latencies().max());
    // 60 KB at 3 KB in 10 ms, and what the kernel holds before that.
    assert!(max < Nanos::from_millis(250), "{max:?}");
}

#[test]
fn what_was_not_sent_whole_has_no_latency() {
    for sizes in [vec![700; 60], (0..60).map(|n| 700 + n).collect()] {
        let mut rig = rig(HttpConfig::default(), 1, Faults::NONE, false);
        let mut watch = Watch::begin(&mut rig, &sizes, Nanos::from_millis(1));
        while watch.sent < 20 {
            watch.turn(&mut rig);
        }
        rig.world.reset(watch.client);
        rig.pass(Nanos::from_millis(10));
        assert_eq!((rig.lane.len(), rig.world.end(watch.client)), (0, Some(End::Reset)));
        watch.look(&rig);
        assert!(watch.sent < 60);
        let unsent = rig.counter("corelane_http_unsent_total", &[]);
        assert_eq!(unsent, rig.requests() - watch.sent);
    }
}
