//! What is in a directory, for people and for programs.

use std::cmp::Ordering;

use corelane_eventloop::{DirEntry, FileKind, Nanos};
use corelane_parser::http1::HttpDate;
use serde::Serialize;

use super::page;
use crate::negotiate;
use crate::web::Response;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// In which form directories are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListingForm {
    /// What the query (`?format=json`) or the client's Accept asks for, else HTML.
    #[default]
    Preferred,
    /// HTML.
    Html,
    /// JSON.
    Json,
}

/// By which column a listing is sorted; directories come first in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    Size,
    Date,
}

impl Sort {
    pub(crate) const ALL: [Sort; 3] = [Sort::Name, Sort::Size, Sort::Date];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Size => "size",
            Sort::Date => "date",
        }
    }
}

/// What the query of a listing asks for. What is not understood counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) sort: Sort,
    pub(crate) descending: bool,
    /// JSON or HTML, if it says so.
    format: Option<&'static str>,
}

impl View {
    fn of(query: &str) -> View {
        let value = |key: &str| {
            query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key))
        };
        let sort = value("sort")
            .and_then(|(_, value)| Sort::ALL.into_iter().find(|sort| sort.as_str() == value));
        let format = match value("format") {
            Some((_, "json")) => Some(JSON),
            Some((_, "html")) => Some(HTML),
            _ => None,
        };
        let descending = matches!(value("order"), Some((_, "desc")));
        View { sort: sort.unwrap_or(Sort::Name), descending, format }
    }

    fn compare(self, a: &DirEntry, b: &DirEntry) -> Ordering {
        let is_file = |entry: &DirEntry| entry.meta.kind != FileKind::Directory;
        let by_name = || {
            let folded = |entry: &DirEntry| entry.name.to_lowercase();
            folded(a).cmp(&folded(b)).then_with(|| a.name.cmp(&b.name))
        };
        let order = match self.sort {
            Sort::Name => by_name(),
            Sort::Size if is_file(a) => a.meta.len.cmp(&b.meta.len).then_with(by_name),
            Sort::Size => by_name(),
            Sort::Date => a.meta.modified.cmp(&b.meta.modified).then_with(by_name),
        };
        let order = if self.descending { order.reverse() } else { order };
        is_file(a).cmp(&is_file(b)).then(order)
    }
}

/// Answers with the entries of a directory, whose path is empty or ends with a slash. What is neither
/// file nor directory is left out: it cannot be got.
pub(crate) fn answer<'a>(
    path: &str,
    mut entries: Vec<DirEntry>,
    truncated: bool,
    query: &str,
    accept: impl Iterator<Item = &'a [u8]>,
    form: ListingForm,
) -> Response {
    let view = View::of(query);
    entries.retain(|entry| entry.meta.kind != FileKind::Other);
    entries.sort_by(|a, b| view.compare(a, b));
    let format = match form {
        ListingForm::Preferred => {
            view.format.or_else(|| negotiate::media_type(accept, [HTML, JSON]))
        }
        ListingForm::Html => Some(HTML),
        ListingForm::Json => Some(JSON),
    };
    let mut response = match format {
        Some(JSON) => Response::json(&Directory::of(path, &entries, truncated)),
        _ => Response::html(page::render(path, &entries, truncated, view))
            .with("Content-Security-Policy", page::POLICY),
    };
    response.set("Cache-Control", "no-cache");
    if form == ListingForm::Preferred {
        response.vary("Accept");
    }
    response
}

/// A listing as JSON.
#[derive(Serialize)]
struct Directory<'a> {
    /// The path beneath the root, decoded, with a slash at both ends.
    path: String,
    entries: Vec<Listed<'a>>,
    /// Whether there are more names than the listing's limit.
    truncated: bool,
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// In bytes; directories have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Last change, in UTC.
    modified: String,
}

impl<'a> Directory<'a> {
    fn of(path: &str, entries: &'a [DirEntry], truncated: bool) -> Directory<'a> {
        let listed = |entry: &'a DirEntry| {
            let is_directory = entry.meta.kind == FileKind::Directory;
            Listed {
                name: &entry.name,
                kind: if is_directory { "directory" } else { "file" },
                size: (!is_directory).then_some(entry.meta.len),
                modified: iso(entry.meta.modified),
            }
        };
        let entries = entries.iter().map(listed).collect();
        Directory { path: format!("/{path}"), entries, truncated }
    }
}

/// A date by ISO 8601, `1994-11-06T08:49:37Z`: the parts of an HTTP date in another order.
pub(crate) fn iso(time: Nanos) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = HttpDate::from_unix_seconds(time.as_secs());
    let text = date.as_str();
    let month = MONTHS.find(&text[8..11]).unwrap_or(0) / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", &text[12..16], &text[5..7], &text[17..25])
}

