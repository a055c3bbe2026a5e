//! What the server itself measures: its histogram of latency, read before and after a run.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use corelane_metrics::HistogramSnapshot;
use corelane_metrics::expose::json;
use serde_json::Value;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::Url;
use crate::record::ServerSide;

/// Where corelane's admin listener has its figures.
const PATH: &str = "/metrics.json";
/// The latency of all requests.
const LATENCY: &str = "corelane_http_latency_nanoseconds";
/// An answer larger than this is not read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// An answer that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The admin listener of a corelane server.
///
/// # Examples
/// ```no_run
/// use corelane_load::Admin;
///
/// let admin = Admin::parse("unix:/run/corelane/admin.sock")?;
/// let before = admin.read()?;
/// // … a run …
/// let measured = before.until(&admin.read()?);
/// println!("{} requests, p99 {} ns", measured.latency.count(), measured.latency.quantile(0.99));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    place: Place,
    /// A field that opens its pages, or nothing.
    authorization: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp(Url),
    Unix(PathBuf),
}

impl Admin {
    /// From `http://HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// Those of [`Url::parse`].
    pub fn parse(text: &str) -> Result<Self, crate::Error> {
        let place = match text.strip_prefix("unix:") {
            Some(path) => Place::Unix(path.into()),
            None => Place::Tcp(Url::parse(text)?),
        };
        Ok(Self { place, authorization: String::new() })
    }

    /// The same with the token that its pages ask for.
    ///
    /// # Errors
    /// [`Error::Request`](crate::Error::Request) for a token with a space or something that is not ASCII.
    pub fn with_token(self, token: &str) -> Result<Self, crate::Error> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            // The token itself is not told.
            return Err(crate::Error::Request { part: "token", value: "…".to_owned() });
        }
        Ok(Self { authorization: format!("Authorization: Bearer {token}\r\n"), ..self })
    }

    /// Reads the figures, within five seconds for each step.
    ///
    /// # Errors
    /// When nobody answers, or something else than corelane's figures.
    pub fn read(&self) -> io::Result<Reading> {
        let deadline = Instant::now() + PATIENCE;
        let fields = &self.authorization;
        match &self.place {
            Place::Unix(path) => {
                let stream = connect_unix(path, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                ask(stream, "localhost", fields, deadline)
            }
            Place::Tcp(url) => {
                let mut failed = io::Error::from(io::ErrorKind::NotFound);
                for address in url.resolve().map_err(io::Error::other)? {
                    match TcpStream::connect_timeout(&address, PATIENCE) {
                        Ok(stream) => {
                            stream.set_read_timeout(Some(PATIENCE))?;
                            stream.set_write_timeout(Some(PATIENCE))?;
                            return ask(stream, url.authority(), fields, deadline);
                        }
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
        }
    }
}

/// What a server had measured at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    server: String,
    /// Another one for each start of the server.
    instance: String,
    latency: HistogramSnapshot,
}

impl Reading {
    /// What was measured between this reading and a later one.
    #[must_use]
    pub fn until(&self, later: &Self) -> ServerSide {
        let mut notes = Vec::new();
        let latency = if self.instance == later.instance {
            later.latency.delta(&self.latency)
        } else {
            notes.push(
                "The server was started anew in between: its figures begin there.".to_owned(),
            );
            later.latency.clone()
        };
        ServerSide { server: later.server.clone(), latency, notes }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let word = |name: &str| whole[name].as_str().map(str::to_owned).unwrap_or_default();
        let histograms = whole["histograms"].as_array().ok_or("it has no histograms")?;
        let latency = histograms
            .iter()
            .find(|histogram| histogram["name"] == LATENCY)
            .ok_or_else(|| format!("it has no histogram {LATENCY}"))?;
        Ok(Self {
            server: format!("{} {}", word("name"), word("version")),
            instance: whole["instance"].to_string(),
            latency: json::read_histogram(latency).map_err(|error| error.to_string())?,
        })
    }
}

/// Connects, and sends, within `wait`: also to a listener that does not accept and whose queue is full.
fn connect_unix(path: &Path, wait: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // The time for sending holds for connecting, too (SO_SNDTIMEO, socket(7)).
    socket.set_write_timeout(Some(wait))?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(UnixStream::from(OwnedFd::from(socket))),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::TimedOut.into())
        }
        Err(error) => Err(error),
    }
}

