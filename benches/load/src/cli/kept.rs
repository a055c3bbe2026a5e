//! What of a command line is kept in results: they are passed on, so credentials are left out.

use clap::{ArgAction, Args, Command};

use super::options::Options;
use crate::record::NOT_KEPT;

/// What is a part of the names of credentials: of header fields, and of keys in a query.
const NAMES: [&str; 10] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "key",
    "pass",
    "jwt",
    "session",
    "signature",
    "credential",
];
/// Whole keys of a query that are credentials, too.
const KEYS: [&str; 3] = ["sid", "sig", "code"];
/// What a field begins with whose value is a credential, whatever its name.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// The command line behind the name of the command, as it was parsed without an error.
pub(super) fn arguments(words: Vec<String>) -> Vec<String> {
    let spellings = Spellings::of(&Options::augment_args(Command::new("load")));
    let mut kept = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            kept.push(word);
            kept.extend(words.by_ref().map(|word| url(&word)));
            break;
        }
        match spellings.option(&word) {
            Spelled::Positional => kept.push(url(&word)),
            Spelled::Alone => kept.push(word),
            Spelled::With(name, start) => {
                kept.push(format!("{}{}", &word[..start], value(name, &word[start..])));
            }
            Spelled::Before(name) => {
                kept.push(word);
                kept.extend(words.next().map(|word| value(name, &word)));
            }
        }
    }
    kept
}

/// A header field, `Name: value` or `Name` alone.
pub(super) fn field(text: &str) -> String {
    let Some((name, value)) = text.split_once(':') else { return text.to_owned() };
    let value = value.trim_start().to_ascii_lowercase();
    match is_credential(name) || SCHEMES.iter().any(|scheme| value.starts_with(scheme)) {
        true => format!("{}: {NOT_KEPT}", name.trim()),
        false => text.to_owned(),
    }
}

/// A URL, perhaps with a weight before it.
pub(super) fn url(text: &str) -> String {
    let query = text.find(['?', '#']).unwrap_or(text.len());
    let mut kept = text[..query].to_owned();
    for pair in text[query..].split_inclusive(['?', '#', '&', ';']) {
        let end = pair.trim_end_matches(['?', '#', '&', ';']).len();
        let (pair, separator) = pair.split_at(end);
        match pair.split_once('=') {
            Some((key, _)) if is_credential(key) || is_key(key) => {
                kept += &format!("{key}={NOT_KEPT}");
            }
            _ => kept += pair,
        }
        kept += separator;
    }
    kept
}

fn is_credential(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    NAMES.iter().any(|known| lower.contains(known))
}

fn is_key(key: &str) -> bool {
    KEYS.iter().any(|known| key.eq_ignore_ascii_case(known))
}

fn value(option: &str, value: &str) -> String {
    match option {
        "headers" | "expect_header" => field(value),
        "body" | "expect_body" | "expect_contains" => NOT_KEPT.to_owned(),
        _ => value.to_owned(),
    }
}

