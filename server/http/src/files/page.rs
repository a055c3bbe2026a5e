//! The HTML of a directory listing: works without scripts, by keyboard and read aloud; in the light or
//! the dark, as the reader's system is set.

use std::fmt::Write;

use corelane_eventloop::{DirEntry, FileKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::listing::{Sort, View, iso};

/// What the page may load: nothing but its own style.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// What stands as it is in a link: the unreserved characters (RFC 3986 §2.3).
const LINKED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const STYLE: &str = "
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .25rem .5rem; text-align: left; vertical-align: baseline; }
th, td { border-bottom: 1px solid #8884; }
td:first-child { width: 100%; overflow-wrap: anywhere; }
th:nth-child(n+2), td:nth-child(n+2) { text-align: right; white-space: nowrap; }
td { font-variant-numeric: tabular-nums; }
tbody tr:hover { background: #8882; }
@media (max-width: 36rem) {
  body { margin: 1rem auto; }
  th, td { padding: .35rem .25rem; }
  th:nth-child(n+2), td:nth-child(n+2) { font-size: .8rem; }
}
[aria-sort=ascending] a::after { content: ' \\2191'; }
[aria-sort=descending] a::after { content: ' \\2193'; }
";

/// The page of a directory, whose path is empty or ends with a slash.
pub(crate) fn render(path: &str, entries: &[DirEntry], truncated: bool, view: View) -> String {
    let mut page = String::with_capacity(2048 + 256 * entries.len());
    let title = Text(path);
    // Writing to a string does not fail.
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>/{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <main>\n<h1>Index of <bdi>/{title}</bdi></h1>\n<table>\n<thead>\n<tr>"
    );
    for sort in Sort::ALL {
        head(&mut page, sort, view);
    }
    page.push_str("</tr>\n</thead>\n<tbody>\n");
    if !path.is_empty() {
        page.push_str("<tr><td><a href=\"../\">Parent directory</a></td><td></td><td></td></tr>\n");
    }
    for entry in entries {
        row(&mut page, entry);
    }
    page.push_str("</tbody>\n</table>\n");
    if entries.is_empty() {
        page.push_str("<p>This directory is empty.</p>\n");
    }
    if truncated {
        let _ = writeln!(
            page,
            "<p>The directory has more names: these are the first {}.</p>",
            entries.len()
        );
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// The head of a column: a link that sorts by it, or turns the order round.
fn head(page: &mut String, sort: Sort, view: View) {
    let title = match sort {
        Sort::Name => "Name",
        Sort::Size => "Size",
        Sort::Date => "Modified (UTC)",
    };
    let (state, order) = match (view.sort == sort, view.descending) {
        (true, false) => (" aria-sort=\"ascending\"", "desc"),
        (true, true) => (" aria-sort=\"descending\"", "asc"),
        (false, _) => ("", "asc"),
    };
    let sort = sort.as_str();
    let _ = write!(
        page,
        "<th scope=\"col\"{state}><a href=\"?sort={sort}&amp;order={order}\">{title}</a></th>"
    );
}

fn row(page: &mut String, entry: &DirEntry) {
    let is_directory = entry.meta.kind == FileKind::Directory;
    let slash = if is_directory { "/" } else { "" };
    let link = utf8_percent_encode(&entry.name, LINKED);
    let name = Text(&entry.name);
    let size = match is_directory {
        true => "<td></td>".to_owned(),
        false => {
            let len = entry.meta.len;
            let s = if len == 1 { "" } else { "s" };
            format!("<td title=\"{len} byte{s}\">{}</td>", human(len))
        }
    };
    let date = iso(entry.meta.modified);
    let shown = format!("{} {}", &date[..10], &date[11..16]);
    // The dot keeps a colon in a name from being read as the end of a scheme.
    let _ = writeln!(
        page,
        "<tr><td><a href=\"./{link}{slash}\"><bdi>{name}{slash}</bdi></a></td>\
         {size}<td><time datetime=\"{date}\">{shown}</time></td></tr>"
    );
}

/// A length in the largest unit, of 1,000 each, that it has one of.
fn human(bytes: u64) -> String {
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let bytes = u128::from(bytes);
    let mut unit = 1_000;
    for name in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        let tenths = (bytes * 10 + unit / 2) / unit;
        let whole = (bytes + unit / 2) / unit;
        match (tenths, whole) {
            (0..100, _) => return format!("{}.{} {name}", tenths / 10, tenths % 10),
            (_, 0..1_000) => return format!("{whole} {name}"),
            _ => unit *= 1_000,
        }
    }
    format!("{bytes} B")
}

/// Text in HTML, in an element or in quotes. Control characters, which HTML cannot hold, are replaced.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                control if control.is_control() => f.write_str("\u{fffd}")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_for_people() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_049, "1.0 kB"),
            (1_050, "1.1 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (1_500_000_000, "1.5 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(human(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_page() {
        assert_eq!(Text("a\n\u{1b}[1m\u{85}").to_string(), "a\u{fffd}\u{fffd}[1m\u{fffd}");
    }
}
