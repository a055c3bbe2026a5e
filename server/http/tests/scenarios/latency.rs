//! Latencies, exactly: from the poll that brought a request to the flush that took the last byte of its
//! answer.

use corelane_eventloop::{Driver, Faults, Nanos, World};
use corelane_http::{Context, Handler, HttpConfig, Replied, Reply};
use corelane_parser::http1::Head;

use crate::rig::Rig;

const MS: u64 = 1_000_000;

/// Answers `/spend/N` after N ms that the loop has for nothing else.
struct Busy(World);

impl Handler for Busy {
    type Request = (String, usize);

    fn begin(&mut self, head: &Head<'_>, _: &mut Context<'_>) -> (String, usize) {
        let (what, number) = head.path()[1..].split_once('/').unwrap();
        (what.to_owned(), number.parse().unwrap())
    }

    fn reply(&mut self, (_, number): (String, usize), reply: Reply<'_>) -> Replied {
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
