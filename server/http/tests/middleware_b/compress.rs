//! What is compressed, and that it is what it was.

use std::io::Read;

use corelane_eventloop::{File, Nanos};
use corelane_http::middleware::Compress;
use corelane_http::negotiate::Encoding;
use corelane_http::web::testing::{TestRequest, TestServer};
use corelane_http::web::{App, Endpoint, OwnedRequest, Request, Response, Routes};
use corelane_http::{Content, Produce, Produced, Sink};
use corelane_mempool::Shared;

/// Text that compresses, and repeats nothing as a whole.
fn text(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = ["lane ", "loop ", "wheel ", "{\"id\": ", "token, "][(state >> 24) as usize % 5];
        text.extend_from_slice(word.as_bytes());
        text.extend_from_slice(format!("{} ", state >> 20).as_bytes());
    }
    text.truncate(bytes);
    text
}

fn decode(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = match encoding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
        other => panic!("not asked for {other}"),
    };
    read.unwrap_or_else(|error| panic!("{encoding}: {error}"));
    out
}

/// Makes the text piece by piece, by every means a sink has; then adds a trailer.
struct Pieces {
    text: Vec<u8>,
    at: usize,
}

impl Produce for Pieces {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        let piece = (self.at * 7 + 1).min(20_000).min(self.text.len() - self.at);
        let bytes = &self.text[self.at..self.at + piece];
        let file = |bytes: &[u8]| {
            let len = bytes.len() as u64;
            Content::File { file: File::from_memory(bytes.to_vec()), offset: 0, len }
        };
        match self.at % 3 {
            0 => sink.put(bytes),
            1 => sink.push(Content::Parts(vec![file(&[]), Content::Empty, file(bytes)])),
            _ => sink.push(Content::Shared(Shared::from(bytes.to_vec()))),
        }
        self.at += piece;
        if self.at < self.text.len() {
            return Produced::More;
        }
        sink.trailer("Checked", b"yes").unwrap();
        Produced::End
    }
}

const KINDS: [&str; 6] = ["bytes", "shared", "file", "parts", "stream", "later"];

fn content(kind: &str, bytes: usize) -> Content {
    let text = text(bytes);
    let before = [b"not sent", &text[..]].concat();
    let file = |part: &[u8]| {
        let before = [b"not sent", part, b"nor this"].concat();
        Content::File { file: File::from_memory(before), offset: 8, len: part.len() as u64 }
    };
    match kind {
        "shared" => Content::Shared(Shared::from(before).slice(8..)),
        "file" => file(&text),
        "parts" => {
            let (first, second) = text.split_at(bytes / 3);
            let second = Content::Parts(vec![file(second), Content::Empty]);
            Content::Parts(vec![first.to_vec().into(), second])
        }
        "stream" => Content::Stream(Box::new(Pieces { text, at: 0 })),
        _ => Content::Bytes(text),
    }
}

fn of_kind(request: &Request<'_>) -> Response {
    let kind = request.params().get("kind").unwrap();
    let bytes = request.params().get("bytes").unwrap().parse().unwrap();
    Response::bytes("text/plain; charset=utf-8", content(&kind, bytes))
        .with("ETag", "\"1\"")
        .with("Accept-Ranges", "bytes")
}

fn app(compress: Compress) -> App {
    let later = async |request: OwnedRequest| {
        request.lane().local().sleep(Nanos::from_millis(5)).await;
        of_kind(&request.view())
    };
    Routes::new()
        .get("/{kind}/{bytes}", of_kind)
        .on("GET", "/later/{kind}/{bytes}", Endpoint::asynchronous(later))
        .with(compress)
        .build()
        .unwrap()
}

fn ask(target: &str, accept: &str) -> TestRequest {
    TestRequest::get(target).header("Accept-Encoding", accept)
}

