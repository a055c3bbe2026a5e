//! `corelane explain`, and the admin pages beneath it.

use std::net::{SocketAddr, TcpStream};

use corelane::web::WebServer;
use corelane_eventloop::Nanos;
use corelane_http::middleware::SetHeaders;
use corelane_http::web::{Endpoint, OwnedRequest, Request, Routes};
use rustix::net::{self, AddressFamily, SocketType};
use serde_json::Value;

use crate::client::{Client, GET};
use crate::process::{Finished, Program, Scratch, corelane, finish, run, wait_until};

fn admin_of(program: &Program) -> String {
    let line = program.announcement.lines().find_map(|line| line.strip_prefix("admin on "));
    line.unwrap().split_once(": ").unwrap().0.to_owned()
}

fn explain(url: &str, admin: &str, args: &[&str]) -> Finished {
    run(&[&["explain", url, "--admin", admin], args].concat())
}

/// Each note as `stage event: detail`, in order.
fn notes(trace: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let note = |note: &Value| {
        format!("{} {}: {}", text(&note["stage"]), text(&note["event"]), text(&note["detail"]))
    };
    trace["notes"].as_array().unwrap().iter().map(note).collect()
}

/// The JSON of an explanation, with its notes.
#[track_caller]
fn explained(url: &str, admin: &str, args: &[&str]) -> (Value, Vec<String>) {
    let finished = explain(url, admin, &[&["--json"], args].concat());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let all: Value = serde_json::from_str(&finished.stdout).unwrap();
    let told = notes(&all["trace"]);
    (all, told)
}

/// The notes that begin so stand in this order, perhaps with others between.
#[track_caller]
fn in_order(told: &[String], expected: &[&str]) {
    let mut rest = told.iter();
    for begin in expected {
        assert!(rest.any(|note| note.starts_with(begin)), "no `{begin}` there in {told:#?}");
    }
}

#[test]
fn a_fixed_answer_and_a_second_one_on_a_warm_connection() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0", "--body", "secret-answer"]);
    let (url, admin) = (format!("http://{}/private?q=1", program.address()), admin_of(&program));
    let args = ["--repeat", "2", "--header", "X-Secret: swordfish"];
    let (all, told) = explained(&url, &admin, &args);
    in_order(
        &told,
        &[
            "loop woke: turn",
            "acceptor accepted: listener 0, loop 0, which has 1 connection",
            "kernel received: ",
            "parser head: GET, ",
            "handler answered: status 200",
            "output queued: ",
            "loop stepped: waits for more input",
            "output its turn to send: ",
            "kernel sent: ",
            "loop woke: turn",
            "kernel received: ",
            "parser head: GET, ",
            "handler answered: status 200",
            "kernel sent: ",
            "kernel end: the client sends no more",
            "loop closed: finished; ",
        ],
    );
    assert_eq!(all["trace"]["state"], "closed");
    let requests = all["client"]["requests"].as_array().unwrap();
    assert_eq!(requests.iter().map(|r| r["status"].as_u64()).collect::<Vec<_>>(), [Some(200); 2]);
    let whole = all["trace"].to_string();
    for secret in ["swordfish", "X-Secret", "secret-answer", "private"] {
        assert!(!whole.contains(secret), "{secret}: {whole}");
    }
    let times: Vec<u64> = all["trace"]["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["at_ns"].as_u64().unwrap())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    let text = explain(&url, &admin, &[]).stdout;
    assert!(text.contains("Request 1: ") && text.contains("The server took "), "{text}");
    program.stop();
}

#[test]
fn files_what_is_not_there_and_what_is_refused() {
    let site = Scratch::folder("explain-site", &[("a.txt", b"hello")]);
    let program = Program::listening("static", &[site.path(), "--admin", "127.0.0.1:0"]);
    let (url, admin) = (format!("http://{}", program.address()), admin_of(&program));
    let (_, told) = explained(&format!("{url}/a.txt"), &admin, &[]);
    in_order(
        &told,
        &[
            "router matched: route static",
            "handler ran: it answers at once",
            "handler answered: status 200",
        ],
    );
    // Once the file is older than its time stamp is coarse.
    wait_until("an answer is kept rendered", || {
        let (_, told) = explained(&format!("{url}/a.txt"), &admin, &["--repeat", "2"]);
        let found = "handler found: an answer that was rendered before, with 5 bytes of content";
        told.iter().any(|note| note == found)
    });
    let (_, told) = explained(&format!("{url}/none"), &admin, &[]);
    in_order(&told, &["router matched: ", "handler ran: ", "handler answered: status 404"]);
    let (all, told) = explained(&url, &admin, &["--header", "Content-Length: x"]);
    in_order(&told, &["parser refused: content-length", "kernel sent: ", "loop closed: "]);
    assert_eq!(all["client"]["requests"][0]["status"], 400);
    program.stop();
}

