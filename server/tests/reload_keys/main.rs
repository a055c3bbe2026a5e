//! Every key that docs/CONFIGURATION.md calls hot takes effect on a reload, seen from outside where that
//! can be; every other one is reported as waiting for the next start.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod folder;
mod rig;
mod rows;
#[path = "../site_lane/mod.rs"]
mod site_lane;

use std::collections::BTreeSet;
use std::path::Path;

use corelane::config::{Effective, Sources};
use corelane::site::Source;
use corelane_eventloop::Nanos;
use serde_json::{Value, json};

use crate::folder::Folder;
use crate::rig::Rig;
use crate::rows::{Row, rows};

/// Sets what the pointer names; objects on the way are made.
fn set(mut config: Value, at: &str, new: &Value) -> Value {
    let mut place = &mut config;
    for part in at[1..].split('/') {
        place = match part.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[part],
        };
    }
    *place = new.clone();
    config
}

fn load(config: &Value) -> Effective {
    Sources::new().text("a.json", config.to_string()).load().unwrap_or_else(|e| panic!("{e}"))
}

fn check(row: &Row, log: &Path) {
    let key = row.key();
    let _ = std::fs::remove_file(log);
    let started = load(&set(row.base.clone(), row.at, &row.old));
    let mut rig = Rig::new(&started, log);
    rig.pass(Nanos::from_millis(10));
    let before = rig.see(&row.see);
    let diff = rig.source.reload(Ok(load(&set(row.base.clone(), row.at, &row.new)))).unwrap();
    assert_eq!(diff.restart, [], "{key}");
    let changed = |path: &str| {
        let path = path.replace("[0]", "[]").replace("[1]", "[]");
        path.strip_prefix(&key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
    };
    assert!(diff.hot.iter().any(|change| changed(&change.path)), "{key}: {diff:?}");
    rig.pass(Nanos::from_millis(10));
    let after = rig.see(&row.see);
    let is = |seen: &str, text: &str| !text.is_empty() && seen.contains(text);
    assert_ne!(before, after, "{key}");
    assert!(row.had.is_empty() || is(&before, row.had), "{key}, before: {before}");
    assert!(row.has.is_empty() || is(&after, row.has), "{key}, after: {after}");
    assert!(!is(&before, row.has), "{key}, before: {before}");
    assert!(!is(&after, row.had), "{key}, after: {after}");
}

/// The keys that the documentation says have this effect on a reload.
fn documented(effect: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut section = "";
    for line in include_str!("../../../docs/CONFIGURATION.md").lines() {
        if let Some(title) = line.strip_prefix("### ") {
            let name = title.split('`').nth(1).unwrap_or_default();
            section = name;
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        if cells.len() >= 5 && line.starts_with("| `") && cells[3].trim() == effect {
            let name = cells[0].trim_start_matches("| ").trim_matches('`');
            keys.insert(if section.is_empty() {
                name.to_owned()
            } else {
                format!("{section}.{name}")
            });
        }
    }
    keys
}

fn hello() -> Value {
    json!({ "routes": [{ "path": "/", "fixed": { "body": "hello" } }] })
}

#[test]
fn what_is_called_hot_takes_effect_on_a_reload() {
    let folder = Folder::new();
    let rows = rows(&folder);
    let seen: BTreeSet<String> = rows.iter().map(Row::key).collect();
    assert_eq!(seen, documented("hot"));
    for row in &rows {
        check(row, &folder.0.join("log"));
    }
}

#[test]
fn what_needs_a_restart_is_reported_as_such() {
    let changes = [
        ("/host", json!("127.0.0.2")),
        ("/port", json!(1)),
        ("/listeners", json!(["127.0.0.1:1"])),
        ("/workers", json!(3)),
        ("/pin", json!(false)),
        ("/accept", json!("hash")),
        ("/busy_poll", json!("1ms")),
        ("/rebalance", json!(true)),
        ("/admin", json!("127.0.0.1:1")),
        ("/admin_token_file", json!("token")),
        ("/admin_token", json!("0123456789abcdef")),
        ("/limits/max_connections", json!(7)),
        ("/limits/accept_rate", json!(7)),
        ("/limits/overload", json!("shed")),
        ("/limits/backlog", json!(7)),
        ("/limits/preallocate", json!(1)),
        ("/limits/max_buffer_memory", json!("64M")),
        ("/limits/max_unsent", json!("1K")),
        ("/limits/min_rate", json!("1")),
        ("/limits/max_head", json!("1K")),
        ("/timeouts/rate_grace", json!("1s")),
        ("/timeouts/max_stall", json!("1s")),
        ("/logs/format", json!("text")),
        ("/metrics/statsd", json!(null)),
        ("/metrics/name", json!("x")),
        ("/metrics/families", json!("plain")),
        ("/metrics/interval", json!("2s")),
        ("/metrics/tags", json!(["a:b"])),
    ];
    let key = |at: &str| at[1..].replace('/', ".");
    let seen: BTreeSet<String> = changes.iter().map(|(at, _)| key(at)).collect();
    assert_eq!(seen, documented("restart"));
    for (at, new) in changes {
        let source = Source::new(load(&hello())).unwrap();
        let diff = source.reload(Ok(load(&set(hello(), at, &new)))).unwrap();
        let waits: Vec<String> = diff.restart.iter().map(|change| change.path.clone()).collect();
        assert_eq!((waits, diff.hot), (vec![key(at)], vec![]), "{at}");
        let pending = source.status()["pending_restart"].to_string();
        assert!(pending.contains(&format!("\"{}: ", key(at))), "{pending}");
        source.reload(Ok(load(&hello()))).unwrap();
        assert_eq!(source.status()["pending_restart"], json!([]), "{at}");
    }
}
