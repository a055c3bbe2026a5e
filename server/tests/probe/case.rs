//! One case of a suite: what it sends, and what it accepts.

use crate::client::{Outcome, Seen};

/// How strongly the suite reads the RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Must,
    Should,
    OughtTo,
    May,
    /// No RFC decides: good practice.
    Practice,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
            Level::OughtTo => "ought to",
            Level::May => "MAY",
            Level::Practice => "-",
        }
    }
}

/// What the suite says of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// Allowed, and not what the suite would like best.
    Warn,
    Fail,
}

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        }
    }
}

/// One case.
///
/// What is accepted is written as a list of alternatives, `"400 close 2xx+closed"`. Each begins with
/// the first answer: a status (`400`), a class (`2xx`), `any`, either without one status (`2xx!206`),
/// or, where there is no answer, `close` (the connection ends) or `wait` (it stays open). Conditions
/// follow, each after a `+`; [`Seen::holds`] and [`Case::holds`] list them.
pub(crate) struct Case {
    pub(crate) id: &'static str,
    /// The number and section of the RFC that decides.
    pub(crate) rfc: &'static str,
    pub(crate) level: Level,
    pub(crate) scored: bool,
    /// What is sent, each after the answer to the one before.
    pub(crate) steps: Vec<Vec<u8>>,
    /// Where waiting is the right answer: what completes the request, and so shows that the server
    /// was waiting for it.
    pub(crate) rest: Option<Vec<u8>>,
    pass: &'static str,
    warn: &'static str,
    /// What the conditions about the body look for.
    texts: &'static [&'static str],
}

pub(crate) fn case(
    level: Level,
    id: &'static str,
    rfc: &'static str,
    request: impl Into<Vec<u8>>,
) -> Case {
    Case {
        id,
        rfc,
        level,
        scored: true,
        steps: vec![request.into()],
        rest: None,
        pass: "",
        warn: "",
        texts: &[],
    }
}

pub(crate) fn must(id: &'static str, rfc: &'static str, request: impl Into<Vec<u8>>) -> Case {
    case(Level::Must, id, rfc, request)
}

pub(crate) fn should(id: &'static str, rfc: &'static str, request: impl Into<Vec<u8>>) -> Case {
    case(Level::Should, id, rfc, request)
}

pub(crate) fn may(id: &'static str, rfc: &'static str, request: impl Into<Vec<u8>>) -> Case {
    case(Level::May, id, rfc, request)
}

pub(crate) fn practice(id: &'static str, rfc: &'static str, request: impl Into<Vec<u8>>) -> Case {
    case(Level::Practice, id, rfc, request)
}

impl Case {
    /// What passes.
    pub(crate) fn pass(mut self, accepted: &'static str) -> Case {
        self.pass = accepted;
        self
    }

    /// What is a warning.
    pub(crate) fn warn(mut self, accepted: &'static str) -> Case {
        self.warn = accepted;
        self
    }

    /// A refusal passes, and so does silence: the commonest rule of the suite.
    pub(crate) fn refused(self) -> Case {
        self.pass("400 close wait")
    }

    /// A refusal passes, and acceptance is a warning.
    pub(crate) fn refused_or_warned(self) -> Case {
        self.pass("400 close").warn("2xx")
    }

    /// The case does not count.
    pub(crate) fn unscored(mut self) -> Case {
        self.scored = false;
        self
    }

    /// The next step.
    pub(crate) fn then(mut self, request: impl Into<Vec<u8>>) -> Case {
        self.steps.push(request.into());
        self
    }

    pub(crate) fn rest(mut self, rest: impl Into<Vec<u8>>) -> Case {
        self.rest = Some(rest.into());
        self
    }

    pub(crate) fn texts(mut self, texts: &'static [&'static str]) -> Case {
        self.texts = texts;
        self
    }

    /// Judges as the suite does.
    pub(crate) fn judge(&self, outcome: &Outcome) -> Verdict {
        if self.accepts(self.pass, outcome) {
            Verdict::Pass
        } else if self.accepts(self.warn, outcome) {
            Verdict::Warn
        } else {
            Verdict::Fail
        }
    }

    fn accepts(&self, alternatives: &str, outcome: &Outcome) -> bool {
        alternatives.split_whitespace().any(|alternative| {
            let mut parts = alternative.split('+');
            let first = parts.next().unwrap_or_default();
            let seen = outcome.first();
            is_status(first, seen) && parts.all(|condition| self.holds(condition, outcome))
        })
    }

    /// The conditions that need more than the first answer.
    fn holds(&self, condition: &str, outcome: &Outcome) -> bool {
        let seen = outcome.first();
        let has = |text: &&str| seen.body().contains(*text);
        match condition {
            // The second step is answered so.
            "then2xx" => outcome.second().is_some_and(|second| is_status("2xx", second)),
            "then304" => outcome.second().is_some_and(|second| is_status("304", second)),
            "then400" => outcome.second().is_some_and(|second| is_status("400", second)),
            // No step has more than one answer.
            "single" => outcome.seen.iter().all(|seen| seen.statuses.len() <= 1),
            // The body is the first text, with nothing but line ends after it.
            "echo" => self.texts == [seen.body().trim_end_matches(['\r', '\n'])],
            "has" => self.texts.iter().all(has),
            "lacks" => !self.texts.iter().any(has),
            // The body has the first text, as it was sent; the second would be another name.
            "kept" => has(&self.texts[0]) && !has(&self.texts[1]),
            _ => seen.holds(condition),
        }
    }
}

fn is_status(pattern: &str, seen: &Seen) -> bool {
    let Some(answer) = &seen.answer else {
        return match pattern {
            "close" => seen.closed,
            "wait" => !seen.closed,
            _ => false,
        };
    };
    let (pattern, except) = pattern.split_once('!').unwrap_or((pattern, ""));
    let status = answer.status.to_string();
    let matches = match pattern {
        "any" => true,
        class if class.ends_with("xx") => status.starts_with(&class[..1]),
        exact => status == exact,
    };
    matches && status != except
}

/// The name that requests give the server.
pub(crate) const HOST: &str = "localhost:8080";

/// A request of its own line, `Host`, further field lines, and a body.
pub(crate) fn request(
    line: impl AsRef<[u8]>,
    fields: impl AsRef<[u8]>,
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let host = format!("\r\nHost: {HOST}\r\n");
    [line.as_ref(), host.as_bytes(), fields.as_ref(), b"\r\n", body.as_ref()].concat()
}

/// A request that is nothing but a line and `Host`.
pub(crate) fn line(line: impl AsRef<[u8]>) -> Vec<u8> {
    request(line, "", "")
}

/// `GET /` with these field lines.
pub(crate) fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    request("GET / HTTP/1.1", fields, "")
}

/// `POST /` with these field lines and this body.
pub(crate) fn post(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST / HTTP/1.1", fields, body)
}

/// `POST /` with a body in chunks, framing and all.
pub(crate) fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// `POST /` with a `Content-Length` of this value and this body.
pub(crate) fn length(value: &str, body: &str) -> Vec<u8> {
    post(format!("Content-Length: {value}\r\n"), body)
}

/// `POST /` with a `Transfer-Encoding` of this value, and a `Content-Length` of 5 with its body.
pub(crate) fn coding(value: &str) -> Vec<u8> {
    post(format!("Transfer-Encoding: {value}\r\nContent-Length: 5\r\n"), "hello")
}
