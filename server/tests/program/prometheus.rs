//! The files for Prometheus and Grafana in `docs/prometheus`, and what a real server answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corelane_metrics::expose::prometheus::{Format, lint};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::admin::Status;
use crate::client::{Client, GET};
use crate::process::{Program, Scratch, corelane, wait_until};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/prometheus")
}

/// Whether a program accepts a text, and what it says; `None` where it is not there, or ends with 77.
fn accepts(program: &str, arguments: &[&str], text: &str) -> Option<(bool, String)> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // Where it ends early, its status tells.
        scope.spawn(move || input.write_all(text.as_bytes()).ok());
        child.wait_with_output().unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code() != Some(77)).then(|| (output.status.success(), said))
}

/// Two listeners, a name that must be escaped, and perhaps another route.
fn site(extra_route: bool) -> Vec<u8> {
    let mut routes = vec![
        json!({ "path": "/quoted", "name": "a \"name\" \\ with\nlines", "fixed": { "body": "x" } }),
        json!({ "path": "/old", "redirect": { "to": "/quoted" } }),
    ];
    if extra_route {
        routes.push(json!({ "path": "/new", "fixed": { "body": "new" } }));
    }
    json!({
        "listeners": ["127.0.0.1:0", "127.0.0.1:0"],
        "workers": 2,
        "pin": false,
        "admin": "127.0.0.1:0",
        "metrics": { "statsd": null },
        "routes": routes,
    })
    .to_string()
    .into_bytes()
}

/// What a server answers over HTTP that has seen everything, as the others' programs read it.
#[test]
fn others_read_what_a_busy_server_answers() {
    let file = Scratch::new("official.json", &site(false));
    let program = Program::start(corelane(&["serve", "--config", file.path()]));
    let addresses: Vec<SocketAddr> =
        program.addresses().iter().map(|address| address.parse().unwrap()).collect();
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"];
    let paths = ["/quoted", "/old", "/", "/%22%5c%0a", "/..%2f..", "/{x}", "/\"}", "*"];
    for address in addresses {
        for (method, path) in methods.iter().flat_map(|m| paths.iter().map(move |p| (m, p))) {
            let mut client = Client::connect(address);
            let close = "Host: a\r\nConnection: close\r\n\r\n";
            client.send(format!("{method} {path} HTTP/1.1\r\n{close}"));
            assert!(!client.rest().is_empty(), "{method} {path}");
        }
        Client::connect(address).ask("GET / HTTP/1.1\r\nHost: a\r\nHo st: b\r\n\r\n");
    }
    file.replace(b"{ \"routes\": 7 }");
    program.signal(Signal::HUP);
    let reloads = |result| {
        Status::of(&program).counter("corelane_config_reloads_total", &[("result", result)])
    };
    wait_until("it is refused", || reloads("failure") == 1);
    file.replace(&site(true));
    program.signal(Signal::HUP);
    wait_until("it is in force", || reloads("success") == 1);
    assert_eq!(program.connect().get("/new").status, 200);
    let parser = concat!(env!("CARGO_MANIFEST_DIR"), "/../metrics/tests/prometheus_parser.py");
    let missing = || -> Option<(bool, String)> {
        assert!(std::env::var_os("CI").is_none(), "not installed: .ci/run installs it");
        None
    };
    for (format, name, accept) in [
        (Format::Text, "text", "text/plain"),
        (Format::OpenMetrics, "openmetrics", "application/openmetrics-text"),
    ] {
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
        let response = program.admin().ask(request);
        let text = response.text();
        lint::check(format, text).unwrap();
        let read = ["python3", "/usr/bin/python3"]
            .iter()
            .find_map(|python| accepts(python, &[parser, name], text))
            .or_else(missing);
        let checked = match format {
            Format::Text => accepts("promtool", &["check", "metrics"], text).or_else(missing),
            Format::OpenMetrics => None,
        };
        for (good, said) in read.into_iter().chain(checked) {
            assert!(good, "{name}: {said}\n{text}");
        }
    }
    program.stop();
}

