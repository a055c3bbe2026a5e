//! Which of several representations a client would rather have: Accept, Accept-Encoding and
//! Accept-Language (RFC 9110 §12.5), whose members carry weights (§12.4.2).
//!
//! Nothing allocates. A malformed member is skipped, and of each header the first [`MEMBERS_MAX`]
//! members count, so the work is bounded by the length of the header, which the limits of a head
//! bound, times what is offered.
//!
//! ```
//! use corelane_http::negotiate::{self, Encoding};
//!
//! // As in `negotiate::encoding(request.headers("Accept-Encoding"), …)`.
//! let accept = Some(&b"gzip;q=0.8, br, zstd;q=0"[..]);
//! let offered = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];
//! assert_eq!(negotiate::encoding(accept, &offered), Some(Encoding::Brotli));
//! ```

/// How many members of a header are looked at.
pub const MEMBERS_MAX: usize = 64;

/// How much something is wanted, in thousandths: from 0, not at all, to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u16);

impl Weight {
    /// Not acceptable.
    pub const ZERO: Weight = Weight(0);
    /// What a member without a weight has.
    pub const ONE: Weight = Weight(1000);

    /// In thousandths.
    pub fn thousandths(self) -> u16 {
        self.0
    }

    /// `qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`
    fn parse(text: &[u8]) -> Option<Weight> {
        let (whole, fraction) = match text {
            [whole] => (whole, &[][..]),
            [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
            _ => return None,
        };
        let mut thousandths = 0;
        for place in 0..3 {
            let digit = fraction.get(place).unwrap_or(&b'0');
            if !digit.is_ascii_digit() {
                return None;
            }
            thousandths = thousandths * 10 + u16::from(digit - b'0');
        }
        match (whole, thousandths) {
            (b'0', thousandths) => Some(Weight(thousandths)),
            (b'1', 0) => Some(Weight::ONE),
            _ => None,
        }
    }
}

/// One member of a weighted list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// What it is about: `gzip`, `text/*`, `de-CH`, `*`.
    pub name: &'a str,
    /// How much that is wanted.
    pub weight: Weight,
    /// What stands between the name and the weight, with its separators.
    parameters: &'a [u8],
}

impl<'a> Member<'a> {
    fn parse(text: &'a [u8]) -> Option<Member<'a>> {
        let (name, after) = cut(text, b';');
        let name = name.trim_ascii();
        let is_name = |byte: &u8| is_token_byte(*byte) || *byte == b'/';
        if name.is_empty() || !name.iter().all(is_name) {
            return None;
        }
        let name = std::str::from_utf8(name).ok()?;
        let after = after.unwrap_or_default();
        let mut rest = Some(after);
        while let Some(text) = rest {
            let (parameter, further) = cut(text, b';');
            if !parameter.trim_ascii().is_empty() {
                let (key, value) = parse_parameter(parameter)?;
                if key.eq_ignore_ascii_case(b"q") {
                    // What follows the weight was for extensions that never came.
                    let parameters = &after[..after.len() - text.len()];
                    return Some(Member { name, weight: Weight::parse(value)?, parameters });
                }
            }
            rest = further;
        }
        Some(Member { name, weight: Weight::ONE, parameters: after })
    }
}

/// The well-formed members of a weighted list, in order.
///
/// ```
/// use corelane_http::negotiate;
///
/// let members = negotiate::members(b"trailers, deflate;q=0.5, not well-formed;q=2");
/// let members: Vec<_> = members.map(|m| (m.name, m.weight.thousandths())).collect();
/// assert_eq!(members, [("trailers", 1000), ("deflate", 500)]);
/// ```
pub fn members(value: &[u8]) -> impl Iterator<Item = Member<'_>> {
    all([value])
}

/// The members of all lines of a header, which are one list (RFC 9110 §5.3).
fn all<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> impl Iterator<Item = Member<'a>> {
    let pieces = values.into_iter().flat_map(|value| pieces(value, b','));
    pieces.take(MEMBERS_MAX).filter_map(Member::parse)
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// None.
    Identity,
    /// RFC 1952; clients may also call it `x-gzip`.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    const ALL: [Encoding; 4] =
        [Encoding::Identity, Encoding::Gzip, Encoding::Brotli, Encoding::Zstd];

    /// Its name in Content-Encoding and Accept-Encoding.
    pub const fn as_str(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
        }
    }

    fn of(name: &str) -> Option<Encoding> {
        if name.eq_ignore_ascii_case("x-gzip") {
            return Some(Encoding::Gzip);
        }
        Encoding::ALL.into_iter().find(|coding| coding.as_str().eq_ignore_ascii_case(name))
    }
}

