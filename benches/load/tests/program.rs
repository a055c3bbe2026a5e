//! The program as its users see it: results, exit codes, the live view on a terminal, the page in a
//! browser.

#![allow(clippy::unwrap_used)] // Helpers outside of test functions fail by panicking, too.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use corelane_load::{Record, Second};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that gives this answer to whatever comes.
fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|received| received > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corelane-load"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = program(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A folder of this test alone, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("corelane-load-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_run_is_told_as_text_and_kept_in_four_forms() {
    let folder = Folder::new("forms");
    let [json, csv, hlog, html] =
        ["a.json", "a.csv", "a.hlog", "a.html"].map(|name| folder.path(name));
    let url = format!("http://{}/", server(OK));
    let (code, text, progress) = run(&[
        &url,
        "-r",
        "200",
        "-c",
        "4",
        "-d",
        "2s",
        "-w",
        "0s",
        "--expect-body",
        "hello",
        "--json",
        &json,
        "--csv",
        &csv,
        "--hlog",
        &hlog,
        "--tag",
        "a",
        "--html",
        &html,
    ]);
    assert_eq!(code, 0, "{text}{progress}");
    assert!(text.contains("GET: open loop, 200/s constant, 4 connections"), "{text}");
    assert!(text.contains("400 planned, 400 sent, 400 answered"), "{text}");
    // The last line is a matter of who is first, the watcher or the worker.
    assert!((2..=3).contains(&progress.lines().count()), "a line for each second: {progress}");
    let record = Record::read(Path::new(&json)).unwrap();
    assert_eq!(
        (record.answered, record.response_time.count(), record.heat.count()),
        (400, 400, 400)
    );
    assert_eq!(record.arguments[..3], [url, "-r".to_owned(), "200".to_owned()]);
    let rows = |path: &str| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((rows(&csv), rows(&hlog)), (record.seconds.len() + 1, record.seconds.len() + 5));
    // What was kept is shown again, and drawn again, as it was.
    let again = folder.path("b.html");
    let (code, shown, _) = run(&["show", &json, "--html", &again]);
    assert_eq!((code, shown), (0, text));
    assert_eq!(fs::read(&html).unwrap(), fs::read(&again).unwrap());
}

#[test]
fn the_exit_code_tells_faults_from_wrong_usage() {
    let url = format!("http://{}/", server(BUSY));
    let run_with = |more: &[&str]| run(&[&[&*url, "-n", "20", "-c", "2", "-q"], more].concat());
    let (code, text, _) = run_with(&[]);
    assert_eq!(code, 1);
    assert!(text.contains("PROBLEMS\n  faults           20: 20 wrong status"), "{text}");
    assert_eq!(run_with(&["--allow-faults", "100%"]).0, 0);
    assert_eq!(run_with(&["--expect-status", "503"]).0, 0);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, text, why) = run(&[&format!("http://{closed}/"), "-q"]);
    assert_eq!((code, &*text), (1, ""));
    assert!(why.contains("is the server listening"), "{why}");
    assert_eq!(run(&[&*url, "-H", "nonsense"]).0, 2);
    for wrong in [
        &["--json", "-", "--csv", "-"][..],
        &["--hlog", "-", "--tag", "two words"],
        &["--pipeline", "100000"],
        &["--no-keep-alive", "--pipeline", "2"],
    ] {
        let (code, text, why) = run(&[&[&*url, "-q"], wrong].concat());
        assert_eq!((code, &*text), (2, ""), "{wrong:?}: {why}");
        assert!(why.starts_with("error: "), "{wrong:?}: {why}");
    }
    // A part of the requests may fail, but not more.
    let missing = format!("http://{}/", server(OK));
    let mixed = [&*missing, "-n", "20", "-c", "2", "-q", "--expect-body", "other"];
    assert_eq!(run(&[&mixed[..], &["--allow-faults", "99%"]].concat()).0, 1);
    assert_eq!(run(&[&*url, "--json", "/nowhere/a.json"]).0, 1, "said before the run, not after");
}

#[test]
fn credentials_are_not_kept() {
    let folder = Folder::new("credentials");
    let json = folder.path("a.json");
    let (address, html) = (server(OK), folder.path("a.html"));
    let urls = [1, 2].map(|index| format!("http://{address}/{index}?access_token=s3cret"));
    let (code, text, why) = run(&[
        &urls[0],
        &urls[1],
        "--html",
        &html,
        "--body=s3cret",
        "-n",
        "2",
        "-c",
        "1",
        "-q",
        "-H",
        "Authorization: Bearer s3cret",
        "--header=X-Api-Key: s3cret",
        "-HCookie: a=s3cret",
        "-H",
        "Accept: text/html",
        "--json",
        &json,
    ]);
    assert_eq!(code, 0, "{why}");
    for kept in [fs::read_to_string(&json).unwrap(), fs::read_to_string(&html).unwrap(), text] {
        assert!(!kept.contains("s3cret"), "{kept}");
    }
    let record = Record::read(Path::new(&json)).unwrap();
    assert!(record.arguments.contains(&"Authorization: (not kept)".to_owned()), "{record:?}");
    assert_eq!(record.load.fields[3], "Accept: text/html");
}