async fn later(request: OwnedRequest) -> String {
    request.lane().local().sleep(Nanos::from_millis(20)).await;
    "done\n".to_owned()
}

#[test]
fn routes_middleware_and_handlers_of_an_application() {
    let server = WebServer::new("127.0.0.1:0").unwrap().lanes(1).admin("127.0.0.1:0").unwrap();
    let routes = || {
        Routes::new()
            .get("/hello/{name}", |_: &Request<'_>| "hello\n")
            .on("GET", "/later", Endpoint::asynchronous(later))
            .on("POST", "/body", Endpoint::new(|r: &Request<'_>| r.body().len().to_string()))
            .with(SetHeaders::new().set("X-Of-Us", "yes").unwrap())
            .build()
    };
    let server = server.start(routes).unwrap();
    let url = format!("http://{}", server.addresses()[0]);
    let admin = server.companion().unwrap().addresses()[0].to_string();
    let (_, told) = explained(&format!("{url}/hello/you"), &admin, &[]);
    in_order(
        &told,
        &[
            "parser head: GET",
            "router matched: route /hello/{name}",
            "middleware before: set-headers: passes it on",
            "handler ran: it answers at once",
            "middleware after: set-headers",
            "handler answered: status 200",
        ],
    );
    let (all, told) = explained(&format!("{url}/later"), &admin, &[]);
    in_order(
        &told,
        &[
            "router matched: route /later",
            "handler answered: it comes later",
            "loop woke: ",
            "handler done: its future has ended",
            "loop mail: ",
            "handler answered: status 200",
            "kernel sent: ",
        ],
    );
    let waited = all["client"]["requests"][0]["last_byte_ns"].as_u64().unwrap();
    assert!(waited >= 20_000_000, "{waited}");
    let (_, told) =
        explained(&format!("{url}/body"), &admin, &["--method", "POST", "--body", "four"]);
    in_order(
        &told,
        &["parser head: POST", "parser body: it is whole", "handler ran", "handler answered"],
    );
    server.stop(Nanos::from_secs(1));
    server.join().unwrap();
}

/// Has a connection traced before it is made, and makes it.
fn traced(program: &Program) -> (u64, Client) {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let local = SocketAddr::try_from(net::getsockname(&socket).unwrap()).unwrap();
    let (status, told) = arm(program, &local.to_string());
    assert_eq!((status, &told["peer"]), (201, &Value::from(local.to_string())));
    net::connect(&socket, &program.address()).unwrap();
    (told["id"].as_u64().unwrap(), Client::of(TcpStream::from(socket)))
}

fn arm(program: &Program, peer: &str) -> (u16, Value) {
    let length = peer.len();
    let response = program.admin().ask(format!(
        "POST /traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{peer}"
    ));
    (response.status, serde_json::from_slice(&response.body).unwrap())
}

fn report(program: &Program, id: u64) -> Value {
    serde_json::from_slice(&program.admin().get(&format!("/traces/{id}")).body).unwrap()
}

#[test]
fn pipelined_requests_and_a_client_that_vanishes() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let (id, mut client) = traced(&program);
    client.send(GET.repeat(3));
    for _ in 0..3 {
        assert_eq!(client.response().status, 200);
    }
    wait_until("it is sent", || {
        notes(&report(&program, id)).iter().any(|n| n.starts_with("kernel sent"))
    });
    let running = report(&program, id);
    assert_eq!(running["state"], "running");
    let told = notes(&running);
    let count = |begin: &str| told.iter().filter(|note| note.starts_with(begin)).count();
    assert_eq!(count("parser head: GET"), 3, "{told:#?}");
    assert_eq!((count("kernel received"), count("kernel sent")), (1, 1), "{told:#?}");
    client.send("GET / HTTP/1.1\r\nHo");
    wait_until("a part has come", || {
        notes(&report(&program, id))
            .iter()
            .any(|note| note.starts_with("parser part of a head: 18"))
    });
    drop(client);
    wait_until("its end is seen", || report(&program, id)["over"] == true);
    assert_eq!(report(&program, id)["state"], "closed");
    program.stop();
}

#[test]
fn who_is_not_awaited_is_not_traced_and_orders_have_limits() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    for garbage in
        ["", "nonsense", "127.0.0.1", "127.0.0.1:0", "[::]:80", "localhost:1", "1.2.3.4:99999"]
    {
        let (status, told) = arm(&program, garbage);
        assert_eq!(status, 400, "{garbage}: {told}");
        assert!(
            told.to_string().contains("no connection comes from")
                || told.to_string().contains("expected an address")
        );
    }
    let (status, first) = arm(&program, "127.0.0.1:1");
    assert_eq!(status, 201);
    assert_eq!(arm(&program, "127.0.0.1:1").0, 409);
    for port in 2..=8 {
        assert_eq!(arm(&program, &format!("127.0.0.1:{port}")).0, 201);
    }
    assert_eq!(arm(&program, "127.0.0.1:9").0, 429);
    assert_eq!(program.connect().ask(GET).status, 200);
    let waiting = report(&program, first["id"].as_u64().unwrap());
    assert_eq!(
        (&waiting["state"], waiting["notes"].as_array().unwrap().len()),
        (&"armed".into(), 0)
    );
    let mut client = program.admin();
    for path in ["/traces/999", "/traces/x", "/traces/-1", "/traces/18446744073709551616"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    assert_eq!(client.get("/traces").status, 405);
    let busy = explain(&format!("http://{}/", program.address()), &admin_of(&program), &[]);
    assert_eq!(busy.code, Some(1));
    assert!(busy.stderr.contains("traced already"), "{busy:?}");
    program.stop();
}

#[test]
fn a_server_that_wants_a_token() {
    const TOKEN: &str = "3fzK9vWqLr0uX2bN";
    let file = Scratch::new("explain-token", TOKEN.as_bytes());
    let program = Program::fixed(&["--admin", "127.0.0.1:0", "--admin-token-file", file.path()]);
    let (url, admin) = (format!("http://{}/", program.address()), admin_of(&program));
    let (_, told) = explained(&url, &admin, &["--admin-token-file", file.path()]);
    in_order(&told, &["parser head: GET", "kernel sent: "]);
    let with = |token: &str| {
        let mut command = corelane(&["explain", &url, "--admin", &admin]);
        command.env("CORELANE_ADMIN_TOKEN", token);
        finish(command)
    };
    assert_eq!(with(TOKEN).code, Some(0));
    for refused in [with("another-token-0000"), explain(&url, &admin, &[])] {
        assert_eq!((refused.code, &*refused.stdout), (Some(1), ""), "{refused:?}");
        assert!(refused.stderr.contains("want a token: --admin-token-file"), "{refused:?}");
    }
    let short = Scratch::new("explain-short-token", b"swordfish");
    let wrong = explain(&url, &admin, &["--admin-token-file", short.path()]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(!wrong.stderr.contains("swordfish"), "{wrong:?}");
    program.stop();
}

#[test]
fn what_goes_wrong_is_said() {
    let (program, other) =
        (Program::fixed(&["--admin", "127.0.0.1:0"]), Program::fixed(&["--admin", "127.0.0.1:0"]));
    let url = format!("http://{}/", program.address());
    // The admin pages of another server.
    let foreign = explain(&url, &admin_of(&other), &[]);
    assert_eq!(foreign.code, Some(1));
    assert!(foreign.stderr.contains("saw no connection from 127.0.0.1:"), "{foreign:?}");
    // None at all: this is the public address.
    let none = explain(&url, &program.address().to_string(), &[]);
    assert_eq!(none.code, Some(1));
    other.stop();
    let gone = explain(&url, "127.0.0.1:1", &[]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("start the server with --admin"), "{gone:?}");
    let unix = explain("unix:/run/x.sock", "9080", &[]);
    assert_eq!(unix.code, Some(2));
    assert!(unix.stderr.contains("clients of Unix sockets have no address"), "{unix:?}");
    let deaf = explain("http://127.0.0.1:1/", &admin_of(&program), &[]);
    assert_eq!(deaf.code, Some(1));
    assert!(deaf.stderr.contains("no connection to 127.0.0.1:1"), "{deaf:?}");
    program.stop();
}
