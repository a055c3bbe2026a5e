//! Files that change under the server, and what a lane remembers of them.

use corelane_eventloop::Nanos;
use corelane_http::files::{CacheLimits, StaticFiles};
use corelane_http::web::testing::TestResponse;

use crate::rig::{Rig, THEN};

/// The wall clock of the simulator when it begins, in seconds.
const TODAY: u64 = 784_111_777;

#[test]
fn what_is_fresh_costs_no_look_at_the_file() {
    let large = vec![b'x'; 100_000];
    let files: [(&str, &[u8]); 3] = [("a", b"a"), ("large", &large), ("d/index.html", b"index")];
    let mut rig = Rig::new(StaticFiles::new(0), &files);
    for target in ["/a", "/large", "/d/"] {
        let first = rig.get(target).body().to_vec();
        assert!(rig.disk.calls() > 0);
        for fields in [&[][..], &[("Range", "bytes=0-")], &[("If-None-Match", "*")]] {
            rig.ask(target, fields);
        }
        assert_eq!(rig.get(target).body(), first);
        assert_eq!(rig.disk.calls(), 0, "{target}");
    }
    rig.server.pass(Nanos::from_secs(1));
    assert_eq!(rig.get("/a").text(), "a");
    let looks = rig.disk.calls();
    assert!((1..=4).contains(&looks), "it and its siblings are looked at, not opened: {looks}");
}

