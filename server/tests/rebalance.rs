//! Connections that move between the lanes of a real server.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corelane::supervisor::{AcceptMode, Plan, Supervisor};
use corelane_acceptor::{HashBy, Placement};
use corelane_eventloop::{Closed, ConnId, Event, Flow, Io, Luggage, Nanos, Protocol};

/// Works for two milliseconds for each byte, then answers with its lane and how many bytes came.
struct Worker;

impl Protocol for Worker {
    type Conn = u8;
    type Mail = ();

    fn open(&mut self, _: &mut Io<'_, ()>) -> Option<u8> {
        Some(0)
    }

    fn step(&mut self, bytes: &mut u8, event: Event<()>, io: &mut Io<'_, ()>) -> Flow {
        for _ in io.input() {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
            *bytes = bytes.wrapping_add(1);
            let lane = io.id().lane as u8;
            io.out().put(&[lane, *bytes]);
        }
        io.consume(io.input().len());
        if matches!(event, Event::Eof | Event::Stopping) { Flow::Finish } else { Flow::Read }
    }

    fn close(&mut self, _: u8, _: Closed, _: &mut Io<'_, ()>) {}

    fn depart(&mut self, bytes: u8, _: ConnId) -> Result<Luggage, u8> {
        Ok(Box::new(bytes))
    }

    fn arrive(&mut self, luggage: Luggage, _: &mut Io<'_, ()>) -> Option<u8> {
        luggage.downcast().ok().map(|bytes| *bytes)
    }
}

/// One address, so that the hash gives one lane all of the work: some of it moves to the other.
#[test]
fn a_lane_with_too_much_to_do_parts_with_some_of_it() {
    let plan = Plan {
        lanes: 2,
        accept: AcceptMode::Dispatch(Placement::Hash { by: HashBy::IpOnly }),
        rebalance: true,
        ..Plan::new(["127.0.0.1:0".parse().unwrap()])
    };
    let server = Supervisor::new(plan).start(|_, _| Worker).unwrap();
    let address = server.addresses()[0].tcp().unwrap();
    let mut clients: Vec<TcpStream> =
        (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut first = None;
    let mut asked = 0_u8;
    loop {
        asked = asked.wrapping_add(1);
        clients.iter_mut().for_each(|client| client.write_all(b"x").unwrap());
        let mut lanes = BTreeSet::new();
        for client in &mut clients {
            let mut answer = [0; 2];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer[1], asked, "its state came along");
            lanes.insert(answer[0]);
        }
        let before = first.get_or_insert_with(|| lanes.clone());
        assert_eq!(before.len(), 1, "the load begins on one lane");
        if lanes.len() == 2 {
            break;
        }
        assert!(Instant::now() < deadline, "nothing moved");
    }
    drop(clients);
    server.stop(Nanos::from_secs(5));
    let (registry, open) = (server.registry().clone(), server.open().clone());
    server.join().unwrap();
    let total = |name| registry.snapshot().counter(name, &[]).unwrap().total();
    let moved = total("corelane_connections_moved_in_total");
    assert!(moved > 0 && moved == total("corelane_connections_moved_out_total"));
    assert_eq!(open.count(), 0, "places not given back");
}

#[test]
fn connections_stay_unless_they_are_told_to_move() {
    assert!(!Plan::new([]).rebalance);
}
