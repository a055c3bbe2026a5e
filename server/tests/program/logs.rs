//! What the program logs, and what it does if nobody reads that.

use rustix::process::Signal;
use serde_json::Value;

use crate::client::GET;
use crate::process::{Program, Scratch, corelane, finish, run, wait_until};

/// A refused request, which is logged at debug level.
fn refused(program: &Program) {
    let mut client = program.connect();
    assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    client.ends();
}

#[test]
fn a_log_that_nobody_reads_blocks_nothing() {
    let (program, mut unread) = Program::fixed_unread(&["--admin", "127.0.0.1:0"]);
    // More than the pipe and the queue hold together.
    for _ in 0..3000 {
        refused(&program);
    }
    assert_eq!(program.connect().ask(GET).status, 200);
    let status: Value = serde_json::from_slice(&program.admin().get("/status").body).unwrap();
    assert!(status["log"]["dropped"].as_u64().unwrap() > 0, "{}", status["log"]);
    // Neither does it keep the program from stopping.
    program.stop();
    // Whole lines have come, up to where the pipe was full.
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut unread, &mut text).unwrap();
    let whole = text.iter().rposition(|&byte| byte == b'\n').unwrap();
    for line in text[..whole].split(|&byte| byte == b'\n') {
        let line: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(line["rule"], "host-missing");
    }
}

#[test]
fn lines_are_json_unless_told_otherwise() {
    let log = |arguments: &[&str]| {
        let program = Program::fixed(arguments);
        refused(&program);
        program.terminate();
        program.wait().stderr
    };
    let json = log(&["--log-level", "info,corelane_http=debug"]);
    let lines: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 3, "{json}");
    assert_eq!((&lines[0]["level"], &lines[0]["rule"]), (&"DEBUG".into(), &"host-missing".into()));
    assert!(lines[0]["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{json}");
    assert!(lines[1]["message"].as_str().unwrap().starts_with("stopping"), "{json}");
    assert_eq!(lines[2]["message"], "stopped");

    let text = log(&["--log-level", "corelane_http=debug", "--log-format", "text"]);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("DEBUG") && text.contains("rule=\"host-missing\""), "{text}");
    assert!(!text.contains('\u{1b}'), "no colour where there is no terminal: {text}");
}

/// Also where a message has fields of its own: JSON with a key twice is read in different ways.
#[test]
fn no_key_is_there_twice() {
    let folder = Scratch::folder("log-keys", &[("index.html", b"x")]);
    let access = folder.0.join("access.log");
    let args = ["static", folder.path(), "0", "--bind", "127.0.0.1", "--statsd", "off"];
    let program = Program::start(corelane(
        &[&args[..], &["--access-log", access.to_str().unwrap()]].concat(),
    ));
    std::fs::rename(&access, folder.0.join("access.log.1")).unwrap();
    program.signal(Signal::USR1);
    wait_until("there is a new file", || access.exists());
    program.terminate();
    let stderr = program.wait().stderr;
    assert!(stderr.contains("access log reopened"), "{stderr}");
    for line in stderr.lines() {
        assert_eq!(line.matches("\"target\":").count(), 1, "{line}");
    }
}

#[test]
fn mistakes_in_the_filter_are_told() {
    let finished = run(&["--log-level", "inof", "fixed"]);
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("--log-level: `inof` is no level"), "{}", finished.stderr);

    // What another program may have wanted in the environment prevents nothing.
    let mut command = crate::process::corelane(&["fixed", "--bind", "256.0.0.1:1"]);
    command.env("RUST_LOG", "a=b=c");
    let finished = finish(command);
    assert!(finished.stderr.contains("RUST_LOG is not used"), "{}", finished.stderr);
}

#[test]
fn sigquit_drains_and_sigusr1_does_not_end_it() {
    let mut program = Program::fixed(&[]);
    let mut busy = program.connect();
    busy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n1");
    program.signal(Signal::USR1);
    assert_eq!(program.connect().ask(GET).status, 200);
    assert!(program.runs());
    program.signal(Signal::QUIT);
    crate::process::wait_until("it does not accept", || {
        std::net::TcpStream::connect(program.address()).is_err()
    });
    assert_eq!(busy.ask("2").status, 200);
    assert_eq!(program.wait().code, Some(0));
}