#[test]
fn one_file_that_cannot_be_written_does_not_cost_the_others() {
    let folder = Folder::new("full");
    let csv = folder.path("a.csv");
    let url = format!("http://{}/", server(OK));
    // Accepts to be opened, but nothing to be written.
    let (code, text, why) =
        run(&[&url, "-n", "2", "-c", "1", "-q", "--json", "/dev/full", "--csv", &csv]);
    assert_eq!(code, 1, "{text}");
    assert!(why.contains("cannot write /dev/full"), "{why}");
    assert!(text.contains("2 answered"), "the text comes first: {text}");
    assert!(fs::read_to_string(&csv).unwrap().lines().count() >= 2);
    // Each failure is told, and `show` has the same rules.
    let json = result(&folder, "a.json", 50_000, 8);
    fs::hard_link(&json, folder.path("same.json")).unwrap();
    let (code, text, why) = run(&["show", &json, "--csv", "/dev/full", "--html", "/nowhere/b"]);
    assert_eq!((code, &*text), (1, ""), "before anything is shown: {why}");
    let full = ["--json", "/dev/full", "--csv", "/dev/full"];
    let (code, text, why) = run(&[&["show", &json, "--hlog", &csv], &full[..]].concat());
    assert!(code == 1 && text.contains("10,000 answered"), "the text comes first: {text}");
    assert_eq!(why.matches("error: cannot write /dev/full: ").count(), 2, "{why}");
    assert!(fs::read_to_string(&csv).unwrap().starts_with('#'), "the other is written");
    for twice in [
        ["--csv", &*csv, "--hlog", &*csv],
        ["--csv", "-", "--hlog", "-"],
        ["--json", &*json, "--html", &*folder.path("same.json")],
    ] {
        for all in [&["show", &*json][..], &[&*url, "-q"]] {
            let (code, text, why) = run(&[all, &twice].concat());
            assert_eq!((code, &*text), (2, ""), "{twice:?}: {why}");
            assert!(why.contains("can take one result"), "{twice:?}: {why}");
        }
    }
}

/// Ends it by a signal if it has not ended.
struct Running(Child);

