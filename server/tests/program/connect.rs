//! `corelane connect`, against servers that each test plays itself: through pipes, and on a terminal.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::process::{Finished, PATIENCE, Scratch, corelane, run, scratch, wait_until};

#[path = "../../examples/client.rs"]
#[expect(dead_code, reason = "its `main` is run as a program")]
mod example;

/// A server that a test plays.
struct Server {
    listener: TcpListener,
}

impl Server {
    fn start() -> Server {
        Server::start_at("127.0.0.1:0".parse().unwrap())
    }

    fn start_at(address: SocketAddr) -> Server {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Server { listener }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next client.
    fn accept(&self) -> BufReader<TcpStream> {
        let mut accepted = None;
        wait_until("a client comes", || match self.listener.accept() {
            Ok((stream, _)) => {
                accepted = Some(stream);
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        });
        let stream = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream)
    }
}

fn read_line(client: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line
}

fn read_all(client: &mut impl Read) -> String {
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    all
}

/// A client whose streams are pipes.
struct Piped {
    child: Child,
    input: Option<ChildStdin>,
}

impl Piped {
    fn start(args: &[&str]) -> Piped {
        let mut command = corelane(&[&["connect"], args].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Piped { input: child.stdin.take(), child }
    }

    fn send(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits for its end.
    fn wait(mut self) -> Finished {
        wait_until("it ends", || self.child.try_wait().unwrap().is_some());
        let stdout = read_all(&mut self.child.stdout.take().unwrap());
        let stderr = read_all(&mut self.child.stderr.take().unwrap());
        Finished { code: self.child.wait().unwrap().code(), stdout, stderr }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_pipe_is_sent_and_what_comes_back_is_written() {
    for (crlf, expected) in [(None, "one\ntwo\r\nrest"), (Some("--crlf"), "one\r\ntwo\r\nrest")] {
        let server = Server::start();
        let address = server.address().to_string();
        let args: Vec<&str> = [&*address].into_iter().chain(crlf).collect();
        let mut piped = Piped::start(&args);
        piped.send("one\ntwo\r\nrest");
        piped.end_input();
        let mut client = server.accept();
        assert_eq!(read_all(&mut client), expected);
        // Standard output is no terminal, so nothing is changed.
        client.get_mut().write_all(b"\x1b[1mdone\r\n").unwrap();
        drop(client);
        let finished = piped.wait();
        assert_eq!(
            (finished.code, &*finished.stdout),
            (Some(0), "\x1b[1mdone\r\n"),
            "{finished:?}"
        );
        assert_eq!(finished.stderr, "");
    }
}

#[test]
fn a_unix_socket() {
    let path = scratch("connect.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut piped = Piped::start(&[&format!("unix:{}", path.display())]);
    piped.send("hello\n");
    piped.end_input();
    let (mut client, _) = listener.accept().unwrap();
    assert_eq!(read_all(&mut client), "hello\n");
    drop(client);
    assert_eq!(piped.wait().code, Some(0));
    fs::remove_file(path).unwrap();
}

#[test]
fn who_ends_it_and_how() {
    // The server stays, and says no more.
    let server = Server::start();
    let mut piped = Piped::start(&[&server.address().to_string(), "--wait", "50ms"]);
    let mut client = server.accept();
    piped.end_input();
    assert_eq!(read_all(&mut client), "");
    let finished = piped.wait();
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""));

    // The server closes, and the input has not ended.
    let piped = Piped::start(&[&server.address().to_string()]);
    server.accept().get_mut().write_all(b"bye\n").unwrap();
    let finished = piped.wait();
    assert_eq!((finished.code, &*finished.stdout), (Some(0), "bye\n"));
    assert!(finished.stderr.contains("before the input ended"), "{finished:?}");

    // The server leaves something unread, so that its kernel resets the connection.
    let mut piped = Piped::start(&[&server.address().to_string()]);
    piped.send("x\n");
    let client = server.accept();
    assert_eq!(client.get_ref().peek(&mut [0]).unwrap(), 1);
    drop(client);
    let finished = piped.wait();
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("reset"), "{finished:?}");

    // There is no server.
    let address = server.address().to_string();
    drop(server);
    let finished = run(&["connect", &address]);
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains(&format!("cannot connect to {address}: ")), "{finished:?}");
}

#[test]
fn addresses_that_are_none() {
    for (address, part) in [("chat.example", "no port"), ("a:70000", "65535"), ("unix:", "path")] {
        let finished = run(&["connect", address]);
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains(part), "{finished:?}");
    }
}

/// A client on a terminal.
struct OnTerminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// Ends when the client has gone and all is in `screen`.
    reader: Option<JoinHandle<()>>,
}

