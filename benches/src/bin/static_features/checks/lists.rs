//! Index files, listings, and pages for what is not there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Feature, of};
use crate::cell::Cell;
use crate::client::Answer;
use crate::peer::Profile;
use crate::probe::Probe;
use crate::tree::{HOSTILE_NAMES, INDEX, LISTED_BYTES, NOT_FOUND};

/// Links that are followed on one page.
const LINK_COUNT_MAX: usize = 100;
/// How servers are asked for another order: by size, both ways.
const ORDERS: [[&str; 2]; 4] = [
    ["?sort=size&order=asc", "?sort=size&order=desc"],
    ["?sort=4", "?sort=5"],
    ["?C=S&O=A", "?C=S&O=D"],
    ["?sort=size", "?sort=-size"],
];

pub(super) const FEATURES: &[Feature] = &[
    of("index file", index),
    of("a directory without its slash is redirected", redirect),
    of("HTML listing", html),
    of("sizes and dates in it", sizes_and_dates),
    of("sorted as the reader likes", sorted),
    of("hostile names do no harm, their links work", hostile),
    of("hidden files neither listed nor served", hidden),
    of("JSON listing", json).with(Profile::Json),
    of("a page instead of what is not there (SPA)", fallback).with(Profile::Spa),
    of("own error page", error_page),
];

/// Whether a body is that text; some servers trim it.
fn same(answer: &Answer, text: &str) -> bool {
    answer.text().trim_end() == text.trim_end()
}

fn index(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get("/site/")?;
    Ok(Cell::check(answer.status == 200 && same(&answer, INDEX), answer.seen()))
}

fn redirect(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get("/site")?;
    let location = answer.field("Location").unwrap_or("no Location");
    let right = (301..=308).contains(&answer.status) && location.ends_with("/site/");
    Ok(Cell::check(right, format!("{} {location}", answer.seen())))
}

fn html(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get("/list/")?;
    let is_html = answer.field("Content-Type").is_some_and(|value| value.starts_with("text/html"));
    let right = answer.status == 200 && is_html && answer.text().contains("small.txt");
    Ok(Cell::check(right, answer.seen()))
}

fn sizes_and_dates(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let text = probe.get("/list/")?.text();
    let kilobytes = ["4.2", "4.3"];
    let size = text.contains(&LISTED_BYTES.to_string())
        || text.contains("4,321")
        || kilobytes.iter().any(|size| text.contains(size));
    let missed: Vec<_> = [(!size).then_some("sizes"), (!text.contains("2001")).then_some("dates")]
        .into_iter()
        .flatten()
        .collect();
    Ok(Cell::tally(&missed, 2))
}

fn sorted(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    for queries in ORDERS {
        let mut small_first = Vec::new();
        for query in queries {
            let text = probe.get(&format!("/list/{query}"))?.text();
            let (small, large) = (text.find("small.txt"), text.find("large.bin"));
            small_first.push(small.zip(large).map(|(small, large)| small < large));
        }
        if small_first == [Some(true), Some(false)] {
            return Ok(Cell::yes());
        }
    }
    Ok(Cell::no("one order"))
}

fn hostile(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let page = probe.get("/list/")?.text();
    if page.contains("<img src=x") {
        return Ok(Cell::no("a name runs as script"));
    }
    let mut found = BTreeSet::new();
    for link in links(&page).into_iter().take(LINK_COUNT_MAX) {
        let Some(target) = resolve(&link) else { continue };
        let answer = probe.get(&target)?;
        found.extend(HOSTILE_NAMES.iter().position(|&name| name == answer.body.as_slice()));
    }
    let lost: Vec<_> = (0..HOSTILE_NAMES.len())
        .filter(|index| !found.contains(index))
        .map(|index| HOSTILE_NAMES[index].escape_ascii().to_string())
        .collect();
    match lost.len() {
        0 => Ok(Cell::yes()),
        count if count == HOSTILE_NAMES.len() => Ok(Cell::no("no link works")),
        _ => Ok(Cell::part(format!("no link to {}", lost.join(", ")))),
    }
}

fn hidden(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let listed = probe.get("/list/")?.text().contains(".hidden");
    let served: Vec<_> = ["/.git/config", "/list/.hidden", "/%2egit/config", "/.git/"]
        .into_iter()
        .filter(|target| probe.get(target).is_ok_and(|answer| answer.status == 200))
        .collect();
    let mut missed: Vec<String> = served.iter().map(|target| format!("{target} served")).collect();
    missed.extend(listed.then(|| "listed".to_owned()));
    Ok(match missed.is_empty() {
        true => Cell::yes(),
        false => Cell::no(missed.join(", ")),
    })
}

