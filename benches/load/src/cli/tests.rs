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
fn the_first_signal_asks_for_an_end_and_the_second_for_none() {
    let stop = Stop { signal: Arc::default(), seen: false.into() };
    assert_eq!(stop.asked(), Asked::Never);
    stop.signal.store(true, Ordering::Relaxed);
    assert_eq!([stop.asked(), stop.asked()], [Asked::Once, Asked::Once]);
    stop.signal.store(true, Ordering::Relaxed);
    assert_eq!(stop.asked(), Asked::Again);
}

#[test]
fn figures_that_hold_the_warm_up_say_so() {
    let figures = "{\"instance\":\"a\",\"histograms\":[{\"name\":\"corelane_http_latency_nanoseconds\",\
        \"count\":0,\"sum\":0,\"min\":0,\"max\":0,\"buckets\":[]}]}";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = Admin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = std::thread::spawn(move || {
        for status in ["200 OK", "503 Busy", "200 OK"] {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            write!(stream, "HTTP/1.1 {status}\r\n\r\n{figures}").unwrap();
        }
    });
    let mut side = Side::of(Some(admin)).unwrap();
    for phase in [Phase::WarmUp, Phase::WarmUp, Phase::Measuring, Phase::Measuring] {
        side.look(phase);
    }
    let notes = side.end().unwrap().unwrap().notes;
    server.join().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].contains("503") && notes[0].contains("the warm-up is among them"),
        "{notes:?}"
    );
}
