//! When a connection ends although nobody broke a rule.

use crate::client::GET;
use crate::process::Program;

#[test]
fn the_last_request_of_a_connection_is_told() {
    let program = Program::fixed(&["--max-requests", "3"]);
    let mut client = program.connect();
    for last in [false, false, true] {
        assert_eq!(client.ask(GET).closes(), last);
    }
    client.ends();

    // What follows in the same write is neither answered nor does it cost an answer.
    let mut client = program.connect();
    client.send(GET.repeat(5));
    let closes = [(); 3].map(|()| client.response().closes());
    assert_eq!(closes, [false, false, true]);
    client.ends();
    drop(client);
    program.stop();
}

#[test]
fn old_connections_end_between_requests() {
    let program = Program::fixed(&["--max-age", "300ms"]);
    let mut busy = program.connect();
    let mut idle = program.connect();
    busy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhe");
    assert!(!idle.ask(GET).closes(), "it is young");
    idle.ends();
    // The other one is as old, and in the middle of a request.
    let response = busy.ask("llo");
    assert_eq!((response.status, response.closes()), (200, true));
    busy.ends();
    program.stop();
}

#[test]
fn what_is_cut_short_is_not_answered() {
    let program = Program::fixed(&[]);
    for begin in [
        "GET / HTTP/1.1\r\nHost: test\r\n",
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhell",
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    ] {
        let mut client = program.connect();
        client.send([GET, begin.as_bytes()].concat());
        client.finish();
        assert_eq!(client.response().status, 200, "the request before it was whole");
        client.ends();
    }
    program.stop();
}

#[test]
fn empty_lines_alone_are_no_request() {
    let program = Program::fixed(&["--idle-timeout", "100ms", "--head-timeout", "100ms"]);
    let mut client = program.connect();
    client.send("\r\n");
    let rest = client.rest();
    let text = String::from_utf8_lossy(&rest);
    assert!(rest.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text}");
    drop(client);
    program.stop();
}
