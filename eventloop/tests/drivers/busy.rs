//! What a turn takes, in virtual time: whatever the protocol spends it on.

use corelane_eventloop::{
    Closed, Driver, Event, Faults, Flow, Io, Lane, LaneConfig, ListenOptions, Nanos, Post,
    Protocol, Turn, World,
};

const SPENT: Nanos = Nanos::from_millis(7);

/// Takes its time once, where it is told to. Answers with more than the high watermark, so that its
/// connection hears of all that can follow.
struct Spender {
    world: World,
    at: &'static str,
    times: u64,
}

impl Spender {
    fn pass(&mut self, stage: &str) {
        if self.at != stage || self.times > 0 {
            return;
        }
        self.times += 1;
        let until = self.world.now() + SPENT;
        while self.world.now() < until {
            self.world.advance(until);
        }
    }
}

impl Protocol for Spender {
    type Conn = ();
    type Mail = ();

    fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
        self.pass("open");
        Some(())
    }

    fn step(&mut self, _: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        match event {
            Event::Bytes => {
                io.consume(io.input().len());
                io.deadline(io.now() + Nanos::from_millis(20));
                io.out().put(&[b'x'; 100_000]);
                io.out().mark();
                self.pass("bytes");
            }
            Event::Sent(_) => {
                if self.at == "sent" && self.times == 0 {
                    io.out().put(b"more");
                }
                self.pass("sent");
            }
            Event::Drained => self.pass("drained"),
            Event::Timer => self.pass("timer"),
            Event::Eof => return Flow::Finish,
            _ => {}
        }
        Flow::Read
    }

    fn close(&mut self, _: (), _: Closed, _: &mut Io<'_, ()>) {
        self.pass("close");
    }

    fn turn(&mut self, _: &mut Turn<'_, ()>) {
        self.pass("turn");
    }
}

#[test]
fn a_turn_takes_what_all_of_its_stages_take() {
    for at in ["open", "bytes", "timer", "turn", "sent", "drained", "close"] {
        for eager in [false, true] {
            let world = World::new(1, Faults::NONE);
            let mut driver = world.driver();
            driver.listen(0, ListenOptions { eager });
            let spender = Spender { world: world.clone(), at, times: 0 };
            let mut lane = Lane::new(spender, LaneConfig::default(), Post::mesh(1, 16).remove(0));
            let client = world.connect(&driver, 0);
            world.set_send_buffer(client, 1 << 20);
            world.send(client, b"x");
            for turn in 0..100 {
                if turn == 50 {
                    world.finish(client);
                }
                driver.turn(&mut lane, Some(Nanos::from_millis(1))).unwrap();
                let stats = lane.stats();
                assert_eq!(stats.busy, lane.protocol().times * SPENT.0, "{at}, eager: {eager}");
            }
            assert_eq!((lane.len(), lane.protocol().times), (0, 1), "{at}, eager: {eager}");
        }
    }
}

/// Puts much once, and follows it.
struct Follower {
    told: u64,
}

impl Protocol for Follower {
    type Conn = ();
    type Mail = ();

    fn open(&mut self, _: &mut Io<'_, ()>) -> Option<()> {
        Some(())
    }

    fn step(&mut self, _: &mut (), event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        match event {
            Event::Bytes => {
                io.consume(io.input().len());
                io.out().put(&[b'x'; 100_000]);
                io.out().follow();
            }
            Event::Sent(_) => self.told += 1,
            _ => {}
        }
        Flow::Read
    }

    fn close(&mut self, (): (), _: Closed, _: &mut Io<'_, ()>) {}
}

/// Whoever is told of each part that leaves does not cost the lane a turn for it.
#[test]
fn a_lane_that_waits_for_a_peer_sleeps() {
    let world = World::new(1, Faults::NONE);
    let mut driver = world.driver();
    driver.listen(0, ListenOptions::default());
    let mut lane =
        Lane::new(Follower { told: 0 }, LaneConfig::default(), Post::mesh(1, 16).remove(0));
    let client = world.connect(&driver, 0);
    world.set_send_buffer(client, 1_000);
    world.set_pace(client, 1_000, Nanos::from_millis(1));
    world.send(client, b"x");
    for _ in 0..1_000 {
        driver.turn(&mut lane, None).unwrap();
        if world.received_len(client) == 100_000 {
            break;
        }
    }
    let (stats, told) = (lane.stats(), lane.protocol().told);
    assert!((50..=110).contains(&told), "{told}");
    assert!(stats.turns <= told + 10, "{} turns for {told} parts", stats.turns);
}
