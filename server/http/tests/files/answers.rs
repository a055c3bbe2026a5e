//! Which answer a request gets.

use corelane_http::files::{CacheLimits, StaticFiles};
use corelane_http::web::Routes;
use corelane_http::web::testing::TestRequest;

use crate::rig::{Rig, THEN_DATE};

const DIGITS: &[u8] = b"0123456789";

fn site() -> Rig {
    let files: [(&str, &[u8]); 8] = [
        ("index.html", b"<h1>home</h1>"),
        ("a.txt", DIGITS),
        ("docs/index.html", b"docs"),
        ("bare/x.bin", b"x"),
        ("empty", b""),
        ("100%.txt", b"percent"),
        (".env", b"secret"),
        (".well-known/security.txt", b"contact"),
    ];
    Rig::new(StaticFiles::new(0), &files)
}

#[test]
fn a_file_to_the_field() {
    let mut rig = site();
    let response = rig.get("/a.txt");
    let etag = response.field("ETag").unwrap().to_owned();
    let fields: Vec<_> = response.fields().filter(|(name, _)| *name != "Date").collect();
    let expected: [(&str, &[u8]); 5] = [
        ("ETag", etag.as_bytes()),
        ("Last-Modified", THEN_DATE.as_bytes()),
        ("Content-Type", b"text/plain; charset=utf-8"),
        ("Accept-Ranges", b"bytes"),
        ("Content-Length", b"10"),
    ];
    assert_eq!(fields, expected);
    assert!(etag.starts_with('"'), "{etag}");
    assert_eq!((response.status(), response.body()), (200, DIGITS));
    let head = rig.send("HEAD", "/a.txt", &[]);
    let same = |(name, _): &(&str, &[u8])| *name != "Date";
    assert_eq!(head.fields().filter(same).collect::<Vec<_>>(), fields);
    assert_eq!(head.body(), b"");
    assert_eq!((rig.get("/empty").status(), rig.get("/empty").body()), (200, &b""[..]));
}

#[test]
fn paths_and_their_answers() {
    let mut rig = site();
    for (target, status, body) in [
        ("/", 200, "<h1>home</h1>"),
        ("/?x=1", 200, "<h1>home</h1>"),
        ("/docs/", 200, "docs"),
        ("/docs/index.html", 200, "docs"),
        ("/%64ocs/", 200, "docs"),
        ("/100%25.txt", 200, "percent"),
        ("/.well-known/security.txt", 200, "contact"),
        ("/docs", 301, ""),
        ("/bare/", 404, "404 Not Found\n"),
        ("/A.txt", 404, "404 Not Found\n"),
        ("/a.txt/", 404, "404 Not Found\n"),
        ("/a.txt/b", 404, "404 Not Found\n"),
        ("/.env", 404, "404 Not Found\n"),
        ("/%2eenv", 404, "404 Not Found\n"),
        ("/nothing", 404, "404 Not Found\n"),
        ("//a.txt", 404, "404 Not Found\n"),
        ("/docs/../a.txt", 404, "404 Not Found\n"),
        ("/docs/%2e%2e/a.txt", 404, "404 Not Found\n"),
        ("/docs%2findex.html", 404, "404 Not Found\n"),
        ("/docs/..%5ca.txt", 404, "404 Not Found\n"),
    ] {
        // The second time from what is remembered.
        for _ in 0..2 {
            let response = rig.get(target);
            assert_eq!((response.status(), response.text()), (status, body), "{target}");
        }
    }
    // These do not get past the parser.
    for target in ["/a.txt%00", "/docs\\..\\a.txt", "/a.txt%0a"] {
        assert_eq!(rig.get(target).status(), 400, "{target}");
    }
}

#[test]
fn redirects_keep_the_query_and_lead_nowhere_else() {
    let mut rig = site();
    let location = |rig: &mut Rig, target: &str| {
        let response = rig.get(target);
        (response.status(), response.field("Location").map(str::to_owned))
    };
    let to = |path: &str| (301, Some(path.to_owned()));
    assert_eq!(location(&mut rig, "/docs?a=b&c"), to("/docs/?a=b&c"));
    assert_eq!(location(&mut rig, "/%64ocs?"), to("/%64ocs/?"));
    for target in ["//docs", "///docs", "//docs/", "/%2fdocs", "/%5cdocs", "//docs/%2e%2e"] {
        assert_eq!(location(&mut rig, target), (404, None), "{target}");
    }
    let mut nested =
        Rig::routed(StaticFiles::new(0).mount(Routes::new(), "/static"), &[("d/x", b"x")]);
    assert_eq!(location(&mut nested, "/static?q"), to("/static/?q"));
    assert_eq!(location(&mut nested, "/static/d"), to("/static/d/"));
    assert_eq!(nested.get("/static/d/x").status(), 200);
}

