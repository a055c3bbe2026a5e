//! What is read of requests, and what is said of those that cannot be.

use std::collections::BTreeMap;

use corelane_eventloop::Nanos;
use serde::Deserialize;
use serde_json::{Value, json};

use super::testing::{TestRequest, TestServer};
use super::{
    App, Endpoint, Input, InputError, IntoResponse, OwnedRequest, Request, Response, Routes,
};
use super::{SameSite, SetCookie};

#[derive(Debug, Deserialize)]
struct Item {
    name: String,
    #[serde(default)]
    tags: Vec<String>,
    size: Option<u32>,
}

fn server() -> TestServer<App> {
    let shown = |item: Item| format!("{} {:?} {:?}", item.name, item.tags, item.size);
    let owned = move |request: OwnedRequest| async move {
        let id: u8 = request.param("id")?;
        let item: Item = request.json()?;
        Ok::<_, InputError>(format!("{id} {}", shown(item)))
    };
    let routes = Routes::new()
        .get("/query", move |request: &Request<'_>| request.query_as().map(shown))
        .get("/map", |request: &Request<'_>| {
            let map: Result<BTreeMap<String, String>, _> = request.query_as();
            map.map(|map| format!("{map:?}"))
        })
        .post("/form", move |request: &Request<'_>| request.form().map(shown))
        .post("/json", move |request: &Request<'_>| request.json().map(shown))
        .post("/items", |request: &Request<'_>| {
            request.json().map(|items: Vec<Item>| format!("{}", items.len()))
        })
        .on("POST", "/owned/{id}", Endpoint::asynchronous(owned))
        .get("/ids/{id}", |request: &Request<'_>| request.param("id").map(|id: u8| id.to_string()))
        .get("/wrong/{id}", |request: &Request<'_>| {
            request.param("other").map(|id: u8| id.to_string())
        })
        .get("/cookies", |request: &Request<'_>| {
            let all: Vec<_> = request.cookies().collect();
            format!("{:?} {all:?}", request.cookie("a"))
        })
        .get("/since", |request: &Request<'_>| {
            format!("{:?}", request.header_date("If-Modified-Since").map(Nanos::as_secs))
        })
        .get("/accepts", |request: &Request<'_>| request.accepts("text", "html").to_string());
    TestServer::new(routes.build().unwrap())
}