/// The names of metrics in a text: words that begin with `corelane_` or `process_`.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    let words = text.split(|c: char| !word(c));
    words
        .filter(|word| word.starts_with("corelane_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// What a server with a site tells after one request.
fn told() -> String {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config/site.json");
    let program = Program::listening("serve", &["-c", config, "--admin", "127.0.0.1:0"]);
    assert_eq!(program.connect().ask(GET).status, 200);
    let mut text = String::new();
    wait_until("the request is counted", || {
        text = program.admin().get("/metrics").text().to_owned();
        text.contains("corelane_http_requests_total 1\n")
    });
    program.stop();
    text
}

#[test]
fn every_name_in_these_files_is_one_that_a_server_tells() {
    let text = told();
    let told: BTreeSet<String> =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(names).collect();
    for file in ["rules.yml", "grafana.json"] {
        let text = std::fs::read_to_string(folder().join(file)).unwrap();
        let used = names(&text);
        assert!(used.len() > 5, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&told).collect();
        assert!(unknown.is_empty(), "{file} has {unknown:?}, and a server tells {told:?}");
    }
}

/// The labels of each series in the text format, by the series' name.
fn labels(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        // No value of a label has an equals sign before a quote in it.
        let keys = line.split("=\"").map(|part| part.rsplit(['{', ',']).next().unwrap_or_default());
        let count = line.matches("=\"").count();
        found.entry(name).or_default().extend(keys.take(count));
    }
    found
}

/// The words in which a text is between two others.
fn between<'a>(text: &'a str, begin: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split_once(end).map(|(word, _)| word))
}

/// The queries of a panel, each with the words that stand beside its lines.
fn queries(panel: &Value) -> Vec<(&str, &str)> {
    let targets = panel["targets"].as_array().unwrap();
    let of = |target: &'_ Value, key: &str| target[key].as_str().unwrap_or_default().len();
    assert!(targets.iter().all(|target| of(target, "expr") > 0 && of(target, "refId") > 0));
    let text = |value| Value::as_str(value).unwrap_or_default();
    targets.iter().map(|target| (text(&target["expr"]), text(&target["legendFormat"]))).collect()
}

#[test]
fn every_query_of_the_dashboard_finds_series_with_its_labels() {
    let text = told();
    let told = labels(&text);
    assert!(told["corelane_http_latency_seconds_bucket"].contains("le"), "{told:?}");
    let dashboard = std::fs::read_to_string(folder().join("grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "panels are told apart by their ids");
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (panel, (query, legend)) in
        panels.iter().flat_map(|panel| queries(panel).into_iter().map(move |query| (panel, query)))
    {
        let title = &panel["title"];
        // All series are of one job and one instance, so they have braces behind their names.
        let series: Vec<&str> = query
            .split('{')
            .map(|part| part.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
            .map(Option::unwrap_or_default)
            .take(query.matches('{').count())
            .collect();
        assert!(!series.is_empty(), "{title}: {query}");
        let used = between(query, " by (", ')')
            .flat_map(|words| words.split(", "))
            .chain(between(legend, "{{", '}'));
        let used: Vec<&str> = used.filter(|label| *label != "instance").collect();
        for name in series {
            let has = told.get(name).unwrap_or_else(|| panic!("{title}: nobody tells {name}"));
            for label in &used {
                assert!(has.contains(label), "{title}: {name} has {has:?}, not {label}");
            }
        }
        let plain = query.replace("$__rate_interval", "1m").replace('\'', "''");
        rules += &format!("  - record: dashboard:query\n    expr: '{plain}'\n");
    }
    let rules = Scratch::new("dashboard-rules.yml", rules.as_bytes());
    promtool(&["check", "rules", "--lint=none", rules.path()]);
}

/// Has promtool look at something, if it is installed; continuous integration must have it.
fn promtool(args: &[&str]) {
    let mut promtool = Command::new("promtool");
    let output = match promtool.args(args).current_dir(folder()).output() {
        Ok(output) => output,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "promtool: {error}");
            eprintln!("skipped: promtool is not installed");
            return;
        }
    };
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&text));
}

#[test]
fn promtool_has_nothing_to_say() {
    for args in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ] {
        promtool(&args);
    }
}
