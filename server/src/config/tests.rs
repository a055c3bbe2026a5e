//! Files, variables and flags, and what comes of them.

use std::path::Path;

use serde_json::{Value, json};

use super::{Config, Effective, Environment, Findings, Origin, Sources, Toggle, settings};

fn json(text: &str) -> Result<Effective, Findings> {
    Sources::new().text("site.json", text).load()
}

fn toml(text: &str) -> Result<Effective, Findings> {
    Sources::new().text("site.toml", text).load()
}

/// The hash of `example`.
pub(super) const HASH: &str = "$2y$05$tbKi5J6PtdLPnAIOn1Hcxux3QTyZgCSGpfA6PBJoi3FcQux4vk7yS";

/// A folder that exists, as it must be written in JSON.
fn folder() -> Value {
    json!(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_five_keys_load_as_they_stand() {
    let text = json!({ "host": "127.0.0.1", "port": 3000, "static_dir": folder(),
        "workers": 4, "connection_timeout_ms": 30_000 });
    let Effective { config, warnings, .. } = json(&text.to_string()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((config.host.as_str(), config.port.get()), ("127.0.0.1", 3000));
    assert_eq!(config.static_dir.unwrap().get(), Path::new(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(config.workers.get(), Some(4));
    let thirty = std::time::Duration::from_secs(30);
    assert_eq!((config.timeouts.head.get(), config.timeouts.idle.get()), (thirty, thirty));
}

#[test]
fn defaults_depend_on_the_environment() {
    let production = Sources::new().load().unwrap().config;
    let text = r#"{ "environment": "development" }"#;
    let development = json(text).unwrap().config;
    assert_eq!((production.host.as_str(), production.watch), ("0.0.0.0", false));
    assert_eq!((development.host.as_str(), development.watch), ("127.0.0.1", true));
    let by_variable = Sources::new().variables([("CORELANE_ENVIRONMENT", "development")]);
    assert_eq!(by_variable.load().unwrap().config, development);
}

/// The findings, one a line, must be exactly these.
#[track_caller]
fn complains(result: Result<Effective, Findings>, expected: &[&str]) {
    let findings = result.expect_err("it must not load").to_string();
    assert_eq!(findings.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = r#"{
  "prot": 80,
  "workers": -1,
  "limits": {
    "max_bdoy": "1M",
    "max_head": "1M",
    "idle": "5s"
  },
  "timeouts": { "head": 10, "idle": "soon", "max_age": "0s" },
  "environment": "prod",
  "routes": [
    { "path": "about", "fixed": { "status": 99 } }
  ],
  "max_body": 5
}"#;
    complains(
        json(text),
        &[
            "site.json:2:3: prot: unknown key; did you mean `port`?",
            "site.json:3:3: workers: expected \"auto\" or a whole number from 0 (one per core) to \
             1024, not `-1`",
            "site.json:5:5: limits.max_bdoy: unknown key; did you mean `max_body`?",
            "site.json:6:5: limits.max_head: expected a size from 256 to 256K, not \"1M\"",
            "site.json:7:5: limits.idle: unknown key here; did you mean `timeouts.idle`?",
            "site.json:9:17: timeouts.head: expected a time with its unit, such as \"10s\", \
             \"500ms\" or \"2m\", not `10`",
            "site.json:9:29: timeouts.idle: \"soon\": expected a time such as 10s, 500ms or 2m",
            "site.json:9:45: timeouts.max_age: a time-out of zero would let nothing happen; use \
             1ms or more",
            "site.json:10:3: environment: expected one of \"development\", \"production\", not \
             \"prod\"",
            "site.json:12:7: routes[0].path: expected a path such as \"/\", \"/users/{id}\" or \
             \"/files/{*rest}\", not \"about\"",
            "site.json:12:35: routes[0].fixed.status: expected a whole number from 200 to 599, \
             not `99`",
            "site.json:14:3: max_body: unknown key here; did you mean `limits.max_body`?",
        ],
    );
}

#[test]
fn what_makes_no_sense_is_said_at_once() {
    let hash = HASH;
    let text = json!({
        "host": "127.0.0.1",
        "static_dir": "no-such-folder",
        "listeners": [":80", "0.0.0.0:80", "127.0.0.1:0", "127.0.0.1:0", "unix:/run/a"],
        "admin": "0.0.0.0:9080",
        "limits": { "max_connections": 10, "preallocate": 11 },
        "metrics": { "name": "a b", "interval": "1us" },
        "middleware": { "cors": { "origins": ["*"], "credentials": true } },
        "hosts": [
            { "names": ["a.org", "*.a.org", "A.org"], "routes": [
                { "path": "/{id}", "fixed": { "status": 204, "body": "x" } },
                { "path": "/{name}", "fixed": { "headers": { "Content-Length": "1" } } },
                { "path": "/x", "fixed": {}, "redirect": { "to": "/y" } },
                { "path": "/o/{*rest}", "redirect": { "to": "/n/{tail}" } },
                { "path": "/s/{*all}", "static": { "dir": folder(), "fallback": "none.html",
                    "errors": { "200": "x.html" } } },
                { "path": "/l", "redirect": { "to": "/l" },
                  "middleware": { "basic_auth": { "users": { "a:b": hash } } } },
                { "path": "/h/{*rest}", "redirect": { "to": "https://a.org{rest}" } },
                { "path": "/i/{host}", "redirect": { "to": "//{host}/" } },
                { "path": "/j/{*rest}", "redirect": { "to": "https://a.org?from={rest}" } },
                { "path": "/k/{*rest}", "redirect": { "to": "https:///{rest}" } },
                { "path": "/m/{*rest}", "redirect": { "to": "///{rest}" } },
                { "path": "/n/{*rest}", "redirect": { "to": "/\\{rest}" } },
                { "path": "/p/{*rest}", "redirect": { "to": "https://a.org\\{rest}" } },
                { "path": "/q", "name": "other", "fixed": {} },
            ] },
            { "names": [], "routes": [] },
        ],
    });
    let findings = json(&text.to_string()).unwrap_err().to_string();
    let lines: Vec<&str> = findings.lines().collect();
    let expected = [
        ("host", "`listeners`"),
        ("static_dir", "no-such-folder: No such file"),
        ("listeners[1]", "by `listeners[0]`"),
        ("admin", "only loopback addresses and Unix sockets without a token"),
        ("limits.preallocate", "more than `limits.max_connections`, 10"),
        ("metrics.name", "name"),
        ("metrics.interval", "from 10ms"),
        ("middleware.cors.credentials", "name the origins"),
        ("hosts[0].names[2]", "`a.org` is the name of `hosts[0].names[0]` already"),
        ("hosts[0].routes[0].fixed.status", "204 forbids a body"),
        ("hosts[0].routes[1].path", "same path as that of `hosts[0].routes[0]`"),
        ("hosts[0].routes[1].fixed.headers.Content-Length", "the server sets this field itself"),
        ("hosts[0].routes[2]", "it has fixed and redirect"),
        ("hosts[0].routes[3].redirect.to", "has no parameter `tail`"),
        ("hosts[0].routes[4].static", "write `/docs`"),
        ("hosts[0].routes[4].static.fallback", "none.html: No such file"),
        ("hosts[0].routes[4].static.errors.200", "403, 404, 500, 503"),
        ("hosts[0].routes[5].redirect.to", "without end"),
        ("hosts[0].routes[5].middleware.basic_auth.users[\"a:b\"]", "no colon"),
        ("hosts[0].routes[6].redirect.to", "could choose the host"),
        ("hosts[0].routes[7].redirect.to", "could choose the host"),
        ("hosts[0].routes[9].redirect.to", "could choose the host"),
        ("hosts[0].routes[10].redirect.to", "could choose the host"),
        ("hosts[0].routes[11].redirect.to", "could choose the host"),
        ("hosts[0].routes[13].name", "`other` stands for requests of no route, or of many"),
        ("hosts[1].names", "make it the default"),
    ];
    for (path, part) in expected {
        let has = |line: &&str| line.contains(&format!(": {path}: ")) && line.contains(part);
        assert!(lines.iter().any(has), "no {path:?} with {part:?} in:\n{findings}");
    }
    assert_eq!(lines.len(), expected.len(), "{findings}");
}

#[test]
fn what_is_wrong_in_form_hides_nothing_elsewhere() {
    complains(
        json(
            r#"{ "port": "8080", "pin": "true", "static_dir": "no-such-folder",
  "listeners": [":80", "127.0.0.1:80"],
  "hosts": [{ "names": ["a.org"], "routes": [
    { "fixed": {} },
    { "path": "/{x}", "redirect": { "to": "/{y}", "status": 200 } },
    { "path": "/s", "static": {} } ] }],
  "middleware": { "headers": { "remove": ["X-A", "Content-length"] } } }"#,
        ),
        &[
            "site.json:1:3: port: expected a whole number from 0 to 65535, not \"8080\"; leave the \
             quotes away",
            "site.json:1:19: pin: expected true or false, not \"true\"; leave the quotes away",
            &format!(
                "site.json:1:34: static_dir: {}/no-such-folder: No such file or directory (os error 2)",
                std::env::current_dir().unwrap().display()
            ),
            "site.json:2:24: listeners[1]: 127.0.0.1:80 is listened on already, by `listeners[0]`",
            "site.json:4:5: hosts[0].routes[0].path: must be given: A path with parameters: \
             `/about`, `/users/{id}`, `/old/{*rest}`. A `static` route has none, and takes \
             everything below its path.",
            "site.json:5:37: hosts[0].routes[1].redirect.to: the path /{x} has no parameter `y`",
            "site.json:5:51: hosts[0].routes[1].redirect.status: expected 301, 302, 303, 307 or \
             308, not `200`",
            "site.json:6:21: hosts[0].routes[2].static.dir: must be given: The folder.",
            "site.json:7:50: middleware.headers.remove[1]: the server sets `Content-length` itself, \
             and it stays",
        ],
    );
}

#[test]
fn flags_that_make_up_a_file_are_called_by_their_names() {
    let text = r#"{ "routes": [{ "path": "/", "static": { "dir": "no-such", "index": ["/"] } }] }"#;
    let names = [("routes[0].static.dir", "DIR"), ("routes[0].static.index", "--index")];
    let findings = Sources::new().spoken(text, &names).load().unwrap_err().to_string();
    let mut lines = findings.lines();
    let index = "--index: expected the name of a file";
    assert!(lines.next().unwrap().starts_with(index), "{findings}");
    assert!(lines.next().unwrap().starts_with("DIR: /"), "{findings}");
    assert_eq!(lines.next(), None);
}

#[test]
fn texts_that_are_no_configuration() {
    for (result, expected) in [
        (json(""), "site.json:1:1: not JSON: EOF while parsing a value: the file is empty"),
        (json("[]"), "site.json:1:1: expected an object with keys such as `$schema`, not a list"),
        (json("{\n \"port\": 80,\n}"), "site.json:3:1: not JSON: trailing comma: take"),
        (json("{\n // x\n}"), "site.json:2:2: not JSON: key must be a string: JSON has no comm"),
        (json("{'port': 80}"), "site.json:1:2: not JSON: key must be a string: write keys"),
        (
            json("{\"port\": 80\n\"host\": \"x\"}"),
            "site.json:2:1: not JSON: expected `,` or `}`: perh",
        ),
        (json("{\"port\": 1, \"port\": 2}"), "site.json:1:13: port: given twice"),
        (json("{\"tls\": {}}"), "site.json:1:2: tls: TLS is not served yet"),
        (json("{\"listeners\": [\"https://:443\"]}"), "listeners[0]: TLS is not served yet"),
        (json("{\"listeners\": [{\"tls\": {}}]}"), "listeners[0]: TLS is not served yet"),
        (json("{\"routes\": [{\"path\": \"/\", \"proxy_pass\": \"x\"}]}"), "passes nothing on"),
        (json("{\"routes\": [{\"fixed\": {}}]}"), "routes[0].path: must be given: A path"),
        (
            json("{\"middleware\": {\"cors\": true}}"),
            "cors: expected an object with at least `origins`",
        ),
        (json("{\"middleware\": {\"timeout\": true}}"), "timeout: expected a value, or false"),
        (json("{\"logs\": {\"level\": \"inof\"}}"), "logs.level: `inof` is no level; write one of"),
        (
            json("{\"logs\": {\"access\": {\"format\": \"$statsu\"}}}"),
            "site.json:1:22: logs.access.format: ",
        ),
        (json("{\"port\": null}"), "port: expected a whole number from 0 to 65535, not null"),
        (toml("port = 80\nport = 81"), "site.toml:2:1: not TOML: duplicate key"),
        (toml("port = "), "site.toml:1:8: not TOML:"),
        (toml("[limits]\nmax_bdoy = 1"), "site.toml:2:1: limits.max_bdoy: unknown key; did you"),
        (toml("host = 2026-01-01"), "site.toml:1:8: host: expected no date or time"),
        (
            toml("[[routes]]\npath = '/'\nfixed = {}\n[[routes]]\npath = 5"),
            "site.toml:5:1: routes[1]",
        ),
    ] {
        let findings = result.expect_err(expected).to_string();
        assert!(findings.contains(expected), "no {expected:?} in: {findings}");
        assert_eq!(findings.lines().count(), 1, "{findings}");
    }
    let no_text = Sources::new().text("site.json", b"{\n\"a\xff".to_vec()).load().unwrap_err();
    assert!(no_text.to_string().starts_with("site.json:2:3: not UTF-8"), "{no_text}");
    let missing = Sources::new().file("no-such.json").load().unwrap_err().to_string();
    assert!(missing.starts_with("no-such.json: cannot be read: No such file"), "{missing}");
}

#[test]
fn passwords_are_not_repeated() {
    let text = r#"{ "middleware": { "basic_auth": { "users": { "ann": "hunter2" } } } }"#;
    let findings = json(text).unwrap_err().to_string();
    assert!(findings.contains("never a password"), "{findings}");
    assert!(!findings.contains("hunter2"), "{findings}");
    let malformed = json(&text.replace("hunter2", "$2y$05$secret")).unwrap_err().to_string();
    assert!(malformed.contains("up to cost 16") && !malformed.contains("secret"), "{malformed}");
    let loaded = json(&text.replace("hunter2", HASH)).unwrap();
    let shown = [
        loaded.to_json(true),
        loaded.to_toml(true),
        loaded.to_toml(false),
        format!("{:?}", loaded.config),
    ];
    for text in shown {
        assert!(text.contains("ann") && !text.contains("tbKi5J6P"), "{text}");
    }
}

#[test]
fn flags_win_over_variables_over_the_file_over_defaults() {
    let all = Sources::new()
        .text("site.json", r#"{ "port": 1, "workers": 1, "limits": { "max_body": "1K" } }"#)
        .variables([("CORELANE_PORT", "2"), ("CORELANE_WORKERS", "2"), ("HOME", "/")])
        .flag("--port", "port", "3")
        .load()
        .unwrap();
    for (path, value, origin) in [
        ("port", json!(3), "--port"),
        ("workers", json!(2), "CORELANE_WORKERS"),
        ("limits.max_body", json!("1K"), "site.json:1:40"),
        ("limits.max_head", json!("32K"), "default in production"),
    ] {
        let entry = all.entries().into_iter().find(|entry| entry.path == path).unwrap();
        assert_eq!((entry.value, entry.origin.to_string().as_str()), (value, origin), "{path}");
    }
}

#[test]
fn the_short_time_out_ranks_as_what_it_stands_in() {
    let timeouts = |sources: Sources| {
        let timeouts = sources.load().unwrap().config.timeouts;
        (timeouts.head.get().as_millis(), timeouts.idle.get().as_millis())
    };
    let file = |text: &str| Sources::new().text("site.json", text);
    let both = r#"{ "connection_timeout_ms": 700, "timeouts": { "idle": "5s" } }"#;
    assert_eq!(timeouts(file(both)), (700, 5000));
    let short = |sources: Sources| sources.variables([("CORELANE_CONNECTION_TIMEOUT_MS", "900")]);
    assert_eq!(timeouts(short(file(both))), (900, 900), "the variable wins over the file");
    let long = |sources: Sources| sources.variables([("CORELANE_TIMEOUTS_IDLE", "3s")]);
    assert_eq!(timeouts(long(file(r#"{ "connection_timeout_ms": 700 }"#))), (700, 3000));
    assert_eq!(timeouts(long(short(file("{}")))), (900, 3000), "the longer name says more");
}

#[test]
fn variables_of_every_kind() {
    let loaded = Sources::new()
        .variables([
            ("CORELANE_LISTENERS", "127.0.0.1:0, unix:/tmp/x"),
            ("CORELANE_PIN", "false"),
            ("CORELANE_METRICS_STATSD", ""),
            ("CORELANE_MIDDLEWARE_COMPRESSION_MIN_SIZE", "2K"),
            ("CORELANE_MIDDLEWARE_SECURITY_HEADERS", "true"),
            ("CORELANE_MIDDLEWARE_CORS", "off"),
            ("CORELANE_LIMITS_MAX_BODY", "4096"),
        ])
        .load()
        .unwrap()
        .config;
    assert_eq!(loaded.listeners.len(), 2);
    assert!(!loaded.pin && loaded.metrics.statsd.is_none());
    assert_eq!(loaded.middleware.compression.on().unwrap().min_size.get(), 2048);
    assert!(loaded.middleware.security_headers.on().unwrap().nosniff);
    assert_eq!(loaded.middleware.cors, Toggle::Off);
    assert_eq!(loaded.limits.max_body.get(), 4096);
}

#[test]
fn variables_that_are_wrong() {
    let load = |name: &str, text: &str| Sources::new().variables([(name, text)]).load();
    complains(
        load("CORELANE_PORT", "http"),
        &["CORELANE_PORT: port: expected a whole number from 0 to 65535, not \"http\""],
    );
    for (name, text, part) in [
        ("CORELANE_PROT", "80", "did you mean `CORELANE_PORT`?"),
        ("CORELANE_SERVICE_HOST", "10.0.0.1", "lists the keys"),
        ("CORELANE_PORT", "tcp://10.0.0.1:80", "enableServiceLinks"),
    ] {
        let loaded = load(name, text).unwrap();
        let warning = loaded.warnings.iter().find(|w| w.origin == Origin::Variable(name.into()));
        assert!(warning.unwrap().message.contains(part), "{name}: {warning:?}");
        assert_eq!(loaded.config.port.get(), 8080);
    }
    assert_eq!(load("CORELANE_SEED", "1").unwrap().warnings, [], "it is not the server's");
}

#[test]
fn flags_that_are_wrong() {
    let flag = |path: &str| Sources::new().flag("--set", path, "1").load();
    complains(
        flag("max_body"),
        &["--set: max_body: no key that can be set like this; did you mean `limits.max_body`?"],
    );
    complains(
        flag("routes"),
        &["--set: routes: no key that can be set like this; lists of objects are set in a file"],
    );
}

#[test]
fn every_variable_has_one_key() {
    let mut names: Vec<String> = settings().into_iter().map(|setting| setting.variable).collect();
    assert!(names.contains(&"CORELANE_LIMITS_MAX_BODY".to_owned()), "{names:?}");
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two keys share a variable: {names:?}");
}

#[test]
fn relative_paths_start_at_the_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = r#"{ "static_dir": "src", "logs": { "access": { "path": "stdout" } } }"#;
    let loaded = Sources::new().text(folder.join("site.json"), text).load().unwrap();
    assert_eq!(loaded.config.static_dir.as_ref().unwrap().get(), folder.join("src"));
    let by_flag = Sources::new().flag("--dir", "static_dir", "src").load().unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(by_flag.config.static_dir.unwrap().get(), here.join("src"));
}

#[test]
fn changes_are_told_by_when_they_take_effect() {
    let old = json(r#"{ "routes": [{ "path": "/", "fixed": { "body": "a" } }] }"#).unwrap();
    assert!(old.diff(&old).is_empty());
    let new = json(
        &r#"{ "port": 1, "limits": { "max_body": 1048576, "max_head": "16K" },
            "middleware": { "basic_auth": { "users": { "ann": "HASH" } } },
            "routes": [{ "path": "/", "fixed": { "body": "b" } }, { "path": "/x", "fixed": {} }] }"#
            .replace("HASH", HASH),
    )
    .unwrap();
    let diff = old.diff(&new);
    let paths = |changes: &[super::Change]| -> Vec<String> {
        changes.iter().map(|change| change.path.clone()).collect()
    };
    assert_eq!(paths(&diff.restart), ["port", "limits.max_head"]);
    assert_eq!(paths(&diff.hot), ["middleware.basic_auth", "routes[0].fixed.body", "routes[1]"]);
    assert!(!format!("{diff:?}").contains("$2y$"), "{diff:?}");
}

#[test]
fn every_default_is_a_value_of_its_key() {
    for environment in ["production", "development"] {
        let flag = Sources::new().flag("--set", "environment", environment);
        let loaded = flag.load().unwrap();
        // Loading the outcome again changes nothing: defaults are in canonical form.
        let again = json(&loaded.to_json(false)).unwrap();
        assert_eq!(again.tree, loaded.tree);
        assert_eq!(again.config.environment.to_string(), environment);
    }
    let _: fn(&Config) -> Environment = |config| config.environment;
}
