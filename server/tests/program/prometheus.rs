//! The files for Prometheus and Grafana in `docs/prometheus`, and what a real server answers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::GET;
use crate::process::{Program, wait_until};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/prometheus")
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

#[test]
fn every_name_in_these_files_is_one_that_a_server_tells() {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config/site.json");
    let program = Program::listening("serve", &["-c", config, "--admin", "127.0.0.1:0"]);
    assert_eq!(program.connect().ask(GET).status, 200);
    let mut told = BTreeSet::new();
    wait_until("the request is counted", || {
        let text = program.admin().get("/metrics").text().to_owned();
        told = text.lines().filter(|line| !line.starts_with('#')).flat_map(names).collect();
        text.contains("corelane_http_requests_total 1\n")
    });
    for file in ["rules.yml", "grafana.json"] {
        let text = std::fs::read_to_string(folder().join(file)).unwrap();
        let used = names(&text);
        assert!(used.len() > 5, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&told).collect();
        assert!(unknown.is_empty(), "{file} has {unknown:?}, and a server tells {told:?}");
    }
    program.stop();
}

#[test]
fn promtool_has_nothing_to_say() {
    for args in [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "rules.yml"],
        ["test", "rules", "rules_test.yml"],
    ] {
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
}
