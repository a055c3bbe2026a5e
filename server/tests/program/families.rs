//! What the server counts: each figure moves for its cause, and families agree with each other.

use std::net::SocketAddr;

use corelane_metrics::expose::prometheus::{Format, lint};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Client, Response};
use crate::process::{Program, Scratch, corelane, wait_until};

/// All figures at one time.
struct Figures(Value);

impl Figures {
    fn of(program: &Program) -> Figures {
        Figures(serde_json::from_slice(&program.admin().get("/metrics.json").body).unwrap())
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        ["counters", "gauges", "histograms"]
            .into_iter()
            .flat_map(|kind| self.0[kind].as_array().unwrap())
            .filter(move |series| series["name"] == name)
    }

    /// The sum of the series of a family that have this value of its label, or of all for `*`. Of
    /// histograms, how many values they have.
    fn sum(&self, name: &str, label: &str) -> u64 {
        let is = |series: &&Value| {
            label == "*" || series["labels"].as_object().unwrap().values().any(|v| v == label)
        };
        let number = |series: &Value| series.get("total").unwrap_or(&series["count"]).as_u64();
        self.series(name).filter(is).map(|series| number(series).unwrap()).sum()
    }

    fn per_loop(&self, name: &str) -> u64 {
        let loops = self.series(name).flat_map(|series| series["per_loop"].as_array().unwrap());
        loops.map(|value| value.as_u64().unwrap()).sum()
    }
}

/// Two listeners, two loops, and a page that is larger than what the kernel takes at once; impatient or
/// not, and perhaps with another route.
fn site(impatient: bool, extra_route: bool) -> Vec<u8> {
    let mut routes = vec![
        json!({ "path": "/hello", "fixed": { "body": "hello" } }),
        json!({ "path": "/items/{id}", "name": "items", "fixed": { "status": 404 } }),
        json!({ "path": "/old", "redirect": { "to": "/hello" } }),
        json!({ "path": "/large", "fixed": { "body": "x".repeat(900_000) } }),
    ];
    if extra_route {
        routes.push(json!({ "path": "/new", "fixed": { "body": "new" } }));
    }
    let mut config = json!({
        "listeners": ["127.0.0.1:0", "127.0.0.1:0"],
        "workers": 2,
        "pin": false,
        "admin": "127.0.0.1:0",
        "metrics": { "statsd": null },
        "limits": { "max_unsent": "4K" },
        "routes": routes,
    });
    if impatient {
        config["timeouts"] = json!({ "head": "100ms", "idle": "300ms", "rate_grace": "100ms" });
    }
    config.to_string().into_bytes()
}

fn serve(file: &Scratch) -> Program {
    Program::start(corelane(&["serve", "--config", file.path()]))
}

fn ask(address: SocketAddr, request: &str) -> Response {
    Client::connect(address).ask(format!("{request}Host: test\r\n\r\n"))
}

/// One cause, and what it moves by how much at least: the series' name, the value of its label or `*`,
/// and the growth.
struct Cause<'a> {
    what: &'static str,
    act: &'a dyn Fn(),
    moves: &'a [(&'a str, &'a str, u64)],
    /// Families that must not move.
    stays: &'a [&'a str],
}

const REQUESTS: &str = "corelane_http_requests_total";
const ROUTES: &str = "corelane_http_route_requests_total";
const METHODS: &str = "corelane_http_method_requests_total";
const LISTENERS: &str = "corelane_http_listener_requests_total";
const RESPONSES: &str = "corelane_http_responses_total";
const TIMEOUTS: &str = "corelane_http_timeouts_total";
const LATENCY: &str = "corelane_http_latency_nanoseconds";
const ROUTE_LATENCY: &str = "corelane_http_route_latency_nanoseconds";
const CLASS_LATENCY: &str = "corelane_http_class_latency_nanoseconds";

