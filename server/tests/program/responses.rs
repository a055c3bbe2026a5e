//! What the answer is made of: `--status`, `--header`, `--body`, `--body-file`.

use crate::client::GET;
use crate::process::{Program, Scratch, pattern};

#[test]
fn status_header_and_body_as_told() {
    let program = Program::fixed(&[
        "--status",
        "418",
        "--header",
        "X-One: 1",
        "--header",
        "content-type: application/json",
        "--body",
        "{}",
    ]);
    let response = program.connect().ask(GET);
    assert_eq!((response.status, response.text()), (418, "{}"));
    assert!(response.head.starts_with("HTTP/1.1 418 "), "{}", response.head);
    assert_eq!(response.field("x-one"), Some("1"));
    assert_eq!(response.field("content-type"), Some("application/json"));
}

#[test]
fn statuses_without_a_body() {
    for status in ["204", "304"] {
        let program = Program::fixed(&["--status", status]);
        let mut client = program.connect();
        for _ in 0..2 {
            let response = client.ask(GET);
            assert_eq!(response.status.to_string(), status);
            assert_eq!(response.field("content-length"), None, "{}", response.head);
        }
        program.stop();
    }
}

#[test]
fn an_empty_body_has_length_0() {
    // A 205 has no other (RFC 9110 §15.3.6).
    for (option, status) in [(["--body", ""], 200), (["--status", "205"], 205)] {
        let program = Program::fixed(&option);
        let mut client = program.connect();
        for _ in 0..2 {
            let response = client.ask(GET);
            assert_eq!((response.status, response.field("content-length")), (status, Some("0")));
        }
    }
}

#[test]
fn a_file_of_a_megabyte_comes_byte_for_byte() {
    let body = pattern(1 << 20);
    let file = Scratch::new("megabyte", &body);
    let program = Program::fixed(&["--body-file", file.path()]);
    let mut client = program.connect();
    for _ in 0..3 {
        assert!(client.ask(GET).body == body);
    }
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("1048576"));
    let last = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert!(last.closes() && last.body == body);
    client.ends();
    program.stop();
}

#[test]
fn bodies_around_the_size_that_is_copied() {
    for size in [1, 1023, 1024, 1025, 4096, 65_536] {
        let body = pattern(size);
        let file = Scratch::new(&format!("size-{size}"), &body);
        let program = Program::fixed(&["--body-file", file.path()]);
        let mut client = program.connect();
        client.send(GET.repeat(3));
        for _ in 0..3 {
            assert!(client.response().body == body, "{size} bytes");
        }
    }
}
