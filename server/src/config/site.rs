//! Sites: virtual hosts, routes, and what a route does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::keys::text_kind;
use super::middleware::Middleware;
use super::shape::section;
use super::values::{Bytes, Count, FilePath, Single, choice, kind, unexpected};

section! {
    /// A virtual host.
    Host {
        /// Its names: `example.org`, or `*.example.org` for every name below. Exact names win over
        /// wildcards, longer wildcards over shorter ones.
        names: Vec<HostName> => Hot;
        /// Takes requests to names that no host has.
        default: bool = false => Hot;
        /// Its routes.
        routes: Vec<Route> => Hot;
        /// Its middleware: what it names replaces that of the whole server.
        middleware: Middleware = {} => Hot;
    }
}

section! {
    /// A path and what is there. Exactly one of `static`, `fixed` and `redirect` must be given.
    Route {
        /// A path with parameters: `/about`, `/users/{id}`, `/old/{*rest}`. A `static` route has none,
        /// and takes everything below its path.
        path: RoutePath => Hot;
        /// What metrics and logs call it, not `none` or `other`; null for its path.
        name: Option<String> = null => Hot;
        /// Serve the files of a folder.
        files as "static": Option<StaticFiles> = null => Hot;
        /// Answer the same every time.
        fixed: Option<FixedResponse> = null => Hot;
        /// Send elsewhere.
        redirect: Option<Redirect> = null => Hot;
        /// Its middleware: what it names replaces that of the host.
        middleware: Middleware = {} => Hot;
    }
}

section! {
    /// The files of a folder.
    StaticFiles {
        /// The folder.
        dir: FilePath => Hot;
        /// Files that stand for their folder, the first that exists.
        index: Vec<FileName> = ["index.html"] => Hot;
        /// Lists of folders without an index: none, HTML, JSON, or what the client prefers.
        listing: Listing = "off", development "auto" => Hot;
        /// File answered with 200 where there is none, for applications that route in the browser.
        fallback: Option<FileName> = null => Hot;
        /// Encodings whose files beside the asked one (`app.js.br`) are sent instead, best first.
        precompressed: Vec<Encoding> = [] => Hot;
        /// `Cache-Control` by name of file; the first rule that fits.
        cache_control: Vec<CacheRule> = [], development [{ "files": "**", "value": "no-cache" }] => Hot;
        /// Serve and list files whose names begin with a dot.
        hidden: bool = false => Hot;
        /// Symbolic links: followed where they lead `inside` of the folder, `deny`ed, or `follow`ed.
        symlinks: Symlinks = "inside" => Hot;
        /// Files for errors, by status: `{"404": "404.html"}`; 403, 404, 500 and 503.
        errors: BTreeMap<String, FileName> = {} => Hot;
        /// Character set of text files; null to name none.
        charset: Option<String> = "utf-8" => Hot;
        /// Memory per loop for small files; 0 for none.
        max_cache: Bytes<0, 17_179_869_184> = "16M", development "0" => Hot;
    }
}

section! {
    /// `Cache-Control` for some files.
    CacheRule {
        /// Pattern of paths below the folder: `*.js` in any folder, `assets/**`, `**`.
        files: Glob => Hot;
        /// The field's value.
        value: String => Hot;
    }
}

section! {
    /// The same answer every time.
    FixedResponse {
        /// Its status.
        status: Count<200, 599> = 200 => Hot;
        /// Its header fields; `Content-Type` is `text/plain; charset=utf-8` unless given.
        headers: BTreeMap<String, String> = {} => Hot;
        /// Its body.
        body: Option<String> = null => Hot;
        /// Its body, from a file.
        body_file: Option<FilePath> = null => Hot;
    }
}

section! {
    /// An answer that sends the client elsewhere.
    Redirect {
        /// Where to: a path or URL, which may use the parameters of the path, as in `/new/{rest}`, but
        /// not to name the host.
        to: RedirectTarget => Hot;
        /// 301 or 308 for good, 302, 303 or 307 for now.
        status: RedirectStatus = 307 => Hot;
    }
}

choice! {
    /// Lists of folders.
    Listing {
        /// None.
        Off = "off",
        /// A page.
        Html = "html",
        /// JSON.
        Json = "json",
        /// What the client prefers.
        Auto = "auto",
    }

    /// What symbolic links do.
    Symlinks {
        /// They are followed where they lead inside of the folder.
        Inside = "inside",
        /// They are not found.
        Deny = "deny",
        /// They are followed anywhere.
        Follow = "follow",
    }

    /// A content coding.
    Encoding {
        /// Brotli.
        Brotli = "br",
        /// Zstandard.
        Zstd = "zstd",
        /// Gzip.
        Gzip = "gzip",
    }
}