impl OnTerminal {
    fn start(args: &[&str]) -> OnTerminal {
        OnTerminal::start_with(corelane(&[&["connect"], args].concat()))
    }

    fn start_with(mut command: Command) -> OnTerminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        let stdio = || Stdio::from(terminal.try_clone().unwrap());
        command.stdin(stdio()).stdout(stdio()).stderr(stdio()).env("TERM", "xterm");
        let child = command.spawn().unwrap();
        let keyboard = File::from(keyboard);
        let screen = Arc::<Mutex<Vec<u8>>>::default();
        let (mut shown, kept) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It fails when the client has gone.
            while let Ok(len @ 1..) = shown.read(&mut buffer) {
                kept.lock().unwrap().extend_from_slice(&buffer[..len]);
            }
        });
        OnTerminal { child, keyboard, screen, reader: Some(reader) }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// All that was ever shown, without what moves the cursor.
    fn text(&self) -> String {
        let screen = String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned();
        let mut parts = screen.split("\x1b[");
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            text += part.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).get(1..).unwrap();
        }
        text.replace('\r', "")
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !self.text().contains(part) {
            assert!(std::time::Instant::now() < deadline, "no {part:?} in {:?}", self.text());
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Waits for its end, and says the code and all that was shown.
    fn wait(mut self) -> (Option<i32>, String) {
        wait_until("it ends", || self.child.try_wait().unwrap().is_some());
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        (code, self.text())
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_comes_is_shown_above_what_is_typed() {
    let server = Server::start();
    let address = server.address().to_string();
    let mut terminal = OnTerminal::start(&[&address, "--no-history", "--crlf"]);
    let mut client = server.accept();
    terminal.wait_for("connected to");
    terminal.press("hel");
    terminal.wait_for("> hel");
    client.get_mut().write_all(b"news\n").unwrap();
    terminal.wait_for("news\n> hel");
    terminal.press("lo\r");
    assert_eq!(read_line(&mut client), "hello\r\n");
    // A server that would move the cursor, reorder text, or send what is none.
    client.get_mut().write_all("\x1b[2J\u{9b}1m\u{202e}\r\n".as_bytes()).unwrap();
    terminal.wait_for(r"\x1b[2J\u{9b}1m\u{202e}");
    client.get_mut().write_all(b"\xff\x00\xc3\xa9\n").unwrap();
    terminal.wait_for(r"\xff\x00é");
    // A question without the end of a line.
    client.get_mut().write_all(b"name: ").unwrap();
    terminal.wait_for("name: \n");
    // Pasted lines are lines of their own.
    terminal.press("\x1b[200~a\nb\x1b[201~\r");
    assert_eq!((read_line(&mut client), read_line(&mut client)), ("a\r\n".into(), "b\r\n".into()));
    // The input ends, and the server has something to say still.
    terminal.press("\x04");
    assert_eq!(read_line(&mut client), "");
    client.get_mut().write_all(b"last words").unwrap();
    client.get_mut().shutdown(Shutdown::Both).unwrap();
    let (code, text) = terminal.wait();
    assert_eq!(code, Some(0));
    assert!(text.contains("last words\n"), "{text:?}");
}

#[test]
fn a_server_that_never_stops_talking() {
    let server = Server::start();
    let address = server.address().to_string();
    let args = [&*address, "--no-history", "--wait", "100ms"];
    let mut terminal = OnTerminal::start(&args);
    let mut client = server.accept();
    let talking = thread::spawn(move || while client.get_mut().write_all(b"and on\n").is_ok() {});
    terminal.wait_for("and on\n");
    terminal.press("\x04");
    assert_eq!(terminal.wait().0, Some(0));
    talking.join().unwrap();
}

#[test]
fn a_long_line_is_shown_in_pieces() {
    let server = Server::start();
    let address = server.address().to_string();
    let terminal = OnTerminal::start(&[&address, "--no-history", "--no-reconnect"]);
    let mut client = server.accept();
    client.get_mut().write_all(&[b'x'; 100_000]).unwrap();
    client.get_mut().write_all(b"y\n").unwrap();
    drop(client);
    let (code, text) = terminal.wait();
    assert_eq!(code, Some(0));
    let pieces: Vec<usize> =
        text.lines().filter(|l| l.contains("xx")).map(|l| l.matches('x').count()).collect();
    assert_eq!(pieces, [65_536, 100_000 - 65_536]);
    assert!(text.contains("xy\n"));
}

#[test]
fn a_server_that_comes_back() {
    let server = Server::start();
    let address = server.address();
    let mut terminal = OnTerminal::start(&[&address.to_string(), "--no-history"]);
    let mut client = server.accept();
    terminal.press("one\r");
    assert_eq!(read_line(&mut client), "one\n");
    drop((client, server));
    terminal.wait_for("the server closed the connection\n");
    terminal.wait_for("attempt 1 of 10");
    terminal.press("two\r");
    terminal.wait_for("not sent: there is no connection");
    let server = Server::start_at(address);
    let mut client = server.accept();
    terminal.wait_for("again\n");
    terminal.press("three\r");
    assert_eq!(read_line(&mut client), "three\n");
    terminal.press("\x03");
    assert_eq!(read_line(&mut client), "");
    assert_eq!(terminal.wait().0, Some(0));
}

#[test]
fn a_server_that_does_not_come_back() {
    // The last words come right before the end, and are not lost.
    for _ in 0..10 {
        let server = Server::start();
        let address = server.address().to_string();
        let terminal = OnTerminal::start(&[&address, "--no-history", "--no-reconnect"]);
        server.accept().get_mut().write_all(b"first\nlast words\n").unwrap();
        let (code, text) = terminal.wait();
        assert_eq!(code, Some(0));
        assert!(text.contains("last words\n"), "{text:?}");
        assert!(text.contains("the server closed the connection\n"), "{text:?}");
    }
    let server = Server::start();
    let address = server.address().to_string();
    let terminal = OnTerminal::start(&[&address, "--no-history", "--retries", "2"]);
    let client = server.accept();
    drop((client, server));
    let (code, text) = terminal.wait();
    assert_eq!(code, Some(1), "{text:?}");
    assert!(text.contains("gave up after 2 attempts"), "{text:?}");
}

#[test]
fn typed_lines_are_kept() {
    let server = Server::start();
    let address = server.address().to_string();
    let state = Scratch::folder("connect-state", &[("x", b"")]);
    let start = || {
        let mut command = corelane(&["connect", &address]);
        command.env("XDG_STATE_HOME", state.path());
        (OnTerminal::start_with(command), server.accept())
    };
    let (mut terminal, mut client) = start();
    terminal.press("kept\r secret\r");
    assert_eq!(
        (read_line(&mut client), read_line(&mut client)),
        ("kept\n".into(), " secret\n".into())
    );
    terminal.press("\x03");
    assert_eq!(terminal.wait().0, Some(0));
    let file = state.0.join("corelane/connect_history");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.contains("kept") && !kept.contains("secret"), "{kept}");

    let (mut terminal, mut client) = start();
    terminal.wait_for("> ");
    terminal.press("\x1b[A\r");
    assert_eq!(read_line(&mut client), "kept\n");
    drop(terminal);

    // What cannot be a history is left alone, and said.
    let (terminal, _client) = {
        let args = ["connect", &*address, "--history", state.path()];
        (OnTerminal::start_with(corelane(&args)), server.accept())
    };
    terminal.wait_for("not a file");
}

#[test]
fn the_example_copies_both_ways() {
    let server = Server::start();
    let connected = TcpStream::connect(server.address()).unwrap();
    let mut client = server.accept();
    let played = thread::spawn(move || {
        let input = read_all(&mut client);
        client.get_mut().write_all(input.to_uppercase().as_bytes()).unwrap();
    });
    let mut output = Vec::new();
    example::talk(&connected, &b"one\ntwo"[..], &mut output).unwrap();
    assert_eq!(output, b"ONE\nTWO");
    played.join().unwrap();
}
