//! `corelane echo` and `corelane broadcast`: protocols of lines and bytes, with clients that know none.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use crate::admin::Status;
use crate::process::{PATIENCE, Program, pattern, wait_until};

/// A client of lines.
struct Person(BufReader<TcpStream>);

impl Person {
    fn connect(program: &Program) -> Person {
        let stream = TcpStream::connect(program.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Person(BufReader::new(stream))
    }

    /// Somebody who has seen the welcome.
    fn join(program: &Program) -> Person {
        let mut person = Person::connect(program);
        let welcome = person.line();
        assert!(welcome.starts_with("* you are guest-"), "{welcome}");
        person
    }

    fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line; nothing at the end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    #[track_caller]
    fn hears(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Skips what comes before a line.
    fn waits_for(&mut self, wanted: &str) {
        loop {
            match self.line() {
                line if line == wanted => return,
                line => assert_ne!(line, "", "it ends before {wanted}"),
            }
        }
    }
}

#[test]
fn echo_sends_back_every_byte() {
    let program = Program::listening("echo", &["--admin", "127.0.0.1:0"]);
    assert!(
        program.announcement.starts_with("listening on 127.0.0.1:"),
        "{}",
        program.announcement
    );
    let body = pattern(8 << 20);
    let mut stream = TcpStream::connect(program.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sender = stream.try_clone().unwrap();
    let sent = body.clone();
    let sending = std::thread::spawn(move || {
        sender.write_all(&sent).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sending.join().unwrap();
    assert!(received == body, "{} bytes came back of {}", received.len(), body.len());
    assert!(Status::of(&program).counter("corelane_messages_received_total", &[]) > 0);
    program.stop();
}

#[test]
fn idle_clients_stay_unless_told_otherwise() {
    let program = Program::listening("echo", &["--idle-timeout", "100ms"]);
    let mut client = Person::connect(&program);
    client.say("hello");
    client.hears("hello");
    client.hears("");
    assert!(program.announcement.contains("idle 100ms"), "{}", program.announcement);
    program.stop();
}

#[test]
fn people_chat_and_are_told_of_the_end() {
    let program = Program::listening("broadcast", &["--admin", "127.0.0.1:0"]);
    let mut ada = Person::join(&program);
    ada.say("/nick ada");
    ada.hears("* you are now ada");
    ada.say("hello\r");
    ada.say("/who");
    ada.hears("* 1 here: ada");
    let mut bob = Person::join(&program);
    bob.hears("ada: hello");
    ada.hears("* guest-2 has joined");
    bob.say("\u{1b}[2Jhi");
    ada.hears("guest-2: ^[[2Jhi");
    let status = Status::of(&program);
    assert_eq!(status.open(), 2);
    assert!(status.counter("corelane_messages_published_total", &[]) >= 2);
    program.terminate();
    for person in [&mut ada, &mut bob] {
        person.hears("* the server stops; bye");
        person.hears("");
    }
    drop((ada, bob));
    let finished = program.wait();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let lines: Vec<Value> =
        finished.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for message in ["connected", "disconnected"] {
        let lines: Vec<_> = lines.iter().filter(|line| line["message"] == message).collect();
        assert_eq!(lines.len(), 2, "{}", finished.stderr);
        assert!(lines.iter().all(|line| line["peer"].as_str().unwrap().starts_with("127.0.0.1:")));
    }
    assert!(lines.iter().any(|line| line["reason"] == "finished"), "{}", finished.stderr);
}

/// What people do who have nothing but `nc`.
#[test]
fn nc_is_enough() {
    let program = Program::listening("broadcast", &[]);
    let port = program.address().port().to_string();
    let mut nc = Command::new("nc");
    nc.args(["127.0.0.1", &port]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut nc) = nc.spawn() else {
        println!("skipped: there is no nc");
        return;
    };
    let mut lines = BufReader::new(nc.stdout.take().unwrap()).lines();
    let mut input = nc.stdin.take().unwrap();
    let welcome = lines.next().unwrap().unwrap();
    assert_eq!(welcome, "* you are guest-1, and alone here; /help lists the commands");
    let mut bob = Person::join(&program);
    assert_eq!(lines.next().unwrap().unwrap(), "* guest-2 has joined");
    input.write_all(b"hello\n").unwrap();
    bob.hears("guest-1: hello");
    bob.say("hi");
    assert_eq!(lines.next().unwrap().unwrap(), "guest-2: hi");
    input.write_all(b"/quit\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "* bye");
    bob.hears("* guest-1 has left");
    drop(input);
    let _ = nc.kill();
    nc.wait().unwrap();
    program.stop();
}

/// Says a line so many times, and hears each of them.
fn lines(ada: &mut Person, bob: &mut Person, line: &str, count: usize) {
    for _ in 0..count {
        ada.say(line);
        bob.waits_for(&format!("ada: {line}"));
    }
}

/// One who stops reading costs what their watermark allows, and nobody else a line.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_stops_reading_costs_a_bounded_amount() {
    use crate::descriptors::resident;

    let options = ["--admin", "127.0.0.1:0", "--min-rate", "0", "--drain-timeout", "100ms"];
    let program = Program::listening("broadcast", &options);
    let _deaf = Person::connect(&program);
    let (mut ada, mut bob) = (Person::join(&program), Person::join(&program));
    ada.say("/nick ada");
    bob.waits_for("* guest-2 is now ada");
    let line = "x".repeat(4000);
    let dropped = || Status::of(&program).counter("corelane_messages_dropped_total", &[]);
    // The kernel holds some megabytes before the server has to.
    for _ in 0..200 {
        if dropped() > 0 {
            break;
        }
        lines(&mut ada, &mut bob, &line, 100);
    }
    let (before, size) = (dropped(), resident(program.pid()));
    assert!(before > 0, "nothing is dropped");
    lines(&mut ada, &mut bob, &line, 2000);
    assert_eq!(dropped() - before, 2000);
    let grown = resident(program.pid()).saturating_sub(size);
    assert!(grown < 2 << 20, "8 MB of lines made it grow by {grown} bytes");
    program.stop();
}

/// Thousands of people: each hears what one says, once.
#[test]
fn thousands_hear_one() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let many = maximum.map_or(5000, |limit| (limit / 3).min(5000) as usize);
    let options = ["--workers", "2", "--log-level", "warn", "--admin", "127.0.0.1:0"];
    let program = Program::listening("broadcast", &options);
    let mut people: Vec<Person> = (0..many).map(|_| Person::connect(&program)).collect();
    wait_until("all are here", || Status::of(&program).open() == many as u64);
    let (first, others) = people.split_first_mut().unwrap();
    first.say("/nick ada");
    first.waits_for("* you are now ada");
    first.say("one\ntwo");
    for person in others {
        person.waits_for("ada: one");
        person.hears("ada: two");
    }
    let status = Status::of(&program);
    assert_eq!(status.counter("corelane_messages_dropped_total", &[]), 0);
    drop(people);
    wait_until("all have left", || Status::of(&program).open() == 0);
    program.stop();
}
