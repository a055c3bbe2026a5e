//! What the router finds, beside a matcher that tries one pattern after the other.

use std::cmp::Reverse;

use proptest::prelude::*;

use super::router::{RouteError, Router};

fn router(patterns: &[&str]) -> Result<Router<String>, RouteError> {
    let mut router = Router::new();
    for pattern in patterns {
        router.insert(pattern, (*pattern).to_owned())?;
    }
    Ok(router)
}

/// The pattern found, and the raw parameters.
fn found(router: &Router<String>, path: &str) -> Option<(String, Vec<(String, String)>)> {
    let found = router.at(path)?;
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Some((found.value.clone(), found.params.iter().map(own).collect()))
}

#[test]
fn paths_find_the_most_literal_pattern() {
    let router = router(&[
        "/",
        "/users/me",
        "/users/{id}",
        "/users/{id}/",
        "/users/{id}/posts/{post}.json",
        "/users/{id}/posts/{post}",
        "/a/{b}/{c}/{d}/{e}",
        "/files/{*path}",
        "/über uns/{x}",
        "/q/{{x}}",
        "/%7e/%2f",
    ])
    .unwrap();
    for (path, pattern, params) in [
        ("/", "/", ""),
        ("/users/me", "/users/me", ""),
        ("/users/%6De", "/users/me", ""),
        ("/users/men", "/users/{id}", "id=men"),
        ("/users/m%65n%2f", "/users/{id}", "id=m%65n%2f"),
        ("/users/7/", "/users/{id}/", "id=7"),
        ("/users/7/posts/1", "/users/{id}/posts/{post}", "id=7 post=1"),
        ("/users/7/posts/1.json", "/users/{id}/posts/{post}.json", "id=7 post=1"),
        ("/users/%37/posts/%31%2Ejson", "/users/{id}/posts/{post}.json", "id=%37 post=%31"),
        ("/a/1/2/3/4", "/a/{b}/{c}/{d}/{e}", "b=1 c=2 d=3 e=4"),
        ("/files/x", "/files/{*path}", "path=x"),
        ("/files/x/%2e%2E/", "/files/{*path}", "path=x/%2e%2E/"),
        ("/%c3%BCber%20uns/y", "/über uns/{x}", "x=y"),
        ("/q/{x}", "/q/{{x}}", ""),
        ("/q/%7Bx%7d", "/q/{{x}}", ""),
        ("/~/%2F", "/%7e/%2f", ""),
        ("/users/%zz%4", "/users/{id}", "id=%zz%4"),
    ] {
        let pairs = |(name, value): &(String, String)| format!("{name}={value}");
        let (value, values) = found(&router, path).unwrap_or_else(|| panic!("{path} is not found"));
        let values: Vec<String> = values.iter().map(pairs).collect();
        assert_eq!((value.as_str(), values.join(" ").as_str()), (pattern, params), "{path}");
    }
    for path in
        ["", "*", "users", "/users", "/users/", "//users/me", "/users/me/x", "/files/", "/%"]
    {
        assert_eq!(found(&router, path), None, "{path}");
    }
    assert_eq!(router.suggest("/a//1/2/3/4/").as_deref(), Some("/a/1/2/3/4"));
    assert_eq!(router.suggest("/a/b"), None);
    let decoded =
        |path, name: &str| router.at(path)?.params.get(name).map(|value| value.into_owned());
    assert_eq!(decoded("/users/a%20b%C3%BC", "id").as_deref(), Some("a bü"));
    assert_eq!(decoded("/users/%ff", "id"), None, "not UTF-8");
}

#[test]
fn patterns_are_refused_with_what_to_do() {
    let deep = "/{a}".repeat(17);
    let long = format!("/{}", "x".repeat(2048));
    let many: String = (0..17).map(|n| format!("/{{p{n}}}")).collect();
    for (patterns, says) in [
        (&["users"][..], "begins with `/`"),
        (&["/a?b"], "`?` stands in no path"),
        (&["/{id"], "`{` is not closed"),
        (&["/id}"], "`}` closes nothing"),
        (&["/{}"], "`{}` is no name"),
        (&["/{a b}"], "`{a b}` is no name"),
        (&["/{a}{b}"], "one parameter at most"),
        (&["/{a}-{b}"], "one parameter at most"),
        (&["/{*a}/b"], "stands at the end"),
        (&["/x{*a}"], "put a `/` before it"),
        (&["/{*}"], "is no name"),
        (&["/users/:id"], "`{id}` here, not `:id`"),
        (&["/files/*path"], "`{*path}` here, not `*path`"),
        (&[&deep], "two parameters `a`"),
        (&[&many], "more than 16 parameters"),
        (&[&long], "more than 2048 bytes"),
        (&["/a", "/%61"], "the same paths as `/a`"),
        (&["/u/{id}", "/u/{name}"], "the same paths as `/u/{id}`"),
        (&["/{lang}/about", "/{*rest}"], "beside `/{lang}/about`"),
        (&["/{a}b/a", "/{a}/{*b}"], "beside `/{a}b/a`"),
        (&["/x/{a}b", "/y", "/x/b{a}"], "beside `/x/{a}b`"),
    ] {
        let error = router(patterns).err().unwrap_or_else(|| panic!("{patterns:?} passed"));
        assert!(error.reason.contains(says), "{patterns:?}: {error}");
        assert!(error.to_string().contains(patterns[patterns.len() - 1]));
    }
}

