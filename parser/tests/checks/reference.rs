//! A second reading of RFC 9112, to compare with: slow, obvious, with the whole input at hand, and
//! sharing nothing with the parser. Where a rule is ours and not the RFC's, it says "policy".

use corelane_parser::http1::Limits;

/// What is at the front of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read<T> {
    /// All of it, in so many bytes.
    Whole(T, usize),
    /// The beginning of something valid.
    Beginning,
    /// Nothing that any continuation makes valid.
    Refused,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) http10: bool,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    pub(crate) upgrade: bool,
}

/// What a connection's input holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// Complete requests with their bodies, and at last one whose body is not complete.
    pub(crate) requests: Vec<(Head, Vec<u8>)>,
    /// The last body is not complete, whatever the reason.
    pub(crate) in_body: bool,
    pub(crate) refused: bool,
    /// Where the last head or body that is not complete begins.
    pub(crate) at: usize,
}

/// Reads one request after the other.
pub(crate) fn conversation(input: &[u8], limits: &Limits) -> Conversation {
    let mut all = Conversation::default();
    loop {
        let framing = match head(&input[all.at..], limits) {
            Read::Whole(head, bytes) => {
                all.at += bytes;
                let framing = head.framing;
                all.requests.push((head, Vec::new()));
                framing
            }
            other => {
                all.refused = other == Read::Refused;
                return all;
            }
        };
        let (data, end) = body(framing, &input[all.at..], limits);
        if let Some((_, body)) = all.requests.last_mut() {
            *body = data;
        }
        match end {
            Read::Whole((), bytes) => all.at += bytes,
            other => {
                all.in_body = true;
                all.refused = other == Read::Refused;
                return all;
            }
        }
    }
}

/// A body's data, as far as it is there, and whether that is all.
pub(crate) fn body(framing: Framing, input: &[u8], limits: &Limits) -> (Vec<u8>, Read<()>) {
    match framing {
        Framing::None => (Vec::new(), Read::Whole((), 0)),
        Framing::Length(length) => match usize::try_from(length) {
            Ok(length) if length <= input.len() => {
                (input[..length].to_vec(), Read::Whole((), length))
            }
            _ => (input.to_vec(), Read::Beginning),
        },
        Framing::Chunked => chunked(input, limits),
    }
}

// ---- Heads --------------------------------------------------------------------------------------

/// Bytes of a method: longer ones are refused (policy).
const METHOD_BYTES_MAX: usize = 32;

/// Empty lines in front of a request line (RFC 9112 §2.2; how many is policy).
const EMPTY_LINES_MAX: usize = 4;