#[test]
fn what_is_ready_says_the_same() {
    let middling = vec![b'm'; 3_000];
    let large = vec![b'x'; 100_000];
    let files: [(&str, &[u8]); 6] = [
        ("a.txt", b"a"),
        ("a.txt.gz", b"z"),
        ("empty", b""),
        ("middling", &middling),
        ("large", &large),
        ("100%25", b"percent"),
    ];
    let targets = ["/a.txt", "/empty", "/middling", "/large", "/100%2525", "/100%25", "/nothing"];
    let asked: [&[(&str, &str)]; 6] = [
        &[],
        &[("Connection", "close")],
        &[("Accept-Encoding", "gzip")],
        &[("Range", "bytes=0-0")],
        &[("If-None-Match", "*")],
        &[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")],
    ];
    let seen = |response: &TestResponse| {
        let fields = response.fields().map(|(name, value)| (name.to_owned(), value.to_vec()));
        (response.status(), fields.collect::<Vec<_>>(), response.body().to_vec())
    };
    let forgetful = CacheLimits { bytes: 0, ..CacheLimits::default() };
    let mut plain = Rig::new(StaticFiles::new(0).cache(forgetful), &files);
    let mut rig = Rig::new(StaticFiles::new(0), &files);
    let mut dates = Vec::new();
    for _ in 0..3 {
        for target in targets {
            for (method, fields) in asked.iter().flat_map(|f| [("GET", f), ("HEAD", f)]) {
                let expected = seen(&plain.send(method, target, fields));
                for _ in 0..2 {
                    let response = rig.send(method, target, fields);
                    assert_eq!(seen(&response), expected, "{method} {target} {fields:?}");
                    dates.push(response.field("Date").unwrap().to_owned());
                }
            }
        }
        plain.server.pass(Nanos::from_secs(2));
        rig.server.pass(Nanos::from_secs(2));
    }
    dates.dedup();
    assert_eq!(dates.len(), 3, "{dates:?}");
}

#[test]
fn changes_are_seen_after_a_while_or_at_once() {
    for (fresh, wait) in [(Nanos::from_secs(1), Nanos::from_secs(1)), (Nanos::ZERO, Nanos::ZERO)] {
        let limits = CacheLimits { fresh, ..CacheLimits::default() };
        let mut rig = Rig::new(StaticFiles::new(0).cache(limits), &[("a", b"old"), ("d/x", b"x")]);
        let old = rig.get("/a").field("ETag").unwrap().to_owned();
        let see = |rig: &mut Rig, target: &str| {
            rig.server.pass(wait);
            let response = rig.ask(target, &[("If-None-Match", &old)]);
            (response.status(), response.text().to_owned())
        };
        assert_eq!(see(&mut rig, "/a").0, 304);
        rig.disk.put_at("a", b"new", Nanos::from_secs(THEN + 1));
        assert_eq!(see(&mut rig, "/a"), (200, "new".to_owned()));
        // Of the same length and time, as after a restore: another file all the same.
        rig.disk.put_at("a", b"odd", Nanos::from_secs(THEN + 1));
        assert_eq!(see(&mut rig, "/a"), (200, "odd".to_owned()));
        rig.disk.remove("a");
        assert_eq!(see(&mut rig, "/a").0, 404);
        rig.disk.put("a/index.html", b"directory");
        assert_eq!(see(&mut rig, "/a").0, 301);
        assert_eq!(see(&mut rig, "/a/").1, "directory");
        assert_eq!(see(&mut rig, "/d/").0, 404);
        rig.disk.put("d/index.html", b"index");
        assert_eq!(see(&mut rig, "/d/").1, "index");
    }
}

#[test]
fn siblings_that_come_and_go_are_seen() {
    let mut rig = Rig::new(StaticFiles::new(0), &[("a", b"plain")]);
    let see = |rig: &mut Rig| {
        rig.server.pass(Nanos::from_secs(1));
        rig.ask("/a", &[("Accept-Encoding", "gzip")]).text().to_owned()
    };
    assert_eq!(see(&mut rig), "plain");
    rig.disk.put("a.gz", b"gzipped");
    assert_eq!(see(&mut rig), "gzipped");
    rig.disk.put_at("a", b"newer", Nanos::from_secs(THEN + 60));
    assert_eq!(see(&mut rig), "newer");
    rig.disk.put_at("a.gz", b"again", Nanos::from_secs(THEN + 60));
    assert_eq!(see(&mut rig), "again");
    rig.disk.remove("a.gz");
    assert_eq!(see(&mut rig), "newer");
}

#[test]
fn a_file_just_written_is_not_remembered_nor_firmly_tagged() {
    let mut rig = Rig::new(StaticFiles::new(0), &[]);
    let now = Nanos::from_secs(TODAY);
    rig.disk.put_at("a", b"one", now);
    let first = rig.get("/a");
    let weak = first.field("ETag").unwrap().to_owned();
    assert!(weak.starts_with("W/"), "{weak}");
    assert_eq!(first.field("Last-Modified"), None);
    assert_eq!(rig.ask("/a", &[("If-None-Match", &weak)]).status(), 304);
    let part = rig.ask("/a", &[("Range", "bytes=0-0"), ("If-Range", &weak)]);
    assert_eq!((part.status(), part.text()), (200, "one"));
    // The same length, and the clock has not ticked.
    rig.disk.put_at("a", b"two", now);
    assert_eq!(rig.get("/a").text(), "two");
    rig.server.pass(Nanos::from_secs(3));
    let settled = rig.ask("/a", &[("If-None-Match", &weak)]);
    assert_eq!((settled.status(), settled.text()), (200, "two"));
    assert!(settled.field("ETag").unwrap().starts_with('"'));
    assert!(settled.field("Last-Modified").is_some());
}

#[test]
fn a_download_goes_on_with_what_it_began_with() {
    let old = vec![b'o'; 300_000];
    let mut rig = Rig::new(StaticFiles::new(0), &[("a", &old)]);
    let client = rig.server.connect();
    rig.server.world().send(client, b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    rig.server.pass(Nanos::from_millis(1));
    rig.disk.put_at("a", &vec![b'n'; 300_000], Nanos::from_secs(THEN + 1));
    while rig.server.world().end(client).is_none() {
        rig.server.pass(Nanos::from_millis(10));
    }
    let received = rig.server.world().received(client);
    assert!(received.ends_with(&old));
    rig.server.pass(Nanos::from_secs(1));
    assert!(rig.get("/a").body().iter().all(|&byte| byte == b'n'));
}

#[test]
fn a_lane_remembers_no_more_than_it_may() {
    let limits =
        CacheLimits { bytes: 10_000, entries: 16, open_files: 2, ..CacheLimits::default() };
    let mut rig = Rig::new(StaticFiles::new(0).cache(limits), &[]);
    let large = vec![b'x'; 20_000];
    for n in 0..40 {
        rig.disk.put(&format!("{n}"), &[b'0' + n as u8; 2_000]);
        rig.disk.put(&format!("large{n}"), &large);
    }
    for _ in 0..3 {
        for n in 0..40 {
            assert_eq!(rig.get(&format!("/{n}")).body(), [b'0' + n as u8; 2_000]);
            assert_eq!(rig.get(&format!("/large{n}")).body().len(), 20_000);
        }
    }
    rig.disk.calls();
    rig.get("/39");
    assert_eq!(rig.disk.calls(), 0, "the latest is remembered");
    rig.get("/0");
    assert!(rig.disk.calls() > 0, "the oldest is not");

    let off = CacheLimits { bytes: 0, ..CacheLimits::default() };
    let mut rig = Rig::new(StaticFiles::new(0).cache(off), &[("a", b"a")]);
    for _ in 0..3 {
        assert_eq!(rig.get("/a").text(), "a");
        assert!(rig.disk.calls() > 0);
    }
}

#[test]
fn errors_of_the_system_and_their_answers() {
    const EIO: i32 = 5;
    const EACCES: i32 = 13;
    const EMFILE: i32 = 24;
    let site = StaticFiles::new(0).error_page(500, "500.html").unwrap();
    let mut rig = Rig::new(site, &[("a", b"a"), ("500.html", b"sorry"), ("big", &[b'x'; 30_000])]);
    for (error, status) in [(EIO, 500), (EACCES, 403), (EMFILE, 503)] {
        rig.disk.fail(Some(error));
        let response = rig.get("/a");
        let text = response.text().to_owned();
        assert_eq!(response.status(), status, "{error}");
        assert_eq!(response.field("Retry-After"), (status == 503).then_some("1"));
        assert!(text.starts_with(&status.to_string()), "not even the page can be opened: {text}");
    }
    rig.disk.fail(None);
    assert_eq!((rig.get("/500.html").status(), rig.get("/big").status()), (200, 200));
    rig.disk.fail(Some(EIO));
    assert_eq!(rig.get("/a").text(), "sorry");
    // What is remembered needs no opening; what is kept open makes room for others.
    assert_eq!(rig.get("/big").status(), 200);
    rig.disk.fail(Some(EMFILE));
    assert_eq!((rig.get("/a").status(), rig.get("/big").status()), (503, 503));
    rig.disk.fail(None);
    assert_eq!((rig.get("/a").status(), rig.get("/big").status()), (200, 200));
}
