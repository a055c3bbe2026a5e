//! One request and its response, with what a client sees of the time they take.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use corelane_parser::http1::response::{ResponseParser, ResponseSlots};
use corelane_parser::http1::{Body, BodyKind, BodyStep, Limits, Method, Progress};

use crate::url::Url;

/// Bodies beyond this are read, but not kept.
const KEPT_BYTES: usize = 1 << 20;

/// How long a whole answer may take: a server need not end one.
const WHOLE: Duration = Duration::from_secs(60);

/// The largest head and body that is waited for.
const LIMITS: Limits = Limits { head_bytes: 256 * 1024, body_bytes: u64::MAX, ..Limits::DEFAULT };

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: String,
    /// Fields besides Host and Content-Length, or in their place.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Question {
    /// The request as it is sent.
    pub(super) fn render(&self, url: &Url) -> Vec<u8> {
        let has =
            |name: &str| self.fields.iter().any(|(field, _)| field.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, url.path());
        if !has("host") {
            head += &format!("Host: {}\r\n", url.host());
        }
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        let framed = has("content-length") || has("transfer-encoding");
        let expected = !self.body.is_empty() || matches!(&*self.method, "POST" | "PUT" | "PATCH");
        if expected && !framed {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        let mut request = (head + "\r\n").into_bytes();
        request.extend_from_slice(&self.body);
        request
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// A request that was answered. Times are since its first byte was handed to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) status: u16,
    pub(super) keep_alive: bool,
    /// As much of it as is kept.
    pub(super) body: Vec<u8>,
    pub(super) request_bytes: u64,
    /// Head and body, as they came.
    pub(super) response_bytes: u64,
    /// All of the request was handed over.
    pub(super) sent: Duration,
    pub(super) first_byte: Duration,
    pub(super) last_byte: Duration,
}

/// A connection to a server.
pub(super) struct Wire<S> {
    stream: S,
    /// Received and not yet looked at.
    inbox: Vec<u8>,
    ended: bool,
    /// When the answer must be whole.
    until: Instant,
}

impl Wire<TcpStream> {
    /// `wait` bounds every single wait.
    pub(super) fn new(stream: TcpStream, wait: Duration) -> Result<Wire<TcpStream>, String> {
        let set = || {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(wait))?;
            stream.set_write_timeout(Some(wait))
        };
        set().map_err(|error| error.to_string())?;
        Ok(Wire { stream, inbox: Vec::new(), ended: false, until: Instant::now() })
    }
}

impl Wire<UnixStream> {
    pub(super) fn unix(stream: UnixStream, wait: Duration) -> Result<Wire<UnixStream>, String> {
        let set = || {
            stream.set_read_timeout(Some(wait))?;
            stream.set_write_timeout(Some(wait))
        };
        set().map_err(|error| error.to_string())?;
        Ok(Wire { stream, inbox: Vec::new(), ended: false, until: Instant::now() })
    }
}

impl<S: Read + Write> Wire<S> {
    /// Sends a request and reads its response, without those before the last.
    pub(super) fn ask(&mut self, request: &[u8], is_head: bool) -> Result<Exchange, String> {
        let begun = Instant::now();
        self.until = begun + WHOLE;
        // A server may answer before it has read all of a request, and close: then the answer counts.
        let written = self.stream.write_all(request);
        let sent = begun.elapsed();
        let method = if is_head { Method::Head } else { Method::Get };
        let mut exchange = Exchange {
            status: 0,
            keep_alive: false,
            body: Vec::new(),
            request_bytes: request.len() as u64,
            response_bytes: 0,
            sent,
            first_byte: Duration::ZERO,
            last_byte: Duration::ZERO,
        };
        if self.inbox.is_empty() {
            self.receive().map_err(|why| match &written {
                Ok(()) => why,
                Err(error) => explain(error),
            })?;
        }
        exchange.first_byte = begun.elapsed();
        let kind = loop {
            let (kind, bytes) = self.head(method, &mut exchange)?;
            self.inbox.drain(..bytes);
            exchange.response_bytes += bytes as u64;
            if !(100..200).contains(&exchange.status) || exchange.status == 101 {
                break kind;
            }
        };
        self.body(kind, &mut exchange)?;
        exchange.last_byte = begun.elapsed();
        Ok(exchange)
    }

