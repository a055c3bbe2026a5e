//! The admin listener: `/health` and `/status`.

use serde_json::Value;

use crate::client::{Client, GET};
use crate::process::{Program, corelane, finish, scratch, wait_until};

/// What `/status` says.
pub(crate) struct Status(Value);

impl Status {
    pub(crate) fn of(program: &Program) -> Status {
        let response = program.admin().get("/status");
        assert_eq!(response.status, 200);
        assert_eq!(response.field("content-type"), Some("application/json"));
        assert_eq!(response.field("cache-control"), Some("no-store"));
        Status(serde_json::from_slice(&response.body).unwrap())
    }

    fn series(&self, kind: &str, name: &str, labels: &[(&str, &str)]) -> &Value {
        let all = self.0["metrics"][kind].as_array().unwrap();
        let found = all.iter().find(|series| {
            series["name"] == name
                && labels.iter().all(|(key, value)| series["labels"][*key] == *value)
        });
        found.unwrap_or_else(|| panic!("{name} is not among the {kind}"))
    }

    pub(crate) fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.series("counters", name, labels)["total"].as_u64().unwrap()
    }

    pub(crate) fn gauge(&self, name: &str) -> i64 {
        self.series("gauges", name, &[])["total"].as_i64().unwrap()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.counter("corelane_http_requests_total", &[])
    }

    /// Accepted connections of each loop.
    pub(crate) fn accepted(&self) -> Vec<u64> {
        let accepted = self.series("counters", "corelane_connections_accepted_total", &[]);
        accepted["per_loop"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
    }

    pub(crate) fn open(&self) -> u64 {
        self.0["connections"]["open"].as_u64().unwrap()
    }
}

#[test]
fn health_is_ok_while_serving_and_503_while_draining() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    assert_eq!(program.admin().get("/health").text(), "ok\n");
    let mut busy = program.connect();
    busy.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n1");
    wait_until("the request has arrived", || {
        Status::of(&program).counter("corelane_bytes_received_total", &[]) > 0
    });
    program.terminate();
    wait_until("the health changes", || program.admin().get("/health").status == 503);
    assert_eq!(program.admin().get("/health").text(), "stopping\n");
    assert_eq!(Status::of(&program).0["stopping"], true);
    assert_eq!(busy.ask("2").status, 200);
    assert_eq!(program.wait().code, Some(0));
}

#[test]
fn status_counts_what_was_sent() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0", "--max-connections", "1000"]);
    let mut client = program.connect();
    for _ in 0..10 {
        client.ask(GET);
    }
    client.send(GET.repeat(16));
    for _ in 0..16 {
        client.response();
    }
    let mut refused = program.connect();
    assert_eq!(refused.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    refused.ends();
    drop(refused);
    wait_until("the refused connection is closed", || {
        let status = Status::of(&program);
        status.counter("corelane_connections_accepted_total", &[]) == 2 && status.open() == 1
    });

    let status = Status::of(&program);
    assert_eq!(status.requests(), 26);
    let responses = |class| status.counter("corelane_http_responses_total", &[("class", class)]);
    assert_eq!((responses("2xx"), responses("4xx"), responses("5xx")), (26, 1, 0));
    let rule = [("rule", "host-missing")];
    assert_eq!(status.counter("corelane_http_refusals_total", &rule), 1);
    assert_eq!(status.counter("corelane_connections_accepted_total", &[]), 2);
    let latency = status.series("histograms", "corelane_http_latency_nanoseconds", &[]);
    assert_eq!(latency["count"], 26);
    assert!(latency["p50"].as_u64() <= latency["max"].as_u64());
    assert!(latency["max"].as_u64().unwrap() > 0);

    let root = &status.0;
    assert_eq!(root["name"], "corelane");
    assert_eq!(root["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(root["lanes"], 1);
    assert_eq!(root["lane_restarts"], 0);
    assert_eq!(root["stopping"], false);
    assert_eq!(root["connections"]["limit"], 1000);
    assert_eq!(root["addresses"][0], program.address().to_string());
    assert!(root["metrics"]["process"]["memory_resident_bytes"].as_u64().unwrap() > 0);
    program.stop();
}

#[test]
fn only_these_pages_and_only_to_read() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let mut client = program.admin();
    assert_eq!(client.get("/").status, 404);
    assert_eq!(client.get("/health/").status, 404);
    assert_eq!(client.get("/health?verbose").status, 200);
    let refused = client.ask("DELETE /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    client.send("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.head().field("content-length"), Some("3"));
    // The admin's own requests are not the server's.
    assert_eq!(Status::of(&program).requests(), 0);
    program.stop();
}

#[test]
fn the_log_level_can_be_changed() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let refuse = || {
        let mut client = program.connect();
        assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
        client.ends();
    };
    let mut admin = program.admin();
    let mut put = |filter: &str| {
        let length = filter.len();
        admin.ask(format!(
            "PUT /log-level HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{filter}"
        ))
    };
    refuse();
    assert_eq!(put("warn,corelane_http=debug\n").text(), "warn,corelane_http=debug\n");
    refuse();
    for (wrong, why) in [
        ("", "empty; write one of off"),
        ("inof", "`inof` is no level"),
        ("\u{7f}", "is no level"),
        (&"x".repeat(5000), "longer than 1024 bytes"),
    ] {
        let response = put(wrong);
        assert_eq!(response.status, 400, "{wrong}");
        assert!(response.text().contains(why), "{}", response.text());
    }
    // What is wrong changes nothing.
    assert_eq!(program.admin().get("/log-level").text(), "warn,corelane_http=debug\n");
    assert_eq!(Status::of(&program).0["log"]["level"], "warn,corelane_http=debug");
    assert_eq!(put("off").status, 200);
    refuse();
    let refused = program.admin().ask("DELETE /log-level HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, OPTIONS, PUT")));
    program.terminate();
    let stderr = program.wait().stderr;
    assert_eq!(stderr.matches("host-missing").count(), 1, "{stderr}");
}