/// The coding of those offered that the client wants most; at equal weight the one offered first.
/// `values` are the lines of Accept-Encoding, if any (RFC 9110 §12.5.3).
///
/// [`Encoding::Identity`] is always offered, last unless it is named. It needs no mention to be
/// acceptable, and comes behind every coding that has one; without the header it is all there is.
/// `None` if the client has ruled out everything: that may be answered with 406, or with identity
/// all the same (§12.5.3 asks for the latter unless identity itself is ruled out).
pub fn encoding<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    offered: &[Encoding],
) -> Option<Encoding> {
    let mut named: [Option<Weight>; Encoding::ALL.len()] = [None; 4];
    let mut others = None;
    for member in all(values) {
        // Codings have no parameters.
        if parameters(member.parameters).next().is_some() {
            continue;
        }
        let place = match Encoding::of(member.name) {
            Some(coding) => &mut named[coding as usize],
            None if member.name == "*" => &mut others,
            None => continue,
        };
        place.get_or_insert(member.weight);
    }
    // What has no mention is worth less than anything that has one.
    let worth = |coding: Encoding| match (named[coding as usize].or(others), coding) {
        (Some(Weight::ZERO), _) => None,
        (None, Encoding::Identity) => Some(Weight::ZERO),
        (weight, _) => weight,
    };
    let identity = (!offered.contains(&Encoding::Identity)).then_some(&Encoding::Identity);
    best(offered.iter().chain(identity).map(|&coding| (coding, worth(coding))))
}

/// The media type of those offered that the client wants most; at equal weight the one offered
/// first. `values` are the lines of Accept, if any (RFC 9110 §12.5.1): without a member that is
/// well-formed, it is the first. `None` if none is acceptable: an answer is 406, or the first all
/// the same.
///
/// Of several ranges that a type is in, the most specific counts. A range with parameters is for
/// types that are offered with the same ones.
///
/// ```
/// use corelane_http::negotiate;
///
/// let offered = ["text/html; charset=utf-8", "application/json"];
/// let choose = |accept: &'static str| negotiate::media_type([accept.as_bytes()], offered);
/// assert_eq!(choose("application/*, text/*;q=0.9"), Some("application/json"));
/// assert_eq!(choose("image/png, */*;q=0.1"), Some("text/html; charset=utf-8"));
/// assert_eq!(choose("image/png"), None);
/// ```
pub fn media_type<'a, 'o, const N: usize>(
    values: impl IntoIterator<Item = &'a [u8]>,
    offered: [&'o str; N],
) -> Option<&'o str> {
    choose(values, offered, |range, offered| range_specificity(range, offered.as_bytes()))
}

/// The language of those offered that the client wants most; at equal weight the one offered first.
/// `values` are the lines of Accept-Language, if any (RFC 9110 §12.5.4): without a member that is
/// well-formed, it is the first. `None` if none is acceptable; the usual answer is then the first
/// all the same.
///
/// `de` is for `de-CH` also (RFC 4647 §3.3.1); and `de-CH` for `de`, if nothing closer is there
/// (§3.4).
///
/// ```
/// use corelane_http::negotiate;
///
/// let accept = Some(&b"de-CH, en;q=0.5"[..]);
/// assert_eq!(negotiate::language(accept, ["en", "de", "fr"]), Some("de"));
/// ```
pub fn language<'a, 'o, const N: usize>(
    values: impl IntoIterator<Item = &'a [u8]>,
    offered: [&'o str; N],
) -> Option<&'o str> {
    choose(values, offered, |range, offered| language_specificity(range, offered))
}