#[test]
fn methods() {
    let mut rig = site();
    for (method, status) in [("OPTIONS", 204), ("POST", 405), ("DELETE", 405), ("BREW", 405)] {
        let response = rig.send(method, "/a.txt", &[]);
        assert_eq!(response.status(), status, "{method}");
        assert_eq!(response.field("Allow"), Some("GET, HEAD, OPTIONS"), "{method}");
    }
    let fallback = Routes::new().fallback(StaticFiles::new(0).endpoint());
    let mut rig = Rig::routed(fallback, &[("index.html", b"home"), ("a/b", b"b")]);
    assert_eq!((rig.get("/").text(), rig.get("/a/b").text()), ("home", "b"));
    assert_eq!(rig.send("PUT", "/a/b", &[]).field("Allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(rig.send("OPTIONS", "/a/b", &[]).status(), 204);
}

#[test]
fn conditions() {
    let mut rig = site();
    let etag = rig.get("/a.txt").field("ETag").unwrap().to_owned();
    for (field, value, status) in [
        ("If-None-Match", &*etag, 304),
        ("If-None-Match", "\"x\"", 200),
        ("If-Modified-Since", THEN_DATE, 304),
        ("If-Match", &*etag, 200),
        ("If-Match", "\"x\"", 412),
        ("If-Unmodified-Since", THEN_DATE, 200),
        ("If-Unmodified-Since", "Sat, 06 Nov 1993 08:49:36 GMT", 412),
    ] {
        for method in ["GET", "HEAD"] {
            let response = rig.send(method, "/a.txt", &[(field, value)]);
            assert_eq!(response.status(), status, "{method} {field}: {value}");
        }
    }
    let response = rig.ask("/a.txt", &[("If-None-Match", &etag)]);
    assert_eq!((response.field("ETag"), response.body()), (Some(&*etag), &b""[..]));
    assert_eq!(response.field("Content-Type"), None);
    assert_eq!(rig.ask("/nothing", &[("If-Match", "*")]).status(), 404);
}

#[test]
fn ranges() {
    let mut rig = site();
    let etag = rig.get("/a.txt").field("ETag").unwrap().to_owned();
    for (range, status, content_range, body) in [
        ("bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
        ("bytes=8-", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=-1", 206, Some("bytes 9-9/10"), "9"),
        ("bytes=0-", 206, Some("bytes 0-9/10"), "0123456789"),
        ("bytes=10-", 416, Some("bytes */10"), "416 Range Not Satisfiable\n"),
        ("bytes=x", 200, None, "0123456789"),
    ] {
        let response = rig.ask("/a.txt", &[("Range", range)]);
        let found = (response.status(), response.field("Content-Range"), response.text());
        assert_eq!(found, (status, content_range, body), "{range}");
        let head = rig.send("HEAD", "/a.txt", &[("Range", range)]);
        assert_eq!((head.status(), head.field("Content-Length")), (200, Some("10")));
    }
    let part = |rig: &mut Rig, validator: &str| {
        rig.ask("/a.txt", &[("Range", "bytes=0-0"), ("If-Range", validator)]).status()
    };
    assert_eq!(part(&mut rig, &etag), 206);
    assert_eq!(part(&mut rig, THEN_DATE), 206);
    assert_eq!(part(&mut rig, "\"x\""), 200);
}

#[test]
fn several_ranges_in_one_answer() {
    let memory = StaticFiles::new(0);
    let sent = memory.clone().cache(CacheLimits { memory_file: 0, ..CacheLimits::default() });
    for site in [memory, sent] {
        let mut rig = Rig::new(site, &[("a.txt", DIGITS)]);
        let response = rig.ask("/a.txt", &[("Range", "bytes=0-1, -1")]);
        assert_eq!((response.status(), response.field("Content-Range")), (206, None));
        let content_type = response.field("Content-Type").unwrap();
        let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes 0-1/10\r\n\r\n01\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Range: bytes 9-9/10\r\n\r\n9\r\n--{boundary}--\r\n"
        );
        assert_eq!(response.text(), expected);
        let length = expected.len().to_string();
        assert_eq!(response.field("Content-Length"), Some(&*length));
    }
}

#[test]
fn codings_by_weight_unless_they_are_old() {
    let mut rig = Rig::new(
        StaticFiles::new(0),
        &[("a.js", b"plain"), ("a.js.gz", b"gzipped"), ("b.js", b"plain"), ("c.js", b"plain")],
    );
    rig.disk.put("a.js.br", b"brotli");
    rig.disk.put_at("b.js.gz", b"stale", corelane_eventloop::Nanos::from_secs(700_000_000));
    let mut etags = Vec::new();
    for (accept, coding, body) in [
        (None, None, "plain"),
        (Some("gzip"), Some("gzip"), "gzipped"),
        (Some("gzip, br"), Some("br"), "brotli"),
        (Some("gzip, br;q=0.5"), Some("gzip"), "gzipped"),
        (Some("zstd"), None, "plain"),
        (Some("gzip;q=0"), None, "plain"),
        (Some("*"), Some("br"), "brotli"),
    ] {
        let fields: Vec<_> = accept.iter().map(|accept| ("Accept-Encoding", *accept)).collect();
        let response = rig.ask("/a.js", &fields);
        assert_eq!((response.field("Content-Encoding"), response.text()), (coding, body));
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{accept:?}");
        assert_eq!(response.field("Content-Type"), Some("text/javascript; charset=utf-8"));
        etags.push((coding, response.field("ETag").unwrap().to_owned()));
    }
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 3, "one per coding: {etags:?}");
    for path in ["/b.js", "/c.js"] {
        let response = rig.ask(path, &[("Accept-Encoding", "gzip")]);
        assert_eq!((response.text(), response.field("Vary")), ("plain", None), "{path}");
    }
    let itself = rig.ask("/a.js.gz", &[("Accept-Encoding", "br")]);
    assert_eq!(itself.field("Content-Type"), Some("application/gzip"));
    assert_eq!(itself.field("Content-Encoding"), None);
    let range = rig.ask("/a.js", &[("Accept-Encoding", "gzip"), ("Range", "bytes=0-1")]);
    assert_eq!((range.text(), range.field("Content-Range")), ("gz", Some("bytes 0-1/7")));
}

#[test]
fn applications_that_route_in_the_browser() {
    let site = StaticFiles::new(0).spa("app.html").unwrap().error_page(404, "404.html").unwrap();
    let files: [(&str, &[u8]); 3] = [("app.html", b"app"), ("404.html", b"lost"), ("a.js", b"js")];
    let mut rig = Rig::new(site, &files);
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (target, accept, status, body) in [
        ("/users/7", browser, 200, "app"),
        ("/users/", browser, 200, "app"),
        ("/", browser, 200, "app"),
        ("/a.js", "*/*", 200, "js"),
        ("/b.js", "*/*", 404, "lost"),
        ("/b.png", "image/avif,image/*;q=0.8", 404, "lost"),
        ("/users/7", "text/html;q=0", 404, "lost"),
    ] {
        let response = rig.ask(target, &[("Accept", accept)]);
        assert_eq!((response.status(), response.text()), (status, body), "{target} {accept}");
        let vary = (target != "/a.js").then_some("Accept");
        assert_eq!(response.field("Vary"), vary, "{target}");
    }
    let etag = rig.get("/app.html").field("ETag").unwrap().to_owned();
    let again = rig.ask("/users/7", &[("Accept", browser), ("If-None-Match", &etag)]);
    assert_eq!((again.status(), again.field("Vary")), (304, Some("Accept")));
    // An error is no representation: it has no validators, and no part of it can be had.
    let lost = rig.ask("/b.js", &[("Range", "bytes=0-0"), ("If-None-Match", "*")]);
    assert_eq!((lost.status(), lost.text()), (404, "lost"));
    assert_eq!((lost.field("ETag"), lost.field("Accept-Ranges")), (None, None));
    assert_eq!(lost.field("Content-Type"), Some("text/html; charset=utf-8"));
    rig.disk.remove("404.html");
    rig.server.pass(corelane_eventloop::Nanos::from_secs(1));
    assert_eq!(rig.get("/b.js").text(), "404 Not Found\n");
}

#[test]
fn rules_and_types_as_they_were_set() {
    let site = StaticFiles::new(0)
        .cache_control("*.html", "no-cache")
        .and_then(|site| site.cache_control("assets/**", "public, max-age=31536000, immutable"))
        .and_then(|site| site.media_type("gmi", "text/gemini"))
        .and_then(|site| site.charset(Some("iso-8859-1")))
        .and_then(|site| site.index(["home.html", "index.html"]))
        .unwrap()
        .hidden(true);
    let files: [(&str, &[u8]); 5] = [
        ("index.html", b"index"),
        ("home.html", b"home"),
        ("assets/app.js", b"js"),
        ("a.gmi", b"g"),
        (".x", b"x"),
    ];
    let mut rig = Rig::new(site, &files);
    let home = rig.get("/");
    assert_eq!((home.text(), home.field("Cache-Control")), ("home", Some("no-cache")));
    assert_eq!(home.field("Content-Type"), Some("text/html; charset=iso-8859-1"));
    let asset = rig.get("/assets/app.js");
    assert_eq!(asset.field("Cache-Control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(rig.get("/a.gmi").field("Content-Type"), Some("text/gemini; charset=iso-8859-1"));
    assert_eq!((rig.get("/.x").text(), rig.get("/a.gmi").field("Cache-Control")), ("x", None));
    let etag = home.field("ETag").unwrap();
    let unchanged = rig.ask("/", &[("If-None-Match", etag)]);
    assert_eq!((unchanged.status(), unchanged.field("Cache-Control")), (304, Some("no-cache")));
}

#[test]
fn whatever_is_listed_can_be_got() {
    const NAMES: [&str; 14] = [
        "plain",
        "a b?c#d%e&f\"g<h>'i",
        "+x;y=z,(1)!*@$",
        "é\u{202e}\u{1f600}",
        "12:30",
        "%41",
        "...",
        "tab\there",
        "\u{7f}",
        // These cannot be named in a request.
        "new\nline",
        "return\rhere",
        "back\\slash",
        "c:",
        "Z:",
    ];
    let paths = NAMES.map(|name| format!("d/{name}"));
    let files: Vec<(&str, &[u8])> = paths.iter().map(|path| (&**path, &b"x"[..])).collect();
    let mut rig = Rig::new(StaticFiles::new(0).listing(100).hidden(true), &files);
    let page = rig.get("/d/").text().to_owned();
    let links: Vec<&str> = page
        .split("<td><a href=\"./")
        .skip(1)
        .filter_map(|rest| rest.split_once('"').map(|(link, _)| link))
        .collect();
    assert_eq!(links.len(), 9, "{page}");
    for link in links {
        assert_eq!(rig.get(&format!("/d/{link}")).text(), "x", "{link}");
    }
}

#[test]
fn listings() {
    let files: [(&str, &[u8]); 4] =
        [("d/a b", b"12345"), ("d/sub/x", b"x"), ("d/.hidden", b"x"), ("e/index.html", b"e")];
    let mut rig = Rig::new(StaticFiles::new(0).listing(3), &files);
    let page = rig.get("/d/");
    assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("./a%20b") && page.text().contains("./sub/"), "{}", page.text());
    assert!(!page.text().contains("hidden"), "{}", page.text());
    let json: serde_json::Value = rig.get("/d/?format=json&sort=size").json();
    assert_eq!(json["path"], "/d/");
    assert_eq!(json["entries"][1]["name"], "a b");
    assert_eq!((&json["entries"][1]["size"], &json["truncated"]), (&5.into(), &false.into()));
    let by_accept = rig.ask("/d/", &[("Accept", "application/json")]);
    assert_eq!(by_accept.field("Content-Type"), Some("application/json"));
    assert_eq!(rig.get("/d").field("Location"), Some("/d/"));
    assert_eq!(rig.get("/e/").text(), "e");
    assert_eq!(rig.get("/f/").status(), 404);
    rig.disk.put("d/b", b"");
    let more: serde_json::Value = rig.get("/d/?format=json").json();
    assert_eq!(more["truncated"], true);
    assert!(rig.get("/d/sub/").text().contains("title=\"1 byte\">1 B<"));
    let head = rig.server.send(TestRequest::new("HEAD", "/d/"));
    assert_eq!((head.status(), head.body()), (200, &b""[..]));
}
