//! What must hold for any request for static files: used by the fuzz target `files`, and by the test
//! that replays what it has found.

use corelane_eventloop::{MemFiles, Nanos};
use corelane_http::files::StaticFiles;
use corelane_http::web::Routes;
use corelane_http::web::testing::{TestConfig, TestRequest, TestResponse, TestServer};

const DIGITS: &[u8] = b"0123456789";
const SECRET: &[u8] = b"SECRET";

/// Path, contents, time of change in seconds.
const FILES: [(&str, &[u8], u64); 9] = [
    ("index.html", b"<h1>home</h1>", 752_575_777),
    ("a", DIGITS, 752_575_777),
    ("a.gz", b"gzipped", 752_575_778),
    ("a.br", b"brotli", 700_000_000),
    ("empty", b"", 752_575_777),
    ("d/e.txt", b"beneath", 1),
    ("new", b"just now", 784_111_777),
    (".hidden", SECRET, 752_575_777),
    ("d/.git/config", SECRET, 752_575_777),
];

/// A target on the first line; on each further one a letter for the name of a field, and its value.
pub(crate) fn files(input: &[u8]) {
    let mut lines = input.split(|&byte| byte == b'\n');
    let target = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let mut request = TestRequest::get(&target);
    let mut asked = Vec::new();
    for line in lines.take(20) {
        let Some((letter, value)) = line.split_first() else { continue };
        let name = match letter {
            b'r' => "Range",
            b'i' => "If-Range",
            b'm' => "If-Match",
            b'n' => "If-None-Match",
            b's' => "If-Modified-Since",
            b'u' => "If-Unmodified-Since",
            b'e' => "Accept-Encoding",
            b'a' => "Accept",
            _ => continue,
        };
        request = request.header(name, value);
        asked.push(name);
    }
    let mut files = MemFiles::new();
    for (path, contents, modified) in FILES {
        files.add_at(0, path, contents.to_vec(), Nanos::from_secs(modified));
    }
    let site = StaticFiles::new(0).spa("index.html").expect("it is a path");
    let app = site.mount(Routes::new(), "").build().expect("the routes are right");
    let config = TestConfig { files: Box::new(files), ..TestConfig::default() };
    let mut server = TestServer::with(app, config);
    let Ok(first) = server.try_send(request.clone()) else { return };
    check(&first, &asked);
    // What is remembered answers alike.
    let again = server.try_send(request).expect("an answer, as the first time");
    assert_eq!((first.status(), first.field("ETag")), (again.status(), again.field("ETag")));
    if first.field("Content-Type").is_none_or(|kind| !kind.starts_with("multipart/")) {
        assert_eq!(first.body(), again.body());
    }
}

fn check(response: &TestResponse, asked: &[&str]) {
    let body = response.body();
    assert!(!contains(body, SECRET), "a hidden file was sent");
    match response.status() {
        200 => assert!(FILES.iter().any(|(_, contents, _)| *contents == body)),
        206 => {
            assert!(asked.contains(&"Range"));
            match response.field("Content-Range") {
                Some(range) => check_part(range, body),
                None => check_parts(response.field("Content-Type").unwrap_or_default(), body),
            }
        }
        301 => {
            let location = response.field("Location").expect("a redirection leads somewhere");
            assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
        }
        304 => {
            assert!(asked.contains(&"If-None-Match") || asked.contains(&"If-Modified-Since"));
            assert!(response.field("ETag").is_some() && body.is_empty());
        }
        412 => assert!(asked.contains(&"If-Match") || asked.contains(&"If-Unmodified-Since")),
        416 => {
            let range = response.field("Content-Range").unwrap_or_default();
            assert!(range.starts_with("bytes */"), "{range}");
        }
        status => assert!((400..500).contains(&status), "{status}"),
    }
}

/// A part holds the bytes that it says it holds.
fn check_part(range: &str, body: &[u8]) {
    let numbers = range.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
    let (range, len) = numbers.expect("a range of a known length");
    let (first, last) = range.split_once('-').expect("two positions");
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let (first, last, len) = (number(first), number(last), number(len));
    let is_part = |contents: &[u8]| {
        contents.len() == len && contents.get(first..last + 1).is_some_and(|part| part == body)
    };
    assert!(FILES.iter().any(|(_, contents, _)| is_part(contents)), "{range}/{len}");
}

fn check_parts(content_type: &str, body: &[u8]) {
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=");
    let boundary = boundary.expect("several ranges are parts");
    let text = String::from_utf8(body.to_vec()).expect("all files are text");
    let rest = text.strip_suffix(&format!("\r\n--{boundary}--\r\n")).expect("a last boundary");
    let mut parts = 0;
    let opening = format!("--{boundary}\r\n");
    for part in rest.split(&opening).skip(1) {
        let (head, contents) = part.split_once("\r\n\r\n").expect("a head of the part");
        let range = head.lines().find_map(|line| line.strip_prefix("Content-Range: "));
        let contents = contents.strip_suffix("\r\n").unwrap_or(contents);
        check_part(range.expect("each part says where it is from"), contents.as_bytes());
        parts += 1;
    }
    assert!((2..=16).contains(&parts), "{parts} parts");
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|part| part == word)
}
