//! Plain handlers: methods, bodies, panics, middleware.

use std::cell::RefCell;
use std::rc::Rc;

use corelane_eventloop::Nanos;
use corelane_http::web::{
    Before, Endpoint, Middleware, Observe, Request, Response, RouteLimits, Routes,
};

use crate::rig::{Rig, bodies, gets};

fn mirror(request: &Request<'_>) -> String {
    let name = request.params().get("name").unwrap_or_default();
    format!("{} {} {}", request.method().as_str(), name, request.body().len())
}

fn routes() -> Routes {
    let api = Routes::new().get("/", mirror).post("/{name}", mirror).put("/{name}", mirror);
    Routes::new()
        .get("/", |_: &Request<'_>| "home")
        .get("/panics", |_: &Request<'_>| -> Response { panic!("on purpose") })
        .post("/panics", |_: &Request<'_>| -> Response { panic!("{} purpose", "on") })
        .get("/malformed", |_: &Request<'_>| Response::text("secret").with("Bad Name", "x"))
        .any("/any", Endpoint::new(mirror))
        .nest("/api", api)
}

#[test]
fn methods_and_paths_find_their_handlers() {
    let mut rig = Rig::calm(routes());
    for (request, status, body, allow) in [
        ("GET /", 200, "home", None),
        ("GET /api", 200, "GET  0", None),
        ("POST /api/a%20b", 200, "POST a b 0", None),
        ("PURGE /any", 200, "PURGE  0", None),
        ("DELETE /any", 200, "DELETE  0", None),
        ("DELETE /api/x", 405, "", Some("OPTIONS, POST, PUT")),
        ("GET /api/x", 405, "", Some("OPTIONS, POST, PUT")),
        ("OPTIONS /api/x", 204, "", Some("OPTIONS, POST, PUT")),
        ("OPTIONS /", 204, "", Some("GET, HEAD, OPTIONS")),
        ("GET /nowhere", 404, "", None),
        ("OPTIONS *", 204, "", Some("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")),
    ] {
        let answers = rig.converse(format!("{request} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let answer = &answers[0];
        assert_eq!((answers.len(), answer.status), (1, status), "{request}");
        if status == 200 {
            assert_eq!(answer.body, body, "{request}");
        }
        let line = allow.map(|allow| format!("\r\nAllow: {allow}\r\n"));
        assert!(line.is_none_or(|line| answer.head.contains(&line)), "{request}: {answer:?}");
    }
}

#[test]
fn head_is_answered_as_get_without_its_body() {
    let mut rig = Rig::calm(routes());
    let client = rig.connect();
    rig.world.send(client, b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
    rig.pass(Nanos::from_millis(1));
    let text = String::from_utf8(rig.world.received(client)).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    assert!(text.contains("Content-Length: 4\r\n"), "{text}");
}

#[test]
fn bodies_are_collected_however_they_come() {
    let mut rig = Rig::calm(routes());
    let answers = rig.converse(
        "POST /api/n HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc\
         PUT /api/n HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n\
         PUT /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc\
         GET / HTTP/1.1\r\nHost: test\r\n\r\n",
    );
    let seen: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(seen, [200, 200, 404, 200], "a small body that nobody wants costs no connection");
    assert_eq!((&answers[0].body[..], &answers[1].body[..]), ("POST n 3", "PUT n 5"));
}

struct Small(u64);

impl Middleware for Small {
    fn name(&self) -> &'static str {
        "small"
    }
    fn configure(&self, limits: &mut RouteLimits) {
        limits.body_bytes = self.0;
    }
}

#[test]
fn a_body_above_the_limit_of_its_route_is_refused_early() {
    let make = || Routes::new().post("/", mirror).with(Small(10));
    let long = format!("Content-Length: 1000\r\n\r\n{}", "x".repeat(1000));
    let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{}", "5\r\nabcde\r\n".repeat(3));
    for (rest, status) in [
        ("Content-Length: 10\r\n\r\n0123456789", 200),
        (&long[..], 413),
        ("Content-Length: 1000000\r\n\r\n", 413),
        (&chunks[..], 413),
    ] {
        let mut rig = Rig::calm(make());
        let answers = rig.converse(format!("POST / HTTP/1.1\r\nHost: test\r\n{rest}"));
        assert_eq!(answers[0].status, status, "{rest}");
        assert_eq!(rig.lane.pool().stats().lent_bytes, 0);
    }
}

#[test]
fn a_panic_is_a_500_a_count_and_no_more() {
    let mut rig = Rig::calm(routes());
    let mut requests = gets(&["/panics", "/"]);
    requests
        .extend_from_slice(b"POST /panics HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\n\r\nx");
    requests.extend(gets(&["/malformed", "/"]));
    let answers = rig.converse(requests);
    let seen: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(seen, [500, 200, 500, 500, 200]);
    assert!(!answers.iter().any(|answer| answer.body.contains("secret")));
    assert_eq!(rig.counter("corelane_http_handler_panics_total"), 2);
    assert_eq!(rig.counter("corelane_http_handler_errors_total"), 1);
    assert_eq!(rig.lane.stats().panics, 0, "the lane has seen none");
}

/// Notes when it is asked.
struct Note(&'static str, Rc<RefCell<Vec<String>>>);

impl Middleware for Note {
    fn name(&self) -> &'static str {
        self.0
    }
    fn before(&self, request: &Request<'_>) -> Before {
        self.1.borrow_mut().push(format!("{} before", self.0));
        if request.header("Stop-At") == Some(self.0.as_bytes()) {
            return Before::Answer(Response::new(403));
        }
        request.insert(self.0);
        Before::Next
    }
    fn after(&self, _: &Request<'_>, response: &mut Response) {
        self.1.borrow_mut().push(format!("{} after", self.0));
        response.add("Seen-By", self.0);
    }
}

struct Log(Rc<RefCell<Vec<String>>>);

impl Observe for Log {
    fn answered(&mut self, request: &Request<'_>, status: u16, bytes: Option<u64>, _now: Nanos) {
        let route = request.route().unwrap_or("-");
        self.0.borrow_mut().push(format!("{status} {route} {bytes:?}"));
    }
}

#[test]
fn names_that_stand_for_other_requests_are_refused() {
    for name in corelane_http::RouteNames::RESERVED {
        let page = || Routes::new().get("/page", |_: &Request<'_>| "page");
        for routes in [page().named(name), page().all_named(name)] {
            let error = routes.build().err().unwrap().to_string();
            assert!(error.contains("/page") && error.contains(&format!("`{name}`")), "{error}");
        }
    }
}

#[test]
fn middleware_stands_around_the_handler_in_order() {
    let notes = Rc::new(RefCell::new(Vec::new()));
    let note = |name| Note(name, notes.clone());
    let inner = Routes::new()
        .get("/a", |request: &Request<'_>| {
            assert_eq!(request.get::<&'static str>().as_deref(), Some(&"route"), "the latest");
            "a"
        })
        .named("the a")
        .with_last(note("route"))
        .with(note("group"));
    let app = Routes::new().nest("/in", inner).with(note("outer")).build().unwrap();
    let app = app.observed_by(Log(notes.clone()));
    let mut rig = Rig::new(app, 1, corelane_eventloop::Faults::NONE);
    let mut ask = |request: &str| {
        notes.borrow_mut().clear();
        let answers = rig.converse(format!("{request}\r\nHost: test\r\n\r\n"));
        (answers[0].head.matches("Seen-By").count(), notes.borrow().join(", "))
    };
    let (seen, order) = ask("GET /in/a HTTP/1.1");
    let expected = "outer before, group before, route before, \
        route after, group after, outer after, 200 the a Some(1)";
    assert_eq!((seen, &order[..]), (3, expected));
    let (seen, order) = ask("GET /in/a HTTP/1.1\r\nStop-At: group");
    assert_eq!(
        (seen, &order[..]),
        (1, "outer before, group before, outer after, 403 the a Some(0)")
    );
    let (seen, order) = ask("OPTIONS /in/a HTTP/1.1");
    assert!(seen == 3 && order.ends_with("204 - Some(0)"), "{order}");
    let (seen, order) = ask("GET /elsewhere HTTP/1.1");
    assert!(seen == 1 && order.starts_with("outer before, outer after, 404 - "), "{order}");
}

#[test]
fn what_stands_in_for_a_panic_passes_through_the_middleware() {
    let notes = Rc::new(RefCell::new(Vec::new()));
    let routes = Routes::new()
        .get("/now", |_: &Request<'_>| -> Response { panic!("on purpose") })
        .on("GET", "/later", Endpoint::asynchronous(async |_| -> Response { panic!("later") }))
        .with(Note("seen", notes));
    let mut rig = Rig::calm(routes);
    for answer in rig.converse(gets(&["/now", "/later"])) {
        assert_eq!(answer.status, 500);
        assert!(answer.head.contains("Seen-By: seen\r\n"), "{answer:?}");
    }
    assert_eq!(rig.counter("corelane_http_handler_panics_total"), 2);
}

#[test]
fn routes_that_contradict_each_other_are_refused() {
    let twice = Routes::new().get("/a", |_: &Request<'_>| "1").get("/a", |_: &Request<'_>| "2");
    let alike = Routes::new().get("/{a}", |_: &Request<'_>| "1").get("/{b}", |_: &Request<'_>| "2");
    let odd = Routes::new().get("a", |_: &Request<'_>| "1");
    for (routes, said) in [(twice, "GET"), (alike, "/{b}"), (odd, "begins with `/`")] {
        let error = routes.build().err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
    let bodies_of = |answers: Vec<crate::rig::Answer>| bodies(&answers, 200).join(",");
    let literal =
        Routes::new().get("/{a}", |_: &Request<'_>| "open").get("/b", |_: &Request<'_>| "literal");
    assert_eq!(bodies_of(Rig::calm(literal).converse(gets(&["/a", "/b"]))), "open,literal");
}

#[test]
fn a_method_in_small_letters_is_refused() {
    let on = |method| Routes::new().on(method, "/", Endpoint::new(|_: &Request<'_>| "")).build();
    for method in ["get", "Post", "dELETE"] {
        assert!(on(method).is_err_and(|error| error.to_string().contains(method)), "{method}");
    }
    // One's own are one's own.
    for method in ["GET", "PURGE", "purge"] {
        assert!(on(method).is_ok(), "{method}");
    }
}