/// One request, by HTTP/1.0, so that the answer ends where the connection does.
fn ask(
    mut stream: impl Read + Write,
    host: &str,
    fields: &str,
    deadline: Instant,
) -> io::Result<Reading> {
    let invalid =
        |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{PATH}: {why}"));
    // In one piece: a server may be as strict about cut heads as it likes.
    let head =
        format!("GET {PATH} HTTP/1.0\r\nHost: {host}\r\n{fields}Accept: application/json\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut bytes = Vec::new();
    let mut page = [0; 16 * 1024];
    loop {
        match stream.read(&mut page)? {
            0 => break,
            received => bytes.extend_from_slice(&page[..received]),
        }
        if bytes.len() as u64 > ANSWER_BYTES_MAX || Instant::now() > deadline {
            return Err(invalid("the answer is too long".to_owned()));
        }
    }
    let text = String::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    let Some((head, body)) = text.split_once("\r\n\r\n").filter(|_| text.starts_with("HTTP/1."))
    else {
        return Err(invalid("the answer is no HTTP response".to_owned()));
    };
    match head.split_ascii_whitespace().nth(1) {
        Some("200") => {}
        status => {
            return Err(invalid(format!("the answer is {}", status.unwrap_or("without status"))));
        }
    }
    Reading::parse(body).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Reads what a server that answers so has.
    fn read(answer: String) -> io::Result<Reading> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = Admin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let admin = admin.with_token("secret").unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).unwrap();
            let asked = String::from_utf8_lossy(&asked[..length]);
            assert!(asked.starts_with("GET /metrics.json HTTP/1.0\r\n"), "{asked}");
            assert!(asked.contains("\r\nAuthorization: Bearer secret\r\n"), "{asked}");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let reading = admin.read();
        server.join().unwrap();
        reading
    }

    fn figures(instance: &str, buckets: &str, count: u64, sum: u64) -> String {
        format!(
            "HTTP/1.1 200 OK\r\n\r\n{{\"name\":\"corelane\",\"version\":\"0.1.0\",\"instance\":\"{instance}\",\
             \"histograms\":[{{\"name\":\"other\"}},{{\"name\":\"{LATENCY}\",\"count\":{count},\"sum\":{sum},\
             \"min\":1000,\"max\":1007,\"buckets\":{buckets}}}]}}",
        )
    }

    #[test]
    fn what_was_measured_in_between_is_the_difference_or_said_to_be_more() {
        let before = read(figures("a", "[[1000,1007,3]]", 3, 3_010)).unwrap();
        let after = read(figures("a", "[[1000,1007,10]]", 10, 10_030)).unwrap();
        let side = before.until(&after);
        assert_eq!(
            (&*side.server, side.latency.count(), side.notes.len()),
            ("corelane 0.1.0", 7, 0)
        );
        let restarted = read(figures("b", "[[1000,1007,2]]", 2, 2_000)).unwrap();
        let side = before.until(&restarted);
        assert_eq!((side.latency.count(), side.notes.len()), (2, 1));
    }

    #[test]
    fn a_listener_whose_queue_is_full_is_not_waited_for_for_ever() {
        let path = std::env::temp_dir().join(format!("corelane-load-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let address = SockAddr::unix(&path).unwrap();
        let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&address).unwrap();
        listener.listen(0).unwrap();
        // Until there is no room.
        let mut waiting = Vec::new();
        loop {
            let next = socket();
            next.set_nonblocking(true).unwrap();
            if next.connect(&address).is_err() {
                break;
            }
            waiting.push(next);
        }
        let (done, ended) = std::sync::mpsc::channel();
        let place = path.clone();
        thread::spawn(move || done.send(connect_unix(&place, Duration::from_millis(50)).err()));
        let error = ended.recv_timeout(Duration::from_secs(20)).expect("it waits for ever");
        assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn other_answers_are_errors() {
        for (answer, why) in [
            ("".to_owned(), "no HTTP"),
            ("hello\r\n\r\n".to_owned(), "no HTTP"),
            ("HTTP/1.1 404 Not Found\r\n\r\n".to_owned(), "404"),
            ("HTTP/1.1 200 OK\r\n\r\n{}".to_owned(), "no histograms"),
            ("HTTP/1.1 200 OK\r\n\r\n{\"histograms\":[]}".to_owned(), LATENCY),
            (figures("a", "[[1,2,3],[1,2,3]]", 6, 9), "bucket"),
        ] {
            let error = read(answer.clone()).unwrap_err().to_string();
            assert!(error.contains(why), "{error} for {answer}");
        }
        assert!(Admin::parse("unix:/nowhere/at/all").unwrap().read().is_err());
        assert!(Admin::parse("https://a").is_err());
        assert!(Admin::parse("a").unwrap().with_token("a\r\nb").is_err());
    }
}