#[test]
fn on_a_unix_socket() {
    let path = scratch("admin.sock");
    let program = Program::fixed(&["--admin", &format!("unix:{}", path.display())]);
    assert_eq!(Client::connect_unix(&path).get("/health").text(), "ok\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    program.stop();
    assert!(!path.exists(), "the socket's file is removed at the end");
}

#[test]
fn metrics_json_tells_all_and_which_start_it_is_of() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let read =
        || -> Value { serde_json::from_slice(&program.admin().get("/metrics.json").body).unwrap() };
    let before = read();
    for _ in 0..5 {
        program.connect().ask(GET);
    }
    let latency = |all: &Value| {
        let histograms = all["histograms"].as_array().unwrap().clone();
        histograms.into_iter().find(|h| h["name"] == "corelane_http_latency_nanoseconds").unwrap()
    };
    wait_until("all latencies are there", || latency(&read())["count"] == 5);
    let after = read();
    assert_eq!(after["instance"], before["instance"]);
    assert_eq!(after["instance"].as_str().unwrap().len(), 16);
    assert!(after["at_unix_ms"].as_u64() >= before["at_unix_ms"].as_u64());
    assert!(after["uptime_seconds"].as_f64() > before["uptime_seconds"].as_f64());
    assert_eq!(
        (&after["name"], &after["loops"], &after["stopping"]),
        (&"corelane".into(), &1.into(), &false.into())
    );
    let buckets = latency(&after)["buckets"].as_array().unwrap().clone();
    let number = |bucket: &Value, at: usize| bucket[at].as_u64().unwrap();
    assert_eq!(buckets.iter().map(|bucket| number(bucket, 2)).sum::<u64>(), 5);
    assert!(
        buckets
            .iter()
            .all(|bucket| number(bucket, 0) <= number(bucket, 1) && number(bucket, 2) > 0)
    );
    // Large answers are compressed for whoever takes that.
    let zipped = program
        .admin()
        .ask("GET /metrics.json HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
    assert_eq!(zipped.field("content-encoding"), Some("gzip"));
    program.stop();
    let other = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let other_start: Value =
        serde_json::from_slice(&other.admin().get("/metrics.json").body).unwrap();
    assert_ne!(other_start["instance"], after["instance"], "another start is another instance");
    other.stop();
}

#[test]
fn other_names_that_point_here_get_nothing() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:9080", 200),
        ("[::1]", 200),
        ("attacker.example", 421),
        ("127.0.0.1.attacker.example:9080", 421),
    ] {
        for (method, path) in [("GET", "/health"), ("PUT", "/log-level")] {
            let (length, body) = if method == "PUT" { (4, "info") } else { (0, "") };
            let response = program.admin().ask(format!(
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            assert_eq!(response.status, status, "{method} {host}: {}", response.text());
            assert!(response.field("access-control-allow-origin").is_none());
        }
    }
    program.stop();
}

#[test]
fn pages_of_other_sites_change_nothing() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let ask = |method: &str, path: &str, fields: &str, body: &str| {
        let length = body.len();
        let response = program.admin().ask(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:9080\r\n{fields}Content-Length: {length}\r\n\r\n\
             {body}"
        ));
        response.status
    };
    let foreign = [
        "Origin: http://attacker.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:3000\r\n",
        "Origin: http://localhost:9080.attacker.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: none\r\nOrigin: https://attacker.example\r\n",
    ];
    for (number, fields) in foreign.into_iter().enumerate() {
        let peer = format!("127.0.0.1:{}", 4_000 + number);
        assert_eq!(ask("POST", "/traces", fields, &peer), 403, "{fields}");
        assert_eq!(ask("PUT", "/log-level", fields, "off"), 403, "{fields}");
        assert_eq!(ask("GET", "/health", fields, ""), 200, "links may lead here: {fields}");
    }
    assert_eq!(program.admin().get("/log-level").text(), "info\n");
    let own = [
        "",
        "Origin: http://localhost:9080\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
    ];
    for (number, fields) in own.into_iter().enumerate() {
        let peer = format!("127.0.0.1:{}", 5_000 + number);
        assert_eq!(ask("POST", "/traces", fields, &peer), 201, "{fields}");
        assert_eq!(ask("PUT", "/log-level", fields, "info"), 200, "{fields}");
    }
    program.stop();
}

