//! The client, with servers that answer well, badly, late or not at all.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::played::{Listener, Played};
use corelane_viewer::model::News;
use corelane_viewer::{Client, Command, Patience, Poller, Sample, Target};
use socket2::{Domain, SockAddr, Socket, Type};

const PATIENCE: Patience =
    Patience { connect: Duration::from_millis(500), answer: Duration::from_millis(300) };

fn client(target: &str) -> Client {
    Client::new(target.parse().unwrap(), Some("secret".to_owned()), PATIENCE)
}

#[test]
fn answers_of_every_framing_and_faults() {
    let large = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
    for (bytes, expected) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"[..], Ok("hi")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
            Ok("hi"),
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", Ok("hi")),
        (b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok("")),
        (b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", Err("/x was answered with 404")),
        (b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n", Err("the server wants a token")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", Err("ended before the answer did")),
        (b"HTTP/1.1 200 OK\r\n", Err("ended before the answer did")),
        (b"SSH-2.0-x\r\n\r\n", Err("not as it should be")),
        (large, Err("not as it should be")),
    ] {
        let listener = Listener::start(Played::default(), 0, Some(("/x", bytes.to_vec())));
        let got = client(&listener.address().to_string()).get("/x");
        match (got, expected) {
            (Ok(body), Ok(expected)) => assert_eq!(body, expected.as_bytes()),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, expected) => panic!("{got:?}, but expected {expected:?}"),
        }
    }
}

#[test]
fn one_connection_for_many_questions_each_with_the_token() {
    let listener = Listener::start(Played::default(), 0, None);
    let mut client = client(&listener.address().to_string());
    for _ in 0..3 {
        assert!(Sample::read(&client.get("/metrics.json").unwrap()).is_ok());
    }
    let asked = listener.asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|head| head.contains("\r\nAuthorization: Bearer secret\r\n")));
}

#[test]
fn a_unix_socket_and_a_server_that_only_listens() {
    let path = std::env::temp_dir().join(format!("corelane-viewer-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 512];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        // The second question is read and never answered.
        let _ = stream.read(&mut [0; 512]).unwrap();
        let _ = stream.read(&mut [0; 512]);
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let mut client = client(&format!("unix:{}", path.display()));
    assert_eq!(client.get("/x").unwrap(), b"hi");
    assert_eq!(client.get("/x").unwrap_err().to_string(), "no answer within 0.3 s");
    drop(client);
    assert!(server.join().unwrap().contains("\r\nHost: localhost\r\n"));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_unix_socket_whose_queue_is_full_is_not_waited_for_for_ever() {
    let path = std::env::temp_dir().join(format!("corelane-full-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let address = SockAddr::unix(&path).unwrap();
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    // Until there is no room.
    let mut waiting = Vec::new();
    loop {
        let next = socket();
        next.set_nonblocking(true).unwrap();
        if next.connect(&address).is_err() {
            break;
        }
        waiting.push(next);
    }
    let mut client = client(&format!("unix:{}", path.display()));
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(client.get("/x").map_err(|error| error.to_string())));
    let got = ended.recv_timeout(Duration::from_secs(20)).expect("it waits for ever");
    assert_eq!(got, Err("cannot connect: timed out".to_owned()));
    std::fs::remove_file(path).unwrap();
}

/// The next news for which `is` holds.
fn wait_for(poller: &Poller, what: &str, is: impl Fn(&News) -> bool) -> News {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let news = poller.news().recv_deadline(deadline).unwrap_or_else(|_| panic!("no {what}"));
        if is(&news) {
            return news;
        }
    }
}

#[test]
fn a_server_goes_and_another_comes() {
    let listener = Listener::start(Played::default(), 0, None);
    let address = listener.address();
    let target: Target = address.to_string().parse().unwrap();
    let poller =
        Poller::start(Client::new(target, None, PATIENCE), Duration::from_millis(100)).unwrap();
    wait_for(&poller, "answer", |news| matches!(news, News::Sample(_)));
    wait_for(&poller, "heat map", |news| matches!(news, News::Heat(_)));
    // From then on only what is new is asked for.
    wait_for(&poller, "heat map", |news| matches!(news, News::Heat(_)));
    let heads = listener.asked.lock().unwrap().join("");
    assert!(
        heads.contains("GET /heat.json HTTP") && heads.contains("GET /heat.json?since="),
        "{heads}"
    );
    drop(listener);
    wait_for(&poller, "trouble", |news| matches!(news, News::Trouble { .. }));
    let second = Played { instance: "second".to_owned(), ..Played::default() };
    let _listener = Listener::start(second, address.port(), None);
    wait_for(
        &poller,
        "second server",
        |news| matches!(news, News::Sample(sample) if sample.instance == "second"),
    );
    poller.tell(Command::Pause(true));
    // What was on its way still comes, and then nothing.
    while poller.news().recv_timeout(Duration::from_millis(500)).is_ok() {}
    poller.tell(Command::Pause(false));
    wait_for(&poller, "answer after the pause", |news| matches!(news, News::Sample(_)));
}

#[test]
fn a_server_without_a_heat_map_is_still_worth_watching() {
    let missing = b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n".to_vec();
    let listener = Listener::start(Played::default(), 0, Some(("/heat.json", missing)));
    let client = client(&listener.address().to_string());
    let poller = Poller::start(client, Duration::from_millis(100)).unwrap();
    wait_for(&poller, "answer", |news| matches!(news, News::Sample(_)));
    wait_for(&poller, "word", |news| matches!(news, News::NoHeat(_)));
    wait_for(&poller, "answer", |news| matches!(news, News::Sample(_)));
}
