//! The conformance table: input bytes, and the events or the refusal they must lead to, each row
//! with the section that says so. Every row is run whole, cut in two at every point, and byte by
//! byte: all must agree. `server/http` runs the same rows through its drivers.

mod bytes;
mod table;

use corelane_parser::http1::{
    BodyKind, BodyStep, FieldSlots, Head, Limits, Phase, Progress, RequestMachine, TargetForm,
    Version,
};

use table::{LENIENT, LIMITS, Row, TABLES};

#[test]
fn request_lines() {
    check(TABLES[0], &LIMITS);
}

#[test]
fn field_lines() {
    check(TABLES[1], &LIMITS);
}

#[test]
fn body_framing() {
    check(TABLES[2], &LIMITS);
}

#[test]
fn chunked_bodies() {
    check(TABLES[3], &LIMITS);
}

#[test]
fn lenient() {
    check(LENIENT, &Limits { lenient: true, ..LIMITS });
}

#[test]
fn the_table_is_large_and_its_rows_differ() {
    let mut inputs: Vec<&str> = TABLES.concat().iter().map(|row| row.1).collect();
    let count = inputs.len();
    assert!(count >= 900, "{count} rows");
    inputs.sort_unstable();
    let twice = inputs.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "a row is there twice");
}

/// Limits are tested by inputs too long for a table.
#[test]
fn limits_hold_to_the_byte() {
    let path =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(bytes - 14));
    run(&path(100), |events| events.starts_with("GET /aaa"));
    run(&path(101), |events| events == "!request-line-too-long");
    let field =
        |bytes: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "a".repeat(bytes - 3));
    run(&field(120), |events| events == "GET /");
    run(&field(121), |events| events == "!field-line-too-long");
    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    run(&fields(8), |events| events == "GET /");
    run(&fields(9), |events| events == "!too-many-fields");
    let head = |bytes: usize| {
        let lines = format!("X: {}\r\n", "a".repeat(95)).repeat(3);
        let rest = bytes - 16 - 9 - lines.len() - 7;
        format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}Y: {}\r\n\r\n", "b".repeat(rest))
    };
    assert_eq!(head(400).len(), 400);
    run(&head(400), |events| events == "GET /");
    run(&head(401), |events| events == "!head-too-large");
    run(&head(400)[..399], |events| events == "...");
    let method = |bytes: usize| format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(bytes));
    run(&method(32), |events| events.ends_with("M /"));
    run(&method(33), |events| events == "!method-too-long");
    // A line that is all one word has no target that could be too long.
    run(&method(99), |events| events == "!request-line-too-long");
    run(&method(100), |events| events == "!method");
    // A target longer than the whole head may be is too long itself (RFC 9112 §3: 414 is a MUST).
    let narrow = Limits { head_bytes: 60, ..LIMITS };
    run_with(&narrow, &path(90), |events| events == "!request-line-too-long");
    run_with(&narrow, &field(90), |events| events == "!head-too-large");
}

