//! Requests of every shape, and what they are answered with.

use std::time::Duration;

use crate::client::GET;
use crate::process::Program;

#[test]
fn every_method_and_path_gets_the_body() {
    let program = Program::fixed(&[]);
    let mut client = program.connect();
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "X-Y"] {
        for path in ["/", "/a/b?c=d", "/%20", "/index.html"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n");
            let response = client.ask(request);
            assert_eq!((response.status, response.text()), (200, "Vrypt"), "{method} {path}");
            assert_eq!(response.field("content-type"), Some("text/plain"));
            assert!(response.field("date").unwrap().ends_with(" GMT"), "{}", response.head);
            assert_eq!(response.field("connection"), None);
        }
    }
    assert_eq!(client.ask("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n").text(), "Vrypt");
    assert_eq!(client.ask("GET http://test/a HTTP/1.1\r\nHost: test\r\n\r\n").text(), "Vrypt");
    program.stop();
}

#[test]
fn connect_is_refused_and_closes() {
    let program = Program::fixed(&[]);
    let mut client = program.connect();
    let response = client.ask("CONNECT test:443 HTTP/1.1\r\nHost: test:443\r\n\r\n");
    assert_eq!(response.status, 501);
    assert!(response.closes(), "{}", response.head);
    client.ends();
}

#[test]
fn head_has_the_length_and_no_body() {
    let program = Program::fixed(&["--body", "twelve bytes"]);
    let mut client = program.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    let response = client.head();
    assert_eq!((response.status, response.field("content-length")), (200, Some("12")));
    // If a body had been sent, it would stand before this answer.
    assert_eq!(client.ask(GET).text(), "twelve bytes");
}

#[test]
fn bodies_are_read_before_the_answer() {
    let program = Program::fixed(&[]);
    let mut client = program.connect();
    let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\nhello world";
    assert_eq!(client.ask(request).text(), "Vrypt");
    let chunked = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nChecksum: 1\r\n\r\n";
    assert_eq!(client.ask(chunked).text(), "Vrypt");
    assert_eq!(client.ask(GET).text(), "Vrypt", "the connection is used again");

    // No answer before the last byte.
    let (all_but_last, last) = request.split_at(request.len() - 1);
    client.send(all_but_last);
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let early = std::io::Read::read(&mut client.stream, &mut [0]).unwrap_err();
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    client.stream.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    assert_eq!(client.ask(last).text(), "Vrypt");
    program.stop();
}

#[test]
fn a_large_body_in_many_pieces() {
    let program = Program::fixed(&["--max-body", "4M"]);
    let mut client = program.connect();
    let body = crate::process::pattern(3 << 20);
    client.send(format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()));
    assert_eq!(client.ask(&body).text(), "Vrypt");
    client.send("PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(100_000) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    assert_eq!(client.ask("0\r\n\r\n").text(), "Vrypt");
    assert_eq!(client.ask(GET).text(), "Vrypt");
}

#[test]
fn broken_framing_is_answered_and_closed() {
    let program = Program::fixed(&[]);
    let host = "HTTP/1.1\r\nHost: test\r\n";
    for (status, request) in [
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, format!("GET /{host}\r\n")),
        (400, format!("GET / {host}Bad Name: x\r\n\r\n")),
        (400, format!("GET / {host}Name: a\0b\r\n\r\n")),
        (400, format!("POST / {host}Content-Length: 1\r\nContent-Length: 2\r\n\r\n")),
        (400, format!("POST / {host}Content-Length: +1\r\n\r\nx")),
        (400, format!("POST / {host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")),
        (501, format!("POST / {host}Transfer-Encoding: gzip, chunked\r\n\r\n")),
        (400, format!("POST / {host}Transfer-Encoding: chunked\r\n\r\nxyz\r\n")),
        (400, format!("POST / {host}Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n")),
        (400, format!("POST / {host}Transfer-Encoding: chunked\r\n\r\n0\r\nBad Name: x\r\n\r\n")),
        (400, "GET / HTTP/1.1\nHost: test\n\n".to_owned()),
        (505, "GET / HTTP/2.0\r\nHost: test\r\n\r\n".to_owned()),
        (414, format!("GET /{} {host}\r\n", "a".repeat(9000))),
        (431, format!("GET / {host}Long: {}\r\n\r\n", "a".repeat(20_000))),
        (417, format!("GET / {host}Expect: a-miracle\r\n\r\n")),
    ] {
        let mut client = program.connect();
        let response = client.ask(&request);
        assert_eq!(response.status, status, "{request:?}: {}", response.text());
        assert!(response.closes(), "{request:?}: {}", response.head);
        assert!(!response.body.is_empty(), "says why");
        client.ends();
    }
    assert_eq!(program.connect().ask(GET).status, 200, "others are served");
    program.stop();
}

#[test]
fn what_came_before_a_broken_request_is_answered() {
    let program = Program::fixed(&[]);
    let mut client = program.connect();
    client.send([GET, GET, b"BROKEN\r\n\r\n", GET].concat());
    let statuses = [(); 3].map(|()| client.response().status);
    assert_eq!(statuses, [200, 200, 400]);
    client.ends();
}