/// A head. Without its end, only what no line may hold is looked for.
pub(crate) fn head(input: &[u8], limits: &Limits) -> Read<Head> {
    let mut start = 0;
    while input[start..].starts_with(b"\r\n") {
        start += 2;
        if start > 2 * EMPTY_LINES_MAX {
            return Read::Refused;
        }
    }
    let end = input[start..].windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (text, bytes) = match end {
        Some(at) => (&input[start..start + at], start + at + 4),
        None => (&input[start..], input.len()),
    };
    let lines = split(text, b"\r\n");
    for (number, line) in lines.iter().enumerate() {
        let is_open = end.is_none() && number + 1 == lines.len();
        // Half of a line's end may be there.
        let line = if is_open { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        let most = if number == 0 { limits.request_line_bytes } else { limits.field_line_bytes };
        if line.len() > most || line.contains(&b'\r') || line.contains(&b'\n') {
            return Read::Refused;
        }
    }
    match end {
        None if bytes >= limits.head_bytes => Read::Refused,
        None => Read::Beginning,
        Some(_) if bytes > limits.head_bytes => Read::Refused,
        Some(_) => match whole_head(&lines, limits) {
            Some(head) => Read::Whole(head, bytes),
            None => Read::Refused,
        },
    }
}

fn whole_head(lines: &[&[u8]], limits: &Limits) -> Option<Head> {
    let (request_line, field_lines) = lines.split_first()?;
    let [method, target, version] = split(request_line, b" ")[..] else { return None };
    if !is_token(method) || method.len() > METHOD_BYTES_MAX {
        return None;
    }
    let http10 = match version {
        b"HTTP/1.0" => true,
        // A higher minor version is understood as the highest that is known (RFC 9110 §2.5).
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => false,
        _ => return None,
    };
    if !is_target(method, target, limits) || field_lines.len() > limits.fields {
        return None;
    }
    let fields: Option<Vec<_>> = field_lines.iter().map(|line| field(line)).collect();
    let fields = fields?;
    let values = |name: &str| -> Vec<&[u8]> {
        let same = fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| &value[..]).collect()
    };
    // Gateways may take these for the names with a hyphen (policy).
    if ["Content_Length", "Transfer_Encoding"].iter().any(|name| !values(name).is_empty()) {
        return None;
    }
    match values("Host")[..] {
        [host] if is_authority(host) || (limits.lenient && host.is_empty()) => {}
        [] if http10 => {}
        _ => return None,
    }
    // Two types are two readings (policy).
    let types = values("Content-Type");
    let differ = types.windows(2).any(|pair| pair[0] != pair[1]);
    if types.len() > 1 && (differ || !limits.lenient) {
        return None;
    }
    let framing = framing(&values("Content-Length"), &values("Transfer-Encoding"), http10, limits)?;
    // Of 1.0 neither expectations nor upgrades are heard.
    let list = |name: &str| -> Vec<Vec<u8>> {
        let elements = values(name).into_iter().flat_map(|value| split(value, b",")).map(trim);
        elements.filter(|element| !element.is_empty()).map(<[u8]>::to_ascii_lowercase).collect()
    };
    let expects = if http10 { Vec::new() } else { list("Expect") };
    let (known, unknown): (Vec<_>, Vec<_>) =
        expects.iter().partition(|expectation| *expectation == b"100-continue");
    if !unknown.is_empty() && !limits.lenient {
        return None;
    }
    let options = list("Connection");
    let has = |option: &[u8]| options.iter().any(|other| other == option);
    let protocols = list("Upgrade");
    let upgrade = !http10 && has(b"upgrade") && !protocols.is_empty();
    let websocket = protocols.iter().any(|protocol| protocol == b"websocket");
    let versions = values("Sec-WebSocket-Version");
    let understood = versions.is_empty() || versions == [b"13"];
    if upgrade && websocket && method == b"GET" && !understood {
        return None;
    }
    Some(Head {
        method: String::from_utf8(method.to_vec()).ok()?,
        target: String::from_utf8(target.to_vec()).ok()?,
        http10,
        framing,
        keep_alive: !has(b"close") && (!http10 || has(b"keep-alive")),
        expects_continue: !known.is_empty() && framing != Framing::None,
        upgrade,
        fields,
    })
}

/// `field-name ":" OWS field-value OWS` (RFC 9112 §5).
fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    let is_field = is_token(name) && value.iter().all(|&byte| is_text(byte));
    is_field.then(|| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
}

/// RFC 9112 §6.3. Content-Length twice or as a list, and a leading zero: policy.
fn framing(lengths: &[&[u8]], codings: &[&[u8]], http10: bool, limits: &Limits) -> Option<Framing> {
    match (lengths, codings) {
        ([], []) => Some(Framing::None),
        ([length], []) => {
            let digits = length.iter().all(u8::is_ascii_digit);
            if !digits || (length.len() > 1 && length[0] == b'0') {
                return None;
            }
            match std::str::from_utf8(length).ok()?.parse().ok()? {
                0 => Some(Framing::None),
                length if length <= limits.body_bytes => Some(Framing::Length(length)),
                _ => None,
            }
        }
        ([], [coding]) if !http10 && coding.eq_ignore_ascii_case(b"chunked") => {
            Some(Framing::Chunked)
        }
        // Malformed, unknown, ambiguous, or in a version that has none.
        _ => None,
    }
}

/// RFC 9112 §3.2.
fn is_target(method: &[u8], target: &[u8], limits: &Limits) -> bool {
    let raw_text = limits.lenient && std::str::from_utf8(target).is_ok();
    let may_stand =
        |&byte: &u8| byte.is_ascii_graphic() && byte != b'#' || raw_text && byte >= 0x80;
    if !target.iter().all(may_stand) {
        return false;
    }
    // Policy: what ends a path or parts it for some servers.
    let path = split(target, b"?")[0].to_ascii_lowercase();
    let forbidden: [&[u8]; 4] = [b"\\", b"%00", b"%0d", b"%0a"];
    let holds = |bytes: &&[u8]| path.windows(bytes.len()).any(|part| part == *bytes);
    if !limits.lenient && forbidden.iter().any(holds) {
        return false;
    }
    if method == b"CONNECT" {
        // A port is required, and not empty.
        return is_authority(target) && target.last().is_some_and(u8::is_ascii_digit) && {
            let host_end = target.iter().rposition(|&byte| byte == b']').unwrap_or(0);
            target[host_end..].contains(&b':')
        };
    }
    if target == b"*" {
        return method == b"OPTIONS";
    }
    if target.starts_with(b"/") {
        return true;
    }
    ["http://", "https://"].iter().any(|scheme| {
        let front = target.get(..scheme.len());
        front.is_some_and(|front| front.eq_ignore_ascii_case(scheme.as_bytes())) && {
            let rest = &target[scheme.len()..];
            let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            is_authority(&rest[..end])
        }
    })
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2). Policy: neither empty nor with a comma, no port above
/// 65535 or longer than six digits, nothing encoded but name bytes and what is not ASCII.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (host, port) = if text.starts_with('[') {
        let Some(end) = text.find(']') else { return false };
        (&text[..=end], &text[end + 1..])
    } else {
        text.split_at(text.find(':').unwrap_or(text.len()))
    };
    let port_is_good = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some("") => true,
        Some(digits) => {
            digits.len() <= 6
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u32>().is_ok_and(|port| port <= 65535)
        }
    };
    let host_is_good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(literal) => is_ip_literal(literal),
        None => !host.is_empty() && is_reg_name(host.as_bytes()),
    };
    port_is_good && host_is_good
}

