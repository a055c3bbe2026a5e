//! What is decided before anything is listened on: which source wins, what prevents a start, and how
//! that is said.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::process::{Finished, Program, Scratch, corelane, finish, run};

/// A file with this contents, and what else a test of a start needs.
fn file(name: &str, text: &str) -> Scratch {
    Scratch::new(name, text.as_bytes())
}

#[track_caller]
fn refused(finished: &Finished, code: i32, expected: &str) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    let first = finished.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with(expected), "{first}\nbut expected\n{expected}");
}

#[test]
fn the_port_of_the_command_line_wins_over_listeners_of_the_file() {
    let text = r#"{ "listeners": ["127.0.0.1:1"], "workers": 1, "pin": false,
        "metrics": { "statsd": null }, "routes": [{ "path": "/", "fixed": {} }] }"#;
    let file = file("one-listener.json", text);
    let program = Program::start(corelane(&["serve", "-c", file.path(), "--port", "0"]));
    let address = program.address();
    assert!(address.ip().is_loopback() && address.port() > 1, "{address}");
    program.stop();

    file.replace(text.replace(":1\"", ":1\", \"127.0.0.1:2\"").as_bytes());
    let finished = run(&["serve", "-c", file.path(), "--port", "0"]);
    let expected = "error: --port: which one is meant? The `listeners` 127.0.0.1:1, 127.0.0.1:2 ";
    refused(&finished, 78, expected);
}

#[test]
fn check_finds_what_serve_would() {
    let text = r#"{ "listeners": [":8090"], "admin": "127.0.0.1:8090",
  "routes": [{ "path": "/", "fixed": {} }] }"#;
    let same_port = file("same-port.json", text);
    let text = r#"{ "port": 0, "metrics": { "statsd": null },
  "limits": { "max_connections": 90000000 },
  "routes": [{ "path": "/", "fixed": {} }] }"#;
    let many = file("many.json", text);
    for (file, expected) in [
        (&same_port, "1:27: admin: 127.0.0.1:8090 is listened on already, by `listeners[0]`"),
        (&many, "2:15: limits.max_connections: 90000000 need 900000"),
    ] {
        let expected = format!("error: {}:{expected}", file.path());
        for command in ["check", "serve"] {
            refused(&run(&[command, "-c", file.path()]), 78, &expected);
        }
    }
    let args = ["serve", "-c", many.path(), "--max-connections", "80000000"];
    refused(&run(&args), 78, "error: --max-connections: 80000000 need 800000");
    let mut command = corelane(&["check", "-c", many.path()]);
    command.env("CORELANE_LIMITS_MAX_CONNECTIONS", "70000000");
    let expected = "error: CORELANE_LIMITS_MAX_CONNECTIONS: limits.max_connections: 70000000 need";
    refused(&finish(command), 78, expected);
}

#[test]
fn nothing_to_serve_is_said() {
    refused(
        &run(&["serve", "--port", "0"]),
        2,
        "error: nothing to serve: name a configuration (-c",
    );
}

#[test]
fn options_of_static_are_called_by_their_names() {
    let folder = Scratch::folder("named-options", &[("index.html", b"x")]);
    for (args, expected) in [
        (["--error-page", "404=none.html"], "error: --error-page: "),
        (["--spa", "/none.html"], "error: --spa: expected the name of a file below the folder"),
        (["--max-cache", "lots"], "error: --max-cache: expected a size"),
        (["--cors", "example.org"], "error: --cors: expected \"*\" or an origin"),
        (["--cache-control", "*.js=a\nb"], "error: --cache-control: "),
    ] {
        refused(&run(&[&["static", folder.path()], &args[..]].concat()), 78, expected);
    }
}

/// Root may look into every folder: another user must run the program then, from where that one can.
#[test]
fn a_folder_that_may_not_be_looked_into_prevents_the_start() {
    let place = std::env::temp_dir().join(format!("corelane-locked-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    let place = Scratch(place);
    let (binary, folder) = (place.0.join("corelane"), place.0.join("folder"));
    std::fs::copy(env!("CARGO_BIN_EXE_corelane"), &binary).unwrap();
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&place.0, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = Command::new(&binary);
    command.args(["static", folder.to_str().unwrap(), "--port", "0"]);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534);
    }
    let finished = finish(command);
    refused(&finished, 78, "error: DIR: ");
    assert!(finished.stderr.contains("may not look into it"), "{}", finished.stderr);
}
