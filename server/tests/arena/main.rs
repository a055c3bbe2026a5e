//! The contract of HttpArena's HTTP/1.1 profiles, for `examples/http_arena`: what is answered, however
//! the request arrives. In the simulator, where requests are cut exactly; then once on real sockets.

#[path = "../../examples/http_arena/routes.rs"]
mod routes;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use corelane::web::WebServer;
use corelane_eventloop::{MemFiles, Nanos};
use corelane_http::web::App;
use corelane_http::web::testing::{TestConfig, TestRequest, TestServer};
use serde_json::{Value, json};

fn app() -> App {
    routes::routes(Arc::new(routes::data_set())).build().expect("the routes do not collide")
}

fn server() -> TestServer<App> {
    let mut files = MemFiles::new();
    files.add(0, "app.js", b"let a = 1;\n".repeat(100));
    files.add(0, "app.js.br", b"as if compressed".to_vec());
    files.add(0, "style.css", b"p { margin: 0 }\n".to_vec());
    let config =
        TestConfig { files: Box::new(files), http: routes::http(), ..TestConfig::default() };
    TestServer::with(app(), config)
}

fn post(body: &str) -> TestRequest {
    TestRequest::post("/baseline11?a=13&b=42").body(body)
}

#[test]
fn sums_are_right_whatever_carries_them() {
    let mut server = server();
    let get = TestRequest::get("/baseline11?a=13&b=42");
    let chunked = TestRequest::post("/baseline11?a=13&b=42").chunked(&["2", "0"]);
    for (request, sum) in [
        (get.clone(), "55"),
        (TestRequest::get("/baseline11?a=-1&b=1&c=9"), "9"),
        (post("20"), "75"),
        (post("21"), "76"),
        (chunked.clone(), "75"),
        (chunked.clone().trailer("X", "y"), "75"),
        (get.clone().header("Connection", "close"), "55"),
    ] {
        let response = server.send(request.clone());
        assert_eq!((response.status(), response.text()), (200, sum), "{request:?}");
        assert!(response.field("Content-Type").unwrap().starts_with("text/plain"));
    }
    // The benchmark's rotation, and its pipelining, 16 deep.
    let rotation = [get, post("20"), chunked];
    let many: Vec<TestRequest> = rotation.iter().cycle().take(15).cloned().collect();
    let sums: Vec<String> = server.pipeline(&many).iter().map(|r| r.text().to_owned()).collect();
    assert_eq!(sums, ["55", "75", "75"].repeat(5));
    let ok = vec![TestRequest::get("/pipeline"); 16];
    assert!(server.pipeline(&ok).iter().all(|response| response.body() == b"ok"));
}

#[test]
fn requests_in_fragments_are_put_together_and_closed() {
    let mut server = server();
    let request = post("20").header("Connection", "close");
    let bytes = request.bytes();
    let body = bytes.len() - 2;
    let lines: Vec<usize> = (1..bytes.len()).filter(|&at| bytes[..at].ends_with(b"\r\n")).collect();
    let chunked = TestRequest::post("/baseline11?a=13&b=42").chunked(&["2", "0"]);
    for (name, request) in [
        ("within the request line", request.clone().cut_at(&[2, 9, 20])),
        ("line by line", request.clone().cut_at(&lines)),
        ("between CR and LF", request.clone().cut_at(&[lines[0] - 1, lines[1] - 1])),
        ("between head and body", request.clone().cut_at(&[body])),
        ("within the body", request.clone().cut_at(&[body, body + 1])),
        ("byte by byte", request.clone().cut_every(1)),
        ("chunks byte by byte", chunked.header("Connection", "close").cut_every(1)),
    ] {
        let response = server.send(request);
        assert_eq!((response.text(), response.keeps_alive()), ("75", false), "{name}");
    }
    let closed = server.exchange(&bytes);
    assert!(closed.ends_with(b"\r\n\r\n75"), "and the connection ends");
}

