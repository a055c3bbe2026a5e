//! What a format can name, and how it is written.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use corelane_eventloop::ConnId;

use super::clock::Clock;
use super::escape::{Place, put, put_number, put_thousandths};
use super::record::AccessRecord;

macro_rules! variables {
    ($($variant:ident $name:literal $help:literal,)*) => {
        /// A part of a record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Variable {
            $(#[doc = $help] $variant,)*
        }

        impl Variable {
            /// All of them, with names and meanings.
            pub(super) const ALL: &[(Variable, &str, &str)] =
                &[$((Variable::$variant, $name, $help),)*];
        }
    };
}

variables! {
    RemoteAddr "remote_addr" "IP address of the peer; `unix:` on a Unix socket",
    RemotePort "remote_port" "port of the peer",
    RemoteUser "remote_user" "who the peer has proved to be",
    TimeLocal "time_local" "time as in the common log format, in UTC",
    TimeIso "time_iso8601" "time as `2026-11-21T13:24:07.123Z`",
    Msec "msec" "Unix time in seconds, with milliseconds",
    EpochMs "epoch_ms" "Unix time in milliseconds",
    Request "request" "method, target and version",
    Method "request_method" "method",
    Target "request_uri" "target, as it was sent",
    Path "uri" "target up to its first `?`",
    Query "args" "what follows the first `?`",
    Version "server_protocol" "version, such as `HTTP/1.1`",
    Status "status" "status of the answer",
    BodyBytes "body_bytes_sent" "bytes of the answer's body: its length, also if the client leaves early; of one that is made while it is sent, what was made",
    RequestTime "request_time" "duration in seconds, with milliseconds",
    RequestTimeUs "request_time_us" "duration in microseconds",
    Host "http_host" "`Host`",
    Referer "http_referer" "`Referer`",
    UserAgent "http_user_agent" "`User-Agent`",
    RequestId "request_id" "id of the request",
    Route "route" "name of the route that answered",
    Connection "connection" "the connection, as in the program's log: `LANE:PLACE.GENERATION`",
    Listener "listener" "number of the listener, from 0",
    ServerPort "server_port" "port that was connected to",
    CloseReason "close_reason" "`incomplete` if an answer that is made while it is sent ended early",
}

/// A value, before it is put into its place.
enum Value<'a> {
    Number(u64),
    /// Chosen by a peer, or by whoever wrote the handler.
    Untrusted(&'a [u8]),
    Absent,
}

impl Variable {
    /// The variable of this name.
    pub(super) fn named(name: &str) -> Option<Variable> {
        let found = Variable::ALL.iter().find(|(_, known, _)| *known == name);
        found.map(|(variable, ..)| *variable)
    }

    /// Whether JSON has it as a number.
    pub(super) fn is_number(self) -> bool {
        use Variable::*;
        matches!(
            self,
            RemotePort
                | Msec
                | EpochMs
                | Status
                | BodyBytes
                | RequestTime
                | RequestTimeUs
                | Listener
                | ServerPort
        )
    }

    /// Writes the value; says whether there is one.
    pub(super) fn put(
        self,
        out: &mut Vec<u8>,
        record: &AccessRecord<'_>,
        clock: &mut Clock,
        place: Place,
    ) -> bool {
        match self {
            Variable::RemoteAddr => put_peer(out, record.peer),
            Variable::TimeLocal => out.extend_from_slice(clock.common(record.time)),
            Variable::TimeIso => {
                out.extend_from_slice(clock.iso(record.time));
                out.push(b'.');
                put_thousandths(out, record.time.0 / 1_000_000);
                out.push(b'Z');
            }
            Variable::Msec => put_seconds(out, record.time.0),
            Variable::RequestTime => put_seconds(out, record.duration.0),
            Variable::Request => return put_request(out, record, place),
            Variable::Connection => return put_connection(out, record.connection),
            _ => match self.value(record) {
                Value::Number(number) => put_number(out, number),
                Value::Untrusted(bytes) => put(out, bytes, place),
                Value::Absent => return false,
            },
        }
        true
    }

    fn value<'a>(self, record: &AccessRecord<'a>) -> Value<'a> {
        let bytes = |bytes: Option<&'a [u8]>| match bytes {
            Some(bytes) if !bytes.is_empty() => Value::Untrusted(bytes),
            _ => Value::Absent,
        };
        match self {
            Variable::RemotePort => {
                record.peer.map_or(Value::Absent, |peer| Value::Number(peer.port().into()))
            }
            Variable::RemoteUser => bytes(record.user),
            Variable::EpochMs => Value::Number(record.time.0 / 1_000_000),
            Variable::Method => bytes(Some(record.method)),
            Variable::Target => bytes(Some(record.target)),
            Variable::Path => bytes(Some(record.path())),
            Variable::Query => bytes(record.query()),
            Variable::Version => bytes(Some(record.version.as_bytes())),
            Variable::Status => Value::Number(record.status.into()),
            Variable::BodyBytes => Value::Number(record.body_bytes),
            Variable::RequestTimeUs => Value::Number(record.duration.0 / 1000),
            Variable::Host => bytes(record.host),
            Variable::Referer => bytes(record.referer),
            Variable::UserAgent => bytes(record.user_agent),
            Variable::RequestId => bytes(record.request_id),
            Variable::Route => bytes(record.route.map(str::as_bytes)),
            Variable::Listener => Value::Number(record.listener.into()),
            Variable::ServerPort => {
                record.server_port.map_or(Value::Absent, |port| Value::Number(port.into()))
            }
            Variable::CloseReason => bytes(record.close_reason.map(str::as_bytes)),
            // Composed in `put`.
            Variable::RemoteAddr
            | Variable::TimeLocal
            | Variable::TimeIso
            | Variable::Msec
            | Variable::RequestTime
            | Variable::Request
            | Variable::Connection => Value::Absent,
        }
    }
}

/// The target cannot hold a space, so that readers find its ends.
fn put_request(out: &mut Vec<u8>, record: &AccessRecord<'_>, place: Place) -> bool {
    if record.method.is_empty() && record.target.is_empty() {
        return false;
    }
    let space: &[u8] = if place == Place::Bare { b"\\x20" } else { b" " };
    put(out, record.method, place);
    out.extend_from_slice(space);
    put(out, record.target, place);
    out.extend_from_slice(space);
    put(out, record.version.as_bytes(), place);
    true
}

/// IPv4 is written as such, also where it came to an IPv6 socket.
fn put_peer(out: &mut Vec<u8>, peer: Option<SocketAddr>) {
    match peer.map(|peer| peer.ip().to_canonical()) {
        Some(IpAddr::V4(ip)) => {
            for (index, part) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                put_number(out, part.into());
            }
        }
        // Writing to a vector does not fail.
        Some(IpAddr::V6(ip)) => drop(write!(out, "{ip}")),
        None => out.extend_from_slice(b"unix:"),
    }
}

/// As [`ConnId`] is displayed.
fn put_connection(out: &mut Vec<u8>, connection: Option<ConnId>) -> bool {
    let Some(ConnId { lane, key }) = connection else { return false };
    put_number(out, lane.into());
    out.push(b':');
    put_number(out, key.index() as u64);
    out.push(b'.');
    put_number(out, key.generation().into());
    true
}

fn put_seconds(out: &mut Vec<u8>, nanos: u64) {
    put_number(out, nanos / 1_000_000_000);
    out.push(b'.');
    put_thousandths(out, nanos / 1_000_000);
}