/// What a word of a command line is.
enum Spelled<'a> {
    Positional,
    /// An option without a value.
    Alone,
    /// The option of this name with its value, which begins at this byte.
    With(&'a str, usize),
    /// The option of this name, whose value is the next word.
    Before(&'a str),
}

/// How the options that take a value are spelled.
struct Spellings {
    long: Vec<(String, String)>,
    short: Vec<(char, String)>,
}

impl Spellings {
    fn of(command: &Command) -> Self {
        let (mut long, mut short) = (Vec::new(), Vec::new());
        let with_value = |argument: &&clap::Arg| {
            matches!(argument.get_action(), ArgAction::Set | ArgAction::Append)
        };
        for argument in command.get_arguments().filter(with_value) {
            let id = argument.get_id().as_str();
            let names = argument.get_long().into_iter();
            let names = names.chain(argument.get_all_aliases().unwrap_or_default());
            long.extend(names.map(|name| (name.to_owned(), id.to_owned())));
            short.extend(argument.get_short().map(|letter| (letter, id.to_owned())));
        }
        Self { long, short }
    }

    fn option(&self, word: &str) -> Spelled<'_> {
        if let Some(rest) = word.strip_prefix("--") {
            let name = rest.split('=').next().unwrap_or_default();
            return match self.long.iter().find(|(known, _)| known == name) {
                None => Spelled::Alone,
                Some((_, id)) if name.len() < rest.len() => Spelled::With(id, name.len() + 3),
                Some((_, id)) => Spelled::Before(id),
            };
        }
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return Spelled::Positional;
        };
        for (at, letter) in letters.char_indices() {
            let Some((_, id)) = self.short.iter().find(|(known, _)| *known == letter) else {
                continue;
            };
            // `-Hx`, `-H=x`, or `-H x`; perhaps behind others, as `-qHx`.
            let start = 1 + at + letter.len_utf8();
            let start = start + usize::from(word[start..].starts_with('='));
            return if start < word.len() { Spelled::With(id, start) } else { Spelled::Before(id) };
        }
        Spelled::Alone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(words: &[&str]) -> Vec<String> {
        arguments(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn values_of_credentials_are_left_out_however_the_option_is_spelled() {
        for (words, expected) in [
            (&["-H", "Cookie: s3"][..], &["-H", "Cookie: (not kept)"][..]),
            (&["-HCookie:s3"], &["-HCookie: (not kept)"]),
            (&["-H=Cookie: s3"], &["-H=Cookie: (not kept)"]),
            (&["-qHX-Api-Key: s3"], &["-qHX-Api-Key: (not kept)"]),
            (&["-qH", "X-JWT: s3"], &["-qH", "X-JWT: (not kept)"]),
            (&["--header", "Passwd: s3"], &["--header", "Passwd: (not kept)"]),
            (&["--header=My-Session: s3"], &["--header=My-Session: (not kept)"]),
            (&["-H", "X-A: Bearer s3"], &["-H", "X-A: (not kept)"]),
            (&["-HX-A:basic s3"], &["-HX-A: (not kept)"]),
            (
                &["--expect-header", "Set-Cookie: s3"],
                &["--expect-header", "Set-Cookie: (not kept)"],
            ),
            (&["-b", "a=s3"], &["-b", "(not kept)"]),
            (&["-ba=s3"], &["-b(not kept)"]),
            (&["-qb=s3"], &["-qb=(not kept)"]),
            (&["--body=s3"], &["--body=(not kept)"]),
            (&["--expect-body", "s3"], &["--expect-body", "(not kept)"]),
            (&["--expect-contains=s3"], &["--expect-contains=(not kept)"]),
            (&["-q", "--", "a/?token=s3"], &["-q", "--", "a/?token=(not kept)"]),
        ] {
            assert_eq!(kept(words), expected);
            let with_value = expected.concat();
            assert!(!with_value.contains("s3"), "{with_value}");
        }
    }

    #[test]
    fn all_else_is_kept_as_it_was() {
        for words in [
            &["auth:8080", "-r", "1k"][..],
            &["http://auth:8080/tokens?a=b&c#d", "-qd5s", "--json=token:a"],
            &["3=http://keys:80/?author-of", "--urls", "secret:x", "-H", "Accept: a:b"],
            &["--close", "--watch", "17", "-n", "10", "-HA:b", "-X", "KEY:s"],
            &["--server-metrics", "http://auth:9080", "--body-file", "key:s"],
            &["-", "", "-H"],
        ] {
            assert_eq!(kept(words), words);
        }
    }

    #[test]
    fn of_a_query_only_the_credentials_are_left_out() {
        for (whole, expected) in [
            ("http://a/b?c=d&access_token=s3&e", "http://a/b?c=d&access_token=(not kept)&e"),
            ("9=a/?SID=s3;sig=s3&code=s3", "9=a/?SID=(not kept);sig=(not kept)&code=(not kept)"),
            ("a?zipcode=1&side=2", "a?zipcode=1&side=2"),
            ("a/token=1?b=c#token=s3", "a/token=1?b=c#token=(not kept)"),
            ("a?key=s3=s3?", "a?key=(not kept)?"),
        ] {
            assert_eq!(url(whole), expected);
        }
    }
}