text_kind! {
    /// A pattern of paths.
    RoutePath, "path with parameters",
        expected "a path such as \"/\", \"/users/{id}\" or \"/files/{*rest}\"",
        if |text| parameters(text).is_some();

    /// Where a redirect leads.
    RedirectTarget, "path or URL",
        expected "a path or URL such as \"/new\" or \"https://example.org/{rest}\"",
        if |text| {
            ["/", "http://", "https://"].iter().any(|start| text.starts_with(start))
                && !text.contains(|c: char| c.is_control() || c == ' ')
        };

    /// A file below a folder.
    FileName, "file name", expected "the name of a file below the folder, such as \"index.html\"",
        if |text| {
            !text.contains(['\0', '\\'])
                && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
        };

    /// A pattern of file names.
    Glob, "pattern", expected "a pattern of file names such as \"*.js\", \"assets/**\" or \"**\"",
        if |text| !text.is_empty() && !text.starts_with('/') && !text.contains('\0');
}

/// The parameters of a path: `{id}` stands for one segment or a part of it, `{*rest}` for all that is
/// left. `None` if it is no such path.
pub fn parameters(path: &str) -> Option<Vec<&str>> {
    if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c == ' ') {
        return None;
    }
    let mut found = Vec::new();
    for segment in path.split('/') {
        let mut rest = segment;
        let mut in_segment = 0;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, after) = behind.split_once('}')?;
            let catches_all = name.starts_with('*');
            let name = name.strip_prefix('*').unwrap_or(name);
            let named =
                !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            let last = path.ends_with(segment) && after.is_empty();
            if !named || before.contains('}') || found.contains(&name) {
                return None;
            }
            if catches_all && !(last && before.is_empty()) {
                return None;
            }
            found.push(name);
            in_segment += 1;
            rest = after;
        }
        if rest.contains('}') || in_segment > 1 {
            return None;
        }
    }
    Some(found)
}

/// The name of a host, in lower case, perhaps with a `*.` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

kind! { HostName; }

impl HostName {
    /// The name.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl Single for HostName {
    const NAME: &'static str = "host name";

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn read(value: &Value) -> Result<HostName, String> {
        let expected = "a host name such as \"example.org\" or \"*.example.org\", without a port";
        let name = super::values::text(expected, value)?.to_ascii_lowercase();
        let bare = name.strip_prefix("*.").unwrap_or(&name);
        let ipv6 = bare
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if ipv6 || (bare.len() <= 253 && bare.split('.').all(label)) {
            return Ok(HostName(name));
        }
        if !name.is_ascii() {
            return unexpected("a host name in ASCII (write others in punycode, xn--…)", value);
        }
        unexpected(expected, value)
    }

    fn write(&self) -> Value {
        json!(self.0)
    }
}

/// A status that redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectStatus(u16);

kind! { RedirectStatus; }

impl RedirectStatus {
    /// The status.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Single for RedirectStatus {
    const NAME: &'static str = "301, 302, 303, 307 or 308";

    fn schema() -> Value {
        json!({ "enum": [301, 302, 303, 307, 308] })
    }

    fn read(value: &Value) -> Result<RedirectStatus, String> {
        match value.as_u64() {
            Some(status @ (301 | 302 | 303 | 307 | 308)) => Ok(RedirectStatus(status as u16)),
            _ => unexpected("301, 302, 303, 307 or 308", value),
        }
    }

    fn write(&self) -> Value {
        json!(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_paths() {
        for (path, expected) in [
            ("/", Some(vec![])),
            ("/users/{id}", Some(vec!["id"])),
            ("/users/{id}/posts/{post}", Some(vec!["id", "post"])),
            ("/old/{*rest}", Some(vec!["rest"])),
            ("/v{version}", Some(vec!["version"])),
            ("users", None),
            ("", None),
            ("/{", None),
            ("/}", None),
            ("/{}", None),
            ("/{a b}", None),
            ("/{a}/{a}", None),
            ("/{a}{b}", None),
            ("/{*rest}/x", None),
            ("/x{*rest}", None),
        ] {
            assert_eq!(parameters(path), expected, "{path}");
        }
    }

    #[test]
    fn names_of_hosts() {
        for (name, is_one) in [
            ("example.org", true),
            ("EXAMPLE.org", true),
            ("*.example.org", true),
            ("localhost", true),
            ("192.0.2.1", true),
            ("[::1]", true),
            ("*", false),
            ("a.*.org", false),
            ("example.org:80", false),
            ("http://example.org", false),
            ("example..org", false),
            ("", false),
            ("bücher.example", false),
        ] {
            assert_eq!(HostName::read(&json!(name)).is_ok(), is_one, "{name}");
        }
    }
}
