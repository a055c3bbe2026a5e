//! Recording what a web application answers.

use std::cell::RefCell;
use std::rc::Rc;

use corelane_eventloop::{Nanos, Origin, Peer};
use corelane_http::middleware::User;
use corelane_http::web::{Ended, Observe, Request};
use corelane_parser::http1::{Method, Version};

use super::{AccessLane, AccessLog, AccessRecord};

const HTTP10: &str = "HTTP/1.0";
const HTTP11: &str = "HTTP/1.1";

/// Puts a line into an access log for every response of a web application, on one lane.
///
/// The line of a response whose length is known is written when it is about to be sent: `body_bytes_sent` is
/// that length, also if the client leaves before the end. The line of one that is made while it is sent (by
/// a handler, or since it is compressed) is written at its end, with what was made of it, and with
/// `incomplete` as reason of the close if that was not all. What the protocol refuses by itself (a
/// malformed request, a timeout) has no line; it is in the program's log and in the metrics. The user is
/// whom middleware has left as a [`User`], the id that of
/// [`RequestId`](corelane_http::middleware::RequestId); another reason of a close is not known here.
///
/// ```
/// use corelane::logs::{AccessConfig, AccessLog, AccessObserver, AccessTarget};
/// use corelane_http::web::{Routes, testing::TestServer};
///
/// let log = AccessLog::open(AccessConfig::new(AccessTarget::File("/dev/null".into())))?;
/// let routes = Routes::new().get("/", |_: &corelane_http::web::Request<'_>| "hello");
/// // Within the closure that makes the application of a lane:
/// let app = routes.build()?.observed_by(AccessObserver::new(&log));
///
/// assert_eq!(TestServer::new(app).get("/").text(), "hello");
/// assert!(log.flush(std::time::Duration::from_secs(10)));
/// assert_eq!(log.written(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AccessObserver {
    /// Streams that have not ended have it, too.
    lane: Rc<RefCell<AccessLane>>,
}

impl AccessObserver {
    /// An observer for one lane.
    pub fn new(log: &AccessLog) -> AccessObserver {
        AccessObserver { lane: Rc::new(RefCell::new(log.lane())) }
    }
}

impl Observe for AccessObserver {
    fn answered(&mut self, request: &Request<'_>, status: u16, bytes: Option<u64>, now: Nanos) {
        let silent = matches!(request.method(), Method::Head) || matches!(status, 204 | 304);
        let bytes = if silent { 0 } else { bytes.unwrap_or(0) };
        self.with_record(request, status, now, |lane, record| {
            lane.record(&AccessRecord { body_bytes: bytes, ..*record });
        });
    }

    fn begun(&mut self, request: &Request<'_>, status: u16, now: Nanos) -> Option<Ended> {
        let lane = self.lane.clone();
        Some(self.with_record(request, status, now, |_, record| {
            let held = Held::of(record);
            let ended: Ended = Box::new(move |bytes, whole, end| {
                let mut lane = lane.borrow_mut();
                held.with(|record| {
                    lane.record(&AccessRecord {
                        time: record.time + end.since(now),
                        duration: record.duration + end.since(now),
                        body_bytes: bytes,
                        close_reason: (!whole).then_some("incomplete"),
                        ..*record
                    });
                    // A reload may have put another observer in the place of this one.
                    lane.flush();
                });
            });
            ended
        }))
    }

    fn flush(&mut self) {
        self.lane.borrow_mut().flush();
    }
}

/// What outlives a request of its record.
struct Held {
    record: AccessRecord<'static>,
    method: Vec<u8>,
    target: Vec<u8>,
    route: Option<String>,
    /// Referer, user agent, host, id, user.
    texts: [Option<Vec<u8>>; 5],
}

impl Held {
    fn of(record: &AccessRecord<'_>) -> Held {
        let AccessRecord { referer, user_agent, host, request_id, user, .. } = *record;
        Held {
            record: AccessRecord {
                time: record.time,
                peer: record.peer,
                version: if record.version == HTTP10 { HTTP10 } else { HTTP11 },
                status: record.status,
                duration: record.duration,
                connection: record.connection,
                listener: record.listener,
                server_port: record.server_port,
                ..AccessRecord::default()
            },
            method: record.method.to_vec(),
            target: record.target.to_vec(),
            route: record.route.map(str::to_owned),
            texts: [referer, user_agent, host, request_id, user]
                .map(|text| text.map(<[u8]>::to_vec)),
        }
    }