#[test]
fn good_requests_are_read() {
    let mut server = server();
    let item = json!({"name": "tea", "tags": ["a"], "size": 3});
    let vendor = "application/vnd.shop+JSON; charset=utf-8";
    let cookies = |value: &str| TestRequest::get("/cookies").header("Cookie", value);
    for (request, expected) in [
        (TestRequest::get("/query?name=a+b%21"), r#"a b! [] None"#),
        (TestRequest::get("/query?name=x&tags=1&tags=2&size="), r#"x ["1", "2"] None"#),
        (TestRequest::get("/query?name=%C3%BC&size=4&more=5"), "ü [] Some(4)"),
        (TestRequest::get("/map"), "{}"),
        (TestRequest::get("/map?a&b=&=c&&d=%zz"), r#"{"": "c", "a": "", "b": "", "d": "%zz"}"#),
        (TestRequest::post("/form").form("name=x&tags=1"), r#"x ["1"] None"#),
        (TestRequest::post("/json").json(&item), r#"tea ["a"] Some(3)"#),
        (
            TestRequest::post("/json").header("Content-Type", vendor).body(r#" {"name":"x"} "#),
            "x [] None",
        ),
        (TestRequest::post("/owned/7").json(&item), r#"7 tea ["a"] Some(3)"#),
        (TestRequest::get("/ids/%37"), "7"),
        (
            cookies("a=1; b=\"2\";c=x=y; ;d; =e"),
            r#"Some("1") [("a", "1"), ("b", "2"), ("c", "x=y")]"#,
        ),
        (cookies("b=1").header("cookie", "a=2"), r#"Some("2") [("b", "1"), ("a", "2")]"#),
        (TestRequest::get("/cookies"), "None []"),
        (
            TestRequest::get("/since").header("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
            "Some(784111777)",
        ),
        (TestRequest::get("/since").header("If-Modified-Since", "yesterday"), "None"),
        (TestRequest::get("/accepts").header("Accept", "text/*;q=0.5, */*;q=0.1"), "500"),
    ] {
        let response = server.send(request.clone());
        assert_eq!((response.status(), response.text()), (200, expected), "{request:?}");
    }
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let mut server = server();
    let json = |body: &str| {
        TestRequest::post("/json").header("Content-Type", "application/json").body(body)
    };
    let deep = format!("{{\"name\": \"x\", \"more\": {}", "[".repeat(1000));
    let items = json!([{"name": "a"}, {"name": "b", "tags": ["c", 4]}]);
    for (request, status, input, field, detail) in [
        (TestRequest::get("/ids/x"), 400, "path", "id", "invalid digit found in string"),
        (TestRequest::get("/ids/256"), 400, "path", "id", "number too large to fit in target type"),
        (TestRequest::get("/ids/%ff"), 400, "path", "id", "is not UTF-8"),
        (TestRequest::get("/wrong/1"), 500, "path", "other", "there is none"),
        (TestRequest::get("/query"), 400, "query", "", "missing field `name`"),
        (TestRequest::get("/query?name=a&name=b"), 400, "query", "name", "unsupported value"),
        (TestRequest::get("/query?name=x&size=big"), 400, "query", "size", "invalid digit"),
        (TestRequest::post("/form").form("name=x&size=-1"), 422, "body", "size", "invalid digit"),
        (TestRequest::post("/form").body("name=x"), 415, "header", "Content-Type", "must be app"),
        (TestRequest::post("/json").form("{}"), 415, "header", "Content-Type", "must be app"),
        (json(""), 400, "body", "", "EOF while parsing"),
        (json("{\"name\": \"x\"} y"), 400, "body", "", "trailing characters"),
        (json("{\"name\": 'x'}"), 400, "body", "name", "expected value"),
        (json(&deep), 400, "body", "more", "EOF while parsing"),
        (json("{\n\"size\": -1}"), 422, "body", "size", "invalid value: integer `-1`"),
        (json("{}"), 422, "body", "", "missing field `name`"),
        (TestRequest::post("/items").json(&items), 422, "body", "[1].tags[1]", "invalid type"),
        (TestRequest::post("/owned/7").json(&1), 422, "body", "", "invalid type: integer `1`"),
    ] {
        let response = server.send(request.clone());
        assert_eq!(response.status(), status, "{request:?} {response:?}");
        assert_eq!(response.field("Content-Type"), Some("application/problem+json"));
        assert_eq!(response.field("Accept").is_some(), status == 415);
        let problem: Value = response.json();
        let fault = &problem["errors"][0];
        assert_eq!(fault["in"], input, "{request:?}: {problem}");
        assert_eq!(fault["field"].as_str().unwrap_or_default(), field, "{request:?}: {problem}");
        assert!(fault["detail"].as_str().unwrap().contains(detail), "{request:?}: {problem}");
    }
    let problem: Value = server.send(json("{\n\"size\": -1}")).json();
    assert_eq!(
        (&problem["errors"][0]["line"], &problem["errors"][0]["column"]),
        (&2.into(), &10.into())
    );
    assert_eq!(problem["title"], "Unprocessable Content");
}

#[test]
fn cookies_are_set_as_browsers_take_them() {
    let plain = SetCookie::new("a", "1");
    for (cookie, expected) in [
        (plain.clone(), Ok("a=1; Path=/; HttpOnly; SameSite=Lax")),
        (SetCookie::removal("a"), Ok("a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")),
        (
            plain.clone().domain("example.org").path("/x").secure().same_site(SameSite::None),
            Ok("a=1; Path=/x; Domain=example.org; Secure; HttpOnly; SameSite=None"),
        ),
        (
            plain.clone().readable_by_scripts().same_site(SameSite::Strict),
            Ok("a=1; Path=/; SameSite=Strict"),
        ),
        (SetCookie::new("a b", ""), Err("no token")),
        (SetCookie::new("", ""), Err("no token")),
        (SetCookie::new("a", "1; Domain=evil"), Err("encode it")),
        (SetCookie::new("a", "ü"), Err("encode it")),
        (SetCookie::new("a", "1\r\nX: y"), Err("encode it")),
        (plain.clone().path("/; Secure"), Err("the path")),
        (plain.clone().path("x"), Err("the path")),
        (plain.clone().domain("a\r\n"), Err("the domain")),
        (plain.clone().same_site(SameSite::None), Err("SameSite=None")),
        (SetCookie::new("a", "x".repeat(4096)), Err("4,096")),
        (SetCookie::new("__secure-a", "1"), Err("`__Secure-`")),
        (SetCookie::new("__Host-a", "1").secure().path("/x"), Err("`Path=/`")),
        (SetCookie::new("__HOST-a", "1").secure().domain("x.org"), Err("`Path=/`")),
    ] {
        let field = cookie.to_field();
        match expected {
            Ok(expected) => assert_eq!(field.as_deref(), Ok(expected)),
            Err(says) => {
                assert!(field.unwrap_err().to_string().contains(says), "{cookie:?}");
                assert!(Response::new(200).with_cookie(cookie).is_malformed());
            }
        }
    }
}

#[test]
fn rules_of_the_application_are_told_all_at_once() {
    let mut error = InputError::invalid(Input::Body, "name", "must not be empty");
    error.add(Input::Query, "page", "must be 1 or more");
    assert_eq!(error.faults().len(), 2);
    assert_eq!(error.clone().into_response().status(), error.status());
}