#[test]
fn every_kind_of_content_by_every_coding_is_what_it_was() {
    let mut server = TestServer::new(app(Compress::new()));
    for kind in KINDS.into_iter().chain(["later/file", "later/stream"]) {
        for bytes in [2000, 64 * 1024, 300_000] {
            for coding in ["gzip", "br", "zstd"] {
                let target = format!("/{kind}/{bytes}");
                let response = server.send(ask(&target, coding));
                assert_eq!(response.field("Content-Encoding"), Some(coding), "{target}");
                assert_eq!(decode(coding, response.body()), text(bytes), "{target} {coding}");
                assert!(response.body().len() < bytes / 2, "{target} {coding}");
                assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
                assert_eq!(response.field("ETag"), Some("W/\"1\""));
                assert_eq!(response.field("Accept-Ranges"), None);
                // Files are out of reach where a future has answered.
                let in_pieces =
                    bytes > 64 * 1024 || kind.contains("stream") || kind == "later/file";
                assert_eq!(response.is_chunked(), in_pieces, "{target}");
                let trailer = kind.contains("stream").then_some("yes");
                assert_eq!(response.trailer("Checked"), trailer, "{target}");
                assert_eq!(response.status(), 200);
            }
        }
    }
}

#[test]
fn head_says_what_get_says() {
    let mut server = TestServer::new(app(Compress::new()));
    for kind in KINDS {
        for bytes in [500, 5000, 100_000] {
            let target = format!("/{kind}/{bytes}");
            let fields = |request: TestRequest, server: &mut TestServer<App>| {
                let response = server.send(request.header("Accept-Encoding", "gzip"));
                let all = response.fields().map(|(name, value)| (name.to_owned(), value.to_vec()));
                all.filter(|(name, _)| name != "Date").collect::<Vec<_>>()
            };
            let get = fields(TestRequest::get(&target), &mut server);
            let head = fields(TestRequest::new("HEAD", &target), &mut server);
            assert_eq!(get, head, "{target}");
        }
    }
}

#[test]
fn an_old_client_gets_the_same_until_the_connection_closes() {
    let mut server = TestServer::new(app(Compress::new()));
    let response = server.send(ask("/bytes/300000", "zstd").http10());
    assert_eq!(decode("zstd", response.body()), text(300_000));
    assert!(!response.is_chunked());
}

/// Answers with what the query says: `status=…&Field=value&…`, and 4000 bytes of text.
fn as_asked(request: &Request<'_>) -> Response {
    let mut response = Response::bytes("text/html", text(4000));
    for pair in request.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        let value = value.replace("%20", " ").replace("%22", "\"");
        match name {
            "status" => response = response.with_status(value.parse().unwrap()),
            "bytes" => *response.content_mut() = text(value.parse().unwrap()).into(),
            "noise" => *response.content_mut() = noise(value.parse().unwrap()).into(),
            _ => response.set(name, value),
        }
    }
    response
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn what_is_compressed_and_what_says_vary() {
    let compress = Compress::new().exclude("/private");
    let app = Routes::new().get("/{*path}", as_asked).with(compress).build().unwrap();
    let mut server = TestServer::new(app);
    let all = "gzip, br, zstd";
    let (yes, vary, no) = ((true, true), (false, true), (false, false));
    let cases = [
        // By what the client accepts; zstd is the cheapest.
        ("/a", all, yes),
        ("/a", "zstd;q=0.5, gzip;q=0.4", yes),
        ("/a", "", vary),
        ("/a", "identity", vary),
        ("/a", "identity;q=0, gzip;q=0", vary),
        ("/a", "deflate", vary),
        ("/a", "zstd;q=0", vary),
        // By type.
        ("/a?Content-Type=text/css;charset=x", all, yes),
        ("/a?Content-Type=application/problem%2Bjson", all, no),
        ("/a?Content-Type=application/problem+json", all, yes),
        ("/a?Content-Type=APPLICATION/JSON", all, yes),
        ("/a?Content-Type=image/png", all, no),
        ("/a?Content-Type=image/svg+xml", all, yes),
        ("/a?Content-Type=application/octet-stream", all, no),
        // By length.
        ("/a?bytes=1024", all, yes),
        ("/a?bytes=1023", all, no),
        ("/a?noise=4000", all, vary),
        // By what else the response says.
        ("/a?Content-Encoding=x-special", all, no),
        ("/a?Content-Encoding=identity", all, no),
        ("/a?Cache-Control=max-age=5,%20No-Transform", all, no),
        ("/a?Cache-Control=public", all, yes),
        ("/a?status=404", all, yes),
        // A part varies as the whole would.
        ("/a?status=206&Content-Range=bytes%200-3999/5000", all, vary),
        ("/a?status=206&Content-Range=bytes%200-3/500", all, no),
        ("/a?status=206&Content-Range=bytes%200-3999/5000&Content-Type=image/png", all, no),
        ("/a?status=206&Content-Type=multipart/byteranges;%20boundary=x", all, vary),
        ("/a?status=204&bytes=0", all, no),
        ("/a?status=304&bytes=0", all, vary),
        ("/private/a", all, no),
        ("/publicly/private", all, yes),
    ];
    for (target, accept, (compressed, varies)) in cases {
        let response = server.send(ask(target, accept));
        let context = format!("{target} for {accept}");
        let coding = response.field("Content-Encoding").filter(|coding| *coding == "zstd");
        assert_eq!(coding.is_some(), compressed, "{context}");
        assert_eq!(response.field("Vary").is_some(), varies, "{context}");
        assert!(response.status() < 500, "{context}");
        if compressed {
            assert!(text(4000).starts_with(&decode("zstd", response.body())), "{context}");
        }
    }
    let response = server.send(ask("/a?Vary=Origin&ETag=W/%22x%22&Digest=x", "br"));
    assert_eq!(response.field("Vary"), Some("Origin, Accept-Encoding"));
    assert_eq!(response.field("ETag"), Some("W/\"x\""), "weak already");
    assert_eq!(response.field("Digest"), None);
}

