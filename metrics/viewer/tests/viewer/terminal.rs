//! The program on a terminal, as its users see it.
use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::played::{Listener, Played};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long a test waits for what should take no time.
const PATIENCE: Duration = Duration::from_secs(30);

fn viewer(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane-viewer"));
    command.args(args).env_remove("NO_COLOR").env_remove("CORELANE_ADMIN_TOKEN");
    command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
    command
}

/// A viewer on a terminal, whose screen is read as a terminal would.
struct OnTerminal {
    child: Child,
    keyboard: File,
    terminal: File,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
}

impl OnTerminal {
    fn start(mut command: Command) -> OnTerminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        let stdio = || Stdio::from(terminal.try_clone().unwrap());
        tcsetwinsize(&terminal, size(24, 80)).unwrap();
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let keyboard = File::from(keyboard);
        let screen =
            Arc::new(Mutex::new(vt100::Parser::new(at_least_one(24), at_least_one(80), 0)));
        let (mut shown, kept) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = shown.read(&mut buffer) {
                kept.lock().unwrap().process(&buffer[..length]);
            }
        });
        OnTerminal { child, keyboard, terminal, screen, reader: Some(reader) }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// What stands on the screen.
    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    #[track_caller]
    fn wait_for(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.text().contains(part) {
            assert!(Instant::now() < deadline, "no {part:?} in:\n{}", self.text());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn resize(&self, rows: u16, columns: u16) {
        self.screen
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(at_least_one(rows), at_least_one(columns));
        tcsetwinsize(&self.terminal, size(rows, columns)).unwrap();
        // The kernel tells only those whose terminal controls them.
        self.kill(Signal::WINCH);
    }

    fn kill(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; the code, once the terminal is found as it was.
    #[track_caller]
    fn ends_well(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.text());
            thread::sleep(Duration::from_millis(2));
        };
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
        // With the last who could write gone, the reader comes to the end.
        self.terminal = File::open("/dev/null").unwrap();
        self.reader.take().unwrap().join().unwrap();
        let screen = self.screen.lock().unwrap();
        assert!(!screen.screen().alternate_screen() && !screen.screen().hide_cursor());
        status.code()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn at_least_one(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

#[test]
fn views_keys_sizes_and_a_restart() {
    let listener = Listener::start(Played::default(), 0, None);
    let address = listener.address();
    let folder = std::env::temp_dir().join(format!("corelane-viewer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = viewer(&[&address.to_string(), "--interval", "100ms"]);
    command.current_dir(&folder);
    let mut viewer = OnTerminal::start(command);
    viewer.wait_for("requests     400/s");
    viewer.wait_for("latency over time");
    viewer.press("4");
    viewer.wait_for("/users/{id}");
    viewer.press("?");
    viewer.wait_for("this help; any key closes it");
    viewer.press("x3");
    viewer.wait_for("beside the most");
    viewer.resize(20, 70);
    viewer.wait_for("70x20 is too small, 80x24 is needed");
    viewer.resize(30, 100);
    viewer.wait_for("q quit");
    viewer.press("ec");
    viewer.wait_for("written: ");
    viewer.press("1");

    drop(listener);
    viewer.wait_for("LOST");
    let second = Played { instance: "second".to_owned(), ..Played::default() };
    let _listener = Listener::start(second, address.port(), None);
    viewer.wait_for("restarts seen: 1");
    viewer.wait_for("requests     400/s");
    viewer.press("p");
    viewer.wait_for("PAUSED");
    viewer.press("q");
    assert_eq!(viewer.ends_well(), Some(0));

    let written: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(written.len(), 2, "{written:?}");
    for path in written {
        let text = std::fs::read_to_string(&path).unwrap();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("json") => {
                let report: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(report["interval"]["requests_per_second"], 400.0);
            }
            _ => assert!(text.contains("interval,,requests_per_second,400.0\n"), "{text}"),
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_terminal_is_given_back_whatever_ends_it() {
    let listener = Listener::start(Played::default(), 0, None);
    let address = listener.address().to_string();
    for signal in [None, Some(Signal::TERM), Some(Signal::HUP), Some(Signal::INT)] {
        let mut viewer = OnTerminal::start(viewer(&[&address]));
        viewer.wait_for("latency");
        match signal {
            None => viewer.press("\x03"),
            Some(signal) => viewer.kill(signal),
        }
        assert_eq!(viewer.ends_well(), Some(0), "{signal:?}");
    }
}

#[test]
fn keys_work_while_the_server_is_silent() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut viewer = OnTerminal::start(viewer(&[&silent.local_addr().unwrap().to_string()]));
    viewer.wait_for("waiting for the first answer");
    viewer.press("?");
    viewer.wait_for("Keys");
    viewer.press("xq");
    assert_eq!(viewer.ends_well(), Some(0));
}

#[test]
fn colours_are_a_matter_of_taste() {
    let listener = Listener::start(Played::default(), 0, None);
    let address = listener.address().to_string();
    for (option, variable, expected) in
        [("auto", "", true), ("auto", "1", false), ("never", "", false), ("always", "1", true)]
    {
        let mut command = viewer(&[&address, "--color", option]);
        command.env("NO_COLOR", variable);
        let mut viewer = OnTerminal::start(command);
        viewer.wait_for("12:31:");
        viewer.wait_for("requests");
        viewer.wait_for("UTC\n\n loops");
        let screen = viewer.screen.lock().unwrap().screen().clone();
        let cells = (0..24).flat_map(|y| (0..80).map(move |x| (y, x)));
        let colored = cells.filter_map(|(y, x)| screen.cell(y, x)).any(|cell| {
            cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default
        });
        assert_eq!(colored, expected, "{option} {variable:?}");
        viewer.press("q");
        assert_eq!(viewer.ends_well(), Some(0));
    }
}

fn run(args: &[&str]) -> Output {
    viewer(args).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn without_a_terminal_one_page() {
    let listener = Listener::start(Played::default(), 0, None);
    let address = listener.address().to_string();
    let page = run(&[&address, "--interval", "100ms"]);
    let text = String::from_utf8(page.stdout).unwrap();
    assert_eq!(page.status.code(), Some(0), "{text}");
    assert!(
        text.contains("400/s") && text.contains("/users/{id}") && !text.contains('\x1b'),
        "{text}"
    );

    let page = run(&[&address, "--interval", "100ms", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&page.stdout).unwrap();
    assert_eq!(report["server"]["loops"], 2);
    assert_eq!(report["interval"]["requests_per_second"], 400.0);
    assert_eq!(report["routes"][1]["name"], "/users/{id}");

    drop(listener);
    let page = run(&[&address]);
    let text = String::from_utf8(page.stderr).unwrap();
    assert_eq!(page.status.code(), Some(1));
    assert!(text.contains(&format!("{address}: cannot connect: ")), "{text}");
    assert_eq!(run(&["nowhere:at:all"]).status.code(), Some(2));
    assert_eq!(run(&["--token-file", "/nowhere"]).status.code(), Some(2));
}
