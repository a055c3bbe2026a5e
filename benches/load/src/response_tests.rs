use proptest::prelude::*;

use super::*;

const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nVrypt";

fn body(body: &[u8]) -> Expect {
    Expect { body: Some(body.to_vec()), ..Expect::default() }
}

fn unchecked() -> Rules {
    Rules::new(false, &Expect::default())
}

/// Feeds `wire` in pieces of `cut` bytes, then closes.
fn read(wire: &[u8], cut: usize, rules: &mut Rules) -> Result<Vec<Response>, Malformed> {
    let (mut reader, mut responses) = (Reader::default(), Vec::new());
    // What is left unread is shown again, with more behind it.
    let (mut at, mut end) = (0, 0);
    while end < wire.len() {
        end = wire.len().min(end + cut.max(1));
        while at < end {
            match reader.read(&wire[at..end], rules)? {
                (0, _) => break,
                (used, response) => {
                    at += used;
                    responses.extend(response);
                }
            }
        }
    }
    responses.extend(reader.end(wire.len() - at, Some(rules))?);
    Ok(responses)
}

fn statuses(wire: &[u8]) -> Vec<u16> {
    let whole = read(wire, wire.len(), &mut unchecked()).unwrap();
    for cut in 1..wire.len() {
        assert_eq!(read(wire, cut, &mut unchecked()).unwrap(), whole, "cut at {cut}");
    }
    whole.iter().map(|response| response.status).collect()
}

#[test]
fn pipelined_responses_are_counted_at_every_cut() {
    assert_eq!(statuses(&PLAIN.repeat(3)), [200, 200, 200]);
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nVrypt\r\n0\r\n\r\n".repeat(2);
    assert_eq!(statuses(&chunked), [200, 200]);
}

#[test]
fn a_response_without_length_ends_with_the_connection() {
    let wire = b"HTTP/1.0 200 OK\r\n\r\nVrypt";
    assert_eq!(statuses(wire), [200]);
    let responses = read(wire, 64, &mut Rules::new(false, &body(b"Vrypt"))).unwrap();
    assert!(responses[0].wrong.is_none() && !responses[0].keeps_alive);
}

#[test]
fn interim_responses_are_not_counted() {
    let wire = [b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN].concat();
    assert_eq!(statuses(&wire), [200]);
}

#[test]
fn statuses_without_body_have_none() {
    let wire = [
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        &b"HTTP/1.1 204 No Content\r\n\r\n"[..],
        PLAIN,
    ]
    .concat();
    assert_eq!(statuses(&wire), [304, 204, 200]);
}

#[test]
fn a_long_body_of_expected_length_can_be_skipped_from_any_point() {
    const LENGTH: u64 = 5_000;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
    for (expected, right) in [(LENGTH, true), (LENGTH - 1, false), (LENGTH + 1, false)] {
        let expect = Expect { length: Some(expected), ..Expect::default() };
        for (read, skipped) in [(0, Some(LENGTH)), (900, Some(LENGTH - 900)), (1_000, None)] {
            let (mut rules, mut reader) = (Rules::new(false, &expect), Reader::default());
            let wire = [head.as_bytes(), &vec![b'x'; read]].concat();
            assert_eq!(reader.read(&wire, &mut rules), Ok((wire.len(), None)));
            assert_eq!(reader.skip(&rules), skipped);
            let response = match skipped {
                Some(_) => reader.skipped(&rules),
                None => reader.read(&vec![b'x'; LENGTH as usize - read], &mut rules).unwrap().1,
            };
            assert_eq!(response.unwrap().wrong.is_none(), right);
            // The next response is found where the skipped body ended.
            assert_eq!((reader.skip(&rules), reader.skipped(&rules)), (None, None));
            assert!(reader.read(PLAIN, &mut rules).unwrap().1.is_some());
        }
        // A peer that closes amid what is skipped has cut it.
        let (mut rules, mut reader) = (Rules::new(false, &expect), Reader::default());
        reader.read(head.as_bytes(), &mut rules).unwrap();
        assert_eq!(reader.skip(&rules), Some(LENGTH));
        assert_eq!(reader.end(0, Some(&rules)), Err(Malformed));
    }
}