#[test]
fn a_304_is_about_what_the_client_holds() {
    let app = Routes::new().get("/", as_asked).with(Compress::new()).build().unwrap();
    let mut server = TestServer::new(app);
    let target = "/?status=304&bytes=0&ETag=%22x%22";
    for (held, etag) in
        [("W/\"x\"", "W/\"x\""), ("\"x\"", "\"x\""), ("W/\"y\", W/\"x\"", "W/\"x\"")]
    {
        let response = server.send(ask(target, "gzip").header("If-None-Match", held));
        assert_eq!(response.field("ETag"), Some(etag), "{held}");
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"), "{held}");
    }
}

#[test]
fn options_are_checked_and_followed() {
    assert!(Compress::new().types(["text/html", "application/*+json", "*"]).is_ok());
    for bad in ["html", "text/", "*/html", "text/*a*", "text /html", ""] {
        assert!(Compress::new().types([bad]).is_err(), "{bad}");
    }
    for (encoding, level) in [
        (Encoding::Gzip, 0),
        (Encoding::Gzip, 10),
        (Encoding::Brotli, 10),
        (Encoding::Zstd, 0),
        (Encoding::Zstd, 13),
        (Encoding::Identity, 1),
    ] {
        assert!(Compress::new().level(encoding, level).is_err(), "{encoding:?} {level}");
    }
    let size = |coding, level| {
        let compress = Compress::new().level(coding, level).unwrap().encodings(&[coding]);
        let mut server = TestServer::new(app(compress.types(["*"]).unwrap().min_bytes(10)));
        let response = server.send(ask("/bytes/60000", "br, gzip, zstd"));
        assert_eq!(decode(coding.as_str(), response.body()), text(60_000));
        let short = server.send(ask("/bytes/100", "br, zstd, gzip"));
        assert_eq!(short.field("Vary"), Some("Accept-Encoding"));
        response.body().len()
    };
    for (coding, most) in [(Encoding::Gzip, 9), (Encoding::Brotli, 9), (Encoding::Zstd, 12)] {
        assert!(size(coding, most) < size(coding, 1), "{coding:?}");
    }
}

/// What has been received of a chunked body so far.
fn chunks(received: &[u8]) -> Vec<u8> {
    let head = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut rest = &received[head..];
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    body
}

