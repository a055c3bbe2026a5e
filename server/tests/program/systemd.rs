//! A test that plays systemd: it passes sockets, and is told how the service does.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::client::{Client, GET};
use crate::process::{PATIENCE, Program, finish, scratch, wait_until};

const FIXED: [&str; 6] = ["fixed", "--no-pin", "--statsd", "off", "--workers", "2"];

/// `corelane fixed`, started as by systemd: with these sockets as descriptors 3 and 4, and variables
/// for the process that it becomes. `shell` may set others.
fn activated(args: &[&str], first: OwnedFd, second: Option<OwnedFd>, shell: &str) -> Command {
    let count = if second.is_some() { 2 } else { 1 };
    let mut command = Command::new("sh");
    // A command is given no more than three descriptors: the shell moves them.
    let stderr = if second.is_some() { "4>&2 2>/dev/null" } else { "" };
    command.arg("-c").arg(format!(
        "export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES=web:sorry; {shell}
         exec 3<&0 </dev/null {stderr}; exec \"$0\" \"$@\""
    ));
    command.arg(env!("CARGO_BIN_EXE_corelane")).args(FIXED).args(args).env_remove("RUST_LOG");
    command.stdin(first).stdout(Stdio::piped());
    command.stderr(second.map_or_else(Stdio::piped, Stdio::from));
    command
}

/// A listener that systemd keeps, and the one that it passes.
fn tcp() -> (TcpListener, OwnedFd) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let passed = listener.try_clone().unwrap().into();
    (listener, passed)
}

#[test]
fn a_passed_socket_replaces_the_default_and_outlives_the_server() {
    for mode in ["reuseport", "least"] {
        let (listener, passed) = tcp();
        let address = listener.local_addr().unwrap();
        let program = Program::spawn(activated(&["--accept", mode], passed, None, ""));
        assert_eq!(program.addresses(), [address.to_string()], "{mode}");
        for _ in 0..10 {
            assert_eq!(program.connect().ask(GET).status, 200, "{mode}");
        }
        program.stop();
        // Who connects between two servers waits for the second.
        let mut early = Client::connect(address);
        early.send(GET);
        let passed = listener.try_clone().unwrap().into();
        let program = Program::spawn(activated(&["--accept", mode], passed, None, ""));
        assert_eq!(early.response().status, 200, "{mode}");
        drop(early);
        program.stop();
    }
}

#[test]
fn addresses_that_were_asked_for_are_served_too() {
    let (listener, passed) = tcp();
    let address = listener.local_addr().unwrap().to_string();
    let path = scratch("passed.sock");
    let unix = UnixListener::bind(&path).unwrap();
    // The first is what was passed, and not bound again, which would fail; the second is bound.
    let args = ["--bind", &address, "--bind", "127.0.0.1:0"];
    let program = Program::spawn(activated(&args, passed, Some(unix.into()), ""));
    let served = program.addresses();
    assert_eq!((served.len(), &served[0]), (3, &address));
    assert_eq!(served[2], format!("unix:{}", path.display()));
    assert_eq!(Client::connect(served[0].parse().unwrap()).ask(GET).status, 200);
    assert_eq!(Client::connect(served[1].parse().unwrap()).ask(GET).status, 200);
    assert_eq!(Client::connect_unix(&path).ask(GET).status, 200);
    program.stop();
    assert!(path.exists(), "the file is systemd's");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let (listener, passed) = tcp();
    let args = ["--bind", "127.0.0.1:0"];
    let program = Program::spawn(activated(&args, passed, None, "LISTEN_PID=1;"));
    assert_eq!(program.addresses().len(), 1);
    assert_ne!(program.address(), listener.local_addr().unwrap());
    program.stop();
}

#[test]
fn what_is_no_listener_is_refused_by_name() {
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for (passed, why) in [
        (OwnedFd::from(datagrams), "not a stream socket"),
        (connected.into(), "does not listen"),
        (file.into(), "not a stream socket"),
    ] {
        let mut command = activated(&[], passed, None, "");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("inherited descriptor 3 (web): "), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    }
    // Commands that do not listen do not care.
    let mut command = crate::process::corelane(&["--help"]);
    command.env("LISTEN_FDS", "7");
    assert_eq!(finish(command).code, Some(0));
}

/// The socket that a service tells of itself, removed at the end.
struct Notified(UnixDatagram, PathBuf);

impl Notified {
    fn new(name: &str) -> Notified {
        let path = scratch(name);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Notified(socket, path)
    }

    fn next(&self) -> String {
        let mut page = [0; 4096];
        let n = self.0.recv(&mut page).unwrap();
        String::from_utf8(page[..n].to_vec()).unwrap()
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.1);
    }
}

#[test]
fn systemd_is_told_when_it_serves_and_when_it_stops() {
    let notified = Notified::new("notify.sock");
    let mut command = Program::fixed_command(&[]);
    command.env("NOTIFY_SOCKET", &notified.1);
    let program = Program::start(command);
    let ready = format!("READY=1\nSTATUS=serving on {}\n", program.address());
    assert_eq!(notified.next(), ready);
    let mut busy = program.connect();
    busy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\n");
    wait_until("it is served", || program.connect().ask(GET).status == 200);
    program.terminate();
    assert!(notified.next().starts_with("STOPPING=1\nSTATUS="));
    busy.send("1");
    assert_eq!(busy.response().status, 200);
    assert_eq!(program.wait().code, Some(0));
}

#[test]
fn the_watchdog_is_fed_while_loops_sleep() {
    let notified = Notified::new("watchdog.sock");
    let mut command = Program::fixed_command(&[]);
    command.env("NOTIFY_SOCKET", &notified.1).env("WATCHDOG_USEC", "40000");
    let program = Program::start(command);
    assert!(notified.next().starts_with("READY=1\n"));
    for _ in 0..5 {
        assert_eq!(notified.next(), "WATCHDOG=1\n");
    }
    program.stop();
    // It is meant for another process.
    let mut command = Program::fixed_command(&[]);
    command.env("NOTIFY_SOCKET", &notified.1).env("WATCHDOG_USEC", "1").env("WATCHDOG_PID", "1");
    let program = Program::start(command);
    while !notified.next().starts_with("READY=1\n") {}
    program.stop();
    assert!(notified.next().starts_with("STOPPING=1\n"), "no WATCHDOG=1");
}

#[test]
fn the_flags_that_the_guide_names_exist() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATING.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    // Flags of other programs.
    let lines: Vec<&str> = guide.lines().filter(|line| !line.contains("systemctl ")).collect();
    let guide = lines.join("\n");
    // The guide has those of the other commands, too.
    let helps = ["serve", "fixed", "explain", "top", "load", "doctor"]
        .map(|name| crate::process::run(&[name, "--help"]).stdout);
    let help = helps.join("\n");
    let word = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(text.len());
        text[..end].to_owned()
    };
    let named: Vec<String> = guide.match_indices("--").map(|(at, _)| word(&guide[at..])).collect();
    let flags: Vec<&String> = named.iter().filter(|flag| !flag.starts_with("---")).collect();
    assert!(flags.len() > 10, "{flags:?}");
    for flag in flags {
        // With a value, and without.
        let forms = [format!("{flag} <"), format!("{flag}  "), format!("{flag}\n")];
        let exists = flag == "--help" || forms.iter().any(|form| help.contains(form));
        assert!(flag == "--" || exists, "{flag} is not in: {help}");
    }
}
