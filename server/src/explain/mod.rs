//! The journey of one request through a running server: asks its admin pages to trace a connection, makes
//! that connection, sends the request, and shows what the server noted beside what the client saw.

mod exchange;
mod journey;
mod place;
mod trace;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(crate) use self::exchange::Question;
use self::exchange::{Exchange, Wire};
use self::journey::Journey;
pub(crate) use self::place::{Admin, url};
use self::trace::Trace;
use crate::url::Url;

/// The last notes of a server come when it has seen the connection end: no later than this.
const LAST_NOTES: Duration = Duration::from_secs(2);
/// How often it is asked for them.
const AGAIN: Duration = Duration::from_millis(5);

/// What to ask, where, and how often.
pub(crate) struct Plan {
    pub(crate) url: Url,
    pub(crate) question: Question,
    pub(crate) admin: Admin,
    /// Requests on one connection, one after another.
    pub(crate) repeat: u16,
    /// Bounds every single wait.
    pub(crate) wait: Duration,
}

/// What both sides tell.
pub(crate) struct Explanation {
    url: String,
    /// How long the connection took to be made.
    connect: Duration,
    exchanges: Vec<Exchange>,
    /// Why not all requests have an answer.
    trouble: Option<String>,
    trace: Trace,
}

impl Plan {
    /// Asks, and fetches the trace.
    ///
    /// # Errors
    /// If the server cannot be asked, or no trace is to be had; a request without an answer is none.
    pub(crate) fn explain(&self) -> Result<Explanation, String> {
        let (id, stream, connect) = self.connect()?;
        let mut wire = Wire::new(stream, self.wait)?;
        let (mut exchanges, mut trouble) = (Vec::new(), None);
        for number in 1..=self.repeat {
            match wire.ask(&self.question.render(&self.url), self.question.is_head()) {
                Ok(exchange) => {
                    let goes_on = exchange.keep_alive;
                    exchanges.push(exchange);
                    if !goes_on && number < self.repeat {
                        trouble = Some(format!("the server closed after request {number}"));
                        break;
                    }
                }
                Err(why) => {
                    trouble = Some(format!("request {number} has no answer: {why}"));
                    break;
                }
            }
        }
        drop(wire);
        let trace = self.fetch(id)?;
        let url = self.url.to_string();
        Ok(Explanation { url, connect, exchanges, trouble, trace })
    }

    /// Connects to the first address that lets us, which is traced.
    fn connect(&self) -> Result<(u64, TcpStream, Duration), String> {
        let mut failed = format!("{} has no address", self.url);
        for address in self.url.addresses()? {
            let socket = match place::bind(address) {
                Ok(socket) => socket,
                Err(error) => {
                    failed = format!("no socket for {address}: {error}");
                    continue;
                }
            };
            let id = self.arm(socket.local())?;
            let begun = Instant::now();
            match socket.connect(self.wait) {
                Ok(stream) => return Ok((id, stream, begun.elapsed())),
                Err(error) => failed = format!("no connection to {address}: {error}"),
            }
        }
        Err(failed)
    }

    /// Has the server trace what comes from this address.
    fn arm(&self, peer: SocketAddr) -> Result<u64, String> {
        let (status, body) = self.admin.ask("POST", "/traces", &peer.to_string(), self.wait)?;
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        match (status, told["id"].as_u64()) {
            (201, Some(id)) => Ok(id),
            (401 | 403, _) => Err(format!(
                "the admin pages at {} want a token: --admin-token-file, or the variable \
                 CORELANE_ADMIN_TOKEN",
                self.admin
            )),
            (200..=299 | 404 | 405, _) => Err(format!(
                "{} knows no traces: are the admin pages of a corelane server there, not of an older one?",
                self.admin
            )),
            _ => {
                let why = told["detail"].as_str().or(told["title"].as_str()).unwrap_or("no reason");
                Err(format!("the server at {} traces nothing: {status}: {why}", self.admin))
            }
        }
    }

    /// The trace, once it is complete or does not become so.
    fn fetch(&self, id: u64) -> Result<Trace, String> {
        let deadline = Instant::now() + LAST_NOTES;
        loop {
            let (status, body) = self.admin.ask("GET", &format!("/traces/{id}"), "", self.wait)?;
            if status != 200 {
                return Err(format!("the trace is gone: {status} from {}", self.admin));
            }
            let trace = Trace::read(&body)?;
            if trace.is_over() {
                return Ok(trace);
            }
            if Instant::now() >= deadline {
                return match trace.is_awaited() {
                    false => Ok(trace),
                    true => Err(format!(
                        "the server at {} saw no connection from {}: perhaps it is not the one that \
                         answers {}, or something between changes addresses",
                        self.admin, trace.peer, self.url
                    )),
                };
            }
            std::thread::sleep(AGAIN);
        }
    }
}

impl Explanation {
    /// For people.
    pub(crate) fn text(&self) -> String {
        Journey::of(self).text()
    }

    /// For programs: what the server noted, as it gave it, and what the client saw.
    pub(crate) fn json(&self) -> Value {
        let exchange = |exchange: &Exchange| {
            json!({
                "status": exchange.status,
                "request_bytes": exchange.request_bytes,
                "response_bytes": exchange.response_bytes,
                "sent_ns": nanos(exchange.sent),
                "first_byte_ns": nanos(exchange.first_byte),
                "last_byte_ns": nanos(exchange.last_byte),
            })
        };
        json!({
            "url": self.url,
            "client": {
                "connect_ns": nanos(self.connect),
                "requests": self.exchanges.iter().map(exchange).collect::<Vec<_>>(),
                "trouble": self.trouble,
            },
            "trace": self.trace.whole,
        })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
