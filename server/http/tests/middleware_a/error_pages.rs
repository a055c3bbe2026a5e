//! Pages of errors.

use corelane_http::middleware::ErrorPages;
use corelane_http::web::{Request, Response, Routes};

use super::rig::Rig;

const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
const JSON: &str = "application/json";

#[test]
fn pages_go_to_those_who_want_them() {
    let both = || ErrorPages::new().html(404, "page").json(404, "{}");
    let html = || ErrorPages::new().html(404, "page");
    let problem = "application/problem+json";
    let (text, page) = ("text/plain; charset=utf-8", "text/html; charset=utf-8");
    // Pages, path, Accept, type, whether the answer varies.
    for (case, (pages, path, accept, kind, varies)) in [
        (html(), "/nowhere", HTML, page, true),
        (html(), "/nowhere", JSON, problem, true),
        (html(), "/nowhere", "*/*", problem, true),
        (html(), "/empty", "*/*", page, true),
        (html(), "/empty", JSON, "", true),
        (html(), "/own", HTML, text, false),
        (html().replace_content(), "/own", HTML, page, true),
        (both(), "/nowhere", JSON, JSON, true),
        (both(), "/nowhere", "*/*", JSON, true),
        (both(), "/nowhere", HTML, page, true),
        (both(), "/empty", "image/png", "", true),
        (ErrorPages::new().json(404, "{}"), "/nowhere", HTML, JSON, true),
        (ErrorPages::new().html_of(|status| format!("{status}")), "/nowhere", HTML, page, true),
        (ErrorPages::new().html(410, "gone"), "/nowhere", HTML, problem, false),
        (html(), "/", HTML, text, false),
    ]
    .into_iter()
    .enumerate()
    {
        let routes = Routes::new()
            .get("/", |_: &Request<'_>| "hello")
            .get("/empty", |_: &Request<'_>| Response::new(404).with("X", "1"))
            .get("/own", |_: &Request<'_>| {
                Response::text("own").with_status(404).with("ETag", "\"1\"")
            });
        let mut rig = Rig::new(routes.with(pages).build().unwrap());
        let answer = rig.ask(&format!("GET {path}"), &[("Accept", accept)]);
        assert_eq!(answer.status, if path == "/" { 200 } else { 404 });
        let seen = (answer.field("Content-Type"), answer.field("Vary"));
        let vary = if varies { "Accept" } else { "" };
        assert_eq!(seen, (kind.to_owned(), vary.to_owned()), "case {case}");
        let replaced = kind == page || kind == JSON;
        assert_eq!(["page", "{}", "404"].contains(&answer.body.as_str()), replaced, "case {case}");
        assert_eq!(answer.field("ETag") == "\"1\"", path == "/own" && !replaced, "case {case}");
        assert_eq!(answer.field("X") == "1", path == "/empty", "case {case}");
    }
}