#[cfg(test)]
mod tests {
    use corelane_eventloop::Meta;

    use super::*;

    fn entry(name: &str, kind: FileKind, len: u64, modified: u64) -> DirEntry {
        let modified = Nanos::from_secs(modified);
        let meta = Meta { len, modified, changed: modified, inode: 1, kind };
        DirEntry { name: name.to_owned(), meta }
    }

    fn entries() -> Vec<DirEntry> {
        use FileKind::{Directory, Other, Regular};
        vec![
            entry("B.txt", Regular, 5, 300),
            entry("a.txt", Regular, 900, 200),
            entry("c<\"&'>.txt", Regular, 1_500, 784_111_777),
            entry("pipe", Other, 0, 1),
            entry("z\u{202e}dir", Directory, 4096, 100),
        ]
    }

    fn body(response: &Response) -> String {
        match response.content() {
            crate::Content::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn names(query: &str) -> Vec<String> {
        let query = format!("format=json&{query}");
        let response =
            answer("", entries(), false, &query, None.into_iter(), ListingForm::Preferred);
        let listed: serde_json::Value = serde_json::from_str(&body(&response)).unwrap();
        let listed = listed["entries"].as_array().unwrap();
        listed.iter().map(|entry| entry["name"].as_str().unwrap()[..1].to_owned()).collect()
    }

    #[test]
    fn sorted_by_what_the_query_asks_for() {
        for (query, expected) in [
            ("", "zaBc"),
            ("sort=name&order=desc", "zcBa"),
            ("sort=size", "zBac"),
            ("order=desc&sort=size", "zcaB"),
            ("sort=date&order=asc", "zaBc"),
            ("sort=date&order=desc", "zcBa"),
            ("sort=<script>&order=up", "zaBc"),
        ] {
            assert_eq!(names(query).concat(), expected, "{query}");
        }
    }

    #[test]
    fn json_is_what_the_documentation_says() {
        let response = answer(
            "a b/",
            entries(),
            true,
            "",
            Some(&b"application/json"[..]).into_iter(),
            ListingForm::Preferred,
        );
        assert_eq!(response.field("Content-Type"), Some(JSON.as_bytes()));
        assert_eq!(response.field("Vary"), Some(&b"Accept"[..]));
        let listed: serde_json::Value = serde_json::from_str(&body(&response)).unwrap();
        let expected = serde_json::json!({
            "path": "/a b/",
            "entries": [
                {"name": "z\u{202e}dir", "type": "directory", "modified": "1970-01-01T00:01:40Z"},
                {"name": "a.txt", "type": "file", "size": 900, "modified": "1970-01-01T00:03:20Z"},
                {"name": "B.txt", "type": "file", "size": 5, "modified": "1970-01-01T00:05:00Z"},
                {
                    "name": "c<\"&'>.txt", "type": "file", "size": 1500,
                    "modified": "1994-11-06T08:49:37Z",
                },
            ],
            "truncated": true,
        });
        assert_eq!(listed, expected);
    }

    #[test]
    fn html_holds_no_name_as_markup() {
        let response =
            answer("<i>/", entries(), true, "sort=size", None.into_iter(), ListingForm::Preferred);
        assert_eq!(response.field("Content-Type"), Some(HTML.as_bytes()));
        let page = body(&response);
        let row = "<a href=\"./c%3C%22%26%27%3E.txt\"><bdi>c&lt;&quot;&amp;&#39;&gt;.txt</bdi></a>";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("<title>/&lt;i&gt;/</title>"), "{page}");
        assert!(page.contains("href=\"./z%E2%80%AEdir/\""), "{page}");
        assert!(page.contains("<a href=\"../\">"), "{page}");
        assert!(page.contains("1.5 kB</td>"), "{page}");
        assert!(page.contains("aria-sort=\"ascending\"><a href=\"?sort=size&amp;order=desc\""));
        assert!(page.contains("datetime=\"1994-11-06T08:49:37Z\""), "{page}");
        assert!(page.contains("has more") && !page.contains("pipe") && !page.contains("<i>"));
        let root =
            body(&answer("", entries(), false, "", None.into_iter(), ListingForm::Preferred));
        assert!(!root.contains("../") && !root.contains("has more"), "{root}");
        assert!(!page.contains("is empty") && !root.contains("is empty"));
        let empty = answer("a/", Vec::new(), false, "", None.into_iter(), ListingForm::Html);
        assert!(body(&empty).contains("This directory is empty."));
    }
}
