//! The parser's conformance table through the whole protocol: what a client of each row must see,
//! over the simulated network and over loopback, however the bytes are cut.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod expect;
mod net;
#[path = "../../../../parser/tests/conformance/table/mod.rs"]
mod table;
#[path = "../checks/wire.rs"]
mod wire;

use corelane_eventloop::Faults;
use corelane_parser::http1::Limits;

use expect::Expected;
use net::{Loopback, Net, Simulated};
use table::{LENIENT, LIMITS, Row, TABLES};

/// How the rows are cut.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Whole,
    ByteByByte,
}

/// Rows at once. Each takes two descriptors over loopback, of which there may be only 1,024.
const BATCH: usize = 200;

fn check(net: &mut impl Net, rows: &[Row], cut: Cut) {
    for batch in rows.chunks(BATCH) {
        let clients: Vec<usize> = batch.iter().map(|_| net.connect()).collect();
        match cut {
            Cut::Whole => {
                for (client, (_, input, _)) in clients.iter().zip(batch) {
                    net.send(*client, input.as_bytes());
                }
            }
            Cut::ByteByByte => {
                let longest = batch.iter().map(|row| row.1.len()).max().unwrap_or(0);
                for at in 0..longest {
                    for (client, (_, input, _)) in clients.iter().zip(batch) {
                        if let Some(byte) = input.as_bytes().get(at..=at) {
                            net.send(*client, byte);
                        }
                    }
                    net.turn();
                }
            }
        }
        let expected: Vec<Expected> = batch.iter().map(|row| Expected::of(row.1, row.2)).collect();
        // Whoever must be left is left before the client says that it has finished.
        net.until(|net| {
            clients.iter().zip(&expected).all(|(&client, expected)| {
                expected.answered(&net.received(client)) && (net.ended(client) || !expected.closes)
            })
        });
        for (&client, (row, expected)) in clients.iter().zip(batch.iter().zip(&expected)) {
            assert_eq!(net.ended(client), expected.closes, "closed by the server: {row:?}");
            net.finish(client);
        }
        net.until(|net| clients.iter().all(|&client| net.ended(client)));
        for (&client, (row, expected)) in clients.iter().zip(batch.iter().zip(&expected)) {
            if let Err(wrong) = expected.check(&net.received(client), cut == Cut::ByteByByte) {
                let received = net.received(client);
                panic!("{row:?}: {wrong}: {}", received.escape_ascii());
            }
        }
    }
}

#[test]
fn simulated_whole() {
    check(&mut Simulated::new(1, Faults::NONE, LIMITS), &TABLES.concat(), Cut::Whole);
}

#[test]
fn simulated_byte_by_byte() {
    let mut net = Simulated::new(1, Faults::NONE, LIMITS);
    check(&mut net, &TABLES.concat(), Cut::ByteByByte);
    let (receives, bytes) = net.received_by_server();
    assert!(receives >= bytes, "{receives} receives of {bytes} bytes: not one by one");
}

/// Cut by chance, and delayed, with short sends and spurious events.
#[test]
fn simulated_on_a_bad_network() {
    for seed in 0..4 {
        let mut net = Simulated::new(seed, Faults::LOSSLESS, LIMITS);
        check(&mut net, &TABLES.concat(), Cut::Whole);
    }
}

#[test]
fn lenient() {
    let limits = Limits { lenient: true, ..LIMITS };
    for cut in [Cut::Whole, Cut::ByteByByte] {
        check(&mut Simulated::new(1, Faults::NONE, limits), LENIENT, cut);
    }
}

#[test]
fn loopback_whole() {
    check(&mut Loopback::new(), &TABLES.concat(), Cut::Whole);
}

#[test]
fn loopback_byte_by_byte() {
    let mut net = Loopback::new();
    check(&mut net, &TABLES.concat(), Cut::ByteByByte);
    let (receives, bytes) = net.received_by_server();
    assert!(receives >= bytes, "{receives} receives of {bytes} bytes: not one by one");
}
