//! What must hold for any bytes in a header that negotiates: used by the fuzz target `negotiate`, and
//! by the tests of the same name.

use corelane_http::negotiate::{self, Encoding, MEMBERS_MAX};

const CODINGS: [Encoding; 4] =
    [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip, Encoding::Identity];
const TYPES: [&str; 3] = ["text/html;charset=utf-8", "text/html", "application/json"];
const LANGUAGES: [&str; 3] = ["de", "de-CH", "en"];

/// Any bytes as a header, compared with a slow reference; and as the others, which must not panic.
/// The first byte says what is offered.
pub(crate) fn negotiate(input: &[u8]) {
    let Some((&choice, value)) = input.split_first() else { return };
    let offered: Vec<Encoding> =
        (0..4).filter(|bit| choice >> bit & 1 == 1).map(|bit| CODINGS[bit]).collect();
    // In two lines, as if they were one with a comma; cut where a quote cannot be open.
    let at = value.iter().position(|byte| *byte == b',').unwrap_or(value.len());
    let (line, further) = value.split_at(at);
    let chosen = negotiate::encoding([value], &offered);
    assert_eq!(chosen, encoding(value, &offered), "{}", value.escape_ascii());
    if !further.is_empty() && !line.contains(&b'"') {
        assert_eq!(negotiate::encoding([line, &further[1..]], &offered), chosen);
    }
    let all = [value];
    assert!(negotiate::media_type(all, TYPES).is_none_or(|chosen| TYPES.contains(&chosen)));
    assert!(negotiate::language(all, LANGUAGES).is_none_or(|chosen| LANGUAGES.contains(&chosen)));
    let members: Vec<_> = negotiate::members(value).collect();
    let expected: Vec<_> = list(value).iter().filter_map(|text| member(text)).collect();
    assert_eq!(members.len(), expected.len());
    for (member, (name, _, weight)) in members.iter().zip(expected) {
        assert_eq!((member.name, member.weight.thousandths()), (&*name, weight));
    }
}

/// RFC 9110 §12.5.3, coding by coding.
fn encoding(value: &[u8], offered: &[Encoding]) -> Option<Encoding> {
    let members: Vec<_> = list(value).iter().filter_map(|text| member(text)).collect();
    let weight_of = |names: &[&str]| {
        let named = |(name, parameters, _): &&(String, usize, u16)| {
            *parameters == 0 && names.contains(&name.to_ascii_lowercase().as_str())
        };
        members.iter().find(named).map(|(_, _, weight)| i32::from(*weight))
    };
    let score = |coding: Encoding| {
        let names: &[&str] = match coding {
            Encoding::Gzip => &["gzip", "x-gzip"],
            _ => &[coding.as_str()],
        };
        let unmentioned = if coding == Encoding::Identity { 1 } else { 0 };
        // Twice the weight, so that there is room for what is barely acceptable.
        weight_of(names).or(weight_of(&["*"])).map_or(unmentioned, |weight| 2 * weight)
    };
    let mut offered = offered.to_vec();
    if !offered.contains(&Encoding::Identity) {
        offered.push(Encoding::Identity);
    }
    let most = offered.iter().map(|&coding| score(coding)).max()?;
    offered.into_iter().find(|&coding| score(coding) == most && most > 0)
}

/// The members of a list, however they look.
fn list(value: &[u8]) -> Vec<Vec<u8>> {
    let mut members = split(value, b',');
    members.truncate(MEMBERS_MAX);
    members
}

/// Name, number of parameters before the weight, weight.
fn member(text: &[u8]) -> Option<(String, usize, u16)> {
    let mut parts = split(text, b';').into_iter().map(|part| part.trim_ascii().to_vec());
    let name = String::from_utf8(parts.next()?).ok()?;
    if name.is_empty() || !name.split('/').all(|part| part.is_empty() || is_token(part)) {
        return None;
    }
    let mut parameters = 0;
    for part in parts.filter(|part| !part.is_empty()) {
        let part = String::from_utf8_lossy(&part).into_owned();
        let (key, value) = part.split_once('=')?;
        let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        if !is_token(key) || !(is_token(value) || is_quoted) {
            return None;
        }
        if key.eq_ignore_ascii_case("q") {
            return Some((name, parameters, weight(value)?));
        }
        parameters += 1;
    }
    Some((name, parameters, 1000))
}

fn weight(value: &str) -> Option<u16> {
    let texts = |n: u16| {
        let long = format!("{}.{:03}", n / 1000, n % 1000);
        let short = long.trim_end_matches('0');
        let least = short.len().min(short.trim_end_matches('.').len());
        (least..=long.len()).map(|len| long[..len].to_owned()).collect::<Vec<_>>()
    };
    (0..=1000).find(|&n| texts(n).iter().any(|text| text == value))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// Splits where no quoted string is open.
fn split(text: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = text.iter().copied();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        if byte == separator && !quoted {
            parts.push(Vec::new());
            continue;
        }
        let Some(part) = parts.last_mut() else { break };
        part.push(byte);
        if byte == b'"' {
            quoted = !quoted;
        }
        if byte == b'\\' && quoted {
            part.extend(bytes.next());
        }
    }
    parts
}
