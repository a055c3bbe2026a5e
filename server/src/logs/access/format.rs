//! Formats: compiled once, then written piece by piece.

use std::fmt;
use std::str::FromStr;

use super::clock::Clock;
use super::escape::Place;
use super::record::AccessRecord;
use super::variable::Variable;

const COMMON: &str =
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent"#;
const COMBINED: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// What comes before a format string whose values are escaped for JSON strings.
const ESCAPE_JSON: &str = "escape=json ";

/// The members of `json`, in order. The first is always there.
const MEMBERS: [Variable; 18] = [
    Variable::TimeIso,
    Variable::RemoteAddr,
    Variable::RemotePort,
    Variable::RemoteUser,
    Variable::Method,
    Variable::Target,
    Variable::Version,
    Variable::Status,
    Variable::BodyBytes,
    Variable::RequestTimeUs,
    Variable::Host,
    Variable::Referer,
    Variable::UserAgent,
    Variable::RequestId,
    Variable::Route,
    Variable::Connection,
    Variable::ServerPort,
    Variable::CloseReason,
];

/// How a record becomes a line.
///
/// As text: `common`, `combined`, `json`, or a string with variables as in nginx: `$status` or
/// `${status}`, and `$$` for a dollar sign. [`AccessFormat::variables`] lists them.
///
/// No byte that a peer sends can end a value early: between quotes, quotes, backslashes, and whatever is
/// no printable ASCII become `\xHH`; outside of quotes, spaces too. What is not known is `-`. In a string
/// after `escape=json `, values are escaped for JSON strings, and what is not known is empty: put quotes
/// around all but numbers. `json` leaves out what is not known. A value is cut at 4,096 bytes.
///
/// ```
/// use corelane::logs::{AccessFormat, AccessRecord};
/// let format: AccessFormat = r#"$status "$request" ${request_time_us}us"#.parse()?;
/// let record = AccessRecord {
///     method: b"GET", target: b"/a\"b", version: "HTTP/1.1", status: 404,
///     ..AccessRecord::default()
/// };
/// assert_eq!(format.line(&record), r#"404 "GET /a\x22b HTTP/1.1" 0us"#);
/// assert_eq!(
///     "$statsu".parse::<AccessFormat>().unwrap_err().to_string(),
///     "`$statsu` is no variable; did you mean `$status`?",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessFormat {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Vec<u8>),
    Variable(Variable, Place),
    /// A member of a JSON object, left out if it has no value: what comes before the value, which is
    /// a number or not.
    Member {
        before: Vec<u8>,
        variable: Variable,
        number: bool,
    },
}

/// What is wrong with a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError(String);

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FormatError {}

impl Default for AccessFormat {
    /// `combined`.
    fn default() -> AccessFormat {
        AccessFormat { pieces: compile(COMBINED, false).unwrap_or_default() }
    }
}

impl FromStr for AccessFormat {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<AccessFormat, FormatError> {
        let pieces = match text {
            "common" => compile(COMMON, false)?,
            "combined" => compile(COMBINED, false)?,
            "json" => json(),
            _ if !text.contains('$') => {
                return Err(FormatError(format!(
                    "`{text}` is no format; write common, combined, json, or a string with \
                     variables such as `$remote_addr \"$request\" $status`"
                )));
            }
            _ => match text.strip_prefix(ESCAPE_JSON) {
                Some(text) => compile(text, true)?,
                None => compile(text, false)?,
            },
        };
        Ok(AccessFormat { pieces })
    }
}

impl AccessFormat {
    /// Every variable, without its dollar sign, and what it is.
    pub fn variables() -> impl Iterator<Item = (&'static str, &'static str)> {
        Variable::ALL.iter().map(|&(_, name, help)| (name, help))
    }

    /// One record's line, without its end. Allocates; lanes write into a buffer of their own.
    pub fn line(&self, record: &AccessRecord<'_>) -> String {
        let mut out = Vec::new();
        self.put(&mut out, record, &mut Clock::new());
        // Every byte of a peer is written as ASCII or checked to be UTF-8.
        String::from_utf8_lossy(&out).into_owned()
    }

    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>, record: &AccessRecord<'_>, clock: &mut Clock) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Variable(variable, place) => {
                    if !variable.put(out, record, clock, *place) && *place != Place::Json {
                        out.push(b'-');
                    }
                }
                Piece::Member { before, variable, number } => {
                    let start = out.len();
                    out.extend_from_slice(before);
                    if !variable.put(out, record, clock, Place::Json) {
                        out.truncate(start);
                    } else if !number {
                        out.push(b'"');
                    }
                }
            }
        }
    }
}

