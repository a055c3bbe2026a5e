//! Configurations that change while they are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Client, GET, Response};
use crate::process::{Program, Scratch, corelane, wait_until};

/// A site whose page names its generation.
fn site(generation: u64) -> Vec<u8> {
    let config = json!({
        "port": 0,
        "host": "127.0.0.1",
        "workers": 2,
        "pin": false,
        "admin": "127.0.0.1:0",
        "metrics": { "statsd": null },
        "routes": [{ "path": "/", "fixed": { "body": format!("generation {generation}") } }],
    });
    config.to_string().into_bytes()
}

fn serve(file: &Scratch) -> Program {
    Program::start(corelane(&["serve", "--config", file.path()]))
}

fn ask(client: &mut Client, request: &[u8]) -> Response {
    client.send(request);
    client.response()
}

/// What `/status` says of the configuration.
fn status(program: &Program) -> Value {
    let response = ask(&mut program.admin(), b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let status: Value = serde_json::from_slice(&response.body).unwrap();
    status["configuration"].clone()
}

fn page(program: &Program) -> String {
    ask(&mut program.connect(), GET).text().to_owned()
}

#[test]
fn a_hundred_reloads_under_load_fail_no_request() {
    let file = Scratch::new("reload.json", &site(1));
    let program = serve(&file);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let load = |closes: bool| {
        let (address, stop, served) = (program.address(), stop.clone(), served.clone());
        thread::spawn(move || {
            let mut client = Client::connect(address);
            let mut latest = 0;
            while !stop.load(Ordering::Relaxed) {
                if closes {
                    client = Client::connect(address);
                }
                let response = ask(&mut client, GET);
                assert_eq!(response.status, 200);
                let generation: u64 =
                    response.text().strip_prefix("generation ").unwrap().parse().unwrap();
                // Lanes take a configuration over one by one; a connection stays on its lane.
                assert!(closes || generation >= latest, "{generation} after {latest}");
                latest = generation;
                served.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let clients = [load(false), load(false), load(true)];
    for generation in 2..=101 {
        file.replace(&site(generation));
        program.signal(Signal::HUP);
        wait_until("it is loaded", || status(&program)["generation"] == generation);
    }
    wait_until("every lane has it", || (0..8).all(|_| page(&program) == "generation 101"));
    let before = served.load(Ordering::Relaxed);
    wait_until("requests go on", || served.load(Ordering::Relaxed) > before + 100);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let status = status(&program);
    assert_eq!(status["reloads"]["succeeded"], 100);
    assert_eq!(status["reloads"]["failed"], 0);
    program.terminate();
    assert_eq!(program.wait().code, Some(0));
}

#[test]
fn a_bad_file_changes_nothing_and_is_seen() {
    let file = Scratch::new("bad.json", &site(1));
    let args = ["serve", "--config", file.path(), "--log-format", "text"];
    let program = Program::start(corelane(&args));
    let bad: [(&[u8], &str); 5] = [
        (b"{", "not JSON"),
        (b"{ \"prot\": 1,\n \"hots\": 2 }", "did you mean `port`?"),
        (b"{ \"routes\": [{ \"path\": \"x\", \"fixed\": {} }] }", "expected a path"),
        (b"{ \"static_dir\": \"/nonexistent\" }", "/nonexistent"),
        (
            b"{ \"routes\": [{ \"path\": \"/{a}\", \"fixed\": {} }, \
              { \"path\": \"/{b}\", \"fixed\": {} }] }",
            "routes[1].path",
        ),
    ];
    for (round, (text, said)) in bad.iter().cycle().take(10).enumerate() {
        file.replace(text);
        program.signal(Signal::HUP);
        wait_until("it is refused", || status(&program)["reloads"]["failed"] == round as u64 + 1);
        let status = status(&program);
        assert_eq!(status["generation"], 1);
        assert_eq!(status["reloads"]["last_success"], false);
        let error = status["reloads"]["error"].as_str().unwrap();
        assert!(error.contains(said), "{error}");
        assert_eq!(page(&program), "generation 1");
    }
    file.replace(&site(2));
    program.signal(Signal::HUP);
    wait_until("it is loaded", || status(&program)["generation"] == 2);
    assert_eq!(status(&program)["reloads"]["last_success"], true);
    program.terminate();
    let finished = program.wait();
    assert_eq!(finished.code, Some(0));
    let lines: Vec<&str> = finished.stderr.lines().collect();
    let refusals =
        lines.iter().filter(|line| line.contains("the old configuration stays in force"));
    assert_eq!(refusals.count(), 10, "{lines:?}");
    let is_record = |line: &&str| line.starts_with("20");
    assert!(lines.iter().all(is_record), "a record is one line: {lines:?}");
}

#[test]
fn what_needs_a_restart_is_told_and_does_not_change() {
    let file = Scratch::new("restart.json", &site(1));
    let program = serve(&file);
    let mut other: Value = serde_json::from_slice(&site(2)).unwrap();
    other["workers"] = json!(1);
    file.replace(other.to_string().as_bytes());
    program.signal(Signal::HUP);
    wait_until("it is loaded", || status(&program)["generation"] == 2);
    assert_eq!(status(&program)["pending_restart"], json!(["workers: 2 -> 1"]));
    file.replace(&site(3));
    program.signal(Signal::HUP);
    wait_until("it is loaded", || status(&program)["generation"] == 3);
    assert_eq!(status(&program)["pending_restart"], json!([]));
}

/// Whatever of it changes: no request is without a line, and lines know what those before knew.
#[test]
fn the_access_log_changes_with_a_reload() {
    let folder = Scratch::folder("access", &[("empty", b"")]);
    let path = |name: &str| format!("{}/{name}", folder.path());
    let config = |access: Value| {
        let mut config: Value = serde_json::from_slice(&site(1)).unwrap();
        config["logs"] = json!({ "access": access });
        config.to_string().into_bytes()
    };
    let file = Scratch::new("access.json", &config(json!({ "path": null })));
    let program = serve(&file);
    let port = program.address().port();
    let mut asked = 0;
    let mut ask_some = || {
        // Some by connections that are there already, on any lane.
        for _ in 0..20 {
            assert_eq!(page(&program), "generation 1");
            asked += 1;
        }
        asked
    };
    let before = ask_some();
    let format = "$server_port $status";
    let steps = [
        json!({ "path": path("a"), "format": format }),
        json!({ "path": path("a"), "format": format, "buffer": "128K" }),
        json!({ "path": path("b"), "format": format, "buffer": "128K" }),
    ];
    for (step, access) in steps.into_iter().enumerate() {
        file.replace(&config(access));
        program.signal(Signal::HUP);
        wait_until("it is loaded", || status(&program)["generation"] == step as u64 + 2);
        assert_eq!(status(&program)["pending_restart"], json!([]));
        ask_some();
    }
    let total = ask_some() - before;
    let read = |name| std::fs::read_to_string(path(name)).unwrap_or_default();
    // Until its lane has looked, a request belongs to the log before: here, to none.
    wait_until("lines are written", || (read("a") + &read("b")).lines().count() + 2 >= total);
    for line in (read("a") + &read("b")).lines() {
        assert_eq!(line, format!("{port} 200"));
    }
    program.terminate();
    let finished = program.wait();
    assert!(finished.stderr.contains("logs.access.buffer"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("takes effect at the next start"), "{}", finished.stderr);
}

/// Folders that no configuration names any more are closed, and counters of rate limits are not those of
/// another route.
#[test]
#[cfg(target_os = "linux")]
fn what_was_left_behind_is_let_go_of() {
    let folders: Vec<Scratch> =
        (0..4).map(|number| Scratch::folder(&format!("left{number}"), &[("a", b"a")])).collect();
    let config = |number: usize| {
        let mut config: Value = serde_json::from_slice(&site(1)).unwrap();
        let limited = json!({
            "path": "/limited",
            "fixed": {},
            "middleware": { "rate_limit": { "rate": "1/h" } }
        });
        let files = json!({ "path": "/files", "static": { "dir": folders[number].path() } });
        // Each time something else stands in front.
        let mut routes = vec![limited, files];
        routes.rotate_left(number % 2);
        config["routes"] = Value::from(routes);
        config.to_string().into_bytes()
    };
    let file = Scratch::new("left.json", &config(0));
    let program = serve(&file);
    let limited =
        || ask(&mut program.connect(), b"GET /limited HTTP/1.1\r\nHost: a\r\n\r\n").status;
    assert_eq!((limited(), limited()), (200, 429));
    let opened = |number: usize| {
        let open = std::fs::read_dir(format!("/proc/{}/fd", program.pid())).unwrap();
        let folder = std::path::absolute(folders[number].path()).unwrap();
        open.filter(|entry| {
            let path = entry.as_ref().unwrap().path();
            std::fs::read_link(path).is_ok_and(|target| target == folder)
        })
        .count()
    };
    for number in 1..4 {
        file.replace(&config(number));
        program.signal(Signal::HUP);
        wait_until("every lane has it", || opened(number) == 2);
        assert_eq!(limited(), 429);
    }
    wait_until("the first two are closed", || opened(0) + opened(1) == 0);
}

/// What belongs to the protocol and to stopping, rather than to routes.
#[test]
fn limits_and_the_drain_time_change_with_a_reload() {
    let config = |body: &str, drain: &str| {
        let mut config: Value = serde_json::from_slice(&site(1)).unwrap();
        config["workers"] = json!(1);
        config["limits"] = json!({ "max_body": body });
        config["drain_timeout"] = json!(drain);
        config.to_string().into_bytes()
    };
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789";
    let file = Scratch::new("limits.json", &config("1K", "1m"));
    let program = serve(&file);
    assert_eq!(ask(&mut program.connect(), post).status, 200);
    file.replace(&config("9", "0s"));
    program.signal(Signal::HUP);
    wait_until("it is loaded", || status(&program)["generation"] == 2);
    wait_until("bodies are limited", || ask(&mut program.connect(), post).status == 413);
    // A request that never ends: only the time to drain ends it.
    let mut stuck = program.connect();
    stuck.send([GET, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1"].concat());
    assert_eq!(stuck.response().status, 200);
    program.terminate();
    assert_eq!(program.wait().code, Some(0));
}

#[test]
fn the_level_of_the_log_changes_with_a_reload() {
    let config = |level: &str| {
        let mut config: Value = serde_json::from_slice(&site(1)).unwrap();
        config["logs"] = json!({ "level": level });
        config.to_string().into_bytes()
    };
    let file = Scratch::new("level.json", &config("info"));
    let program = serve(&file);
    let level = || program.admin().get("/log-level").text().to_owned();
    assert_eq!(level(), "info\n");
    file.replace(&config("corelane_http=debug"));
    program.signal(Signal::HUP);
    wait_until("it is loaded", || level() == "corelane_http=debug\n");
}

#[test]
fn a_watched_file_is_loaded_by_itself() {
    let watched = |generation| {
        let mut config: Value = serde_json::from_slice(&site(generation)).unwrap();
        config["watch"] = json!(true);
        config.to_string().into_bytes()
    };
    let file = Scratch::new("watch.json", &watched(1));
    let program = serve(&file);
    // Two in a row: the second counts.
    file.replace(b"{");
    file.replace(&watched(2));
    wait_until("it is loaded", || page(&program) == "generation 2");
}

#[test]
fn a_wrong_configuration_ends_the_start_with_78() {
    let file = Scratch::new("wrong.json", b"{\n  \"prot\": 1\n}");
    let finished = crate::process::run(&["serve", "--config", file.path()]);
    assert_eq!(finished.code, Some(78), "{finished:?}");
    let said = format!("{}:2:3: prot: unknown key; did you mean `port`?", file.path());
    assert!(finished.stderr.contains(&said), "{}", finished.stderr);
}

#[test]
fn the_five_keys_are_enough() {
    let folder = Scratch::folder("five", &[("index.html", b"<p>five")]);
    let config = json!({
        "host": "127.0.0.1",
        "port": 0,
        "static_dir": folder.path(),
        "workers": 1,
        "connection_timeout_ms": 5000,
    });
    let file = Scratch::new("five.json", config.to_string().as_bytes());
    let program = serve(&file);
    assert!(program.announcement.contains("head 5s"), "{}", program.announcement);
    assert!(program.announcement.contains("idle 5s"), "{}", program.announcement);
    assert_eq!(page(&program), "<p>five");
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let file = Scratch::new("ranks.json", &site(1));
    let mut command = corelane(&["serve", "-c", file.path(), "--max-body", "3K"]);
    command.env("CORELANE_LIMITS_MAX_BODY", "2K").env("CORELANE_TIMEOUTS_IDLE", "7s");
    let program = Program::start(command);
    let said = &program.announcement;
    assert!(said.contains("body 3072 bytes") && said.contains("idle 7s"), "{said}");
}

#[test]
fn routes_do_what_they_say() {
    let folder = Scratch::folder("say", &[("a/b.txt", b"b")]);
    let config = json!({
        "port": 0, "host": "127.0.0.1", "workers": 1, "metrics": { "statsd": null },
        "limits": { "lenient": true },
        "routes": [
            { "path": "/json", "static": { "dir": folder.path(), "listing": "json" } },
            { "path": "/html", "static": { "dir": folder.path(), "listing": "html" } },
            { "path": "/old/{*rest}", "redirect": { "to": "/new/{rest}" } },
            { "path": "/up/{*rest}", "redirect": { "to": "/{rest}" } },
            { "path": "/cdn/{*rest}", "redirect": { "to": "//cdn.example.org/{rest}" } },
            {
                "path": "/small",
                "fixed": { "body": "ok" },
                "middleware": { "body_limit": 4 }
            },
        ],
    });
    let file = Scratch::new("say.json", config.to_string().as_bytes());
    let program = serve(&file);
    let get = |path: &str, accept: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
        ask(&mut program.connect(), request.as_bytes())
    };
    for accept in ["text/html", "application/json"] {
        let listed = get("/json/a/", accept);
        assert_eq!(listed.field("Content-Type"), Some("application/json"));
        let listed = get("/html/a/", accept);
        assert_eq!(listed.field("Content-Type"), Some("text/html; charset=utf-8"));
    }
    for (path, to) in [
        ("/old/", "/new/"),
        ("/old/a/b", "/new/a/b"),
        ("/up//evil.example", "/evil.example"),
        (r"/up/\evil.example/x", "/evil.example/x"),
        (r"/up/\/\evil.example", "/evil.example"),
        (r"/up/a/\b", r"/a/\b"),
        ("/cdn/a", "//cdn.example.org/a"),
    ] {
        assert_eq!(get(path, "*/*").field("Location"), Some(to));
    }
    for (length, status) in [(4, 200), (5, 413)] {
        let body = "x".repeat(length);
        let request =
            format!("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}");
        assert_eq!(ask(&mut program.connect(), request.as_bytes()).status, status, "{length}");
    }
}