/// RFC 3986 §3.2.2.
fn is_ip_literal(literal: &str) -> bool {
    if !literal.starts_with(['v', 'V']) {
        return literal.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let Some((version, address)) = literal[1..].split_once('.') else { return false };
    let hex = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && !address.is_empty() && address.bytes().all(|byte| byte == b':' || is_name(byte))
}

fn is_reg_name(mut name: &[u8]) -> bool {
    while let Some((&byte, rest)) = name.split_first() {
        name = rest;
        if byte == b'%' {
            let Some(digits) = rest.get(..2) else { return false };
            let Ok(digits) = std::str::from_utf8(digits) else { return false };
            let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            match u8::from_str_radix(digits, 16) {
                Ok(byte) if hex && (byte >= 0x80 || is_name(byte)) => name = &rest[2..],
                _ => return false,
            }
        } else if !is_name(byte) {
            return false;
        }
    }
    true
}

/// `unreserved / sub-delims` (RFC 3986 §2.2, §2.3), but the comma.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte)
}

// ---- Chunks -------------------------------------------------------------------------------------

/// Policy: bytes of framing a body may have before any data and save up, and those that each byte of
/// data earns.
const FRAMING_BYTES: usize = 16 * 1024;
const FRAMING_EARNED: usize = 8;

/// Why a line is not whole.
enum Line<'i> {
    /// Up to its CRLF.
    Whole(&'i [u8]),
    /// No end is there; half of it may be.
    Open { text: &'i [u8], cr: bool },
}

/// The line at the front, up to the first CR (which nothing in a chunked body's lines may hold) or
/// the end. `None` if the CR is bare.
fn line(input: &[u8]) -> Option<Line<'_>> {
    let Some(at) = input.iter().position(|&byte| byte == b'\r') else {
        return Some(Line::Open { text: input, cr: false });
    };
    match input.get(at + 1) {
        Some(b'\n') => Some(Line::Whole(&input[..at])),
        Some(_) => None,
        None => Some(Line::Open { text: &input[..at], cr: true }),
    }
}

/// A chunked body (RFC 9112 §7.1): its data as far as it is there, and whether that is all.
pub(crate) fn chunked(input: &[u8], limits: &Limits) -> (Vec<u8>, Read<()>) {
    let (mut data, mut at, mut allowance) = (Vec::new(), 0, FRAMING_BYTES);
    loop {
        let text = match line(&input[at..]) {
            None => return (data, Read::Refused),
            Some(Line::Open { text, cr }) => {
                let can_go_on = is_begun_chunk_line(text, cr, limits);
                let affordable = text.len() + usize::from(cr) <= allowance;
                let read = if can_go_on && affordable { Read::Beginning } else { Read::Refused };
                return (data, read);
            }
            Some(Line::Whole(text)) => text,
        };
        let Some(left) = allowance.checked_sub(text.len() + 2) else {
            return (data, Read::Refused);
        };
        allowance = left;
        at += text.len() + 2;
        let size = match chunk_line(text) {
            Some((size, extensions)) if extensions <= usize::from(limits.chunk_extension_bytes) => {
                size
            }
            _ => return (data, Read::Refused),
        };
        if size == 0 {
            let end = match trailers(&input[at..], limits) {
                Read::Whole((), bytes) => Read::Whole((), at + bytes),
                other => other,
            };
            return (data, end);
        }
        if size > limits.body_bytes - data.len() as u64 {
            return (data, Read::Refused);
        }
        let part = &input[at..];
        let part = &part[..part.len().min(size as usize)];
        data.extend_from_slice(part);
        at += part.len();
        allowance = FRAMING_BYTES.min(allowance + part.len() * FRAMING_EARNED);
        if (part.len() as u64) < size {
            return (data, Read::Beginning);
        }
        let end = &input[at..];
        let end = &end[..end.len().min(2)];
        if !b"\r\n".starts_with(end) || end.len() > allowance {
            return (data, Read::Refused);
        }
        if end.len() < 2 {
            return (data, Read::Beginning);
        }
        allowance -= 2;
        at += 2;
    }
}

