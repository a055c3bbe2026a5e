//! The terminal that a server was started from closes.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, GET};
use crate::process::{Scratch, wait_until};

/// A server on a terminal that `script` (util-linux) has made for it. What it prints goes to files.
struct OnTerminal {
    terminal: Child,
    folder: Scratch,
}

impl OnTerminal {
    fn start(name: &str, before: &str) -> OnTerminal {
        let folder = Scratch::folder(name, &[("www/index.html", b"x")]);
        let words = format!(
            "cd {} && echo $$ > pid && exec {before} {} static www 0 --bind 127.0.0.1 --workers 1 \
             --no-pin --statsd off > out 2> err",
            folder.path(),
            env!("CARGO_BIN_EXE_corelane"),
        );
        let mut script = Command::new("script");
        script.args(["--quiet", "--command", &words, "/dev/null"]).env("SHELL", "/bin/sh");
        script.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let terminal = script.spawn().unwrap();
        let server = OnTerminal { terminal, folder };
        wait_until("it listens", || server.read("out").contains(" loop"));
        server
    }

    /// What a file of its holds by now.
    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.folder.0.join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn serves(&self) -> bool {
        let out = self.read("out");
        let address = out.lines().find_map(|line| line.strip_prefix("listening on http://"));
        Client::connect(address.unwrap().parse().unwrap()).ask(GET).status == 200
    }

    /// Ends the program that holds the other end of the terminal.
    fn close_terminal(&mut self) {
        self.terminal.kill().unwrap();
        self.terminal.wait().unwrap();
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.read("pid").trim().parse().ok()?)
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        // Each fails, without harm, where there is nobody left.
        let _ = self.terminal.kill();
        let _ = self.terminal.wait();
        if !self.read("err").contains("\"stopped\"")
            && let Some(pid) = self.pid()
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn a_folder_is_served_as_long_as_the_terminal_is_there() {
    let mut server = OnTerminal::start("terminal", "");
    kill_process(server.pid().unwrap(), Signal::HUP).unwrap();
    wait_until("it loads again", || server.read("err").contains("configuration loaded again"));
    assert!(server.serves());
    server.close_terminal();
    wait_until("it stops", || server.read("err").contains("\"stopped\""));
    assert!(server.read("err").contains("the terminal closed"), "{}", server.read("err"));
}

#[test]
fn nohup_has_it_serve_on() {
    let mut server = OnTerminal::start("nohup", "nohup");
    server.close_terminal();
    wait_until("it was told", || server.read("err").contains("configuration loaded again"));
    assert!(server.serves());
    assert!(!server.read("err").contains("the terminal closed"), "{}", server.read("err"));
}