#[test]
#[allow(clippy::too_many_lines, reason = "nearly all of it is a table")]
fn each_figure_moves_for_its_cause() {
    let file = Scratch::new("families.json", &site(true, false));
    let program = serve(&file);
    let addresses: Vec<SocketAddr> =
        program.addresses().iter().map(|address| address.parse().unwrap()).collect();
    let (first, second) = (addresses[0], addresses[1]);
    let second_name = second.to_string();
    let causes = [
        Cause {
            what: "a page",
            act: &|| assert_eq!(ask(first, "GET /hello HTTP/1.1\r\n").status, 200),
            moves: &[
                (REQUESTS, "*", 1),
                (ROUTES, "/hello", 1),
                (METHODS, "GET", 1),
                (LISTENERS, &first.to_string(), 1),
                (RESPONSES, "2xx", 1),
                (LATENCY, "*", 1),
                (ROUTE_LATENCY, "/hello", 1),
                (CLASS_LATENCY, "2xx", 1),
                ("corelane_connections_accepted_total", "*", 1),
                ("corelane_connections_closed_total", "finished", 1),
                ("corelane_bytes_received_total", "*", 30),
                ("corelane_bytes_sent_total", "*", 100),
                ("corelane_loop_turns_total", "*", 1),
                ("corelane_loop_turn_nanoseconds", "*", 1),
                ("corelane_loop_busy_nanoseconds_total", "*", 1),
                ("corelane_loop_events_total", "*", 1),
            ],
            stays: &["corelane_http_refusals_total", TIMEOUTS],
        },
        Cause {
            what: "a page from the other listener, by another method",
            act: &|| assert_eq!(ask(second, "DELETE /items/7 HTTP/1.1\r\n").status, 404),
            moves: &[
                (ROUTES, "items", 1),
                (METHODS, "DELETE", 1),
                (LISTENERS, &second_name, 1),
                (RESPONSES, "4xx", 1),
                (CLASS_LATENCY, "4xx", 1),
            ],
            stays: &["corelane_http_refusals_total"],
        },
        Cause {
            what: "a method that nobody knows",
            act: &|| _ = ask(first, "BREW /hello HTTP/1.1\r\n"),
            moves: &[(METHODS, "other", 1), (REQUESTS, "*", 1)],
            stays: &[],
        },
        Cause {
            what: "a redirection",
            act: &|| assert_eq!(ask(first, "GET /old HTTP/1.1\r\n").status / 100, 3),
            moves: &[(RESPONSES, "3xx", 1), (ROUTES, "/old", 1)],
            stays: &[],
        },
        Cause {
            what: "paths that are not there",
            act: &|| {
                for path in ["/hostile", "/..%2f", "/%7Bid%7D", "/hello/", "/%22%5c", "/other"] {
                    assert_eq!(ask(first, &format!("GET {path} HTTP/1.1\r\n")).status, 404);
                }
            },
            moves: &[(ROUTES, "none", 6), (ROUTE_LATENCY, "none", 6), (RESPONSES, "4xx", 6)],
            stays: &[],
        },
        Cause {
            what: "a request without a host",
            act: &|| {
                let mut client = Client::connect(first);
                assert_eq!(client.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
            },
            moves: &[("corelane_http_refusals_total", "host-missing", 1), (RESPONSES, "4xx", 1)],
            stays: &[REQUESTS, ROUTES, METHODS, LATENCY],
        },
        Cause {
            what: "half a head",
            act: &|| {
                let mut client = Client::connect(first);
                assert_eq!(client.ask("GET / HTTP/1.1\r\nHo").status, 408);
            },
            moves: &[
                (TIMEOUTS, "head", 1),
                ("corelane_http_refusals_total", "head-timeout", 1),
                ("corelane_loop_timers_total", "*", 1),
            ],
            stays: &[REQUESTS],
        },
        Cause {
            what: "half a body",
            act: &|| {
                let mut client = Client::connect(first);
                let half = "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234";
                client.ask(half);
            },
            moves: &[(TIMEOUTS, "body", 1), ("corelane_http_refusals_total", "body-timeout", 1)],
            stays: &[REQUESTS],
        },
        Cause {
            what: "a connection without a request",
            act: &|| Client::connect(first).ends(),
            moves: &[(TIMEOUTS, "idle", 1)],
            stays: &[REQUESTS, RESPONSES],
        },
        Cause {
            what: "a client that leaves in the middle of its answer",
            act: &|| {
                let mut client = Client::connect(first);
                client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
                let mut some = [0; 1000];
                std::io::Read::read_exact(&mut client.stream, &mut some).unwrap();
                drop(client);
            },
            moves: &[
                ("corelane_http_unsent_total", "*", 1),
                (REQUESTS, "*", 1),
                ("corelane_connections_closed_total", "lost", 1),
            ],
            stays: &[LATENCY, ROUTE_LATENCY, CLASS_LATENCY],
        },
        Cause {
            what: "a configuration that is wrong",
            act: &|| {
                file.replace(b"{ \"routes\": 7 }");
                program.signal(Signal::HUP);
            },
            moves: &[("corelane_config_reloads_total", "failure", 1)],
            stays: &["corelane_config_generation"],
        },
        Cause {
            what: "a configuration that is right, with another route",
            act: &|| {
                file.replace(&site(true, true));
                program.signal(Signal::HUP);
                wait_until("the route is there", || {
                    ask(first, "GET /new HTTP/1.1\r\n").status == 200
                });
            },
            moves: &[
                ("corelane_config_reloads_total", "success", 1),
                ("corelane_config_generation", "*", 1),
                (ROUTES, "/new", 1),
            ],
            stays: &[],
        },
    ];
    let mut before = Figures::of(&program);
    for Cause { what, act, moves, stays } in causes {
        act();
        let grown = |after: &Figures, (name, label, by): (&str, &str, u64)| {
            after.sum(name, label) >= before.sum(name, label) + by
        };
        wait_until(&format!("{what} is counted"), || {
            let after = Figures::of(&program);
            moves.iter().all(|growth| grown(&after, *growth))
        });
        let after = Figures::of(&program);
        for name in stays {
            assert_eq!(after.sum(name, "*"), before.sum(name, "*"), "{what}: {name}");
        }
        before = after;
    }
    assert_eq!(before.sum("corelane_config_last_reload_success", "*"), 1);
    let text = before.0.to_string();
    for hostile in ["hostile", "%2f", "BREW", "..", "%22"] {
        assert!(!text.contains(hostile), "{hostile} became a label");
    }
    program.stop();
}

#[test]
fn families_agree() {
    let file = Scratch::new("agree.json", &site(false, true));
    let program = serve(&file);
    let clients: Vec<_> = (0..4_usize)
        .map(|number| {
            let address = program.addresses()[number % 2].parse().unwrap();
            std::thread::spawn(move || {
                for round in 0..20 {
                    let mut client = Client::connect(address);
                    // Several kinds in one flush, and one by one.
                    let path = |n: usize| ["/hello", "/items/1", "/old", "/nowhere"][n % 4];
                    let request = |n: usize| {
                        format!("GET {} HTTP/1.1\r\nHost: test\r\n\r\n", path(n + round))
                    };
                    client.send((0..9).map(request).collect::<String>());
                    (0..9).for_each(|_| _ = client.response());
                    for n in 0..3 {
                        client.ask(request(n));
                    }
                    if number == 0 {
                        client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n".repeat(3));
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let sent = |all: &Figures| all.sum(LATENCY, "*") + all.sum("corelane_http_unsent_total", "*");
    wait_until("every connection is over", || {
        let all = Figures::of(&program);
        let requests = all.sum(REQUESTS, "*");
        let open = all.sum("corelane_connections_open", "*");
        open == 0 && requests >= 4 * 20 * 12 && sent(&all) == requests
    });
    let all = Figures::of(&program);
    let requests = all.sum(REQUESTS, "*");
    assert!(requests >= 4 * 20 * 12, "{requests}");
    for family in [ROUTES, METHODS, LISTENERS, RESPONSES] {
        assert_eq!(all.sum(family, "*"), requests, "{family}");
        assert_eq!(all.per_loop(family), requests, "{family} by loop");
    }
    assert_eq!(all.per_loop(REQUESTS), requests);
    for family in [ROUTE_LATENCY, CLASS_LATENCY] {
        assert_eq!(all.sum(family, "*"), all.sum(LATENCY, "*"), "{family}");
    }
    assert_eq!(all.sum(ROUTES, "/hello"), 4 * 20 * 12 / 4);
    let (latency, routes) = (all.series(LATENCY).next().unwrap(), all.series(ROUTE_LATENCY));
    let sum = |series: &Value| series["sum"].as_u64().unwrap();
    assert_eq!(routes.map(sum).sum::<u64>(), sum(latency));
    program.stop();
}

#[test]
fn prometheus_gets_what_it_asks_for() {
    let file = Scratch::new("prometheus.json", &site(false, false));
    let program = serve(&file);
    ask(program.address(), "GET /hello HTTP/1.1\r\n");
    ask(program.address(), "GET /\"\\ HTTP/1.1\r\n");
    wait_until("all are counted", || Figures::of(&program).sum(LATENCY, "*") >= 1);
    let scrape = |accept: &str| {
        program.admin().ask(format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n"))
    };
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    for (accept, format, kind) in [
        ("", Format::Text, text),
        ("Accept: */*\r\n", Format::Text, text),
        (
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n",
            Format::OpenMetrics,
            open,
        ),
        (
            "Accept: text/plain;q=0.1\r\nAccept: application/openmetrics-text\r\n",
            Format::OpenMetrics,
            open,
        ),
    ] {
        let response = scrape(accept);
        assert_eq!(
            (response.status, response.field("content-type")),
            (200, Some(kind)),
            "{accept}"
        );
        let families = lint::check(format, response.text()).unwrap();
        let family =
            families.iter().find(|family| family.name.starts_with("corelane_http_route_requests"));
        let routes = &family.unwrap().samples;
        assert!(routes.iter().any(|sample| sample.labels[0].1 == "/hello" && sample.value == 1.0));
        for process in
            ["process_resident_memory_bytes", "corelane_config_generation", "corelane_version"]
        {
            assert!(families.iter().any(|family| family.name == process), "{process}");
        }
    }
    program.stop();
}
