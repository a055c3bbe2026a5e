use super::*;
use crate::content::{Produce, Produced, Sink};
use crate::web::{Endpoint, OwnedRequest, Request, Response, Routes};

/// Two chunks and a trailer; or half of that.
struct Story {
    fails: bool,
    told: u32,
}

impl Produce for Story {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        self.told += 1;
        sink.put(format!("chapter {}\n", self.told).as_bytes());
        match (self.fails, self.told) {
            (true, _) => Produced::Failed,
            (false, 1) => Produced::More,
            (false, _) => {
                assert!(sink.trailer("Chapters", b"2").is_ok());
                Produced::End
            }
        }
    }
}

fn server(config: TestConfig) -> TestServer<crate::web::App> {
    let story =
        |fails| move |_: &Request<'_>| Response::stream("text/plain", Story { fails, told: 0 });
    let echo = |request: &Request<'_>| {
        Response::bytes("application/octet-stream", request.body().to_vec())
    };
    let file = |request: &Request<'_>| {
        let mut files = request.files().expect("plain handlers have files");
        let (file, meta) = files.open(0, std::path::Path::new("a.txt")).expect("it was added");
        let content = crate::Content::File { file, offset: 0, len: meta.len };
        Response::bytes("text/plain", content)
    };
    let routes = Routes::new()
        .get("/story", story(false))
        .get("/broken", story(true))
        .get("/file", file)
        .post("/echo", echo);
    TestServer::with(routes.build().expect("the routes are right"), config)
}

#[test]
fn bodies_arrive_whole_however_they_are_sent() {
    let lossy = TestConfig { faults: Faults::LOSSLESS, seed: 5, ..TestConfig::default() };
    for config in [TestConfig::default(), lossy] {
        let mut server = server(config);
        let plain = TestRequest::post("/echo").body("hello");
        let chunked = TestRequest::post("/echo").chunked(&["hel", "lo"]).trailer("Sum", "1");
        let length = plain.bytes().len();
        let shapes = [
            plain.clone(),
            plain.clone().cut_every(1),
            plain.clone().cut_at(&[3, length - 5, length - 2]),
            plain.header("Connection", "close"),
            chunked.clone(),
            chunked.cut_every(7),
            TestRequest::post("/echo").http10().body("hello"),
        ];
        for request in shapes {
            let response = server.send(request.clone());
            assert_eq!((response.status(), response.text()), (200, "hello"), "{request:?}");
        }
    }
}

#[test]
fn streams_end_with_their_trailers_or_are_known_to_be_cut() {
    let mut server = server(TestConfig::default());
    let story = server.get("/story");
    assert_eq!(story.text(), "chapter 1\nchapter 2\n");
    assert_eq!((story.is_chunked(), story.trailer("chapters")), (true, Some("2")));
    let old = server.send(TestRequest::get("/story").http10());
    assert_eq!((old.text(), old.is_chunked()), ("chapter 1\nchapter 2\n", false));

    let error = server.try_send(TestRequest::get("/broken")).expect_err("it is cut");
    assert!(error.to_string().contains("no whole response to `GET /broken`"), "{error}");
    assert!(error.end.is_some());
}

#[test]
fn pipelined_responses_come_in_order_and_connections_are_given_back() {
    let mut server = server(TestConfig::default());
    let echo = |text: &str| TestRequest::post("/echo").body(text);
    let head = TestRequest::new("HEAD", "/story");
    let responses = server.pipeline(&[echo("one"), head, echo("three")]);
    let texts: Vec<&str> = responses.iter().map(TestResponse::text).collect();
    assert_eq!(texts, ["one", "", "three"]);
    assert_eq!(server.counter(HttpMetrics::REQUESTS, &[]), 3);
    assert!(server.lane().is_empty());
    assert!(server.exchange(b"rubbish\r\n\r\n").starts_with(b"HTTP/1.1 400 "));
}

#[test]
fn handlers_see_the_files_that_were_given() {
    let mut files = MemFiles::new();
    files.add(0, "a.txt", b"from memory".to_vec());
    let mut server = server(TestConfig { files: Box::new(files), ..TestConfig::default() });
    assert_eq!(server.get("/file").text(), "from memory");
}

#[test]
fn a_handler_that_never_answers_is_reported() {
    struct Silent;
    impl Handler for Silent {
        type Request = ();
        fn begin(&mut self, _: &corelane_parser::http1::Head<'_>, _: &mut crate::Context<'_>) {}
        fn reply(&mut self, (): (), reply: crate::Reply<'_>) -> crate::Replied {
            reply.later(1)
        }
    }
    let mut server = TestServer::new(Silent);
    let error = server.try_send(TestRequest::get("/")).expect_err("nothing comes");
    assert!(error.reason.ends_with("120 s of virtual time passed"), "{error}");
    assert_eq!(error.end, None);
}

#[test]
fn sleeping_handlers_take_virtual_time() {
    async fn nap(request: OwnedRequest) -> &'static str {
        request.lane().local().sleep(Nanos::from_secs(10)).await;
        "rested"
    }
    let routes = Routes::new().on("GET", "/nap", Endpoint::asynchronous(nap));
    let mut server = TestServer::new(routes.build().expect("the route is right"));
    let response = server.get("/nap");
    assert_eq!(response.text(), "rested");
    let took = response.took().as_millis();
    assert!((10_000..10_100).contains(&took), "{took} ms");
}
