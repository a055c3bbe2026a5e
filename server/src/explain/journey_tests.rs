use super::*;
use crate::explain::trace::Trace;

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn exchange(status: u16, first: u64, last: u64) -> Exchange {
    Exchange {
        status,
        keep_alive: true,
        body: Vec::new(),
        request_bytes: 46,
        response_bytes: 218,
        sent: micros(10),
        first_byte: micros(first),
        last_byte: micros(last),
    }
}

/// Of notes as `microseconds stage event: detail`, one a line; spaces in an event are underscores.
fn explanation(notes: &str, exchanges: Vec<Exchange>) -> Explanation {
    let note = |line: &str| {
        let (head, detail) = line.trim().split_once(": ").unwrap();
        let words: Vec<&str> = head.split_whitespace().collect();
        let at = (words[0].parse::<f64>().unwrap() * 1e3) as u64;
        let event = words[2].replace('_', " ");
        serde_json::json!({"at_ns": at, "stage": words[1], "event": event, "detail": detail})
    };
    let notes: Vec<_> = notes.trim().lines().map(note).collect();
    let trace = serde_json::json!({
        "id": 1, "peer": "127.0.0.1:40000", "state": "closed", "loop": 0, "notes": notes, "left_out": 0,
    });
    Explanation {
        url: "http://127.0.0.1:8080/a".to_owned(),
        connect: micros(40),
        exchanges,
        trouble: None,
        trace: Trace::read(trace.to_string().as_bytes()).unwrap(),
    }
}

const TWO: &str = "
    0 loop woke: turn 7 of this loop
    20 acceptor accepted: listener 0, loop 0, which has 1 connection
    90 loop woke: turn 8 of this loop
    95 kernel received: 46 bytes
    97 parser head: GET, 46 bytes, 1 field, no body
    100 router matched: route /a
    101 handler answered: it comes later
    101.5 loop stepped: waits for its answer, and reads nothing
    5090 loop woke: turn 9 of this loop
    5091 handler done: its future has ended
    5092 loop mail: from another part of the server
    5095 handler answered: status 200
    5096 output queued: 218 bytes
    5096.5 loop stepped: waits for more input
    5097 output its_turn_to_send: 218 bytes to send
    5127 kernel sent: 218 bytes, which is all
    6000 loop woke: turn 10 of this loop
    6004 loop served_others: 2 steps
    6005 kernel received: 46 bytes
    6006 parser refused: te-unknown: status 501
    6008 kernel sent: 218 bytes, which is all
    7000 loop woke: turn 11 of this loop
    7001 kernel end: the client sends no more
    7002 loop closed: finished; 92 bytes received, 436 bytes sent
";

#[test]
fn a_journey_to_the_letter() {
    let explanation = explanation(TWO, vec![exchange(200, 5_150, 5_151), exchange(501, 6, 7)]);
    let expected = "\
http://127.0.0.1:8080/a from 127.0.0.1:40000

The connection
     since       took  who         what
      0 ns          -  loop        woke: turn 7 of this loop
   20.0 us    20.0 us  acceptor    accepted: listener 0, loop 0, which has 1 connection

Request 1: 46 bytes; answered with 200, 218 bytes
     since       took  who         what
      0 ns          -  loop        woke: turn 8 of this loop
    5.0 us     5.0 us  kernel      received: 46 bytes
    7.0 us     2.0 us  parser      head: GET, 46 bytes, 1 field, no body
   10.0 us     3.0 us  router      matched: route /a
   11.0 us     1.0 us  handler     answered: it comes later
   11.5 us     500 ns  loop        stepped: waits for its answer, and reads nothing
   5.00 ms    4.99 ms  loop        woke: turn 9 of this loop
   5.00 ms     1.0 us  handler     done: its future has ended
   5.00 ms     1.0 us  loop        mail: from another part of the server
   5.00 ms     3.0 us  handler     answered: status 200
   5.01 ms     1.0 us  output      queued: 218 bytes
   5.01 ms     500 ns  loop        stepped: waits for more input
   5.01 ms     500 ns  output      its turn to send: 218 bytes to send
   5.04 ms    30.0 us  kernel      sent: 218 bytes, which is all

Request 2: 46 bytes; answered with 501, 218 bytes
     since       took  who         what
      0 ns          -  loop        woke: turn 10 of this loop
    4.0 us     4.0 us  loop        served others: 2 steps
    5.0 us     1.0 us  kernel      received: 46 bytes
    6.0 us     1.0 us  parser      refused: te-unknown: status 501
    8.0 us     2.0 us  kernel      sent: 218 bytes, which is all

The end
     since       took  who         what
      0 ns          -  loop        woke: turn 11 of this loop
    1.0 us     1.0 us  kernel      end: the client sends no more
    2.0 us     1.0 us  loop        closed: finished; 92 bytes received, 436 bytes sent

The client connected in 40.0 us.

Request 1: the client had the first byte of the answer after 5.15 ms, the last after 5.15 ms.
  The server took 5.04 ms of it, most of it 4.99 ms (99 %) waiting for the answer to be made, or for \
more of the request, then 30.0 us (0 %) sending, in the kernel.
  The other 114.0 us are the way there and back, and waking both sides.

Request 2: the client had the first byte of the answer after 6.0 us, the last after 7.0 us.
  The server took 8.0 us of it, most of it 4.0 us (50 %) in other work of the same turn of its loop, \
then 2.0 us (25 %) sending, in the kernel.
  The call that sends returned only after the client had the answer: on one machine it delivers, and \
may wake the client on the server's core.
";
    assert_eq!(explanation.text(), expected);
    let json = explanation.json();
    assert_eq!(json["client"]["requests"][1]["status"], 501);
    assert_eq!(json["trace"]["notes"].as_array().unwrap().len(), 24);
}

#[test]
fn what_is_missing_is_said() {
    let mut cut = explanation(
        "0 loop woke: turn 1 of this loop\n 1 kernel received: 5 bytes\n\
         2 parser part_of_a_head: 5 bytes so far\n 3 loop stepped: waits for more input",
        Vec::new(),
    );
    cut.trouble = Some("request 1 has no answer: nothing came in time".to_owned());
    cut.trace.state = "running".to_owned();
    cut.trace.left_out = 3;
    let text = cut.text();
    assert!(text.contains("\nRequest 1\n"), "{text}");
    assert!(text.contains("Note: request 1 has no answer: nothing came in time."), "{text}");
    assert!(text.contains("Note: 3 more notes found no room."), "{text}");
    assert!(text.contains("not seen the end of the connection"), "{text}");
    let refused = explanation("0 acceptor refused: by this loop", Vec::new());
    assert!(refused.text().contains("The connection\n"), "{}", refused.text());
    let none = explanation("0 loop woke: x", Vec::new());
    assert_eq!(divide(&[]), []);
    assert!(none.text().ends_with("The client connected in 40.0 us.\n"));
}

#[test]
fn a_server_cannot_control_the_terminal() {
    let hostile = explanation("0 loop woke: \u{1b}[2Jgone\u{9b}", Vec::new());
    assert!(hostile.text().contains("woke: ?[2Jgone?"), "{}", hostile.text());
}

#[test]
fn times_have_units() {
    for (nanos, text) in [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.0 us"),
        (1_234_567, "1.23 ms"),
        (12_345_678_901, "12.35 s"),
    ] {
        assert_eq!(time(nanos), text);
    }
}