/// Weighs each of `offered` by the member that is most specific about it.
fn choose<'a, 'o, const N: usize>(
    values: impl IntoIterator<Item = &'a [u8]>,
    offered: [&'o str; N],
    specificity: impl Fn(&Member<'a>, &str) -> Option<u32>,
) -> Option<&'o str> {
    let mut found: [Option<(u32, Weight)>; N] = [None; N];
    let mut asked = false;
    for member in all(values) {
        asked = true;
        for (place, offered) in found.iter_mut().zip(offered) {
            if let Some(how) = specificity(&member, offered)
                && place.is_none_or(|(best, _)| how > best)
            {
                *place = Some((how, member.weight));
            }
        }
    }
    if !asked {
        return offered.first().copied();
    }
    let weights = found.map(|found| found.map(|(_, weight)| weight));
    let acceptable = weights.map(|weight| weight.filter(|weight| *weight > Weight::ZERO));
    best(offered.into_iter().zip(acceptable))
}

/// The first of those that weigh most.
fn best<T>(weighed: impl Iterator<Item = (T, Option<Weight>)>) -> Option<T> {
    let mut best: Option<(T, Weight)> = None;
    for (thing, weight) in weighed {
        if let Some(weight) = weight
            && best.as_ref().is_none_or(|(_, most)| weight > *most)
        {
            best = Some((thing, weight));
        }
    }
    best.map(|(thing, _)| thing)
}

/// How specific a media range is about a type; `None` if that is not in it.
fn range_specificity(range: &Member<'_>, offered: &[u8]) -> Option<u32> {
    let (name, offered_parameters) = cut(offered, b';');
    let (kind, subtype) = cut(name.trim_ascii(), b'/');
    let (wanted_kind, wanted_subtype) = cut(range.name.as_bytes(), b'/');
    let (subtype, wanted_subtype) = (subtype?, wanted_subtype?);
    let mut specificity = match (wanted_kind, wanted_subtype) {
        (b"*", b"*") => 0,
        (b"*", _) => return None,
        (wanted, b"*") if wanted.eq_ignore_ascii_case(kind) => 1,
        (wanted, wanted_subtype)
            if wanted.eq_ignore_ascii_case(kind)
                && wanted_subtype.eq_ignore_ascii_case(subtype) =>
        {
            2
        }
        _ => return None,
    };
    for (key, value) in parameters(range.parameters) {
        let has = parameters(offered_parameters.unwrap_or_default()).any(|(name, has)| {
            name.eq_ignore_ascii_case(key) && unquoted(has).eq_ignore_ascii_case(unquoted(value))
        });
        if !has {
            return None;
        }
        specificity += 1;
    }
    Some(specificity)
}

/// How specific a language range is about a tag; `None` if that is not in it.
fn language_specificity(range: &Member<'_>, tag: &str) -> Option<u32> {
    if range.name == "*" {
        return Some(0);
    }
    let (mut wanted, mut has) = (range.name.split('-'), tag.split('-'));
    let mut same = 0;
    loop {
        match (wanted.next(), has.next()) {
            (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => same += 2,
            // All of the range is there: that is closer than having to shorten it.
            (None, _) => return Some(same + 1),
            // Ruling out a dialect does not rule out the language.
            (Some(_), None) if range.weight > Weight::ZERO => return Some(same),
            _ => return None,
        }
    }
}

/// The well-formed parameters among those between separators; nothing may stand between two (RFC 9110
/// §5.6.6).
fn parameters(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pieces(text, b';').filter_map(parse_parameter)
}

/// `parameter = token "=" ( token / quoted-string )`
fn parse_parameter(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, value) = cut(text.trim_ascii(), b'=');
    let value = value?;
    let is_token = |text: &[u8]| !text.is_empty() && text.iter().all(|&b| is_token_byte(b));
    let is_quoted = value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"");
    (is_token(key) && (is_token(value) || is_quoted)).then_some((key, value))
}

/// What stands between the quotes, if there are any. Escapes are left as they are.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    }
}

/// What stands between the separators that are not in quotes.
fn pieces(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (piece, after) = cut(rest?, separator);
        rest = after;
        Some(piece)
    })
}

/// Cuts at the first separator that is not in quotes (RFC 9110 §5.6.4). A quote that is never closed
/// goes to the end.
fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => return (&text[..at], Some(&text[at + 1..])),
            _ => {}
        }
    }
    (text, None)
}