#[test]
fn http_1_0_closes_unless_asked_otherwise() {
    let program = Program::fixed(&[]);
    let mut client = program.connect();
    let response = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((response.status, response.text()), (200, "Vrypt"));
    assert!(response.closes());
    client.ends();

    let mut client = program.connect();
    for _ in 0..3 {
        let response = client.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(response.field("connection"), Some("keep-alive"));
        assert_eq!(response.text(), "Vrypt");
    }
    assert!(client.ask("GET / HTTP/1.0\r\n\r\n").closes());
    client.ends();
}

#[test]
fn connection_close_closes_after_the_answer() {
    let program = Program::fixed(&[]);
    let close = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let mut client = program.connect();
    let response = client.ask(close);
    assert!(response.closes());
    assert_eq!(response.text(), "Vrypt");
    client.ends();

    // What follows is neither answered nor does it cost the answer.
    let mut client = program.connect();
    client.send([GET, close.as_bytes(), GET, GET].concat());
    assert!(!client.response().closes());
    assert!(client.response().closes());
    client.ends();
}

#[test]
fn one_byte_at_a_time() {
    let program = Program::fixed(&[]);
    let mut client = program.connect();
    let request = "POST /path HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n";
    for _ in 0..2 {
        for byte in request.bytes() {
            client.send([byte]);
            // Lets the server see it alone: without this the kernel gathers them.
            std::thread::sleep(Duration::from_micros(200));
        }
        assert_eq!(client.response().text(), "Vrypt");
    }
    program.stop();
}

#[test]
fn pipelined_requests_are_all_answered_in_order() {
    let program = Program::fixed(&[]);
    for count in [16, 1000] {
        let mut client = program.connect();
        // GET and HEAD alternate: their answers differ, so their order can be seen.
        let pair = [GET, b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n"].concat();
        client.send(pair.repeat(count / 2));
        for _ in 0..count / 2 {
            assert_eq!(client.response().text(), "Vrypt");
            assert_eq!(client.head().status, 200);
        }
        client.finish();
        client.ends();
    }
    program.stop();
}

#[test]
fn pipelined_bodies_larger_than_the_watermark_all_come() {
    let body = "large ".repeat(20_000);
    let file = crate::process::Scratch::new("watermark", body.as_bytes());
    let program = Program::fixed(&["--body-file", file.path()]);
    let mut client = program.connect();
    client.send(GET.repeat(200));
    client.finish();
    for n in 0..200 {
        assert_eq!(client.response().text(), body, "answer {n}");
    }
    client.ends();
    program.stop();
}

#[test]
fn expect_100_continue() {
    let program = Program::fixed(&["--max-body", "100"]);
    let request = |length| {
        format!(
            "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = program.connect();
    client.send(request(5));
    assert_eq!(client.head().status, 100);
    assert_eq!(client.ask("12345").text(), "Vrypt");
    // Whoever does not wait for it is not told to go on.
    assert_eq!(client.ask(request(5) + "12345").text(), "Vrypt");
    // Whoever asks for too much is refused before sending it.
    client.send(request(101));
    assert_eq!(client.response().status, 413);
    client.ends();
}

#[test]
fn half_close_after_the_request_still_gets_the_answer() {
    let program = Program::fixed(&[]);
    let mut client = program.connect();
    client.send(GET);
    client.finish();
    assert_eq!(client.response().text(), "Vrypt");
    client.ends();

    let mut client = program.connect();
    client.send("GET / HT");
    client.finish();
    client.ends();
}

#[test]
fn a_body_beyond_the_limit_is_413_even_if_the_client_keeps_sending() {
    let program = Program::fixed(&["--max-body", "1K"]);
    let mut client = program.connect();
    let body = vec![b'x'; 1024];
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1024\r\n\r\n");
    assert_eq!(client.ask(&body).status, 200, "the limit itself is allowed");
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1025\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    let response = client.response();
    assert_eq!(response.status, 413);
    assert!(response.closes() && response.text().contains("body-too-large"), "{response:?}");
    client.ends();

    let mut client = program.connect();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("400\r\n{}\r\n1\r\nx\r\n", "x".repeat(1024)));
    assert_eq!(client.response().status, 413);
    client.ends();
    // Whoever is refused is listened to for a while: that would hold the exit.
    drop(client);
    program.stop();
}

#[test]
fn policies_are_waived_on_request_and_framing_never() {
    let policy = "GET /a%00 HTTP/1.1\r\nHost: test\r\n\r\n";
    let framing =
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx";
    for (flags, expect) in [(&[][..], [400, 400]), (&["--lenient"][..], [200, 400])] {
        let program = Program::fixed(flags);
        let statuses = [policy, framing].map(|request| program.connect().ask(request).status);
        assert_eq!(statuses, expect, "{flags:?}");
        let told = program.announcement.contains(", lenient");
        assert_eq!(told, !flags.is_empty(), "{}", program.announcement);
        program.stop();
    }
}
