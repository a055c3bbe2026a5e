//! What a client must see of a row: derived from the events that the row expects of the parser.

use corelane_parser::Refusal;

use crate::wire;

/// What a row leads to.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    answers: Vec<Answer>,
    /// The server ends the connection, without having been asked to by the client's end.
    pub(crate) closes: bool,
    /// Requests that wait to be told to go on, before a byte of their body is there.
    continues: usize,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// What [`Mirror`](super::net::Mirror) answers; of a refusal only the end of the connection and
    /// the status are fixed.
    body: Option<String>,
    head_only: bool,
    close: bool,
}

/// A request whose head has been heard of.
struct Request<'r> {
    method: &'r str,
    target: &'r str,
    close: bool,
    body: bool,
    data: String,
}

impl Expected {
    /// Reads a row's input and its list of events.
    pub(crate) fn of(input: &str, events: &str) -> Expected {
        let mut expected = Expected::default();
        let mut request: Option<Request<'_>> = None;
        let mut rest = events;
        while !rest.is_empty() && !expected.closes {
            let word = next_word(&mut rest);
            match (word, &mut request) {
                ("...", _) => return expected,
                ("end", _) => expected.answer(request.take()),
                ("close", Some(request)) => request.close = true,
                ("continue", _) => expected.continues += 1,
                ("chunked", Some(request)) => request.body = true,
                ("absolute" | "authority" | "asterisk" | "upgrade" | "1.0", Some(_)) => {}
                (word, Some(request)) if word.starts_with("length=") => request.body = true,
                (word, Some(request)) if word.starts_with('"') => {
                    request.data = word.trim_matches('"').to_owned();
                }
                (word, _) if word.starts_with('!') => {
                    let head_only = match request.take() {
                        Some(request) => request.method == "HEAD",
                        // In no row is a later head refused that begins so.
                        None => input.trim_start_matches("\r\n").starts_with("HEAD "),
                    };
                    let rule = Refusal::ALL.iter().find(|refusal| refusal.rule() == &word[1..]);
                    expected.refuse(rule.unwrap().status(), head_only);
                }
                (method, _) => {
                    let target = next_word(&mut rest);
                    let data = String::new();
                    request = Some(Request { method, target, close: false, body: false, data });
                }
            }
            // The next word is about another request: this one has no body.
            let over = rest.is_empty() || !is_about_the_same(rest);
            if over && request.as_ref().is_some_and(|request| !request.body) {
                expected.answer(request.take());
            }
        }
        expected
    }

    fn answer(&mut self, request: Option<Request<'_>>) {
        let Some(Request { method, target, close, data, .. }) = request else { return };
        if matches!(method, "CONNECT" | "TRACE") {
            return self.refuse(501, false);
        }
        let body = Some(format!("{method} {target} \"{data}\""));
        self.answers.push(Answer { status: 200, body, head_only: method == "HEAD", close });
        self.closes = close;
    }

    fn refuse(&mut self, status: u16, head_only: bool) {
        self.answers.push(Answer { status, body: None, head_only, close: true });
        self.closes = true;
    }

    /// Whether as much has been received as is due: as many heads of final responses.
    pub(crate) fn answered(&self, received: &[u8]) -> bool {
        let finals = received.windows(9).filter(|bytes| bytes == b"HTTP/1.1 ").count();
        let interims = received.windows(12).filter(|bytes| bytes == b"HTTP/1.1 100").count();
        finals - interims >= self.answers.len()
    }

    /// Compares all that was received. Byte by byte, each request that waits for it was told to go
    /// on; else it may have found the body's first bytes right behind the head.
    pub(crate) fn check(&self, mut received: &[u8], byte_by_byte: bool) -> Result<(), String> {
        let mut continues = 0;
        for answer in &self.answers {
            continues += wire::skip_interim(&mut received);
            answer.check(&mut received)?;
        }
        continues += wire::skip_interim(&mut received);
        if !received.is_empty() {
            return Err(format!("more than {:?}", self.answers));
        }
        let told = if byte_by_byte { self.continues..=self.continues } else { 0..=self.continues };
        if !told.contains(&continues) {
            return Err(format!("told to continue {continues} times"));
        }
        Ok(())
    }
}

impl Answer {
    /// Takes this answer from the front of what was received.
    fn check(&self, received: &mut &[u8]) -> Result<(), String> {
        let response = wire::response(received, self.head_only)?;
        let body_fits = match &self.body {
            Some(body) if !self.head_only => *body.as_bytes() == response.body[..],
            _ => true,
        };
        match (response.status, response.close, body_fits) == (self.status, self.close, true) {
            true => Ok(()),
            false => Err(format!("{response:?} instead of {self:?}")),
        }
    }
}

/// Cuts the next word off: to a space, or a whole quoted text.
fn next_word<'r>(rest: &mut &'r str) -> &'r str {
    let mut quoted = rest.starts_with('"');
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|&(_, char)| {
        let ends = char == ' ' && !quoted;
        quoted &= escaped || char != '"';
        escaped = char == '\\' && !escaped;
        ends
    });
    let (word, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
    *rest = after.trim_start();
    word
}

fn is_about_the_same(rest: &str) -> bool {
    let word = rest.split(' ').next().unwrap_or_default();
    let words = ["close", "continue", "chunked", "absolute", "authority", "asterisk", "upgrade"];
    words.contains(&word) || word == "1.0" || word.starts_with("length=")
}

#[test]
fn rows_become_what_clients_see() {
    let of = |events: &str| {
        let expected = Expected::of("", events);
        let answers = expected.answers.iter().map(|answer| {
            format!("{} {}", answer.status, answer.body.as_deref().unwrap_or_default())
        });
        (answers.collect::<Vec<_>>().join(", "), expected.closes)
    };
    let cases = [
        ("GET /a", "200 GET /a \"\"", false),
        ("GET /a GET /b close GET /c", "200 GET /a \"\", 200 GET /b \"\"", true),
        ("PUT / length=3 \"a b\" end GET /b ...", "200 PUT / \"a b\", 200 GET /b \"\"", false),
        ("PUT / length=3 continue \"a\" ...", "", false),
        ("PUT / chunked \"a\\\" b\" !chunk-end", "400 ", true),
        ("GET / 1.0 !version-unsupported", "200 GET / \"\", 505 ", true),
        ("CONNECT x:1 authority GET /", "501 ", true),
        ("...", "", false),
        ("", "", false),
    ];
    for (events, answers, closes) in cases {
        assert_eq!(of(events), (answers.to_owned(), closes), "{events}");
    }
}
