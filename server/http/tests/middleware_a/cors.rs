//! Cross-origin requests, simple and preflighted.

use std::time::Duration;

use corelane_http::middleware::{Cors, CorsBuilder};
use corelane_http::web::{Before, Middleware, Request, Response, Routes};

use super::rig::Rig;

/// Lets nobody in.
struct Closed;

impl Middleware for Closed {
    fn name(&self) -> &'static str {
        "closed"
    }
    fn before(&self, request: &Request<'_>) -> Before {
        match request.path() {
            "/closed" => Before::Answer(Response::problem(401, "closed")),
            _ => Before::Next,
        }
    }
}

fn rig(builder: CorsBuilder) -> Rig {
    let varied = |_: &Request<'_>| Response::text("x").with("Vary", "Accept");
    let own = |_: &Request<'_>| Response::text("x").with("Access-Control-Allow-Origin", "null");
    let app = Routes::new()
        .get("/", |_: &Request<'_>| "hello")
        .get("/varied", varied)
        .get("/own", own)
        .get("/closed", |_: &Request<'_>| "secret")
        .with(builder.build().unwrap())
        .with(Closed);
    Rig::new(app.build().unwrap())
}

const ORIGIN: (&str, &str) = ("Origin", "https://a.example");
const PUT: (&str, &str) = ("Access-Control-Request-Method", "PUT");

fn list() -> CorsBuilder {
    Cors::builder()
        .origins(["https://a.example", "http://b.example:81"])
        .methods(["PUT", "DELETE"])
        .request_headers(["Content-Type", "X-One"])
        .expose(["X-Two"])
        .max_age(Duration::from_millis(600_500))
}

/// Whether the answer to an actual request allows this origin, and varies by that.
#[track_caller]
fn check(rig: &mut Rig, line: &str, origins: &[&str], status: u16, allowed: &str, vary: &str) {
    let fields: Vec<_> = origins.iter().map(|origin| ("Origin", *origin)).collect();
    let answer = rig.ask(line, &fields);
    let seen = (answer.field("Access-Control-Allow-Origin"), answer.field("Vary"));
    assert_eq!(seen, (allowed.to_owned(), vary.to_owned()), "{line} {origins:?}");
    assert_eq!(answer.status, status, "{line} {origins:?}");
    if allowed.is_empty() {
        assert_eq!(answer.fields_like("Access-Control"), [""; 0], "{line} {origins:?}");
    }
}

#[test]
fn actual_requests_of_a_list() {
    let a = "https://a.example";
    let mut rig = rig(list());
    for (line, status, vary) in [
        ("GET /", 200, "Origin"),
        ("GET /varied", 200, "Accept, Origin"),
        ("GET /nowhere", 404, "Origin"),
        ("PATCH /", 405, "Origin"),
        ("GET /closed", 401, "Origin"),
    ] {
        check(&mut rig, line, &[a], status, a, vary);
        check(&mut rig, line, &[], status, "", vary);
    }
    check(&mut rig, "GET /own", &[a], 200, "null", "Origin");
    check(&mut rig, "GET /", &[a, a], 200, "", "Origin");
    for other in [
        "https://evil.example",
        "https://a.example.evil.example",
        "http://a.example",
        "HTTPS://A.EXAMPLE",
        "null",
        "*",
        "",
    ] {
        check(&mut rig, "GET /", &[other], 200, "", "Origin");
    }
}

#[test]
fn actual_requests_of_all_and_of_some() {
    let mut any = rig(Cors::builder().any_origin().expose_any());
    check(&mut any, "GET /", &["https://a.example"], 200, "*", "");
    check(&mut any, "GET /", &[], 200, "*", "");
    check(&mut any, "GET /varied", &["null"], 200, "*", "Accept");
    assert_eq!(any.ask("GET /", &[]).field("Access-Control-Expose-Headers"), "*");

    let b = "https://x.b.example";
    let accepts = |origin: &str, request: &Request<'_>| {
        origin.ends_with(".b.example") && request.path() == "/"
    };
    let mut some = rig(Cors::builder().origin_if(accepts));
    check(&mut some, "GET /", &[b], 200, b, "Origin");
    check(&mut some, "GET /varied", &[b], 200, "", "Accept, Origin");
    check(&mut some, "GET /", &["https://x/.b.example"], 200, "", "Origin");

    let answer = rig(list().credentials()).ask("GET /", &[ORIGIN]);
    let expected = [
        "Access-Control-Allow-Origin: https://a.example",
        "Access-Control-Allow-Credentials: true",
        "Access-Control-Expose-Headers: X-Two",
    ];
    assert_eq!(answer.fields_like("Access-Control"), expected);
}

/// The fields that a preflight with these further fields gets.
fn preflight(builder: CorsBuilder, path: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let answer = rig(builder).ask(&format!("OPTIONS {path}"), &[&[PUT], fields].concat());
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{fields:?}");
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    assert_eq!(answer.field("Vary"), vary);
    let fields = answer.fields_like("Access-Control-Allow-");
    let mut fields: Vec<_> = fields.iter().map(|field| field[21..].to_owned()).collect();
    fields.extend(answer.fields_like("Access-Control-Max-Age"));
    fields
}

#[test]
fn preflights_of_a_list() {
    let lists = ["Methods: PUT, DELETE", "Headers: Content-Type, X-One"];
    let age = "Access-Control-Max-Age: 600";
    let (origin, credentials) = ("Origin: https://a.example", "Credentials: true");
    for path in ["/", "/closed", "/nowhere"] {
        let fields = preflight(list(), path, &[ORIGIN]);
        assert_eq!(fields, [origin, lists[0], lists[1], age], "{path}");
    }
    assert_eq!(preflight(list(), "/", &[("Origin", "https://evil.example")]), [""; 0]);
    let fields = preflight(list().credentials(), "/", &[ORIGIN]);
    assert_eq!(fields, [origin, credentials, lists[0], lists[1], age]);
}

#[test]
fn preflights_that_ask_for_more() {
    let origin = "Origin: https://a.example";
    let mirror = || Cors::builder().origins(["https://a.example"]).mirror_request_headers();
    for (asked, mirrored) in [
        ("x-a,x-b", Some("Headers: x-a, x-b")),
        ("Authorization", Some("Headers: Authorization")),
        ("x-a,,b", None),
        ("b c", None),
        ("", None),
    ] {
        let fields = preflight(mirror(), "/", &[ORIGIN, ("Access-Control-Request-Headers", asked)]);
        assert_eq!(fields[0], origin, "{asked}");
        assert_eq!(fields.get(1).map(String::as_str), mirrored, "{asked}");
    }
    let private = ("Access-Control-Request-Private-Network", "true");
    assert_eq!(preflight(mirror(), "/", &[ORIGIN, private]), [origin]);
    assert_eq!(preflight(mirror().private_network(), "/", &[ORIGIN]), [origin]);
    let fields = preflight(mirror().private_network(), "/", &[ORIGIN, private]);
    assert_eq!(fields, [origin, "Private-Network: true"]);
    let everything = Cors::builder().any_origin().any_method();
    assert_eq!(preflight(everything, "/", &[ORIGIN]), ["Origin: *", "Methods: *"]);
}

#[test]
fn other_options_requests_are_the_routes() {
    for fields in [&[ORIGIN][..], &[PUT][..], &[]] {
        let answer = rig(list()).ask("OPTIONS /", fields);
        assert_eq!((answer.status, answer.field("Allow").as_str()), (204, "GET, HEAD, OPTIONS"));
        assert_eq!(answer.field("Access-Control-Allow-Methods"), "");
    }
}
