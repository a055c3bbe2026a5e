//! Wrong usage and failed starts: each message says what, where and what to do.

use std::net::TcpListener;
use std::process::Command;

use crate::process::{Finished, Program, corelane, finish, run, scratch};

/// The run must have failed with this code, and its message must contain all of these.
#[track_caller]
fn failed(finished: &Finished, code: i32, parts: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "", "nothing was announced");
    assert!(finished.stderr.starts_with("error: "), "{}", finished.stderr);
    for part in parts {
        assert!(finished.stderr.contains(part), "no {part:?} in: {}", finished.stderr);
    }
}

#[test]
fn help_and_version() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    assert!(help.stdout.contains("fixed"), "{}", help.stdout);
    let help = run(&["fixed", "--help"]);
    assert_eq!(help.code, Some(0));
    for option in ["--body-file", "--max-connections", "--statsd", "--drain-timeout", "8080"] {
        assert!(help.stdout.contains(option), "{option}");
    }
    let version = run(&["--version"]);
    assert_eq!(version.code, Some(0));
    assert_eq!(version.stdout, format!("corelane {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(run(&[]).code, Some(2));
}

#[test]
fn a_port_in_use() {
    for (token, why) in [("short", "16 to 512"), ("a space is not allowed", "letters, digits")] {
        let mut command =
            corelane(&["fixed", "--port", "0", "--statsd", "off", "--admin", "0.0.0.0:0"]);
        command.env("CORELANE_ADMIN_TOKEN", token);
        let finished = finish(command);
        failed(&finished, 2, &["CORELANE_ADMIN_TOKEN", why]);
        assert!(!finished.stderr.contains(token), "{finished:?}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for mode in ["reuseport", "round-robin"] {
        let finished = run(&["fixed", "--statsd", "off", "--bind", &address, "--accept", mode]);
        failed(&finished, 1, &[&address, "in use", "another"]);
    }
    // Two servers must not share a port without being asked to.
    let program = Program::fixed(&[]);
    let port = program.address().port().to_string();
    let second = run(&["fixed", "--statsd", "off", "--bind", "127.0.0.1", "--port", &port]);
    failed(&second, 1, &[&port, "in use"]);
}

#[test]
fn an_address_of_another_machine() {
    let finished = run(&["fixed", "--statsd", "off", "--bind", "192.0.2.1:0"]);
    failed(&finished, 1, &["192.0.2.1:0"]);
}

#[test]
fn ports_that_are_none() {
    for port in ["65536", "-1", "http", "8080x"] {
        let finished = run(&["fixed", &format!("--port={port}")]);
        failed(&finished, 2, &[port, "--port", "--help"]);
    }
    failed(&run(&["fixed", "70000"]), 2, &["70000", "PORT", "65535"]);
    failed(&run(&["fixed", "--bind", "127.0.0.1:70000"]), 2, &["127.0.0.1:70000", "65535"]);
    failed(&run(&["fixed", "--bind", "::1:80:"]), 2, &["::1:80:"]);
}

#[test]
fn flags_that_do_not_exist() {
    failed(&run(&["fixed", "--bdoy", "x"]), 2, &["--bdoy", "--body"]);
    failed(&run(&["fixd"]), 2, &["fixd", "fixed"]);
    failed(&run(&["fixed", "--accept", "random"]), 2, &["random", "round-robin"]);
}

#[test]
fn options_that_contradict_each_other() {
    failed(&run(&["fixed", "80", "--port", "81"]), 2, &["--port", "cannot be used with"]);
    let both = run(&["fixed", "--body", "x", "--body-file", "y"]);
    failed(&both, 2, &["--body", "--body-file", "cannot be used with"]);
    let finished = run(&["fixed", "--status", "204", "--body", "x"]);
    failed(&finished, 2, &["--status", "--body", "204"]);
}

#[test]
fn values_out_of_range() {
    for (args, parts) in [
        (["--status", "99"], ["99", "200..=599"]),
        (["--status", "100"], ["100", "200..=599"]),
        (["--workers", "0"], ["--workers", "0"]),
        (["--workers", "5000"], ["--workers 5000", "1024"]),
        (["--max-connections", "0"], ["--max-connections", "0"]),
        (["--accept-rate", "0"], ["--accept-rate", "0"]),
        (["--drain-timeout", "soon"], ["soon", "500ms"]),
        (["--drain-timeout", "5parsecs"], ["5parsecs", "ms"]),
        (["--max-body", "1T"], ["1T", "512M"]),
        (["--max-head", "100"], ["--max-head", "256 to 256K"]),
        (["--max-fields", "101"], ["101", "1..=100"]),
        (["--max-unsent", "5G"], ["--max-unsent", "at most"]),
        (["--statsd-tag", "production"], ["production", "env:production"]),
    ] {
        failed(&run(&[&["fixed"], &args[..]].concat()), 2, &parts);
    }
}

#[test]
fn headers_that_cannot_be_sent() {
    for header in ["no colon", "Bad Name: x", ": x", "Name: a\nb", "Name: \u{7}"] {
        failed(&run(&["fixed", "--header", header]), 2, &["--header"]);
    }
    // These are the protocol's own.
    for header in ["Content-Length: 7", "connection: close", "Transfer-Encoding: chunked"] {
        failed(&run(&["fixed", "--header", header]), 2, &["--header", header, "sets this field"]);
    }
    let long = format!("Long: {}", "x".repeat(100_000));
    failed(&run(&["fixed", "--header", &long]), 2, &["--header", "too"]);
}

#[test]
fn a_body_file_that_cannot_be_read() {
    let missing = scratch("does-not-exist");
    let missing = missing.to_str().unwrap();
    let finished = run(&["fixed", "--body-file", missing]);
    failed(&finished, 1, &["--body-file", missing, "cannot be read", "No such file"]);
    let folder = env!("CARGO_TARGET_TMPDIR");
    failed(&run(&["fixed", "--body-file", folder]), 1, &["--body-file", folder, "directory"]);
}

#[test]
fn a_statsd_host_that_cannot_be_resolved() {
    let finished = run(&["fixed", "--port", "0", "--statsd", "no-such-host.invalid:8125"]);
    failed(&finished, 1, &["--statsd", "no-such-host.invalid:8125", "resolve"]);
    assert_eq!(finished.stderr.matches("lookup").count(), 1, "said once: {}", finished.stderr);
    let finished = run(&["fixed", "--port", "0", "--statsd", "127.0.0.1"]);
    failed(&finished, 1, &["--statsd", "127.0.0.1", "host:port"]);
}

#[test]
fn statsd_names_tags_and_intervals_that_cannot_be() {
    for name in ["a|b", "a b", "a:b"] {
        let finished = run(&["fixed", "--port", "0", "--statsd-name", name]);
        failed(&finished, 2, &["--statsd-name"]);
    }
    let finished = run(&["fixed", "--port", "0", "--statsd-interval", "0s"]);
    failed(&finished, 2, &["--statsd-interval"]);
    let finished = run(&["fixed", "--port", "0", "--statsd-tag", "a:b|c"]);
    failed(&finished, 2, &["--statsd-tag"]);
}

#[test]
fn too_few_descriptors_for_the_connections_asked_for() {
    let mut shell = Command::new("sh");
    let script = "ulimit -n 128; exec \"$0\" fixed --port 0 --statsd off --workers 1 \
        --max-connections 1000";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_corelane")]);
    let parts =
        ["--max-connections: 1000 need", "limit is 128", "lower it to", "ulimit", "LimitNOFILE"];
    failed(&finish(shell), 1, &parts);
}

#[test]
fn an_admin_address_that_others_could_reach() {
    for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
        let finished = run(&["fixed", "--port", "0", "--statsd", "off", "--admin", address]);
        failed(&finished, 2, &["--admin", address, "loopback", "127.0.0.1"]);
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = run(&["fixed", "--port", "0", "--statsd", "off", "--admin", &address]);
    failed(&finished, 1, &["--admin", &address, "in use"]);
}

#[test]
fn a_closed_standard_output_does_not_end_it() {
    let mut command = corelane(&["fixed", "--port", "0", "--statsd", "off", "--workers", "1"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    let mut child = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let ended = child.try_wait().unwrap();
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(ended, None, "it still serves");
}
