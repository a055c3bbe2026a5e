//! However requests are cut on their way, the answers are the same.

use corelane_eventloop::{End, Faults, Nanos};

use crate::chance::Chance;
use crate::rig::Rig;

/// A random conversation: requests, how many of them a handler answers, and perhaps a broken end.
fn conversation(chance: &mut Chance) -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    let requests = 1 + chance.below(40);
    for number in 0..requests {
        let method = chance.pick(&["GET", "HEAD", "POST", "PUT", "DELETE", "PURGE"]);
        let path = chance.pick(&["/a", "/204", "/304", "/large", "/bad-name", "/b?c=d"]);
        let (version, keep) = match chance.below(5) {
            0 => ("1.0", "Connection: keep-alive\r\n"),
            1 => ("1.1", "Connection: keep-alive\r\n"),
            _ => ("1.1", ""),
        };
        let head =
            format!("{method} {path} HTTP/{version}\r\nHost: test\r\n{keep}X-N: {number}\r\n");
        bytes.extend(head.as_bytes());
        let expects = if chance.below(8) == 0 { "Expect: 100-continue\r\n" } else { "" };
        match chance.below(3) {
            0 => bytes.extend(b"\r\n"),
            1 if version == "1.1" => {
                bytes.extend(format!("{expects}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
                for _ in 0..chance.below(6) {
                    let len = 1 + chance.below(700);
                    let extension = chance.pick(&["", ";a=b", ";q=\"x;y\""]);
                    bytes.extend(format!("{len:x}{extension}\r\n").as_bytes());
                    bytes.extend(chance.bytes(len));
                    bytes.extend(b"\r\n");
                }
                let trailers = chance.pick(&["", "Trailer: x\r\n"]);
                bytes.extend(format!("0\r\n{trailers}\r\n").as_bytes());
            }
            _ => {
                let len = chance.below(5000);
                bytes.extend(format!("{expects}Content-Length: {len}\r\n\r\n").as_bytes());
                bytes.extend(chance.bytes(len));
            }
        }
    }
    match chance.below(4) {
        0 => bytes.extend(b"GET / HTTP/1.1\r\nBroken Name: x\r\n\r\nmore"),
        1 => bytes.extend(b"GET /incomplete HTTP/1.1\r\nHost: te"),
        _ => {}
    }
    (bytes, requests)
}

/// What the client received, without what depends on when its bytes came.
fn answers(rig: &mut Rig, bytes: &[u8]) -> String {
    rig.converse(bytes).replace("HTTP/1.1 100 Continue\r\n\r\n", "")
}

fn check(seed: u64) {
    let (bytes, requests) = conversation(&mut Chance(seed));
    let mut calm = Rig::new(seed, Faults::NONE);
    let expected = answers(&mut calm, &bytes);
    assert_eq!(calm.requests(), requests);
    let mut rough = Rig::new(seed, Faults::LOSSLESS);
    assert_eq!(answers(&mut rough, &bytes), expected);
    for rig in [&mut calm, &mut rough] {
        assert_eq!((rig.requests(), rig.latencies()), (requests, requests));
        rig.pass(Nanos::from_secs(5));
        assert_eq!(rig.lane.len(), 0);
        assert_eq!(rig.lane.pool().stats().lent_bytes, 0);
    }
}

#[test]
fn answers_do_not_depend_on_how_requests_are_cut() {
    let only = std::env::var("CORELANE_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = only.map_or(0..200, |seed: u64| seed..seed + 1);
    for seed in seeds {
        if std::panic::catch_unwind(|| check(seed)).is_err() {
            panic!(
                "seed {seed} fails; replay it with: CORELANE_SEED={seed} cargo test -p \
                 corelane-http --test scenarios answers_do_not_depend"
            );
        }
    }
}

/// Here connections are lost as well: whatever was received is the beginning of what was due.
#[test]
fn with_every_fault_no_byte_is_wrong() {
    for seed in 0..100 {
        let (bytes, _) = conversation(&mut Chance(seed));
        let expected = answers(&mut Rig::new(seed, Faults::NONE), &bytes);
        let mut rig = Rig::new(seed, Faults::ALL);
        let client = rig.connect();
        rig.world.send(client, &bytes);
        rig.world.finish(client);
        rig.until_end(client);
        let got = rig.received(client).replace("HTTP/1.1 100 Continue\r\n\r\n", "");
        // A date that was cut short cannot be told from a wrong one.
        let whole = got.rfind("\r\n").map_or(0, |at| at + 2);
        assert!(expected.starts_with(&got[..whole]), "seed {seed}: {got:?}");
        if rig.world.end(client) == Some(End::Closed) {
            assert!(got == expected, "seed {seed}: closed in order, but not complete");
        }
        rig.pass(Nanos::from_secs(200));
        assert_eq!(rig.lane.len(), 0, "seed {seed}");
        assert_eq!(rig.lane.pool().stats().lent_bytes, 0, "seed {seed}");
    }
}