fn json() -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::with_capacity(MEMBERS.len() + 1);
    for variable in MEMBERS {
        let name = Variable::ALL.iter().find(|(known, ..)| *known == variable);
        let name = name.map_or("", |(_, name, _)| name);
        let number = variable.is_number();
        let (open, quote) =
            (if pieces.is_empty() { '{' } else { ',' }, if number { "" } else { "\"" });
        let before = format!("{open}\"{name}\":{quote}").into_bytes();
        pieces.push(Piece::Member { before, variable, number });
    }
    pieces.push(Piece::Literal(b"}".to_vec()));
    pieces
}

/// Splits a format string. Whether a variable stands between quotes is decided here, once.
fn compile(text: &str, json: bool) -> Result<Vec<Piece>, FormatError> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(FormatError("a format is one line without control characters".to_owned()));
    }
    let (mut pieces, mut literal, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        literal.push_str(before);
        quoted ^= before.matches('"').count() % 2 == 1;
        let after = &after[1..];
        if let Some(after) = after.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        let (name, after) = name(after)?;
        let variable = Variable::named(name).ok_or_else(|| unknown(name))?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal).into_bytes()));
        }
        let place = match (json, quoted) {
            (true, _) => Place::Json,
            (false, true) => Place::Quoted,
            (false, false) => Place::Bare,
        };
        pieces.push(Piece::Variable(variable, place));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into_bytes()));
    }
    Ok(pieces)
}