#[test]
fn replies_to_head_have_no_body() {
    let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".repeat(2);
    let mut rules = Rules::new(true, &body(b"Vrypt"));
    let responses = read(&wire, wire.len(), &mut rules).unwrap();
    assert_eq!(responses.len(), 2);
    assert!(responses.iter().all(|response| response.wrong.is_none()));
}

#[test]
fn the_connection_field_decides_over_the_version() {
    for (head, keeps_alive) in [
        ("HTTP/1.1 200 OK\r\n", true),
        ("HTTP/1.0 200 OK\r\n", false),
        ("HTTP/1.1 200 OK\r\nConnection: TE, close\r\n", false),
        ("HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n", true),
    ] {
        let wire = format!("{head}Content-Length: 0\r\n\r\n");
        let responses = read(wire.as_bytes(), 4096, &mut unchecked()).unwrap();
        assert_eq!(responses[0].keeps_alive, keeps_alive, "{head}");
    }
}

#[test]
fn a_cut_response_is_an_error() {
    for length in 1..PLAIN.len() {
        assert_eq!(read(&PLAIN[..length], 64, &mut unchecked()), Err(Malformed));
    }
}

#[test]
fn broken_heads_are_errors() {
    for wire in [
        &b"nonsense\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        assert_eq!(read(wire, 4096, &mut unchecked()), Err(Malformed));
    }
    let endless = [b"HTTP/1.1 200 OK\r\nX: ", &[b'a'; HEAD_BYTES_MAX + 1][..]].concat();
    assert_eq!(read(&endless, 4096, &mut unchecked()), Err(Malformed));
}

#[test]
fn a_wrong_body_is_noticed_after_right_ones() {
    let mut rules = Rules::new(false, &body(b"Vrypt"));
    for (body, matches) in [("Vrypt", true), ("Vrypt", true), ("Vrypx", false), ("Vryp", false)] {
        let wire = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let responses = read(wire.as_bytes(), 4096, &mut rules).unwrap();
        assert_eq!(responses[0].wrong.is_none(), matches, "{body}");
    }
}

#[test]
fn an_equal_start_with_another_length_is_parsed_again() {
    // The first response is a prefix of nothing that follows it, although the heads are alike.
    let mut rules = unchecked();
    let first = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345";
    let longer = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n";
    let wire = [&first[..], first, longer, &[b'x'; 50], first].concat();
    assert_eq!(read(&wire, wire.len(), &mut rules).unwrap().len(), 4);
}

fn response() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    let status = prop_oneof![Just(200u16), Just(404), Just(503)];
    (status, body, any::<bool>(), 0..3usize).prop_map(|(status, body, chunked, split)| {
        let mut wire = format!("HTTP/1.1 {status} Text\r\n").into_bytes();
        if !chunked {
            wire.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            wire.extend_from_slice(&body);
            return (wire, status);
        }
        wire.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(split * 7 + 1) {
            wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            wire.extend_from_slice(piece);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        (wire, status)
    })
}

proptest! {
    /// Whatever mixture comes, cut anywhere, with repeats that go the cheap way: each response is
    /// counted once, with its own status.
    #[test]
    fn mixtures_are_counted_exactly(
        kinds in proptest::collection::vec(response(), 1..4),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 1..24),
        cut in 1..400usize,
    ) {
        let chosen: Vec<_> = order.iter().map(|index| index.get(&kinds)).collect();
        let wire: Vec<u8> = chosen.iter().flat_map(|(wire, _)| wire.clone()).collect();
        let expected: Vec<u16> = chosen.iter().map(|(_, status)| *status).collect();
        let responses = read(&wire, cut, &mut unchecked()).unwrap();
        let found: Vec<u16> = responses.iter().map(|response| response.status).collect();
        prop_assert_eq!(found, expected);
    }
}