#[test]
fn limits_of_chunked_bodies_hold_to_the_byte() {
    let chunked = |body: &str| {
        format!("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let body = |bytes: usize| chunked(&format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "a".repeat(bytes)));
    run(&body(100), |events| events.ends_with("a\" end"));
    run(&body(101), |events| events.ends_with("chunked !body-too-large"));
    let extension = |bytes: usize| chunked(&format!("0;{}\r\n\r\n", "a".repeat(bytes - 1)));
    run(&extension(24), |events| events.ends_with("chunked end"));
    run(&extension(25), |events| events.ends_with("!chunk-extension-too-long"));
    let trailers = |bytes: usize| chunked(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(bytes - 5)));
    run(&trailers(40), |events| events.ends_with("chunked end"));
    run(&trailers(41), |events| events.ends_with("!trailers-too-large"));
}

fn check(rows: &[Row], limits: &Limits) {
    // All wrong rows at once: a changed rule touches many.
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(section, input, expect)| {
            let whole = events(&[input.as_bytes()], limits);
            (whole != *expect).then(|| format!("{section}: {input:?}: {whole}, not {expect}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    for (section, input, expect) in rows {
        assert!(!section.is_empty(), "{input:?} has no section");
        run_with(limits, input, |events| events == *expect);
    }
}

fn run(input: &str, is_expected: impl Fn(&str) -> bool) {
    run_with(&LIMITS, input, is_expected);
}

/// Runs `input` whole, cut in two at every point, and byte by byte.
fn run_with(limits: &Limits, input: &str, is_expected: impl Fn(&str) -> bool) {
    let input = input.as_bytes();
    for cut in 0..=input.len() {
        let got = events(&[&input[..cut], &input[cut..]], limits);
        assert!(is_expected(&got), "cut at {cut}: {got}: {}", input.escape_ascii());
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    let got = events(&bytes, limits);
    assert!(is_expected(&got), "byte by byte: {got}: {}", input.escape_ascii());
}

/// Feeds the pieces as a server would, and tells what happens.
fn events(pieces: &[&[u8]], limits: &Limits) -> String {
    let mut machine = RequestMachine::new();
    let (mut pending, mut events, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for piece in pieces {
        pending.extend_from_slice(piece);
        if let Err(refusal) = drain(&mut machine, &mut pending, &mut events, &mut data, limits) {
            note_data(&mut data, &mut events);
            events.push(format!("!{}", refusal.rule()));
            return events.join(" ");
        }
    }
    note_data(&mut data, &mut events);
    if machine.phase() == Phase::Body || !pending.is_empty() {
        events.push("...".to_owned());
    }
    events.join(" ")
}

fn drain(
    machine: &mut RequestMachine,
    pending: &mut Vec<u8>,
    events: &mut Vec<String>,
    data: &mut Vec<u8>,
    limits: &Limits,
) -> Result<(), corelane_parser::Refusal> {
    loop {
        let consumed = match machine.phase() {
            Phase::Head => match machine.parse_head(pending, &mut FieldSlots::new(), limits)? {
                Progress::Complete(head) => {
                    events.push(describe(&head));
                    head.bytes()
                }
                Progress::Partial => return Ok(()),
            },
            Phase::Body => match machine.advance_body(pending, limits)? {
                BodyStep::Data { data: part, consumed } => {
                    data.extend_from_slice(part);
                    consumed
                }
                BodyStep::NeedMore { consumed } => {
                    pending.drain(..consumed);
                    return Ok(());
                }
                BodyStep::Done { consumed } => {
                    note_data(data, events);
                    events.push("end".to_owned());
                    consumed
                }
            },
        };
        pending.drain(..consumed);
    }
}

fn note_data(data: &mut Vec<u8>, events: &mut Vec<String>) {
    if !data.is_empty() {
        events.push(format!("\"{}\"", data.escape_ascii()));
        data.clear();
    }
}

fn describe(head: &Head<'_>) -> String {
    let mut text = format!("{} {}", head.method(), head.target());
    let body = match head.body() {
        BodyKind::None => String::new(),
        BodyKind::Length(length) => format!("length={length}"),
        BodyKind::Chunked => "chunked".to_owned(),
        BodyKind::UntilClose => "until-close".to_owned(),
    };
    let form = match head.form() {
        TargetForm::Origin => "",
        TargetForm::Absolute => "absolute",
        TargetForm::Authority => "authority",
        TargetForm::Asterisk => "asterisk",
    };
    for (is_so, word) in [
        (head.version() == Version::Http10, "1.0"),
        (!form.is_empty(), form),
        (!head.keep_alive(), "close"),
        (!body.is_empty(), &body),
        (head.expects_continue(), "continue"),
        (head.upgrade(), "upgrade"),
    ] {
        if is_so {
            text = format!("{text} {word}");
        }
    }
    text
}
