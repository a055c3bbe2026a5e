//! Names of requests.

use corelane_http::middleware::{RequestId, TraceParent};
use corelane_http::web::{Request, Response, Routes};

use super::rig::Rig;

#[test]
fn ids_are_made_or_taken_over() {
    let show = |request: &Request<'_>| {
        let trace = request.get::<TraceParent>().map(|parent| parent.to_string());
        let id = request.id().map(|id| id.to_string()).unwrap_or_default();
        Response::text(format!("{id} {}", trace.unwrap_or_default())).with("x-request-id", "no")
    };
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let never = RequestId::new();
    let if_asked = RequestId::new().trust_if(|request| request.path() == "/trusted");
    for (ids, path, brought, taken) in [
        (never, "/trusted", "abc", false),
        (if_asked, "/", "abc", false),
        (RequestId::new().trust_if(|_| true), "/", "abc", true),
        (RequestId::new().trust_if(|_| true), "/", "a b", false),
        (RequestId::new().trust_if(|_| true), "/", "", false),
    ] {
        let app = Routes::new().get("/", show).get("/trusted", show).with(ids).build().unwrap();
        let mut rig = Rig::new(app);
        let target = format!("GET {path}");
        let fields = [("X-Request-Id", brought), ("traceparent", parent)];
        let answers = [rig.ask(&target, &fields), rig.ask(&target, &fields)];
        let ids = answers.each_ref().map(|answer| answer.field("X-Request-Id"));
        for (answer, id) in answers.iter().zip(&ids) {
            assert_eq!(answer.body, format!("{id} {parent}"));
            assert_eq!((id == brought, id.len() == 36), (taken, !taken), "{brought} {id}");
        }
        assert_eq!(ids[0] == ids[1], taken);
        assert_eq!(rig.ask("GET /nowhere", &[]).field("X-Request-Id").len(), 36);
    }
}
