//! `corelane check`, `config`, `completions` and `man`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::process::{Finished, Scratch, corelane, finish, run, scratch};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config").join(name);
    path.to_str().unwrap().to_owned()
}

/// A command without variables of whoever runs the tests.
fn quiet(args: &[&str]) -> Command {
    let mut command = corelane(args);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CORELANE_") {
            command.env_remove(name);
        }
    }
    command
}

#[track_caller]
fn succeeded(finished: &Finished) -> &str {
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
    &finished.stdout
}

#[test]
fn check_of_a_good_file_says_what_it_is() {
    for (name, summary) in [
        ("minimal.json", "ok: production, 127.0.0.1:8080, files of "),
        ("site.json", "ok: production, :8080 and [::1]:8080, 0 hosts, 3 routes\n"),
        ("site.toml", "ok: production, :8080, 0 hosts, 3 routes\n"),
        ("virtual-hosts.json", "4 hosts, 4 routes\n"),
    ] {
        let file = example(name);
        let finished = finish(quiet(&["check", "-c", &file]));
        let stdout = succeeded(&finished);
        assert!(stdout.starts_with(&file) && stdout.contains(summary), "{name}: {stdout}");
    }
}

#[test]
fn check_of_a_bad_file_says_all_that_is_wrong() {
    let file = Scratch::new("bad.json", b"{\n  \"prot\": 80,\n  \"static_dir\": \"no-such\"\n}\n");
    let finished = finish(quiet(&["check", "--config", file.path()]));
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(78), ""));
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", finished.stderr);
    let path = file.path();
    let first = format!("error: {path}:2:3: prot: unknown key; did you mean `port`?");
    assert_eq!(lines[0], first);
    assert!(lines[1].starts_with(&format!("error: {path}:3:3: static_dir: ")), "{}", lines[1]);
    assert!(lines[1].contains("No such file"), "{}", lines[1]);

    let text =
        br#"{ "routes": [ { "path": "/{a}/x", "fixed": {} }, { "path": "/{b}/x", "fixed": {} },
        { "path": "/{*c}", "fixed": {} }, { "path": "/{*d}", "fixed": {} } ] }"#;
    let file = Scratch::new("collide.json", text);
    let finished = finish(quiet(&["check", "-c", file.path()]));
    assert_eq!(finished.code, Some(78));
    assert!(finished.stderr.contains("routes[1].path: the same path"), "{}", finished.stderr);
    assert!(finished.stderr.contains("routes[3].path: the same path"), "{}", finished.stderr);

    let none = scratch("none.json");
    let finished = finish(quiet(&["check", "-c", none.to_str().unwrap()]));
    assert_eq!(finished.code, Some(78));
    assert!(finished.stderr.contains("cannot be read"), "{}", finished.stderr);
}

#[test]
fn wrong_usage_is_told_apart_from_a_wrong_file() {
    for (args, part) in [
        (&["check"][..], "--config FILE"),
        (&["check", "-c"], "--config"),
        (&["check", "-c", "x", "--set", "port"], "port=8080"),
        (&["config", "show", "--format", "yaml"], "json"),
        (&["completions", "dos"], "bash"),
    ] {
        let finished = finish(quiet(args));
        assert_eq!(finished.code, Some(2), "{args:?}: {finished:?}");
        assert!(finished.stderr.contains(part), "{args:?}: {}", finished.stderr);
    }
    let finished = finish(quiet(&["config", "show", "--set", "prot=80"]));
    assert_eq!(finished.code, Some(78));
    assert!(finished.stderr.contains("did you mean `port`?"), "{}", finished.stderr);
}

#[test]
fn show_tells_values_and_where_they_come_from() {
    let file = Scratch::new(
        "show.json",
        br#"{ "port": 1, "middleware": { "basic_auth": { "users": { "ann":
            "$2y$05$tbKi5J6PtdLPnAIOn1Hcxux3QTyZgCSGpfA6PBJoi3FcQux4vk7yS" } } } }"#,
    );
    let args = ["config", "show", "-c", file.path(), "--origin", "--set", "limits.max_body=2M"];
    let mut command = quiet(&args);
    command.env("CORELANE_PORT", "2").env("CORELANE_WORKERZ", "2");
    let finished = finish(command);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("CORELANE_WORKERS"), "{}", finished.stderr);
    assert!(!finished.stdout.contains("$2y$"), "{}", finished.stdout);
    let shown: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(shown["values"]["port"], 2);
    assert_eq!(shown["values"]["limits"]["max_body"], "2M");
    assert_eq!(shown["origins"]["port"], "CORELANE_PORT");
    assert_eq!(shown["origins"]["limits.max_body"], "--set");
    assert_eq!(shown["origins"]["workers"], "default in production");
    let users = shown["origins"]["middleware.basic_auth.users"].as_str();
    assert!(users.is_some_and(|origin| origin.starts_with(file.path())), "{shown}");

    let toml = finish(quiet(&["config", "show", "--format", "toml", "--origin"]));
    assert!(succeeded(&toml).contains("port = 8080  # default in production\n"), "{}", toml.stdout);
    let text = succeeded(&finish(quiet(&["config", "show", "--format", "toml"]))).to_owned();
    let again = Scratch::new("again.toml", text.as_bytes());
    let finished = finish(quiet(&["config", "show", "--format", "toml", "-c", again.path()]));
    assert_eq!(finished.stdout, text, "what is shown can be loaded");
}

#[test]
fn the_schema_is_the_published_one() {
    let finished = run(&["config", "schema"]);
    let printed: Value = serde_json::from_str(succeeded(&finished)).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.schema.json");
    let published: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(printed == published, "CORELANE_BLESS=1 cargo test -p corelane --lib config");
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let finished = run(&["completions", shell]);
        assert!(succeeded(&finished).contains("max-connections"), "{shell}");
    }
    let page = run(&["man"]);
    for part in [".TH", "CORELANE FIXED", "\\-\\-max\\-connections", "CORELANE CONFIG SHOW"] {
        assert!(succeeded(&page).contains(part), "no {part:?}");
    }
    let folder = scratch("man");
    let finished = run(&["man", folder.to_str().unwrap()]);
    succeeded(&finished);
    let pages = std::fs::read_dir(&folder).unwrap().count();
    let fixed = std::fs::read_to_string(folder.join("corelane-fixed.1")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(pages >= 8 && fixed.contains("max\\-connections"), "{pages} pages");
}