/// Splits the name from what follows the dollar sign.
fn name(text: &str) -> Result<(&str, &str), FormatError> {
    if let Some(braced) = text.strip_prefix('{') {
        return braced.split_once('}').ok_or_else(|| {
            FormatError(format!("`${text}`: the brace is not closed; write ${{status}}"))
        });
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if end == 0 {
        return Err(FormatError(
            "`$` without a name; write a variable such as `$status`, or `$$` for a dollar sign"
                .to_owned(),
        ));
    }
    Ok(text.split_at(end))
}

fn unknown(name: &str) -> FormatError {
    // Names that people know from elsewhere.
    let alias = match name {
        "host" => Some("http_host"),
        "query_string" => Some("args"),
        "bytes_sent" => Some("body_bytes_sent"),
        "method" => Some("request_method"),
        "path" => Some("uri"),
        "duration" => Some("request_time_us"),
        "user" => Some("remote_user"),
        _ => None,
    };
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    let closest = AccessFormat::variables()
        .map(|(known, _)| (likeness(known), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known);
    FormatError(match alias.or(closest) {
        Some(known) => format!("`${name}` is no variable; did you mean `${known}`?"),
        None => {
            let known: Vec<String> =
                AccessFormat::variables().map(|(v, _)| format!("${v}")).collect();
            format!("`${name}` is no variable; there are {}", known.join(", "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelane_eventloop::{ConnId, Nanos};
    use corelane_mempool::Key;

    fn record() -> AccessRecord<'static> {
        AccessRecord {
            time: Nanos(1_795_267_447_123_456_789),
            peer: Some(([192, 0, 2, 7], 50_000).into()),
            method: b"GET",
            target: b"/a/b?c=d&e",
            version: "HTTP/1.1",
            status: 206,
            body_bytes: 1234,
            duration: Nanos(1_002_345_678),
            referer: Some(b"http://example.com/"),
            user_agent: Some(b"curl/8 (x; y)"),
            host: Some(b"example.org"),
            request_id: Some(b"0f"),
            route: Some("files"),
            user: Some(b"jo"),
            connection: Some(ConnId { lane: 3, key: Key::from_bits(7 << 32 | 42) }),
            listener: 1,
            server_port: Some(8080),
            close_reason: Some("client"),
        }
    }

    fn hostile() -> AccessRecord<'static> {
        AccessRecord {
            method: b"G\"T",
            target: b"/\"\r\n\\\xff \x00",
            version: "HTTP/1.1",
            user_agent: Some(b"\" 200 0 \"\n"),
            referer: Some(b"\xc3\xa4\xc3"),
            user: Some(b"a b] \"c"),
            ..record()
        }
    }

    #[track_caller]
    fn check(format: &str, record: &AccessRecord<'_>, expect: &str) {
        assert_eq!(format.parse::<AccessFormat>().unwrap().line(record), expect);
    }

    #[test]
    fn known_formats() {
        let common =
            r#"192.0.2.7 - jo [21/Nov/2026:13:24:07 +0000] "GET /a/b?c=d&e HTTP/1.1" 206 1234"#;
        check("common", &record(), common);
        let combined = format!(r#"{common} "http://example.com/" "curl/8 (x; y)""#);
        check("combined", &record(), &combined);
        assert_eq!(AccessFormat::default().line(&record()), combined);
        check(
            "json",
            &record(),
            r#"{"time_iso8601":"2026-11-21T13:24:07.123Z","remote_addr":"192.0.2.7","remote_port":50000,"remote_user":"jo","request_method":"GET","request_uri":"/a/b?c=d&e","server_protocol":"HTTP/1.1","status":206,"body_bytes_sent":1234,"request_time_us":1002345,"http_host":"example.org","http_referer":"http://example.com/","http_user_agent":"curl/8 (x; y)","request_id":"0f","route":"files","connection":"3:42.7","server_port":8080,"close_reason":"client"}"#,
        );
    }

    #[test]
    fn nothing_is_known_of_the_request() {
        let nothing = AccessRecord { status: 408, ..AccessRecord::default() };
        check("combined", &nothing, r#"unix: - - [01/Jan/1970:00:00:00 +0000] "-" 408 0 "-" "-""#);
        check(
            "json",
            &nothing,
            r#"{"time_iso8601":"1970-01-01T00:00:00.000Z","remote_addr":"unix:","status":408,"body_bytes_sent":0,"request_time_us":0}"#,
        );
        check(r#"escape=json {"u":"$remote_user","s":$status}"#, &nothing, r#"{"u":"","s":408}"#);
    }

    #[test]
    fn hostile_bytes_stay_in_their_place() {
        check(
            "combined",
            &hostile(),
            r#"192.0.2.7 - a\x20b]\x20\x22c [21/Nov/2026:13:24:07 +0000] "G\x22T /\x22\x0D\x0A\x5C\xFF \x00 HTTP/1.1" 206 1234 "\xC3\xA4\xC3" "\x22 200 0 \x22\x0A""#,
        );
        for format in ["json", r#"escape=json {"http_user_agent":"$http_user_agent"}"#] {
            let line = format.parse::<AccessFormat>().unwrap().line(&hostile());
            assert!(!line.contains('\n'));
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["http_user_agent"], "\" 200 0 \"\n");
        }
    }

    #[test]
    fn every_variable() {
        let all: Vec<String> =
            AccessFormat::variables().map(|(name, _)| format!("${{{name}}}")).collect();
        check(
            &all.join(" "),
            &record(),
            r"192.0.2.7 50000 jo 21/Nov/2026:13:24:07 +0000 2026-11-21T13:24:07.123Z 1795267447.123 1795267447123 GET\x20/a/b?c=d&e\x20HTTP/1.1 GET /a/b?c=d&e /a/b c=d&e HTTP/1.1 206 1234 1.002 1002345 example.org http://example.com/ curl/8\x20(x;\x20y) 0f files 3:42.7 1 8080 client",
        );
        let v6 = AccessRecord { peer: Some("[2001:db8::1]:1".parse().unwrap()), ..record() };
        check("$remote_addr", &v6, "2001:db8::1");
        let mapped =
            AccessRecord { peer: Some("[::ffff:10.0.0.255]:1".parse().unwrap()), ..record() };
        check("$remote_addr$$x", &mapped, "10.0.0.255$x");
    }

    #[test]
    fn the_guide_has_every_variable() {
        let guide = include_str!("../../../../docs/OPERATING.md");
        for (name, help) in AccessFormat::variables() {
            let row = format!("| `${name}` | {help} |");
            assert!(guide.contains(&row), "not in docs/OPERATING.md: {row}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (format, part) in [
            ("combind", "`combind` is no format; write common, combined"),
            ("", "`` is no format"),
            ("$remote_adr", "did you mean `$remote_addr`?"),
            ("${http_useragent}", "did you mean `$http_user_agent`?"),
            ("$host", "did you mean `$http_host`?"),
            ("$zzz", "`$zzz` is no variable; there are $remote_addr, $remote_port"),
            ("100 $", "`$` without a name"),
            ("${status", "the brace is not closed"),
            ("$status\n", "one line"),
        ] {
            let error = format.parse::<AccessFormat>().unwrap_err().to_string();
            assert!(error.contains(part), "{format:?}: {error}");
        }
    }
}