    fn with(&self, use_it: impl FnOnce(&AccessRecord<'_>)) {
        let [referer, user_agent, host, request_id, user] =
            self.texts.each_ref().map(Option::as_deref);
        use_it(&AccessRecord {
            method: &self.method,
            target: &self.target,
            route: self.route.as_deref(),
            referer,
            user_agent,
            host,
            request_id,
            user,
            ..self.record
        });
    }
}

impl AccessObserver {
    /// Lends the record of a response, but for its bytes.
    fn with_record<T>(
        &self,
        request: &Request<'_>,
        status: u16,
        now: Nanos,
        use_it: impl FnOnce(&mut AccessLane, &AccessRecord<'_>) -> T,
    ) -> T {
        let mut lane = self.lane.borrow_mut();
        let listener = match request.origin() {
            Origin::Accepted(listener) => listener,
            Origin::Connected(_) => 0,
        };
        let user = request.get::<User>();
        let mut record = AccessRecord {
            // The clock of the wall was read when the head was there.
            time: request.wall() + now.since(request.now()),
            peer: match request.peer() {
                Peer::Ip(address) => Some(address),
                Peer::Unix => None,
            },
            method: request.method().as_str().as_bytes(),
            target: request.target().as_bytes(),
            version: match request.version() {
                Version::Http10 => HTTP10,
                Version::Http11 => HTTP11,
            },
            status,
            duration: now.since(request.since()),
            request_id: request.id().map(|id| id.as_str().as_bytes()),
            route: request.route(),
            user: user.as_deref().map(|user| user.name().as_bytes()),
            connection: Some(request.conn()),
            listener,
            server_port: lane.server_port(listener),
            ..AccessRecord::default()
        };
        for field in request.fields() {
            let place = match field.name.len() {
                4 if field.name.eq_ignore_ascii_case("host") => &mut record.host,
                7 if field.name.eq_ignore_ascii_case("referer") => &mut record.referer,
                10 if field.name.eq_ignore_ascii_case("user-agent") => &mut record.user_agent,
                _ => continue,
            };
            place.get_or_insert(field.value);
        }
        use_it(&mut lane, &record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{AccessConfig, AccessTarget};
    use corelane_http::middleware::RequestId;
    use corelane_http::web::testing::{TestRequest, TestServer};
    use corelane_http::web::{Before, Middleware, Response, Routes};
    use corelane_http::{Produce, Produced, Sink};

    #[test]
    fn each_response_has_a_line_with_what_is_known_of_it() {
        let path = std::env::temp_dir().join(format!("corelane-observe-{}", std::process::id()));
        let target = AccessTarget::File(path.clone());
        let format = r#""$request" $status $body_bytes_sent "$http_host" "$http_referer" "$http_user_agent" $route $server_port"#;
        let format = format.parse().unwrap();
        let log = AccessLog::open(AccessConfig { format, ..AccessConfig::new(target) }).unwrap();
        log.listening_on(&["127.0.0.1:8443".parse().unwrap()]);
        let routes = Routes::new()
            .get("/a/{id}", |_: &Request<'_>| "hello")
            .named("an a")
            .post("/b", |request: &Request<'_>| request.body().len().to_string());
        let app = routes.build().unwrap().observed_by(AccessObserver::new(&log));
        let mut server = TestServer::new(app);
        let agent = TestRequest::get("/a/1?x=%22").header("User-Agent", "me \"1\"");
        assert_eq!(server.send(agent.header("Referer", "r")).status(), 200);
        assert_eq!(server.send(TestRequest::new("HEAD", "/a/2")).status(), 200);
        assert_eq!(server.post("/b", "12345678901").text(), "11");
        assert_eq!(server.get("/c").status(), 404);
        assert!(log.flush(std::time::Duration::from_secs(20)));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..2],
            [
                r#""GET /a/1?x=%22 HTTP/1.1" 200 5 "test" "r" "me \x221\x22" an\x20a 8443"#,
                r#""HEAD /a/2 HTTP/1.1" 200 0 "test" "-" "-" an\x20a 8443"#,
            ]
        );
        assert!(lines[2].starts_with(r#""POST /b HTTP/1.1" 200 2 "test" "-" "-" /b "#), "{text}");
        assert!(lines[3].starts_with(r#""GET /c HTTP/1.1" 404 "#), "{text}");
        assert_eq!(lines.len(), 4);
    }

    /// Three pieces, of which the last may be missing.
    struct Pieces(u32, Produced);

    impl Produce for Pieces {
        fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
            sink.put(b"12345");
            self.0 -= 1;
            if self.0 == 0 { self.1 } else { Produced::More }
        }
    }

    #[test]
    fn a_stream_has_its_line_at_its_end() {
        let path = std::env::temp_dir().join(format!("corelane-observe-s-{}", std::process::id()));
        let target = AccessTarget::File(path.clone());
        let format = "$request_uri $body_bytes_sent $close_reason $http_host".parse().unwrap();
        let log = AccessLog::open(AccessConfig { format, ..AccessConfig::new(target) }).unwrap();
        let stream = |end| move |_: &Request<'_>| Response::stream("text/plain", Pieces(3, end));
        let routes = Routes::new().get("/whole", stream(Produced::End));
        let routes = routes.get("/cut", stream(Produced::Failed));
        let app = routes.build().unwrap().observed_by(AccessObserver::new(&log));
        let mut server = TestServer::new(app);
        assert_eq!(server.send(TestRequest::new("HEAD", "/whole")).status(), 200);
        assert_eq!(server.get("/whole").text(), "123451234512345");
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.get("/cut")));
        drop(server);
        assert!(log.flush(std::time::Duration::from_secs(20)));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "/whole 0 - test\n/whole 15 - test\n/cut 15 incomplete test\n");
    }

    #[test]
    fn whom_middleware_has_recognized_is_named() {
        struct Recognize;
        impl Middleware for Recognize {
            fn name(&self) -> &'static str {
                "recognize"
            }
            fn before(&self, request: &Request<'_>) -> Before {
                request.insert(User::new("ada"));
                Before::Next
            }
        }
        let path =
            std::env::temp_dir().join(format!("corelane-observe-user-{}", std::process::id()));
        let target = AccessTarget::File(path.clone());
        let format = "$remote_user $request_id $status".parse().unwrap();
        let log = AccessLog::open(AccessConfig { format, ..AccessConfig::new(target) }).unwrap();
        let routes = Routes::new().get("/", |_: &Request<'_>| "hello");
        let routes = routes.with(RequestId::new().trust_if(|_| true)).with(Recognize);
        let app = routes.build().unwrap().observed_by(AccessObserver::new(&log));
        let mut server = TestServer::new(app);
        assert_eq!(server.send(TestRequest::get("/").header("X-Request-Id", "r-1")).status(), 200);
        assert!(log.flush(std::time::Duration::from_secs(20)));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text, "ada r-1 200\n");
    }
}