/// What can be read of a body that is not all there.
fn decode_begun(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut decoder: Box<dyn Read> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
    };
    let (mut out, mut byte) = (Vec::new(), [0]);
    while let Ok(1) = decoder.read(&mut byte) {
        out.push(byte[0]);
    }
    out
}

#[test]
fn events_arrive_when_they_are_sent() {
    let events = async |request: OwnedRequest| {
        let lane = request.lane().clone();
        let (mut writer, content) = lane.channel(1000);
        lane.clone().spawn(async move {
            for number in 0..3 {
                if writer.write(format!("data: {number}\n\n").into_bytes()).await.is_err() {
                    return;
                }
                lane.local().sleep(Nanos::from_secs(1)).await;
            }
            writer.finish();
        });
        Response::bytes("text/event-stream", content)
    };
    for coding in ["gzip", "br", "zstd"] {
        let endpoint = Endpoint::asynchronous(events);
        let app = Routes::new().on("GET", "/", endpoint).with(Compress::new()).build().unwrap();
        let mut server = TestServer::new(app);
        let client = server.connect();
        server.world().send(client, &ask("/", coding).bytes());
        let mut due = String::new();
        for number in 0..3 {
            server.pass(Nanos::from_millis(500));
            due += &format!("data: {number}\n\n");
            let body = chunks(&server.world().received(client));
            assert_eq!(String::from_utf8(decode_begun(coding, &body)).unwrap(), due, "{coding}");
            server.pass(Nanos::from_millis(500));
        }
        server.pass(Nanos::from_millis(500));
        let received = server.world().received(client);
        assert!(received.ends_with(b"\r\n0\r\n\r\n"), "{}", received.escape_ascii());
        assert_eq!(decode(coding, &chunks(&received)), due.as_bytes());
    }
}

#[test]
fn a_file_that_shrank_ends_the_connection_and_not_the_body() {
    let shrunk = |request: &Request<'_>| {
        let promised = request.params().get("bytes").unwrap().parse().unwrap();
        let file = File::from_memory(text(50_000));
        Response::bytes("text/plain", Content::File { file, offset: 0, len: promised })
    };
    let app = Routes::new().get("/{bytes}", shrunk).with(Compress::new()).build().unwrap();
    let mut server = TestServer::new(app);
    for promised in [50_001, 64 * 1024, 100_000] {
        for coding in ["gzip", "br", "zstd"] {
            let answer = server.try_send(ask(&format!("/{promised}"), coding));
            let error = answer.map(|response| response.body().len()).unwrap_err();
            assert!(error.end.is_some(), "{error}");
            assert!(!error.received.ends_with(b"0\r\n\r\n"), "{promised} {coding}");
        }
    }
    assert_eq!(decode("gzip", server.send(ask("/50000", "gzip")).body()), text(50_000));
}

#[test]
fn encoders_in_use_are_limited_and_come_back_when_clients_leave() {
    for coding in ["gzip", "br", "zstd"] {
        let mut server = TestServer::new(app(Compress::new().streams_max(2)));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let client = server.connect();
                server.world().set_reading(client, false);
                server.world().send(client, &ask("/bytes/8000000", coding).bytes());
                client
            })
            .collect();
        server.pass(Nanos::from_millis(50));
        let third = server.send(ask("/bytes/300000", coding));
        assert_eq!(third.field("Content-Encoding"), None, "{coding}");
        assert_eq!(third.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(third.body(), text(300_000));
        let small = server.send(ask("/bytes/3000", coding));
        assert_eq!(small.field("Content-Encoding"), Some(coding), "at once it always works");
        // At the latest when they are found to be slow readers.
        readers.into_iter().for_each(|reader| server.world().reset(reader));
        server.pass(Nanos::from_secs(10));
        assert_eq!(server.lane().len(), 0);
        let fourth = server.send(ask("/bytes/300000", coding));
        assert_eq!(decode(coding, fourth.body()), text(300_000));
    }
}
