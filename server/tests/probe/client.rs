//! Runs a case against a server, over a socket of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::case::{Case, get};

/// Nothing that is waited for may take longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// The body of a last request of our own: who answers it has kept the connection, and in step.
const MARKER: &str = "still in step";

/// One response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and fields.
    head: String,
    /// Bytes beyond what was announced count as body: a response to HEAD must have none.
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut values = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    }

    fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// What followed a step.
#[derive(Default)]
pub(crate) struct Seen {
    /// The first answer, if there was one.
    pub(crate) answer: Option<Answer>,
    /// The statuses of all answers.
    pub(crate) statuses: Vec<u16>,
    /// The server ended the connection.
    pub(crate) closed: bool,
}

impl Seen {
    pub(crate) fn body(&self) -> &str {
        self.answer.as_ref().map_or("", |answer| &answer.body)
    }

    /// The conditions on one answer that a [`Case`] can name.
    pub(crate) fn holds(&self, condition: &str) -> bool {
        let field = |name| self.answer.as_ref().and_then(|answer| answer.field(name));
        match condition {
            "closed" => self.closed,
            "empty" => self.body().is_empty(),
            "allow" => field("Allow").is_some(),
            "date" => field("Date").is_some(),
            "imf-date" => field("Date").is_some_and(is_imf_fixdate),
            "content-type" => field("Content-Type").is_some(),
            "etag" => field("ETag").is_some(),
            "last-modified" => field("Last-Modified").is_some(),
            "no-length" => field("Content-Length").is_none(),
            unknown => panic!("no condition is called {unknown}"),
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
fn is_imf_fixdate(date: &str) -> bool {
    let pattern = "Aaa, 00 Aaa 0000 00:00:00 GMT";
    let fits = |(is, like): (char, char)| match like {
        '0' => is.is_ascii_digit(),
        'A' if is != 'G' => is.is_ascii_uppercase(),
        'a' => is.is_ascii_lowercase(),
        _ => is == like,
    };
    date.len() == pattern.len() && date.chars().zip(pattern.chars()).all(fits)
}

/// What followed each step. Steps after the end of the connection are missing.
pub(crate) struct Outcome {
    pub(crate) seen: Vec<Seen>,
}

impl Outcome {
    pub(crate) fn first(&self) -> &Seen {
        &self.seen[0]
    }

    pub(crate) fn second(&self) -> Option<&Seen> {
        self.seen.get(1)
    }

    /// How the page says it.
    pub(crate) fn summary(&self) -> String {
        let step = |seen: &Seen| {
            let statuses: Vec<String> = seen.statuses.iter().map(u16::to_string).collect();
            let answers = statuses.join(" and ");
            match (answers.as_str(), seen.closed) {
                ("", true) => "close".to_owned(),
                ("", false) => "wait".to_owned(),
                (_, true) => answers + ", close",
                (_, false) => answers + ", keep",
            }
        };
        self.seen.iter().map(step).collect::<Vec<_>>().join("; then ")
    }
}

/// Runs one case.
pub(crate) fn run(case: &Case, server: SocketAddr) -> Outcome {
    let mut wire = Wire::connect(server);
    let mut seen: Vec<Seen> = Vec::new();
    let last = case.steps.len() - 1;
    for (index, step) in case.steps.iter().enumerate() {
        if seen.last().is_some_and(|seen| seen.closed) {
            break;
        }
        wire.send(step);
        let headless = step.starts_with(b"HEAD ");
        seen.push(match &case.rest {
            Some(rest) => wire.complete(rest, server),
            None if index == last => wire.until_it_ends(headless),
            None => wire.one(headless),
        });
    }
    Outcome { seen }
}

struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    ended: bool,
}

impl Wire {
    fn connect(server: SocketAddr) -> Wire {
        let stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire { stream, received: Vec::new(), ended: false }
    }

    fn send(&mut self, bytes: &[u8]) {
        // A server may refuse what is only half sent: then its answer says so, not this.
        let _ = self.stream.write_all(bytes);
    }

    /// Receives once. False when nothing more comes, in time or at all.
    fn receive(&mut self) -> bool {
        let mut page = [0; 16 * 1024];
        match self.stream.read(&mut page) {
            Ok(0) => self.ended = true,
            Ok(n) => self.received.extend_from_slice(&page[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.ended = true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) => panic!("{error}"),
        }
        !self.ended
    }

    /// What follows a step that is not the last one: one answer.
    fn one(&mut self, headless: bool) -> Seen {
        let answer = self.answer(headless);
        if answer.as_ref().is_some_and(Answer::closes) {
            while self.receive() {}
        }
        let mut statuses: Vec<u16> = answer.iter().map(|answer| answer.status).collect();
        statuses.extend(self.answers().iter().map(|answer| answer.status));
        Seen { answer, statuses, closed: self.ended }
    }

    /// What follows the last step: all that comes until the connection ends, or until a request of
    /// our own is answered.
    fn until_it_ends(&mut self, headless: bool) -> Seen {
        let first = self.answer(headless);
        if first.as_ref().is_some_and(|answer| !answer.closes()) && !self.ended {
            self.send_marker();
        }
        while first.is_some() && self.receive() {}
        self.judge(first)
    }

    /// What follows an incomplete request. If its rest is answered as it would have been in one
    /// piece, then the server was waiting for it.
    fn complete(&mut self, rest: &[u8], server: SocketAddr) -> Seen {
        // A server with one loop that answers somebody who came later has looked at our bytes.
        let mut other = Wire::connect(server);
        other.send(&get("Connection: close\r\n"));
        assert!(other.answer(false).is_some(), "nobody is served");
        self.send(rest);
        let mut seen = self.until_it_ends(false);
        if seen.statuses == [200] && !seen.closed {
            seen = Seen::default();
        }
        seen
    }

    fn send_marker(&mut self) {
        let length = MARKER.len();
        let fields = format!("Connection: close\r\nContent-Length: {length}\r\n");
        self.send(&crate::case::post(fields, MARKER));
    }

    /// Whether the connection was kept shows in whether our own request was answered.
    fn judge(&mut self, first: Option<Answer>) -> Seen {
        let mut answers: Vec<Answer> = self.answers();
        let kept = answers.pop_if(|last| last.body == MARKER).is_some();
        let mut statuses: Vec<u16> = first.iter().map(|answer| answer.status).collect();
        statuses.extend(answers.iter().map(|answer| answer.status));
        Seen { answer: first, statuses, closed: self.ended && !kept }
    }

    /// The next answer, as long as it announced to be.
    fn answer(&mut self, headless: bool) -> Option<Answer> {
        let head = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if !self.receive() {
                return None;
            }
        };
        let head = text(self.received.drain(..head + 4));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head}"));
        let mut answer = Answer { status, head, body: String::new() };
        let bodyless = headless || status < 200 || status == 204 || status == 304;
        let length = answer.field("Content-Length").and_then(|length| length.parse().ok());
        let length = if bodyless { 0 } else { length.unwrap_or(0) };
        while self.received.len() < length && self.receive() {}
        answer.body = text(self.received.drain(..length.min(self.received.len())));
        Some(answer)
    }

    /// The answers among what has been received.
    fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while !self.received.is_empty() {
            match self.answer(false) {
                Some(answer) => answers.push(answer),
                None => panic!("no answer: {:?}", text(self.received.drain(..))),
            }
        }
        answers
    }
}

fn text(bytes: impl Iterator<Item = u8>) -> String {
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}
