//! Fields that middleware adds to responses, and limits.

use std::time::Duration;

use corelane_http::middleware::{BodyLimit, SecurityHeaders, SetHeaders};
use corelane_http::web::{Middleware, Request, Response, Routes};

use super::rig::{Answer, Rig};

/// The answer of a handler with these fields behind this middleware.
fn answer(fields: &'static [(&str, &str)], middleware: impl Middleware + 'static) -> Answer {
    let handler = move |_: &Request<'_>| {
        fields.iter().fold(Response::new(204), |response, (name, value)| response.with(name, value))
    };
    let app = Routes::new().get("/", handler).with(middleware).build().unwrap();
    let mut answer = Rig::new(app).ask("GET /", &[]);
    answer.fields.retain(|(name, _)| !["Date", "Connection", "Server"].contains(&name.as_str()));
    answer
}

fn lines(answer: &Answer) -> Vec<String> {
    answer.fields_like("")
}

#[test]
fn security_headers_fill_gaps() {
    const NOSNIFF: &str = "X-Content-Type-Options: nosniff";
    const FRAME: &str = "X-Frame-Options: SAMEORIGIN";
    const REFERRER: &str = "Referrer-Policy: strict-origin-when-cross-origin";
    let year = Duration::from_secs(31_536_000);
    type Case = (&'static [(&'static str, &'static str)], SecurityHeaders, &'static [&'static str]);
    let cases: Vec<Case> = vec![
        (&[], SecurityHeaders::new(), &[NOSNIFF, FRAME, REFERRER]),
        (&[("X", "1")], SecurityHeaders::new(), &["X: 1", NOSNIFF, FRAME, REFERRER]),
        (
            &[("x-frame-options", "DENY"), ("Fifteen-Letters", "1")],
            SecurityHeaders::new(),
            &["x-frame-options: DENY", "Fifteen-Letters: 1", NOSNIFF, REFERRER],
        ),
        (
            &[],
            SecurityHeaders::new()
                .set("x-frame-options", "DENY")
                .unwrap()
                .remove("referrer-policy"),
            &[NOSNIFF, "x-frame-options: DENY"],
        ),
        (&[], SecurityHeaders::none(), &[]),
        (&[], SecurityHeaders::none().hsts(year), &["Strict-Transport-Security: max-age=31536000"]),
        (
            &[],
            SecurityHeaders::none().hsts(year).hsts_with_subdomains(year),
            &["Strict-Transport-Security: max-age=31536000; includeSubDomains"],
        ),
    ];
    for (fields, headers, expected) in cases {
        assert_eq!(lines(&answer(fields, headers)), expected, "{fields:?}");
    }
    let flaw = SecurityHeaders::new().set("X", "a\r\nb").unwrap_err().to_string();
    assert!(flaw.starts_with("security-headers: X: "), "{flaw}");
}

#[test]
fn headers_are_changed_in_order() {
    let new = SetHeaders::new;
    type Case = (SetHeaders, &'static [&'static str]);
    let cases: Vec<Case> = vec![
        (new(), &["A: 1", "B: 2"]),
        (new().set("a", "3").unwrap(), &["B: 2", "a: 3"]),
        (
            new().set_default("a", "3").unwrap().set_default("C", "4").unwrap(),
            &["A: 1", "B: 2", "C: 4"],
        ),
        (new().add("A", "3").unwrap(), &["A: 1", "B: 2", "A: 3"]),
        (new().remove("b").remove("C"), &["A: 1"]),
        (new().add("A", "3").unwrap().remove("a").add("A", "4").unwrap(), &["B: 2", "A: 4"]),
    ];
    for (headers, expected) in cases {
        assert_eq!(lines(&answer(&[("A", "1"), ("B", "2")], headers)), expected);
    }
    for (name, value) in [("A B", "1"), ("A", "\0"), ("Content-Length", "1"), ("Date", "x")] {
        let flaw = new().add(name, value).unwrap_err().to_string();
        assert!(flaw.starts_with(&format!("set-headers: {name}: ")), "{flaw}");
    }
}

#[test]
fn the_innermost_body_limit_counts() {
    let length = |request: &Request<'_>| request.body().len().to_string();
    let app = Routes::new()
        .post("/", length)
        .post("/large", length)
        .with_last(BodyLimit::new(10))
        .with(BodyLimit::new(5));
    let mut rig = Rig::new(app.build().unwrap());
    for (path, bytes, status) in
        [("/", 5, 200), ("/", 6, 413), ("/large", 10, 200), ("/large", 11, 413)]
    {
        let answer = rig.ask_with(&format!("POST {path}"), &[], &vec![b'x'; bytes]);
        assert_eq!(answer.status, status, "{path} {bytes}");
    }
}

#[test]
fn vary_keeps_what_several_fields_say() {
    let mut response = Response::new(200);
    response.add("Vary", "Accept");
    response.add("vary", "Accept-Language");
    for (name, expected) in [
        ("accept-language", "Accept | Accept-Language"),
        ("Origin", "Accept, Accept-Language, Origin"),
        ("origin", "Accept, Accept-Language, Origin"),
    ] {
        response.vary(name);
        let fields = response.fields().iter().filter(|f| f.name.eq_ignore_ascii_case("Vary"));
        let values: Vec<_> = fields.map(|field| str::from_utf8(field.value).unwrap()).collect();
        assert_eq!(values.join(" | "), expected);
    }
}
