//! `corelane load` and `corelane doctor`, with a real server.

use std::path::Path;

use corelane_load::Record;

use crate::process::{Finished, Program, Scratch, run, scratch};

const TOKEN: &str = "3fzK9vWqLr0uX2bN";

/// What a load test left behind.
struct Loaded {
    finished: Finished,
    record: Record,
    html: String,
}

/// Has the server at `address` asked; all that is written must be there, also after faults. `name` is the
/// test's own.
#[track_caller]
fn load(name: &str, address: impl std::fmt::Display, args: &[&str]) -> Loaded {
    let json = Scratch(scratch(&format!("load-{name}.json")));
    let html = Scratch(scratch(&format!("load-{name}.html")));
    let url = format!("http://{address}/");
    let always = ["load", &url, "--quiet", "--json", json.path(), "--html", html.path()];
    let finished = run(&[&always, args].concat());
    let record = Record::read(Path::new(json.path()));
    let record = record.unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    Loaded { finished, record, html: std::fs::read_to_string(html.path()).unwrap() }
}

#[test]
fn as_many_requests_as_are_asked_for() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0", "--body", "hello"]);
    let admin = format!("http://{}", program.admin_address());
    let args = ["--requests", "500", "--connections", "4", "--expect-body", "hello"];
    let loaded =
        load("requests", program.address(), &[&args[..], &["--server-metrics", &admin]].concat());
    let Loaded { finished, record, html } = &loaded;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!((record.sends.intended, record.sends.sent, record.answered), (500, 500, 500));
    assert!(finished.stdout.contains("500 sent, 500 answered"), "{finished:?}");
    // A server counts an answer after it has sent it: the last ones may not be among those it tells.
    let side = record.server_side.as_ref().unwrap();
    assert!((496..=500).contains(&side.latency.count()), "{:?}", side.latency.count());
    // Each alone may look longer from inside, if the server does not get its core back at once.
    assert!(side.latency.quantile(0.5) <= record.service_time.max());
    for part in ["in the server", &format!("corelane {}", env!("CARGO_PKG_VERSION"))] {
        assert!(finished.stdout.contains(part) && html.contains(part), "{part}: {finished:?}");
    }
    program.stop();
}

#[test]
fn the_figures_of_the_server_are_those_after_the_warm_up() {
    let file = Scratch::new("load-token", TOKEN.as_bytes());
    let wrong = Scratch::new("load-wrong-token", b"another-token-0000");
    let socket = Scratch(scratch("load.sock"));
    let unix = format!("unix:{}", socket.path());
    let program = Program::fixed(&["--admin", &unix, "--admin-token-file", file.path()]);
    // By the clock, so that the warm-up has four times as many requests, however fast this machine is.
    let open = ["--rate", "200", "--warm-up", "2s", "--duration", "500ms"];
    let asking = [&open[..], &["--server-metrics", &unix]].concat();
    let Loaded { finished, record, .. } = load(
        "token",
        program.address(),
        &[&asking[..], &["--server-token-file", file.path()]].concat(),
    );
    assert_eq!(finished.code, Some(i32::from(record.fault_count() > 0)), "{finished:?}");
    // Some are on their way when measuring begins, but nothing like a warm-up.
    assert_eq!(record.sends.intended, 100);
    let counted = record.server_side.unwrap().latency.count();
    assert!(counted < 200, "{counted} of {}", record.answered);
    let url = format!("http://{}/", program.address());
    for token in [&[][..], &["--server-token-file", wrong.path()]] {
        let refused = run(&[&["load", &url, "--quiet"][..], &asking, token].concat());
        assert_eq!((refused.code, &*refused.stdout), (Some(1), ""), "{refused:?}");
        assert!(refused.stderr.contains("401"), "{refused:?}");
    }
    program.stop();
}

#[test]
fn a_ramp_tells_each_step_and_where_it_ended_to_be_kept_up_with() {
    let program = Program::fixed(&[]);
    let ramp = ["--ramp", "50..150:300ms:3", "--warm-up", "0s", "--connections", "4"];
    let Loaded { finished, record, html } = load("ramp", program.address(), &ramp);
    assert_eq!(finished.code, Some(i32::from(record.fault_count() > 0)), "{finished:?}");
    assert_eq!(record.steps.iter().map(|step| step.rate).collect::<Vec<_>>(), [50.0, 100.0, 150.0]);
    assert_eq!(record.steps.iter().map(|step| step.intended).collect::<Vec<_>>(), [15, 30, 45]);
    for row in ["asked ", "50.0/s ", "100/s ", "150/s "] {
        assert!(finished.stdout.lines().any(|line| line.starts_with(row)), "{row}: {finished:?}");
    }
    // Whether it kept up is a matter of what else this machine does, but not that it is told.
    let told = match record.knee() {
        None => "It kept up at every rate, up to 150/s.".to_owned(),
        Some(0) => "It did not keep up even at 50.0/s: ".to_owned(),
        Some(_) => "The last rate at which it kept up was ".to_owned(),
    };
    assert!(finished.stdout.contains(&told), "{told}: {finished:?}");
    assert!(html.contains("150/s"));
    // Each answer a fault: it ended with the first step.
    let never = [&ramp[..], &["--expect-status", "404"]].concat();
    let Loaded { finished, record, .. } = load("ramp-faults", program.address(), &never);
    assert_eq!((finished.code, record.knee()), (Some(1), Some(0)));
    let faults = record.steps[0].fault_count;
    let told = format!("It did not keep up even at 50.0/s: {faults} faults");
    assert!(faults >= 15 && finished.stdout.contains(&told), "{told}: {finished:?}");
    program.stop();
}

#[test]
fn doctor_says_what_it_found_and_its_exit_code_what_was_asked() {
    let plain = run(&["doctor"]);
    assert_eq!(plain.code, Some(0), "{plain:?}");
    let last = plain.stdout.lines().last().unwrap();
    assert!(last.ends_with(" good") && last.contains("warning"), "{plain:?}");
    // No machine has so many descriptors.
    let many = ["doctor", "--connections", "4000000000", "--quiet"];
    assert_eq!(run(&many).code, Some(0));
    let strict = run(&[&many[..], &["--strict"]].concat());
    assert_eq!(strict.code, Some(1));
    assert!(strict.stdout.starts_with("WARNING  "), "{strict:?}");
    assert!(!strict.stdout.lines().any(|line| line.starts_with("ok ")), "{strict:?}");
    for wrong in [&["--connections", "x"][..], &["--remote", "--server-pid", "1"]] {
        assert_eq!(run(&[&["doctor"][..], wrong].concat()).code, Some(2), "{wrong:?}");
    }
}
