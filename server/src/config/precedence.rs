//! `host` and `port` beside `listeners`, where the two come from different sources.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::address;
use super::finding::Origin;

/// Has the source that ranks highest decide what is listened on. Returns what cannot be decided: a path
/// and a message.
///
/// A `port` from above replaces that of all `listeners`, if they have one between them; a `host` from
/// above replaces the only one. What comes from below `listeners` gives way to them.
pub(super) fn settle(
    tree: &mut Map<String, Value>,
    origins: &mut BTreeMap<String, Origin>,
) -> Vec<(String, String)> {
    let Some(listeners) = listeners(tree) else { return Vec::new() };
    let own = origins.get("listeners").map_or(0, rank);
    let above = |origins: &BTreeMap<String, Origin>, key: &str| {
        origins.get(key).map_or(std::cmp::Ordering::Equal, |origin| rank(origin).cmp(&own))
    };
    let mut undecided = Vec::new();
    let list = listeners.join(", ");
    if above(origins, "host").is_gt() {
        match listeners.as_slice() {
            [only] if !only.starts_with("unix:") => {
                let port = port(only);
                tree.remove("listeners");
                let origin = origins.remove("listeners");
                if let (Some(port), false, Some(origin)) =
                    (port, above(origins, "port").is_gt(), origin)
                {
                    tree.insert("port".to_owned(), json!(port));
                    origins.insert("port".to_owned(), origin);
                }
                return undecided;
            }
            _ => undecided.push((
                "host".to_owned(),
                format!("stands for no one of the `listeners` {list}; name all addresses instead"),
            )),
        }
    }
    if above(origins, "port").is_gt() {
        match with_port_left_out(&listeners) {
            Some(listeners) => drop(tree.insert("listeners".to_owned(), json!(listeners))),
            None => undecided.push((
                "port".to_owned(),
                format!(
                    "which one is meant? The `listeners` {list} have no port in common; name all \
                     addresses by --bind instead"
                ),
            )),
        }
    }
    for key in ["host", "port"] {
        if above(origins, key).is_lt() && (key == "host" || listeners.iter().all(|l| is_whole(l))) {
            tree.remove(key);
            origins.remove(key);
        }
    }
    undecided
}

/// The texts of `listeners`, if there are any.
fn listeners(tree: &Map<String, Value>) -> Option<Vec<String>> {
    let list = tree.get("listeners")?.as_array().filter(|list| !list.is_empty())?;
    Some(list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
}

/// What comes later wins.
fn rank(origin: &Origin) -> u8 {
    match origin {
        Origin::Default(_) => 0,
        Origin::File { .. } => 1,
        Origin::Variable(_) => 2,
        Origin::Flag(_) => 3,
    }
}

fn is_whole(listener: &str) -> bool {
    address::names_port(listener)
}

/// The port that an address names.
fn port(listener: &str) -> Option<u16> {
    if listener.starts_with("unix:") || !is_whole(listener) {
        return None;
    }
    listener.rsplit(':').next()?.parse().ok()
}

/// The addresses without the port that they share, so that `port` stands for it: themselves if some have
/// none, and wait for it anyway. `None` if there is no such port.
fn with_port_left_out(listeners: &[String]) -> Option<Vec<String>> {
    if listeners.iter().any(|listener| !is_whole(listener)) {
        return Some(listeners.to_vec());
    }
    let mut ports = listeners.iter().filter(|l| !l.starts_with("unix:")).map(|l| port(l));
    let first = ports.next()??;
    if ports.any(|other| other != Some(first)) {
        return None;
    }
    let bare = |listener: &String| match listener.rsplit_once(':') {
        _ if listener.starts_with("unix:") => listener.clone(),
        Some((host, _)) if !host.is_empty() => host.to_owned(),
        // All of IPv4, as an address that is only a port.
        _ => "0.0.0.0".to_owned(),
    };
    Some(listeners.iter().map(bare).collect())
}

#[cfg(test)]
mod tests {
    use crate::config::Sources;

    /// What is listened on, or the first thing that is wrong.
    fn addresses(file: &str, flags: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        let mut sources = Sources::new().text("site.json", file).variables(variables.to_vec());
        for (key, text) in flags {
            sources = sources.flag(format!("--{key}"), *key, *text);
        }
        let config = match sources.load() {
            Ok(loaded) => loaded.config,
            Err(findings) => return findings.to_string(),
        };
        let port = config.port.get();
        if config.listeners.is_empty() {
            return format!("{}:{port}", config.host);
        }
        let texts = config.listeners.iter().map(|listener| {
            super::address::parse(listener.get(), port as u16).unwrap().to_string()
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_higher_source_decides() {
        const ONE: &str = r#"{ "listeners": ["127.0.0.1:80"] }"#;
        const BOTH: &str = r#"{ "listeners": [":80", "[::1]:80", "unix:/run/x"] }"#;
        const BARE: &str = r#"{ "listeners": ["127.0.0.1", "::1"] }"#;
        let port = [("port", "90")];
        for (file, flags, variables, expected) in [
            (ONE, &port[..], &[][..], "127.0.0.1:90"),
            (ONE, &[], &[("CORELANE_PORT", "90")], "127.0.0.1:90"),
            (r#"{ "listeners": ["80"] }"#, &port, &[], "0.0.0.0:90"),
            (BOTH, &port, &[], "0.0.0.0:90 [::1]:90 unix:/run/x"),
            (BARE, &port, &[], "127.0.0.1:90 [::1]:90"),
            (r#"{ "port": 70, "listeners": ["127.0.0.1"] }"#, &port, &[], "127.0.0.1:90"),
            (ONE, &[], &[("CORELANE_HOST", "127.0.0.2")], "127.0.0.2:80"),
            (ONE, &port, &[("CORELANE_HOST", "127.0.0.2")], "127.0.0.2:90"),
            // What comes from below gives way.
            (ONE, &[("listeners", "127.0.0.1:1")], &[("CORELANE_PORT", "90")], "127.0.0.1:1"),
            (
                r#"{ "host": "::1", "port": 9 }"#,
                &[("listeners", "127.0.0.1:1")],
                &[],
                "127.0.0.1:1",
            ),
        ] {
            let found = addresses(file, flags, variables);
            assert_eq!(found, expected, "{file} {flags:?} {variables:?}");
        }
        for (file, flags, part) in [
            (
                r#"{ "listeners": [":80", ":81"] }"#,
                &port[..],
                "--port: which one is meant? The `listeners` :80, :81 have no port in common",
            ),
            (r#"{ "listeners": ["unix:/run/x"] }"#, &port, "--port: which one is meant?"),
            (
                r#"{ "listeners": [":80", "[::1]:80"] }"#,
                &[("host", "::1")],
                "--host: stands for no one of the `listeners` :80, [::1]:80",
            ),
            (
                r#"{ "port": 80, "listeners": [":80"] }"#,
                &[],
                "site.json:1:3: port: has no effect: all `listeners` have a port",
            ),
        ] {
            let found = addresses(file, flags, &[]);
            assert!(found.starts_with(part), "{file}: {found}");
        }
    }
}