/// `tchar` (RFC 9110 §5.6.2).
const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\''
        | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        let good = [("0", 0), ("0.", 0), ("0.5", 500), ("0.05", 50), ("0.123", 123), ("1", 1000)];
        for (text, thousandths) in good.into_iter().chain([("1.", 1000), ("1.000", 1000)]) {
            assert_eq!(Weight::parse(text.as_bytes()), Some(Weight(thousandths)), "{text}");
        }
        for text in ["", ".5", "0.1234", "1.001", "2", "-1", "0,5", "1.0000", "0.a", "01", "0x"] {
            assert_eq!(Weight::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn encodings() {
        use Encoding::{Brotli as B, Gzip as G, Identity as I, Zstd as Z};
        let cases: &[(&str, &[Encoding], Option<Encoding>)] = &[
            // RFC 9110 §12.5.3, its examples and rules.
            ("compress, gzip", &[Z, B, G], Some(G)),
            ("", &[Z, B, G], Some(I)),
            ("*", &[Z, B, G], Some(Z)),
            ("compress;q=0.5, gzip;q=1.0", &[B, G], Some(G)),
            ("gzip;q=1.0, identity; q=0.5, *;q=0", &[Z, B, G], Some(G)),
            ("gzip;q=1.0, identity; q=0.5, *;q=0", &[Z, B], Some(I)),
            ("identity;q=0", &[], None),
            ("*;q=0", &[G], None),
            ("*;q=0, identity", &[G], Some(I)),
            ("*;q=0.3, identity;q=0", &[G], Some(G)),
            // By weight, then by the order of the server.
            ("gzip, br, zstd", &[B, Z, G], Some(B)),
            ("gzip, br;q=0.9, zstd;q=0.9", &[B, Z, G], Some(G)),
            ("gzip;q=0.001", &[G], Some(G)),
            ("gzip;q=0.5, identity", &[G], Some(I)),
            ("gzip, identity", &[G], Some(G)),
            ("gzip, identity", &[I, G], Some(I)),
            ("gzip", &[I, G], Some(G)),
            ("br;q=0, *", &[B, G], Some(G)),
            ("gzip;q=0, gzip", &[G], Some(I)),
            // Spelling.
            ("GZip ; Q=1", &[G], Some(G)),
            ("x-gzip", &[G], Some(G)),
            ("\tgzip\t;\tq=0.5\t,", &[G], Some(G)),
            // What is malformed does not count.
            ("gzip;q=1.5, br", &[G, B], Some(B)),
            ("gzip;q", &[G], Some(I)),
            ("gzip;level=9", &[G], Some(I)),
            ("gz ip, br", &[G, B], Some(B)),
            ("\"gzip, br", &[G, B], Some(I)),
            (",,;,gzip", &[G], Some(G)),
            ("gzip;;q=0.5", &[G], Some(G)),
        ];
        for (accept, offered, expected) in cases {
            assert_eq!(encoding([accept.as_bytes()], offered), *expected, "{accept}");
        }
        let lines = [&b"gzip;q=0"[..], b"br"];
        assert_eq!(encoding(lines, &[G, B]), Some(B), "two lines are one list");
        assert_eq!(encoding(None, &[G, B]), Some(I), "no header");
    }

    #[test]
    fn media_types() {
        let choose = |accept: &str, offered| media_type([accept.as_bytes()], offered);
        // RFC 9110 §12.5.1: the table of weights, two at a time.
        let rfc = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, \
            text/plain;format=fixed;q=0.4, */*;q=0.5";
        let order =
            ["text/plain;format=flowed", "text/plain", "image/jpeg", "text/plain;format=fixed"];
        for pair in order.windows(2) {
            assert_eq!(choose(rfc, [pair[1], pair[0]]), Some(pair[0]));
        }
        assert_eq!(choose(rfc, ["text/html", "image/jpeg"]), Some("image/jpeg"));
        let offered = ["text/html; charset=utf-8", "application/json"];
        let [html, json] = offered;
        let cases = [
            ("", Some(html)),
            ("malformed;q=x", Some(html)),
            ("*/*", Some(html)),
            ("application/json", Some(json)),
            ("text/html;q=0.5, application/json;q=0.6", Some(json)),
            ("TEXT/HTML;charset=\"UTF-8\"", Some(html)),
            ("text/html;charset=latin1, */*;q=0.1", Some(html)),
            ("text/html;charset=latin1", None),
            ("text/html;q=0, */*", Some(json)),
            ("text/html;x=\"a,b;q=0\", application/json;q=0.2", Some(json)),
            ("application/json;q=0.9;extension", Some(json)),
            ("*/json", None),
            ("text", None),
        ];
        for (accept, expected) in cases {
            assert_eq!(choose(accept, offered), expected, "{accept}");
        }
    }

    #[test]
    fn languages() {
        let cases: &[(&str, [&str; 3], Option<&str>)] = &[
            ("", ["en", "de", "fr"], Some("en")),
            ("da, en-gb;q=0.8, en;q=0.7", ["en", "en-GB", "fr"], Some("en-GB")),
            ("de-CH, en;q=0.5", ["en", "de", "fr"], Some("de")),
            ("de-CH, de;q=0.1, en;q=0.5", ["en", "de", "fr"], Some("en")),
            ("de-CH;q=0, *", ["de", "en", "fr"], Some("de")),
            ("de;q=0, *;q=0.1", ["de-CH", "fr", "en"], Some("fr")),
            ("zh-Hant-TW, zh;q=0.5, en;q=0.8", ["en", "zh-Hant", "zh-Hans"], Some("zh-Hant")),
            ("en-US", ["en-GB", "de", "fr"], None),
            ("e", ["en", "de", "fr"], None),
        ];
        for (accept, offered, expected) in cases {
            assert_eq!(language([accept.as_bytes()], *offered), *expected, "{accept}");
        }
    }

    #[test]
    fn members_beyond_the_limit_do_not_count() {
        let many = "x,".repeat(MEMBERS_MAX - 1);
        assert_eq!(
            encoding([format!("{many}gzip").as_bytes()], &[Encoding::Gzip]),
            Some(Encoding::Gzip)
        );
        let more = format!("{many}x,gzip");
        assert_eq!(encoding([more.as_bytes()], &[Encoding::Gzip]), Some(Encoding::Identity));
    }
}