/// A segment of a pattern.
#[derive(Clone, Debug)]
enum Segment {
    Text(&'static str),
    Around(&'static str, &'static str),
    Param,
    Rest,
}

fn segment() -> impl Strategy<Value = Segment> {
    prop_oneof![
        5 => prop::sample::select(vec!["a", "b", "ab", "a.b", ""]).prop_map(Segment::Text),
        1 => prop::sample::select(vec![("a", ""), ("", "b"), (".", "")])
            .prop_map(|(before, after)| Segment::Around(before, after)),
        3 => Just(Segment::Param),
        1 => Just(Segment::Rest),
    ]
}

fn pattern(segments: &[Segment]) -> String {
    let segment = |(at, segment): (usize, &Segment)| match segment {
        Segment::Text(text) => format!("/{text}"),
        Segment::Around(before, after) => format!("/{before}{{p{at}}}{after}"),
        Segment::Param => format!("/{{p{at}}}"),
        Segment::Rest => format!("/{{*p{at}}}"),
    };
    segments.iter().enumerate().map(segment).collect()
}

/// What a pattern's parameters stand for, if it matches; by trying.
fn matches(segments: &[Segment], path: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut rest = Some(path.strip_prefix('/')?);
    for segment in segments {
        let here = rest?;
        let (first, after) = match here.split_once('/') {
            Some((first, after)) => (first, Some(after)),
            None => (here, None),
        };
        rest = after;
        match segment {
            Segment::Text(text) if *text == first => {}
            Segment::Around(before, after) => {
                let value = first.strip_prefix(before)?.strip_suffix(after)?;
                values.push(Some(value).filter(|value| !value.is_empty())?.to_owned());
            }
            Segment::Param if !first.is_empty() => values.push(first.to_owned()),
            Segment::Rest if !here.is_empty() => {
                values.push(here.to_owned());
                rest = None;
            }
            _ => return None,
        }
    }
    rest.is_none().then_some(values)
}

/// How literal a pattern is, segment by segment: the greatest wins.
fn rank(segments: &[Segment]) -> Vec<Reverse<(u8, Reverse<usize>)>> {
    let of = |segment: &Segment| match segment {
        Segment::Text(_) => Reverse((0, Reverse(0))),
        Segment::Around(before, after) => Reverse((1, Reverse(before.len() + after.len()))),
        Segment::Param => Reverse((2, Reverse(0))),
        Segment::Rest => Reverse((3, Reverse(0))),
    };
    segments.iter().map(of).collect()
}

proptest! {
    #[test]
    fn finds_what_trying_finds(
        patterns in prop::collection::vec(prop::collection::vec(segment(), 1..5), 1..12),
        paths in prop::collection::vec(
            prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "a.b", "c", ""]), 1..5),
            1..8,
        ),
        encoded in any::<u64>(),
    ) {
        let mut router = Router::new();
        let inserted: Vec<&Vec<Segment>> = patterns
            .iter()
            .filter(|segments| router.insert(&pattern(segments), pattern(segments)).is_ok())
            .collect();
        for path in paths.iter().map(|segments| format!("/{}", segments.join("/"))) {
            let tried = inserted.iter().filter_map(|segments| Some((*segments, matches(segments, &path)?)));
            let best = tried.max_by_key(|(segments, _)| rank(segments));
            let expected = best.map(|(segments, values)| (pattern(segments), values));
            let values = |(pattern, params): (String, Vec<(String, String)>)| {
                (pattern, params.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
            };
            prop_assert_eq!(&found(&router, &path).map(values), &expected, "{}", path);

            // However it is spelt.
            let spelt: String = path
                .chars()
                .enumerate()
                .map(|(at, byte)| match encoded >> (at % 64) & 1 == 1 && byte != '/' {
                    true => format!("%{:02x}", byte as u32),
                    false => byte.to_string(),
                })
                .collect();
            let decode = |text: String| {
                percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
            };
            let spelt = found(&router, &spelt).map(values);
            let spelt = spelt.map(|(pattern, values)| {
                (pattern, values.into_iter().map(decode).collect::<Vec<_>>())
            });
            prop_assert_eq!(spelt, expected);
        }
    }

    #[test]
    fn nothing_panics(text in "[/{}*:%a-c.ü ]{0,20}", path in "[/{}*:%0-9a-cü.]{0,20}") {
        let mut router = Router::new();
        let _ = router.insert("/{a}", ());
        let _ = router.insert("/b/{*a}", ());
        let _ = router.insert(&text, ());
        let _ = router.at(&path).map(|found| found.params.get("a").is_some());
        let _ = router.suggest(&path);
    }
}
