//! Passwords and tokens.

use std::cell::Cell;
use std::rc::Rc;

use corelane_http::middleware::{BearerAuth, BearerError, User};
use corelane_http::web::{Endpoint, OwnedRequest, Request, Routes};

use super::rig::Rig;

fn who(request: &Request<'_>) -> String {
    request.get::<User>().map(|user| user.name().to_owned()).unwrap_or_default()
}

/// Who, by a plain and by an `async` handler.
fn routes() -> Routes {
    let later = |request: OwnedRequest| async move { who(&request.view()) };
    Routes::new().get("/", who).post("/", who).on("GET", "/later", Endpoint::asynchronous(later))
}

#[test]
fn bearers() {
    let judge = |token: &str| match token {
        "good" => Ok(User::new("ada")),
        "small" => Err(BearerError::InsufficientScope("read write".into())),
        "busy" => Err(BearerError::Unavailable),
        _ => Err(BearerError::InvalidToken("it is \"odd\"".into())),
    };
    let plain = BearerAuth::new("a \"b\"", move |token, _| judge(token)).unwrap();
    let later = move |token: String| async move { judge(&token) };
    let later = BearerAuth::asynchronous("a \"b\"", later).unwrap();
    let rigs = [routes().with(plain), routes().with(later)];
    let challenge = |rest: &str| format!("Bearer realm=\"a \\\"b\\\"\"{rest}");
    let invalid = challenge(", error=\"invalid_request\"");
    for mut rig in rigs.map(|routes| Rig::new(routes.build().unwrap())) {
        for (values, status, challenged) in [
            (&["Bearer good"][..], 200, String::new()),
            (&["bearer  good"], 200, String::new()),
            (&[], 401, challenge("")),
            (&["Basic good"], 401, challenge("")),
            (&["Bearer"], 401, challenge("")),
            (&["Bearer "], 401, challenge("")),
            (&["Bearer a b"], 400, invalid.clone()),
            (&["Bearer good", "Bearer good"], 400, invalid.clone()),
            (&["Bearer bad"], 401, challenge(", error=\"invalid_token\"")),
            (
                &["Bearer small"],
                403,
                challenge(", error=\"insufficient_scope\", scope=\"read write\""),
            ),
            (&["Bearer busy"], 503, String::new()),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("Authorization", *value)).collect();
            for answer in [
                rig.ask("GET /", &fields),
                rig.ask("GET /later", &fields),
                rig.ask_with("POST /", &fields, b"x"),
            ] {
                assert_eq!(
                    (answer.status, answer.field("WWW-Authenticate")),
                    (status, challenged.clone()),
                    "{values:?}"
                );
                assert_eq!(answer.body == "ada", status == 200, "{values:?}");
            }
        }
    }
    assert!(BearerAuth::new("a\n", move |token, _| judge(token)).is_err());
}

#[test]
fn a_plain_check_sees_the_request() {
    let asked = Rc::new(Cell::new(0));
    let count = asked.clone();
    let auth = BearerAuth::new("r", move |_, request| {
        count.set(count.get() + 1);
        Ok(User::new(request.path()))
    });
    let mut rig = Rig::new(routes().with(auth.unwrap()).build().unwrap());
    assert_eq!(rig.ask("GET /", &[("Authorization", "Bearer x")]).body, "/");
    assert_eq!(asked.get(), 1);
}

#[cfg(feature = "basic-auth")]
mod basic {
    use std::sync::Arc;
    use std::time::Duration;

    use corelane_eventloop::{Nanos, ThreadPool};
    use corelane_http::middleware::{BasicAuth, Users};

    use super::*;

    /// ada:lovelace and grace:hopper.
    const FILE: &str = "ada:$2y$04$dBI/V4bm.BX7JeLnCPg7h.vUAVPfIsxfQF0H9HxHPiGtAks.Ki2R6
        grace:$5$rounds=1000$ab$q9rttUdVFqYIB/wD7apYyTrgIUbhsjKbY.glMqG0DB0";
    const ADA: &str = "Basic YWRhOmxvdmVsYWNl";
    const GRACE: &str = "basic  Z3JhY2U6aG9wcGVy";
    const WRONG: &str = "Basic YWRhOmhvcHBlcg==";
    const NOBODY: &str = "Basic ZXZlOmxvdmVsYWNl";

    fn auth(pool: &ThreadPool) -> BasicAuth {
        let users = Arc::new(FILE.parse::<Users>().unwrap());
        BasicAuth::new("r", users, pool.clone()).unwrap()
    }

    fn rig(auth: BasicAuth) -> Rig {
        Rig::new(routes().with(auth).build().unwrap())
    }

    #[test]
    fn who_knows_the_password_comes_in() {
        let pool = ThreadPool::inline();
        let mut rig = rig(auth(&pool));
        // Values, status, who, and how many passwords were checked by then.
        for (values, status, name, checked) in [
            (&[][..], 401, "", 0),
            (&["Bearer YWRhOmxvdmVsYWNl"], 401, "", 0),
            (&["Basic ?"], 401, "", 0),
            (&[ADA, ADA], 401, "", 0),
            (&[ADA], 200, "ada", 1),
            (&[ADA], 200, "ada", 1),
            (&[WRONG], 401, "", 2),
            (&[WRONG], 401, "", 3),
            (&[NOBODY], 401, "", 4),
            (&[GRACE], 200, "grace", 5),
            (&[ADA], 200, "ada", 5),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("Authorization", *value)).collect();
            let answer = rig.ask("GET /", &fields);
            assert_eq!((answer.status, answer.body == name), (status, status == 200), "{values:?}");
            assert_eq!(pool.stats().done, checked, "{values:?}");
            let challenge = answer.field("WWW-Authenticate");
            assert_eq!(challenge == "Basic realm=\"r\", charset=\"UTF-8\"", status == 401);
        }
        assert_eq!(rig.ask("GET /later", &[("Authorization", ADA)]).body, "ada");
        assert_eq!(rig.ask_with("POST /", &[("Authorization", ADA)], b"x").body, "ada");
        assert_eq!(pool.stats().done, 5);
        rig.pass(Nanos::from_secs(301));
        assert_eq!(rig.ask_with("POST /", &[("Authorization", ADA)], b"x").body, "ada");
        assert_eq!(pool.stats().done, 6);
    }

    #[test]
    fn no_more_is_remembered_than_told() {
        for (most, checked) in [(0, 4), (1, 4), (2, 2)] {
            let pool = ThreadPool::inline();
            let mut rig = rig(auth(&pool).remember(most, Duration::from_secs(60)));
            for value in [ADA, GRACE, ADA, GRACE] {
                assert_eq!(rig.ask("GET /", &[("Authorization", value)]).status, 200);
            }
            assert_eq!(pool.stats().done, checked, "{most}");
        }
    }

    #[test]
    fn a_pool_that_is_full_is_no_way_in() {
        let pool = ThreadPool::new("full", 1, 1).unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = std::sync::mpsc::channel();
        let busy = pool.run(move || {
            begun.send(()).unwrap();
            released.recv().is_ok()
        });
        begins.recv().unwrap();
        let queued = pool.run(|| ());
        let mut rig = rig(auth(&pool));
        let answer = rig.ask("GET /", &[("Authorization", ADA)]);
        assert_eq!((answer.status, answer.field("Retry-After").as_str()), (503, "1"));
        drop((release, busy, queued));
    }
}
