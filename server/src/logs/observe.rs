//! Recording what a web application answers.

use corelane_eventloop::{Nanos, Origin, Peer};
use corelane_http::middleware::User;
use corelane_http::web::{Observe, Request};
use corelane_parser::http1::{Method, Version};

use super::{AccessLane, AccessLog, AccessRecord};

/// Puts a line into an access log for every response of a web application, on one lane.
///
/// A line is written when the response is about to be sent: `body_bytes_sent` is the length of its
/// content, if that is known by then, also if the client leaves before the end; it is 0 for streams. What
/// the protocol refuses by itself (a malformed request, a timeout) has no line; it is in the program's log
/// and in the metrics. The user is whom middleware has left as a [`User`], the id that of
/// [`RequestId`](corelane_http::middleware::RequestId); the reason of a close is not known here.
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
    lane: AccessLane,
}

impl AccessObserver {
    /// An observer for one lane.
    pub fn new(log: &AccessLog) -> AccessObserver {
        AccessObserver { lane: log.lane() }
    }
}

impl Observe for AccessObserver {
    fn answered(&mut self, request: &Request<'_>, status: u16, bytes: Option<u64>, now: Nanos) {
        let method = request.method();
        let silent = matches!(method, Method::Head) || matches!(status, 204 | 304);
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
            method: method.as_str().as_bytes(),
            target: request.target().as_bytes(),
            version: match request.version() {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
            },
            status,
            body_bytes: if silent { 0 } else { bytes.unwrap_or(0) },
            duration: now.since(request.since()),
            request_id: request.id().map(|id| id.as_str().as_bytes()),
            route: request.route(),
            user: user.as_deref().map(|user| user.name().as_bytes()),
            connection: Some(request.conn()),
            listener,
            server_port: self.lane.server_port(listener),
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
        self.lane.record(&record);
    }

    fn flush(&mut self) {
        self.lane.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::{AccessConfig, AccessTarget};
    use corelane_http::middleware::RequestId;
    use corelane_http::web::testing::{TestRequest, TestServer};
    use corelane_http::web::{Before, Middleware, Routes};

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
