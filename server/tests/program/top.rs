//! `corelane top`, looking at a real server. What it does with others is tested beside the viewer.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

use crate::client::GET;
use crate::process::{Program, corelane, run, wait_until};

#[test]
fn one_look_shows_what_the_server_counted() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let mut client = program.connect();
    (0..7).for_each(|_| assert_eq!(client.ask(GET).status, 200));
    let finished = run(&["top", program.admin_address(), "--interval", "100ms", "--json"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(report["latency"]["since_start"]["count"], 7);
    assert_eq!(report["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&report["server"]["loops"], &report["server"]["connections_open"]),
        (&1.into(), &1.into())
    );
    assert!(report["interval"]["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(report["loops"].as_array().unwrap().len(), 1);
    program.stop();
}

#[test]
fn on_a_terminal_through_a_restart() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let admin = program.admin_address().to_owned();
    let mut top = OnTerminal::start(&["top", &admin, "--interval", "100ms"]);
    serve_until(&program, || top.shows_requests());
    serve_until(&program, || {
        top.text().contains("latency over time") && top.text().contains(" UTC\n\n loops")
    });
    program.stop();
    wait_until("it says that the server has gone", || top.text().contains("LOST"));
    let program = Program::fixed(&["--admin", &admin]);
    serve_until(&program, || top.text().contains("restarts seen: 1") && top.shows_requests());
    top.keyboard.write_all(b"q").unwrap();
    wait_until("it ends", || top.child.try_wait().unwrap().is_some_and(|status| status.success()));
    program.stop();
}

/// Has a server answer until something holds.
fn serve_until(program: &Program, mut holds: impl FnMut() -> bool) {
    let mut client = program.connect();
    wait_until("the screen shows it", || {
        assert_eq!(client.ask(GET).status, 200);
        holds()
    });
}

/// The program on a terminal of 24 lines.
struct OnTerminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl OnTerminal {
    fn start(args: &[&str]) -> OnTerminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        let stdio = || Stdio::from(terminal.try_clone().unwrap());
        let mut command = corelane(args);
        command.stdin(stdio()).stdout(stdio()).stderr(stdio()).env("TERM", "xterm");
        let child = command.spawn().unwrap();
        let keyboard = File::from(keyboard);
        let [lines, columns] = [24, 80].map(|count| NonZero::new(count).unwrap());
        let screen = Arc::new(Mutex::new(vt100::Parser::new(lines, columns, 0)));
        let (mut shown, kept) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It fails when the program has gone.
            while let Ok(length @ 1..) = shown.read(&mut buffer) {
                kept.lock().unwrap().process(&buffer[..length]);
            }
        });
        OnTerminal { child, keyboard, screen }
    }

    /// What stands on the screen.
    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Whether it shows a rate of requests above zero.
    fn shows_requests(&self) -> bool {
        let text = self.text();
        let rate = text.lines().find_map(|line| line.trim_start().strip_prefix("requests"));
        rate.is_some_and(|rate| rate.contains("/s") && !rate.trim_start().starts_with(['0', '-']))
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
