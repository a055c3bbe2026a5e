//! The table of what is changed, key by key, and how it is seen.

use corelane_eventloop::Nanos;
use serde_json::Value;

use crate::folder::{Folder, LOVELACE};

/// One key, two values of it, and how they differ for a client.
pub(crate) struct Row {
    /// A JSON pointer.
    pub(crate) at: &'static str,
    pub(crate) base: Value,
    pub(crate) old: Value,
    pub(crate) new: Value,
    pub(crate) see: See,
    /// What is seen before the reload only, and after it only.
    pub(crate) had: &'static str,
    pub(crate) has: &'static str,
}

pub(crate) enum See {
    /// What is received in answer, in so much virtual time.
    Answer(String, Nanos),
    /// The answer to this, for which a thread must be waited for.
    Slow(String),
    /// What that writes to the access log.
    Log(String),
    /// The configuration that lanes and signals are given.
    InForce,
}

impl Row {
    /// As documented: `routes[].path`.
    pub(crate) fn key(&self) -> String {
        self.at[1..].replace("/0", "[]").replace('/', ".")
    }
}

/// All rows.
pub(crate) fn rows(folder: &Folder) -> Vec<Row> {
    let fill = |text: &str| {
        let long = "x".repeat(3000);
        let text = text.replace("FOLDER", folder.0.to_str().unwrap()).replace("LONG", &long);
        let json = text.replace("HASH", LOVELACE);
        serde_json::from_str::<Value>(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
    };
    let mut base = Value::Null;
    let mut rows = Vec::new();
    for line in include_str!("table.txt").lines() {
        if let Some(text) = line.strip_prefix("base ") {
            base = fill(text);
        }
        let Some('/') = line.chars().next() else { continue };
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [at, old, new, how, requests, had, has] = cells[..] else { panic!("{line}") };
        let requests: String = requests.split(" + ").map(request).collect();
        let see = match how {
            "" => See::Answer(requests, Nanos::from_millis(100)),
            "5s" => See::Answer(requests, Nanos::from_secs(5)),
            "slow" => See::Slow(requests),
            "log" => See::Log(requests),
            "in force" => See::InForce,
            _ => panic!("{line}"),
        };
        let (old, new) = (fill(old), fill(new));
        rows.push(Row { at, base: base.clone(), old, new, see, had, has });
    }
    rows
}

/// One request, from `GET / ; Name: value = body`.
fn request(text: &str) -> String {
    let (text, unfinished) = text.strip_suffix(" …").map_or((text, false), |text| (text, true));
    let (head, body) = text.split_once(" = ").unwrap_or((text, ""));
    let mut parts = head.split(" ; ");
    let mut request = format!("{} HTTP/1.1\r\nHost: test\r\n", parts.next().unwrap_or_default());
    for field in parts {
        let field = field.replace("ADA", "Authorization: Basic YWRhOmxvdmVsYWNl");
        request.push_str(&format!("{field}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    if !unfinished {
        request.push_str("\r\n");
    }
    request + body
}