#[test]
fn one_token_not_two() {
    const TOKEN: &str = "3fzK9vWqLr0uX2bN";
    let file = scratch("admin-token-besides");
    std::fs::write(&file, TOKEN).unwrap();
    let (path, folder) = (file.to_str().unwrap(), std::env::temp_dir());
    for command in
        [&["fixed"][..], &["echo"], &["broadcast"], &["static", folder.to_str().unwrap()]]
    {
        let options = ["--port", "0", "--admin", "127.0.0.1:0", "--admin-token-file", path];
        let mut command = corelane(&[command, &options[..]].concat());
        command.env("CORELANE_ADMIN_TOKEN", TOKEN);
        let finished = finish(command);
        // Wrong usage, or a wrong configuration.
        assert!(matches!(finished.code, Some(2 | 78)), "{finished:?}");
        let told = finished.stderr.contains("besides") && finished.stderr.contains("leave out one");
        assert!(told && !finished.stderr.contains(TOKEN), "{}", finished.stderr);
    }
    std::fs::remove_file(file).unwrap();
}

/// An answer with this token shown, or none.
fn ask_with(client: &mut Client, path: &str, token: Option<&str>) -> crate::client::Response {
    let field = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    client.ask(format!("GET {path} HTTP/1.1\r\nHost: metrics.example\r\n{field}\r\n"))
}

#[test]
fn beyond_loopback_whoever_asks_shows_a_token() {
    const TOKEN: &str = "3fzK9vWqLr0uX2bN";
    let file = scratch("admin-token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let from_file = Program::fixed_command(&[
        "--admin",
        "0.0.0.0:0",
        "--admin-token-file",
        file.to_str().unwrap(),
    ]);
    let mut from_variable = Program::fixed_command(&["--admin", "127.0.0.1:0"]);
    from_variable.env("CORELANE_ADMIN_TOKEN", TOKEN);
    for command in [from_file, from_variable] {
        let program = Program::start(command);
        for (token, status) in [
            (Some(TOKEN), 200),
            (None, 401),
            (Some("3fzK9vWqLr0uX2bM"), 401),
            (Some("3fzK9vWqLr0uX2b"), 401),
            (Some("not a token"), 400),
        ] {
            for path in ["/health", "/metrics.json", "/nothing"] {
                let response = ask_with(&mut program.admin(), path, token);
                let expected = if status == 200 && path == "/nothing" { 404 } else { status };
                assert_eq!(response.status, expected, "{path} {token:?}");
                assert!(!response.text().contains(TOKEN));
                let why = match (token, status) {
                    (Some(_), 401) => "the token is not accepted: it is not the one of this server",
                    (None, _) => "a token is needed",
                    _ => "",
                };
                assert!(response.text().contains(why), "{}", response.text());
            }
        }
        let announced = program.announcement.clone();
        program.terminate();
        let finished = program.wait();
        assert!(!(announced + &finished.stderr).contains(TOKEN), "the token is not told");
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_heat_map_has_every_latency_in_its_second() {
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let read = |query: &str| -> Value {
        serde_json::from_slice(&program.admin().get(&format!("/heat.json{query}")).body).unwrap()
    };
    let count = |heat: &Value| -> u64 {
        let columns = heat["columns"].as_array().unwrap().iter();
        let counts = columns.flat_map(|column| column["counts"].as_array().unwrap());
        counts.map(|count| count[1].as_u64().unwrap()).sum()
    };
    let mut client = program.connect();
    for _ in 0..20 {
        client.ask(GET);
    }
    wait_until("the second is over", || count(&read("")) == 20);
    let heat = read("");
    assert_eq!((&heat["unit"], &heat["column_ms"]), (&"nanoseconds".into(), &1000.into()));
    let status: Value = serde_json::from_slice(&program.admin().get("/metrics.json").body).unwrap();
    assert_eq!(heat["instance"], status["instance"]);
    let last = heat["columns"].as_array().unwrap().last().unwrap()["at_unix_ms"].clone();
    assert_eq!(count(&read(&format!("?since={last}"))), 0, "only what begins after that");
    assert_eq!(count(&read("?since=0")), 20);
    assert_eq!(program.admin().get("/heat.json?since=yesterday").status, 400);
    program.stop();
}