fn json(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get_with("/list/", "Accept", "application/json")?;
    let is_json =
        answer.field("Content-Type").is_some_and(|value| value.starts_with("application/json"));
    if !is_json {
        return Ok(Cell::no(answer.field("Content-Type").unwrap_or("no type")));
    }
    let strict: Result<Value, _> = serde_json::from_slice(&answer.body);
    let Ok(value) = strict.as_ref().cloned().or_else(|_| serde_json::from_str(&answer.text()))
    else {
        return Ok(Cell::no("not valid"));
    };
    // Each in its own words: somewhere there must be the name and the size in one object.
    Ok(match (has_entry(&value, "large.bin", LISTED_BYTES as u64), strict.is_ok()) {
        (true, true) => Cell::yes(),
        (true, false) => Cell::part("not UTF-8 where a name is not"),
        (false, _) => Cell::no("no object with name and size"),
    })
}

fn has_entry(value: &Value, name: &str, size: u64) -> bool {
    match value {
        Value::Array(members) => members.iter().any(|member| has_entry(member, name, size)),
        Value::Object(fields) => {
            let is_name = |field: &Value| {
                field
                    .as_str()
                    .is_some_and(|text| text == name || text.ends_with(&format!("/{name}")))
            };
            let own = fields.values().any(is_name)
                && fields.values().any(|field| field.as_u64() == Some(size));
            own || fields.values().any(|field| has_entry(field, name, size))
        }
        _ => false,
    }
}

fn fallback(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    // As a browser asks that was given such a link.
    let page = probe.get_with("/some/route/of/the/application", "Accept", "text/html,*/*;q=0.8")?;
    if page.status != 200 || !same(&page, INDEX) {
        return Ok(Cell::no(page.seen()));
    }
    let file = probe.get("/text.txt")?;
    Ok(Cell::check(file.status == 200 && !same(&file, INDEX), "hides files"))
}

fn error_page(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get("/nothing/here")?;
    Ok(match (answer.status, same(&answer, NOT_FOUND)) {
        (404, true) => Cell::yes(),
        (404, false) => Cell::no("another page"),
        _ => Cell::no(answer.seen()),
    })
}

/// The targets of all links of a page, as a browser reads the attribute.
fn links(page: &str) -> BTreeSet<String> {
    let mut links = BTreeSet::new();
    for rest in page.split("href=").skip(1) {
        let (quote, rest) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => (Some(quote), &rest[1..]),
            _ => (None, rest),
        };
        let ends = |character: char| match quote {
            Some(quote) => character == quote,
            None => character.is_whitespace() || character == '>',
        };
        let value = rest.split(ends).next().unwrap_or_default();
        links.insert(unescape(value));
    }
    links
}

/// Character references that servers write.
fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (reference, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#x22;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&apos;", "'"),
        ("&#x2F;", "/"),
        ("&#47;", "/"),
        ("&#43;", "+"),
        ("&amp;", "&"),
    ] {
        text = text.replace(reference, character);
    }
    text
}

/// Where a link on the page `/list/` leads to, as a browser resolves it; `None` if elsewhere.
fn resolve(link: &str) -> Option<String> {
    let link = link.split('#').next().unwrap_or_default().replace('\\', "/");
    let scheme_end =
        link.find(':').filter(|&colon| link.find(['/', '?']).is_none_or(|at| colon < at));
    if scheme_end.is_some() || link.starts_with("//") {
        return None;
    }
    // What a browser would encode by itself.
    let mut path = String::new();
    for byte in link.bytes() {
        match byte {
            b' ' | b'"' | b'<' | b'>' | b'`' | 0..=31 | 127.. => {
                path.push_str(&format!("%{byte:02X}"))
            }
            _ => path.push(char::from(byte)),
        }
    }
    let path = path.strip_prefix("./").unwrap_or(&path);
    match path {
        "" | "../" | ".." => None,
        _ if path.starts_with('/') => Some(path.to_owned()),
        _ => Some(format!("/list/{path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_as_a_browser_does() {
        let page = "<a href=\"a&amp;b\">x</a><a href='c d'><a href=e>";
        let found: Vec<_> = links(page).into_iter().collect();
        assert_eq!(found, ["a&b", "c d", "e"]);
        assert_eq!(resolve("./c d").as_deref(), Some("/list/c%20d"));
        assert_eq!(resolve("/list/x#y").as_deref(), Some("/list/x"));
        assert_eq!(resolve("back\\slash").as_deref(), Some("/list/back/slash"));
        assert_eq!(resolve("javascript:alert(1)"), None);
        assert_eq!(resolve("./javascript:alert(1)").as_deref(), Some("/list/javascript:alert(1)"));
    }

    #[test]
    fn a_name_and_a_size_must_be_in_one_object() {
        let entry =
            serde_json::json!({"files": [{"n": "/list/large.bin", "s": 5}, {"n": "b", "s": 6}]});
        assert!(has_entry(&entry, "large.bin", 5));
        assert!(!has_entry(&entry, "large.bin", 6));
    }
}