#[test]
fn items_are_priced_for_each_request() {
    let mut server = server();
    let items = routes::data_set();
    for (count, m) in [(1, 3), (5, 7), (10, 2), (15, 5), (25, 4), (40, 8), (50, 6), (0, 1), (99, 1)]
    {
        let listing: Value = server.get(&format!("/json/{count}?m={m}")).json();
        let count = count.min(50);
        let expected: Vec<Value> = items[..count]
            .iter()
            .map(|item| {
                let mut value = serde_json::to_value(item).expect("items are JSON");
                value["total"] = json!(item.price * item.quantity * m);
                value
            })
            .collect();
        assert_eq!(listing, json!({"items": expected, "count": count}));
    }
    let plain = server.get("/json/50?m=6");
    assert_eq!(plain.field("Content-Type"), Some("application/json"));
    assert_eq!(plain.field("Content-Encoding"), None);
    let request = TestRequest::get("/json/50?m=6").header("Accept-Encoding", "gzip, br");
    let packed = server.send(request);
    assert!(matches!(packed.field("Content-Encoding"), Some("gzip" | "br")));
    assert!(packed.body().len() < plain.body().len() / 3);
    for (path, status) in
        [("/json/x", 400), ("/json/5?m=x", 400), ("/json/-1", 400), ("/json", 404)]
    {
        assert_eq!(server.get(path).status(), status, "{path}");
    }
}

#[test]
fn uploads_are_counted_as_they_come() {
    let mut server = server();
    for bytes in [17, 500_000, 2_000_000] {
        let body = vec![b'x'; bytes];
        let response = server.post("/upload", &body);
        assert_eq!(response.text(), bytes.to_string());
        let chunks: Vec<&[u8]> = body.chunks(65_521).collect();
        let response = server.send(TestRequest::post("/upload").chunked(&chunks));
        assert_eq!(response.text(), bytes.to_string());
    }
}

#[test]
fn files_have_their_types_and_sizes() {
    let mut server = server();
    let script = server.get("/static/app.js");
    assert_eq!((script.status(), script.body().len()), (200, 1100));
    assert!(script.field("Content-Type").unwrap().starts_with("text/javascript"));
    let accepts = TestRequest::get("/static/app.js");
    let packed = server.send(accepts.header("Accept-Encoding", "br;q=1, gzip;q=0.8"));
    assert_eq!(packed.field("Content-Encoding"), Some("br"));
    assert_eq!(packed.text(), "as if compressed");
    let style = server.get("/static/style.css");
    assert!(style.field("Content-Type").unwrap().starts_with("text/css"));
    assert_eq!(server.get("/static/none.txt").status(), 404);
}

#[test]
fn real_sockets_agree() {
    let server = WebServer::new("127.0.0.1:0").expect("an address").lanes(1).http(routes::http());
    let server = server.start(|| Ok::<App, String>(app())).expect("it starts");
    let address = server.addresses()[0].tcp().expect("TCP");
    let large = vec![b'x'; 20 << 20];
    let closing = |request: TestRequest| request.header("Connection", "close").bytes();
    for (request, pieces, ends) in [
        (closing(post("20")), 1, "\r\n\r\n75"),
        (closing(post("20")), usize::MAX, "\r\n\r\n75"),
        (closing(TestRequest::get("/pipeline")), usize::MAX, "\r\n\r\nok"),
        (closing(TestRequest::post("/upload").body(&large)), 1, "\r\n\r\n20971520"),
    ] {
        let mut client = TcpStream::connect(address).expect("it listens");
        client.set_nodelay(true).expect("an option");
        client.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        for piece in request.chunks(request.len().div_ceil(pieces)) {
            client.write_all(piece).expect("it is read");
        }
        let mut response = Vec::new();
        client.read_to_end(&mut response).expect("it answers and closes");
        let _ = client.shutdown(Shutdown::Both);
        let response = String::from_utf8_lossy(&response);
        assert!(
            response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with(ends),
            "{response}"
        );
    }
    server.stop(Nanos::from_secs(5));
    server.join().expect("it ends in order");
}
