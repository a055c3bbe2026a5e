use clap::{CommandFactory, Parser};

use super::*;
use crate::{Arrivals, Pace, Stop as End};

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
}

fn parse(words: &[&str]) -> Result<Job, String> {
    let parsed = Program::try_parse_from([&["load"], words].concat());
    let options = parsed.map_err(|error| error.to_string())?.args.options;
    options.job().map_err(|failure| format!("{failure:?}"))
}

#[test]
fn the_command_line_is_consistent() {
    Program::command().debug_assert();
}

#[test]
fn connections_alone_are_a_closed_loop_and_all_else_goes_by_the_clock() {
    let pace = |words: &[&str]| {
        let plan = parse(&[&["127.0.0.1:80"], words].concat()).unwrap().plan;
        (plan.pace, plan.connections)
    };
    let open = |rate| Pace::Open { rate, arrivals: Arrivals::Constant };
    assert_eq!(pace(&[]), (open(1_000.0), 1_000));
    assert_eq!(pace(&["-r", "20k"]), (open(20_000.0), 1_000));
    assert_eq!(pace(&["-r", "20k", "-c", "8"]), (open(20_000.0), 8));
    assert_eq!(pace(&["-c", "8"]), (Pace::Closed, 8));
    assert_eq!(pace(&["--ramp", "1k..2k:1s"]), (open(1_000.0), 1_000));
    let poisson = Pace::Open { rate: 500.0, arrivals: Arrivals::Poisson };
    assert_eq!(pace(&["-r", "500", "--arrivals", "poisson"]).0, poisson);
}

#[test]
fn requests_are_made_of_the_options() {
    let job = parse(&[
        "9=127.0.0.1:80/a",
        "127.0.0.1:80/b",
        "-b",
        "hello",
        "-H",
        "A: b",
        "--no-keep-alive",
        "--expect-header",
        "Server: x",
        "-n",
        "10",
    ]);
    let plan = job.unwrap().plan;
    let weights: Vec<_> = plan.requests.iter().map(|request| request.weight).collect();
    assert_eq!((weights, plan.stop), (vec![9, 1], End::Requests(10)));
    let text = String::from_utf8(plan.requests[0].request.bytes().to_vec()).unwrap();
    assert!(text.starts_with("POST /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nA: b\r\n"), "{text}");
    assert!(text.contains("Connection: close\r\n") && text.ends_with("\r\n\r\nhello"), "{text}");
    let field = plan.requests[1].expect.field.clone();
    assert_eq!(field, Some(("Server".to_owned(), Some("x".to_owned()))));
}

#[test]
fn fields_are_compared_by_name_and_value_and_urls_are_kept_without_credentials() {
    let job = parse(&[
        "127.0.0.1:80/?x=1&key=s3",
        "-HAccept:a",
        "-H",
        " X-Token : s3",
        "--no-keep-alive",
    ]);
    let job = job.unwrap_or_else(|why| panic!("{why}"));
    let load = job.load(&job.plan);
    assert_eq!(load.fields, ["Accept: a", "X-Token: (not kept)"]);
    assert_eq!((&*load.urls[0], load.keep_alive), ("127.0.0.1:80/?x=1&key=(not kept)", false));
    assert_eq!(job.plan.requests[0].name, load.urls[0]);
    let sent = String::from_utf8(job.plan.requests[0].request.bytes().to_vec()).unwrap();
    assert!(sent.starts_with("GET /?x=1&key=s3 ") && sent.contains("X-Token: s3\r\n"), "{sent}");
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    for (words, why) in [
        (&["-r", "1k"][..], "URL"),
        (&["127.0.0.1:80", "-H", "nonsense"], "has no colon"),
        (&["127.0.0.1:80", "127.0.0.1:81"], "one server"),
        (&["127.0.0.1:80", "-r", "1k", "--ramp", "1k..2k:1s"], "cannot be used with"),
        (&["127.0.0.1:80", "--urls", "/"], "cannot be used with"),
        (&["--urls", "/nowhere"], "cannot read /nowhere"),
        (&["127.0.0.1:80", "--body-file", "/nowhere"], "cannot read /nowhere"),
        (&["https://localhost"], "TLS"),
    ] {
        let error = parse(words).map(drop).unwrap_err();
        assert!(error.contains(why), "{words:?}: {error}");
    }
}

#[test]
fn a_signal_that_comes_twice_at_once_is_one_and_a_later_or_third_one_ends_at_once() {
    let millis = Duration::from_millis;
    for (signals, since_first, ends) in [
        (1, millis(0), false),
        (2, millis(0), false),
        (2, millis(999), false),
        (2, millis(1_000), true),
        (3, millis(0), true),
        (9, millis(5_000), true),
    ] {
        assert_eq!(ends_at_once(signals, since_first), ends, "{signals} after {since_first:?}");
    }
}

/// The notes of a run of these phases, on a server whose admin listener gives these answers.
fn notes(answers: &'static [&'static str], phases: &[Phase]) -> Vec<String> {
    let figures = "{\"instance\":\"a\",\"histograms\":[{\"name\":\"corelane_http_latency_nanoseconds\",\
        \"count\":0,\"sum\":0,\"min\":0,\"max\":0,\"buckets\":[]}]}";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = Admin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = thread::spawn(move || {
        for status in answers {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            write!(stream, "HTTP/1.1 {status}\r\n\r\n{figures}").unwrap();
        }
    });
    let mut side = Side::of(Some(admin), true).unwrap();
    phases.iter().for_each(|phase| side.look(*phase));
    let notes = side.end().unwrap().unwrap().notes;
    // Were there fewer questions than answers, it would still wait.
    server.join().unwrap();
    notes
}

#[test]
fn figures_that_hold_the_warm_up_say_so() {
    use Phase::{Draining, Measuring, WarmUp};
    let good = &["200 OK"; 3];
    assert!(notes(good, &[WarmUp, WarmUp, Measuring, Measuring]).is_empty());
    // A warm-up shorter than the time between two looks.
    assert!(notes(good, &[Measuring, Draining]).is_empty());
    assert!(notes(good, &[Draining]).is_empty());
    let unread = notes(&["200 OK", "503 Busy", "200 OK"], &[WarmUp, Measuring, Measuring]);
    assert!(unread[0].contains("503"), "{unread:?}");
    for notes in [unread, notes(&["200 OK"; 2], &[WarmUp]), notes(&["200 OK"; 2], &[])] {
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("the warm-up is among"), "{notes:?}");
    }
}

#[test]
fn a_run_is_looked_at_while_the_servers_figures_are_awaited() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = Admin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut side = Side { admin: Some(admin), before: None, warms_up: true, warm: None };
    // Nobody answers: it would be waited for.
    side.look(Phase::Measuring);
    assert!(!side.warm.as_ref().unwrap().is_finished());
    let (mut stream, _) = listener.accept().unwrap();
    stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n").unwrap();
    drop(stream);
    assert!(side.warm.take().unwrap().join().unwrap().is_err());
}
