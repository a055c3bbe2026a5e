//! Configured sites whose configuration changes: lanes that start late, keys that wait.

#![cfg(target_os = "linux")]
// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod site_lane;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use corelane::config::{Effective, Sources};
use corelane::site::Source;
use corelane_eventloop::{File, Files, Links, Meta, Nanos, OsFiles, RootId};

use crate::site_lane::SiteLane;

fn load(limits: &str) -> Effective {
    let text = format!(
        r#"{{ "limits": {limits}, "routes": [{{ "path": "/", "fixed": {{ "body": "hello" }} }}] }}"#
    );
    Sources::new().text("a.json", text).load().unwrap()
}

struct Rig(SiteLane);

impl Rig {
    fn new(source: &Arc<Source>, started: &Effective) -> Rig {
        Rig(SiteLane::new(source, started, Box::new(OsFiles::new())))
    }

    fn ask(&mut self, fields: &str) -> String {
        self.send(&format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n"))
    }

    fn send(&mut self, request: &str) -> String {
        let client = self.0.world.connect(&self.0.driver, 0);
        self.0.world.send(client, request.as_bytes());
        self.pass();
        String::from_utf8(self.0.world.received(client)).unwrap()
    }

    fn pass(&mut self) {
        self.0.pass(Nanos::from_millis(100));
    }
}

/// A lane that is restarted, and whose first turn brings a request.
#[test]
fn a_lane_that_starts_after_a_reload_has_its_limits() {
    let started = load("{}");
    let source = Source::new(started.clone()).unwrap();
    source.reload(Ok(load(r#"{ "max_requests": 1 }"#))).unwrap();
    let mut rig = Rig::new(&source, &started);
    rig.ask("");
    let answer = rig.ask("");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
}

/// Files that cannot be reached until they can.
struct Late(Arc<AtomicBool>, OsFiles);

impl Files for Late {
    fn open_root_with(&mut self, directory: &Path, links: Links) -> io::Result<RootId> {
        match self.0.load(Ordering::Relaxed) {
            true => self.1.open_root_with(directory, links),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open(&mut self, root: RootId, path: &Path) -> io::Result<(File, Meta)> {
        self.1.open(root, path)
    }

    fn stat(&mut self, root: RootId, path: &Path) -> io::Result<Meta> {
        self.1.stat(root, path)
    }

    fn list(&mut self, root: RootId, path: &Path, limit: usize) -> io::Result<Vec<String>> {
        self.1.list(root, path, limit)
    }

    fn read(&mut self, file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.1.read(file, offset, into)
    }
}

/// A lane to which the file system does not give what it gave when the configuration was tried out.
#[test]
fn a_lane_that_cannot_follow_keeps_all_of_its_old_site_and_tries_again() {
    let started = load("{}");
    let source = Source::new(started.clone()).unwrap();
    let there = Arc::new(AtomicBool::new(false));
    let files = Late(there.clone(), OsFiles::new());
    let mut rig = Rig(SiteLane::new(&source, &started, Box::new(files)));
    assert!(rig.ask("").ends_with("hello"));
    // The tests run in the folder of the package, which has no page of its own.
    let text = r#"{ "limits": { "max_requests": 1 }, "static_dir": "." }"#;
    source.reload(Sources::new().text("a.json", text).load()).unwrap();
    for _ in 0..2 {
        let answer = rig.ask("");
        assert!(answer.ends_with("hello") && !answer.contains("Connection: close"), "{answer}");
    }
    there.store(true, Ordering::Relaxed);
    // Nothing happens meanwhile: it wakes by itself.
    for _ in 0..12 {
        rig.pass();
    }
    let answer = rig.ask("");
    assert!(!answer.ends_with("hello") && answer.contains("Connection: close"), "{answer}");
}

/// What a reload says takes effect at the next start does not take effect now.
#[test]
fn keys_that_wait_for_the_next_start_do() {
    let started = load(r#"{ "max_head": "1K" }"#);
    let source = Source::new(started.clone()).unwrap();
    let mut rig = Rig::new(&source, &started);
    let fields: String = (0..20).map(|at| format!("X-{at}: {}\r\n", "x".repeat(90))).collect();
    assert!(rig.ask(&fields).starts_with("HTTP/1.1 431 "));
    let diff = source.reload(Ok(load(r#"{ "max_head": "8K" }"#))).unwrap();
    assert_eq!(diff.restart[0].path, "limits.max_head");
    rig.ask("");
    assert!(rig.ask(&fields).starts_with("HTTP/1.1 431 "), "{}", rig.ask(&fields));
}

/// Only who develops a site is told which other path there is.
#[test]
fn a_404_suggests_a_path_in_development_only() {
    let config = |environment: &str| {
        let text = format!(
            r#"{{ "environment": "{environment}", "logs": {{ "access": {{ "path": null }} }},
                 "routes": [{{ "path": "/api/items", "fixed": {{}} }}] }}"#
        );
        Sources::new().text("a.json", text).load().unwrap()
    };
    let started = config("production");
    let source = Source::new(started.clone()).unwrap();
    let mut rig = Rig::new(&source, &started);
    let request = "GET /api//items/ HTTP/1.1\r\nHost: test\r\n\r\n";
    let answer = rig.send(request);
    assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("/api/items"), "{answer}");
    source.reload(Ok(config("development"))).unwrap();
    rig.send(request);
    let answer = rig.send(request);
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(answer.contains("did you mean /api/items?"), "{answer}");
    let answer = rig.send("GET /<script> HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(!answer.contains("script"), "{answer}");
}