    /// Reads one head; how its body ends, and its length.
    fn head(
        &mut self,
        method: Method<'_>,
        exchange: &mut Exchange,
    ) -> Result<(BodyKind, usize), String> {
        let mut parser = ResponseParser::default();
        loop {
            let mut slots = ResponseSlots::new();
            match parser.parse(&self.inbox, method, &mut slots, &LIMITS) {
                Ok(Progress::Complete(head)) => {
                    (exchange.status, exchange.keep_alive) = (head.status(), head.keep_alive());
                    return Ok((head.body(), head.bytes()));
                }
                Ok(Progress::Partial) => {}
                Err(refusal) => return Err(format!("what came is no response: {refusal}")),
            }
            self.receive()?;
        }
    }

    fn body(&mut self, kind: BodyKind, exchange: &mut Exchange) -> Result<(), String> {
        let mut body = Body::new(kind, &LIMITS);
        loop {
            let step = body.advance(&self.inbox, &LIMITS);
            let step = step.map_err(|refusal| format!("the body is malformed: {refusal}"))?;
            if let BodyStep::Data { data, .. } = step {
                let room = KEPT_BYTES.saturating_sub(exchange.body.len());
                exchange.body.extend_from_slice(&data[..data.len().min(room)]);
            }
            let (consumed, more) = (step.consumed(), matches!(step, BodyStep::NeedMore { .. }));
            let done = matches!(step, BodyStep::Done { .. });
            self.inbox.drain(..consumed);
            exchange.response_bytes += consumed as u64;
            if done || (more && self.ended && kind == BodyKind::UntilClose) {
                return Ok(());
            }
            if more && let Err(why) = self.receive() {
                if self.ended && kind == BodyKind::UntilClose {
                    return Ok(());
                }
                return Err(format!("{why}, in the middle of the body"));
            }
        }
    }

    /// Receives once.
    fn receive(&mut self) -> Result<(), String> {
        let mut page = [0; 64 * 1024];
        loop {
            if Instant::now() >= self.until {
                return Err(format!("the answer did not end within {WHOLE:?}"));
            }
            match self.stream.read(&mut page) {
                Ok(0) => {
                    self.ended = true;
                    return Err("the server closed the connection".to_owned());
                }
                Ok(n) => {
                    self.inbox.extend_from_slice(&page[..n]);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(explain(&error)),
            }
        }
    }
}

fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "nothing came in time".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says these pieces, one a read, then ends.
    struct Script(Vec<&'static [u8]>);

    impl Read for Script {
        fn read(&mut self, page: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            page[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn answers(pieces: &[&'static [u8]], is_head: bool) -> Result<(u16, Vec<u8>, u64), String> {
        let mut wire = Wire {
            stream: Script(pieces.to_vec()),
            inbox: Vec::new(),
            ended: false,
            until: Instant::now(),
        };
        let exchange = wire.ask(b"?", is_head)?;
        Ok((exchange.status, exchange.body, exchange.response_bytes))
    }

    #[test]
    fn responses_are_read_to_their_end() {
        let plain: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 2\r\n\r\nh", b"i"];
        assert_eq!(answers(plain, false), Ok((200, b"hi".to_vec(), 40)));
        let chunked: &[&[u8]] =
            &[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", b"0\r\n\r\n"];
        assert_eq!(answers(chunked, false).map(|a| a.1), Ok(b"hi".to_vec()));
        let until_close: &[&[u8]] = &[b"HTTP/1.0 200 OK\r\n\r\n", b"hi"];
        assert_eq!(answers(until_close, false).map(|a| a.1), Ok(b"hi".to_vec()));
        let interim: &[&[u8]] = &[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"];
        assert_eq!(answers(interim, false).map(|a| a.0), Ok(204));
        let head: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"];
        assert_eq!(answers(head, true).map(|a| a.1), Ok(Vec::new()));
        for (pieces, why) in [
            (&[][..], "closed"),
            (&[&b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh"[..]][..], "in the middle"),
            (&[&b"SSH-2.0-x\r\n\r\n"[..]][..], "no response"),
        ] {
            let error = answers(pieces, false).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn questions_are_framed() {
        let url = Url::parse("http://localhost:8080/a?b").unwrap();
        let mut question = Question { method: "GET".into(), fields: Vec::new(), body: Vec::new() };
        assert_eq!(question.render(&url), b"GET /a?b HTTP/1.1\r\nHost: localhost:8080\r\n\r\n");
        question.method = "POST".into();
        question.fields.push(("host".into(), "other".into()));
        question.body = b"hi".to_vec();
        assert_eq!(
            question.render(&url),
            b"POST /a?b HTTP/1.1\r\nhost: other\r\nContent-Length: 2\r\n\r\nhi"
        );
    }
}