/// `chunk-size [ chunk-ext ]`: the size, and the bytes of the extensions.
fn chunk_line(line: &[u8]) -> Option<(u64, usize)> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    // More than 16, which only zeros could be: policy.
    if digits == 0 || digits > 16 {
        return None;
    }
    let size = u64::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
    let mut rest = &line[digits..];
    // chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
    while !rest.is_empty() {
        rest = blanks(blanks(rest).strip_prefix(b";")?);
        rest = token(rest)?;
        if let Some(value) = blanks(rest).strip_prefix(b"=") {
            let value = blanks(value);
            rest = match value.strip_prefix(b"\"") {
                Some(quoted) => quoted_string(quoted)?,
                None => token(value)?,
            };
        }
    }
    Some((size, line.len() - digits))
}

/// Whether a line that is not complete can still become one: with one of these behind it, it is one.
fn is_begun_chunk_line(text: &[u8], cr: bool, limits: &Limits) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    // An extension is found too long when the byte behind it comes.
    let extensions = (text.len() - digits) + usize::from(cr);
    if extensions > usize::from(limits.chunk_extension_bytes) + 1 {
        return false;
    }
    let tails: &[&str] = if cr { &[""] } else { &["", "0", ";a", "a", "=a", "\"", "a\""] };
    tails.iter().any(|tail| chunk_line(&[text, tail.as_bytes()].concat()).is_some())
}

/// `*( field-line CRLF ) CRLF`
pub(crate) fn trailers(input: &[u8], limits: &Limits) -> Read<()> {
    let most = usize::from(limits.trailer_bytes);
    let mut at = 0;
    loop {
        match line(&input[at..]) {
            None => return Read::Refused,
            Some(Line::Whole([])) => return Read::Whole((), at + 2),
            Some(Line::Whole(text)) => {
                at += text.len() + 2;
                if field(text).is_none() || at > most {
                    return Read::Refused;
                }
            }
            Some(Line::Open { text: [], .. }) => return Read::Beginning,
            Some(Line::Open { text, cr }) => {
                let tails: &[&str] = if cr { &[""] } else { &["", ":"] };
                let can_go_on =
                    tails.iter().any(|tail| field(&[text, tail.as_bytes()].concat()).is_some());
                let bytes = at + text.len() + usize::from(cr);
                return if can_go_on && bytes <= most { Read::Beginning } else { Read::Refused };
            }
        }
    }
}

// ---- Small parts --------------------------------------------------------------------------------

/// The pieces between separators.
fn split<'i>(mut input: &'i [u8], separator: &[u8]) -> Vec<&'i [u8]> {
    let mut pieces = Vec::new();
    while let Some(at) = input.windows(separator.len()).position(|bytes| bytes == separator) {
        pieces.push(&input[..at]);
        input = &input[at + separator.len()..];
    }
    pieces.push(input);
    pieces
}

fn blanks(input: &[u8]) -> &[u8] {
    let count = input.iter().take_while(|byte| b" \t".contains(byte)).count();
    &input[count..]
}

/// Without blanks at either end.
fn trim(input: &[u8]) -> &[u8] {
    let input = blanks(input);
    let count = input.iter().rev().take_while(|byte| b" \t".contains(byte)).count();
    &input[..input.len() - count]
}

/// What follows the token at the front.
fn token(input: &[u8]) -> Option<&[u8]> {
    let count = input.iter().take_while(|&&byte| is_token(&[byte])).count();
    (count > 0).then_some(&input[count..])
}

/// What follows the quoted string whose first quote is gone (RFC 9110 §5.6.4).
fn quoted_string(mut input: &[u8]) -> Option<&[u8]> {
    loop {
        let (&first, mut rest) = input.split_first()?;
        let byte = match first {
            b'"' => return Some(rest),
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                rest = after;
                escaped
            }
            byte => byte,
        };
        if !is_text(byte) {
            return None;
        }
        input = rest;
    }
}

/// RFC 9110 §5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let all =
        bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte));
    all && !bytes.is_empty()
}

/// RFC 9110 §5.5: visible, blank, or obs-text.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || byte == b' ' || byte.is_ascii_graphic() || byte >= 0x80
}
