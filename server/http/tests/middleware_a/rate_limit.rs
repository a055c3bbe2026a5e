//! Limits of how often clients may ask.

use std::time::Duration;

use corelane_eventloop::Nanos;
use corelane_http::middleware::{Quota, RateLimit, RateLimiter, User};
use corelane_http::web::{Before, Middleware, Request, Routes};

use super::rig::Rig;

/// Takes a field for who asks.
struct Believe;

impl Middleware for Believe {
    fn name(&self) -> &'static str {
        "believe"
    }
    fn before(&self, request: &Request<'_>) -> Before {
        if let Some(user) = request.header_str("X-User") {
            request.insert(User::new(user));
        }
        Before::Next
    }
}

fn limiter() -> RateLimiter {
    RateLimiter::new(Quota::new(2, Duration::from_secs(60)), 1000)
}

fn rig(limit: RateLimit) -> Rig {
    let app = Routes::new().get("/", |_: &Request<'_>| "hello").with(Believe).with(limit);
    Rig::new(app.build().unwrap())
}

#[test]
fn too_many_are_told_when_to_come_back() {
    let mut rig = rig(RateLimit::new(limiter()).announce());
    for (status, limit, retry) in [
        (200, "\"default\";r=1;t=30", ""),
        (200, "\"default\";r=0;t=30", ""),
        (429, "\"default\";r=0;t=30", "30"),
    ] {
        let answer = rig.ask("GET /", &[]);
        assert_eq!((answer.status, answer.field("RateLimit").as_str()), (status, limit));
        assert_eq!(answer.field("RateLimit-Policy"), "\"default\";q=2;w=60");
        assert_eq!(answer.field("Retry-After"), retry);
    }
    rig.pass(Nanos::from_secs(20));
    let answer = rig.ask("GET /", &[]);
    assert_eq!((answer.status, answer.field("Retry-After").as_str()), (429, "10"));
    rig.pass(Nanos::from_secs(10));
    assert_eq!(rig.ask("GET /", &[]).status, 200);
    assert_eq!(rig.ask("GET /", &[]).status, 429);
}

#[test]
fn keys() {
    let key = |value| ("X-Key", value);
    let user = |value| ("X-User", value);
    let by_length = |request: &Request<'_>| request.header("X-Key").map(<[u8]>::len);
    // A limit, and fields of requests of which the last is refused, and no other.
    type Fields = Vec<(&'static str, &'static str)>;
    let cases: Vec<(RateLimit, Vec<Fields>)> = vec![
        (RateLimit::new(limiter()), vec![vec![], vec![key("a")], vec![key("b")]]),
        (
            RateLimit::new(limiter()).by_header("x-key"),
            vec![vec![key("a")], vec![key("b")], vec![key("a")], vec![], vec![], vec![key("a")]],
        ),
        (RateLimit::new(limiter()).by_header("x-key"), vec![vec![], vec![], vec![]]),
        (
            RateLimit::new(limiter()).by_user(),
            vec![vec![user("a")], vec![user("b")], vec![user("a")], vec![user("a"), key("a")]],
        ),
        (RateLimit::new(limiter()).by_user(), vec![vec![], vec![], vec![user("a")], vec![]]),
        (
            RateLimit::new(limiter()).by(by_length),
            vec![
                vec![key("a")],
                vec![],
                vec![key("aa")],
                vec![],
                vec![key("b")],
                vec![],
                vec![key("c")],
            ],
        ),
    ];
    for (limit, requests) in cases {
        let mut rig = rig(limit);
        let statuses: Vec<u16> =
            requests.iter().map(|fields| rig.ask("GET /", fields).status).collect();
        let (last, others) = statuses.split_last().unwrap();
        assert_eq!(*last, 429, "{requests:?}");
        assert!(others.iter().all(|status| *status == 200), "{requests:?} {statuses:?}");
    }
}

#[test]
fn some_are_exempt_and_the_state_is_shared() {
    let limiter = limiter();
    let everybody = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap());
    let mut exempt = rig(RateLimit::new(limiter.clone()).exempt(everybody).announce());
    let mut first = rig(RateLimit::new(limiter.clone()));
    let mut second = rig(RateLimit::new(limiter.clone()));
    for _ in 0..5 {
        let answer = exempt.ask("GET /", &[]);
        assert_eq!((answer.status, answer.fields_like("RateLimit").len()), (200, 0));
    }
    let asks = [&mut first, &mut second].map(|rig| rig.ask("GET /", &[]).status);
    assert_eq!(asks, [200, 200]);
    assert_eq!([first.ask("GET /", &[]).status, second.ask("GET /", &[]).status], [429, 429]);
    assert_eq!(limiter.refused(), 2);
}