impl Running {
    fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn wait(&mut self) -> Option<i32> {
        wait_until("it ends", || self.0.try_wait().unwrap().is_some());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_interrupt_ends_the_run_with_what_was_measured() {
    let folder = Folder::new("interrupt");
    let (log, json) = (folder.path("log"), folder.path("a.json"));
    let url = format!("http://{}/", server(OK));
    let mut command =
        program(&[&url, "-r", "100", "-c", "2", "-w", "0s", "-d", "5m", "--json", &json]);
    command.stderr(File::create(&log).unwrap()).stdout(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    wait_until("a second is over", || fs::read_to_string(&log).unwrap().contains("1 s"));
    running.interrupt();
    assert_eq!(running.wait(), Some(0));
    let record = Record::read(Path::new(&json)).unwrap();
    assert_eq!(record.end, corelane_load::End::Interrupted);
    assert!(record.answered >= 50 && record.elapsed_seconds < 60.0);
}

#[test]
fn an_interrupt_that_is_handed_on_twice_keeps_the_result() {
    let folder = Folder::new("twice");
    let (log, json) = (folder.path("log"), folder.path("a.json"));
    let url = format!("http://{}/", server(OK));
    let mut command =
        program(&[&url, "-r", "100", "-c", "2", "-w", "0s", "-d", "5m", "--json", &json]);
    command.stderr(File::create(&log).unwrap()).stdout(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    wait_until("a second is over", || fs::read_to_string(&log).unwrap().contains("1 s"));
    // It finds both when it goes on.
    for signal in [Signal::STOP, Signal::INT, Signal::TERM, Signal::CONT] {
        running.signal(signal);
    }
    assert_eq!(running.wait(), Some(0));
    assert_eq!(Record::read(Path::new(&json)).unwrap().end, corelane_load::End::Interrupted);
}

#[test]
fn an_interrupted_ramp_tells_nothing_of_the_step_in_which_it_was() {
    let folder = Folder::new("ramp");
    let json = folder.path("a.json");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let ramp = ["--ramp", "100..200:5m:2", "-w", "0s", "-c", "1", "-q", "--json", &json];
    let mut command = program(&[&[&*url], &ramp[..]].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let (_asking, (mut asked, _)) = (listener.accept().unwrap(), listener.accept().unwrap());
    for _ in 0..10 {
        assert!(asked.read(&mut [0; 4096]).unwrap() > 0);
        asked.write_all(OK.as_bytes()).unwrap();
    }
    running.signal(Signal::INT);
    running.wait();
    let record = Record::read(Path::new(&json)).unwrap();
    assert_eq!((record.end.clone(), record.steps.len()), (corelane_load::End::Interrupted, 0));
    let mut text = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(!text.contains("kept up"), "{text}");
}

#[test]
fn an_interrupt_in_the_warm_up_leaves_a_result_that_says_so() {
    let folder = Folder::new("warm-up");
    let json = folder.path("a.json");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut command = program(&[&url, "-r", "100", "-w", "5m", "-d", "5m", "-q", "--json", &json]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    // The first connection only asks whether anybody listens; the next one has requests.
    let (_asking, (mut asked, _)) = (listener.accept().unwrap(), listener.accept().unwrap());
    assert!(asked.read(&mut [0; 4]).unwrap() > 0);
    running.interrupt();
    assert_eq!(running.wait(), Some(1), "nothing was measured");
    let record = Record::read(Path::new(&json)).unwrap();
    assert_eq!((record.end, record.answered), (corelane_load::End::Interrupted, 0));
    assert_eq!((record.elapsed_seconds, record.sends.intended), (0.0, 0));
}

/// The program on a terminal of its own.
struct OnTerminal {
    master: File,
    running: Running,
    /// All that it has written.
    seen: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    fn start(mut command: Command, size: (u16, u16)) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let slave = File::from(rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap());
        let master = File::from(master);
        set_size(&master, size);
        command.stderr(slave).stdout(Stdio::null());
        let running = Running(command.spawn().unwrap());
        // The slave's last other holder is the command.
        drop(command);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, kept) = (master.try_clone().unwrap(), Arc::clone(&seen));
        thread::spawn(move || {
            let mut page = [0; 4096];
            // Ends with an error when the other end is gone.
            while let Ok(count @ 1..) = reader.read(&mut page) {
                kept.lock().unwrap().extend_from_slice(&page[..count]);
            }
        });
        Self { master, running, seen }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// The last whole picture: from the cursor's way home to the clearing of the rest.
    fn picture(&self) -> String {
        let text = self.text();
        let end = text.rfind("\x1b[J").unwrap_or(0);
        let start = text[..end].rfind("\x1b[H").unwrap_or(0);
        text[start..end].replace("\x1b[H", "").replace("\x1b[K", "")
    }
}

fn set_size(terminal: &File, (columns, rows): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

#[test]
fn the_live_view_fits_the_terminal_and_gives_it_back() {
    let url = format!("http://{}/", server(OK));
    let mut command = program(&[&url, "-r", "100", "-c", "2", "-w", "0s", "-d", "5m"]);
    command.env("NO_COLOR", "1").env("TERM", "xterm-256color");
    let mut terminal = OnTerminal::start(command, (80, 24));
    wait_until("there is a heat map", || terminal.picture().contains('█'));
    let picture = terminal.picture();
    for part in [&*url, "open loop, 100/s", "p99.9", "response", " µs "] {
        assert!(picture.contains(part), "{part} in\n{picture}");
    }
    assert!(!picture.contains('\x1b'), "no colour: {picture:?}");
    let fits = |picture: &str, (columns, rows): (usize, usize)| {
        // The terminal adds a return of its own to each.
        let lines: Vec<&str> =
            picture.split('\n').map(|line| line.trim_end_matches('\r')).collect();
        lines.len() <= rows && lines.iter().all(|line| line.chars().count() <= columns)
    };
    assert!(fits(&picture, (80, 24)), "{picture}");
    set_size(&terminal.master, (40, 8));
    wait_until("it fits the smaller one", || fits(&terminal.picture(), (40, 8)));
    terminal.running.interrupt();
    assert_eq!(terminal.running.wait(), Some(0));
    wait_until("the terminal is given back", || terminal.text().ends_with("\x1b[?25h\x1b[?1049l"));
}

#[test]
fn the_terminal_is_given_back_to_who_does_not_want_to_wait() {
    let figures = "HTTP/1.1 200 OK\r\n\r\n{\"instance\":\"a\",\"histograms\":[{\"name\":\
        \"corelane_http_latency_nanoseconds\",\"count\":0,\"sum\":0,\"min\":0,\"max\":0,\"buckets\":[]}]}";
    // Answers once, then keeps whoever asks waiting, longer than the interrupts take.
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", admin.local_addr().unwrap());
    thread::spawn(move || {
        let (mut first, _) = admin.accept().unwrap();
        assert!(first.read(&mut [0; 4096]).unwrap() > 0);
        first.write_all(figures.as_bytes()).unwrap();
        drop(first);
        let _waiting: Vec<_> = admin.incoming().collect();
    });
    // Never answers: what is in flight is waited for as well.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let mut command = program(&[&url, "-r", "100", "-d", "5m", "--server-metrics", &address]);
    command.env("TERM", "xterm-256color");
    let mut terminal = OnTerminal::start(command, (80, 24));
    wait_until("there is a picture", || terminal.picture().contains(&url));
    wait_until("it ends", || {
        terminal.running.0.try_wait().unwrap().is_some() || {
            terminal.running.interrupt();
            false
        }
    });
    assert_eq!(terminal.running.wait(), Some(130));
    wait_until("the terminal is given back", || terminal.text().ends_with("\x1b[?25h\x1b[?1049l"));
}

/// Ten seconds around so many nanoseconds.
fn result(folder: &Folder, name: &str, nanos: u64, connections: usize) -> String {
    let mut record = Record { schema: corelane_load::SCHEMA, ..Record::default() };
    record.load.connections = connections;
    for at in 0..10 {
        let mut second = Second { at_seconds: at as f64, length_seconds: 1.0, ..Second::default() };
        second.response_time.record_n(nanos + at * 100, 1_000);
        second.answered = 1_000;
        record.response_time.merge(&second.response_time);
        record.seconds.push(second);
    }
    record.answered = 10_000;
    let path = folder.path(name);
    record.write_json(File::create(&path).unwrap()).unwrap();
    path
}

#[test]
fn a_comparison_has_an_exit_code_for_continuous_integration() {
    let folder = Folder::new("compare");
    let [before, after, other] = [("a", 50_000, 8), ("b", 60_000, 8), ("c", 50_000, 9)]
        .map(|(name, nanos, connections)| result(&folder, name, nanos, connections));
    let compare = |more: &[&str]| run(&[&["compare"], more].concat());
    let (code, text, _) = compare(&[&before, &before]);
    assert_eq!(code, 0, "{text}");
    let (code, text, _) = compare(&[&before, &after]);
    assert_eq!(code, 1, "{text}");
    assert!(text.ends_with("worse by 5 % or more: p50, p90, p99, p99.9\n"), "{text}");
    assert_eq!(compare(&[&before, &after, "--threshold", "50%"]).0, 0);
    assert_eq!(compare(&[&after, &before]).0, 0, "it is better");
    let (code, _, why) = compare(&[&before, &other]);
    assert_eq!(code, 2);
    assert!(why.contains("connections: 8, 9"), "{why}");
    // 1 would say that it is worse.
    let (code, text, why) = compare(&[&before, &folder.path("missing")]);
    assert_eq!((code, &*text), (2, ""));
    assert!(why.contains("cannot read ") && why.matches("os error").count() == 1, "{why}");
}

/// The browser. Continuous integration must have one; elsewhere tests say that they were skipped.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| ["chromium", "chromium-browser"].map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "chromium is not installed");
        eprintln!("skipped: chromium is not installed");
    }
    found
}

#[test]
fn the_page_draws_itself_in_a_browser() {
    let Some(browser) = chromium() else { return };
    let folder = Folder::new("page");
    let (page, profile) = (folder.path("a.html"), folder.path("profile"));
    let url = format!("http://{}/?q=</script>", server(OK));
    let (code, text, _) =
        run(&[&url, "-r", "300", "-c", "4", "-d", "1s", "-w", "0s", "-q", "--html", &page]);
    assert_eq!(code, 0, "{text}");
    let output = Command::new("timeout")
        .arg("60")
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={profile}"))
        .arg(format!("file://{page}"))
        .output()
        .unwrap();
    let document = String::from_utf8(output.stdout).unwrap();
    let count = |what: &str| document.matches(what).count();
    assert_eq!(count("data-drawn=\"yes\""), 1, "its script ran to the end: {document:.2000}");
    assert_eq!(count("<canvas"), 1);
    assert_eq!(count("class=\"series response\""), 2, "the rate and the response times");
    assert_eq!(count("role=\"img\""), 3, "heat map, rate, quantiles; there were no faults");
    assert!(document.contains("/?q=&lt;/script&gt;"), "{document:.2000}");
}
