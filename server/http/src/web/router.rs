//! Which route a path belongs to.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::params::Params;
use super::pattern::{self, Pattern};

/// Paths to values. Whole paths are found by a hash table, those with parameters by a radix tree
/// ([matchit](https://docs.rs/matchit)). While the latter are at most eight, and `{*name}` is the only
/// parameter of each (a site of folders), their prefixes are compared instead: the same result for less.
///
/// A pattern is a path in which `{name}` stands for one segment, or a part of one (`{name}.json`), of
/// at least one byte, and `{*name}`, at the end, for all that follows, at least one byte. Braces that
/// are meant are doubled.
///
/// ```
/// use corelane_http::web::Router;
///
/// let mut router = Router::new();
/// router.insert("/users/{id}", 1)?;
/// router.insert("/users/me", 2)?;
/// router.insert("/files/{*path}", 3)?;
/// let found = router.at("/users/ada%20l").unwrap();
/// assert_eq!((*found.value, found.params.get("id").unwrap().as_ref()), (1, "ada l"));
/// assert_eq!(*router.at("/users/me").unwrap().value, 2);
/// assert_eq!(router.at("/files/a/b").unwrap().params.raw("path"), Some("a/b"));
/// assert!(router.at("/nowhere").is_none());
///
/// let error = router.insert("/users/{name}", 4).unwrap_err();
/// assert!(error.to_string().contains("the same paths as `/users/{id}`"));
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
///
/// # Which one wins
/// Where several patterns match, the one that is more literal in the first segment in which they
/// differ: plain text, then text with a parameter in it (the longer text first), then a parameter,
/// then `{*name}`. It makes no difference in which order they are inserted. Patterns that this does not
/// tell apart are refused, as are some that the tree cannot hold: `/{a}` beside `/{*b}`, `/{a}x/y`
/// beside `/{a}/y`.
///
/// # What is the same path
/// Octets that need no encoding mean the same when they are encoded (RFC 3986 §6.2.2.2), and so do
/// `%c3` and `%C3`: `/%75sers/me` is `/users/me`, so that nobody gets around a route by spelling it
/// otherwise. Everything else makes a difference: case, `%2F` and `/`, a slash at the end, two slashes
/// in a row, segments `.` and `..`. [`Router::suggest`] finds a path that differs in slashes only.
///
/// # Cost
/// A few nanoseconds for whole paths, some tens for paths with parameters, whatever the number of
/// routes; `cargo bench --bench router`. Memory is taken for a match only if there are more than three
/// parameters, or the path was not in its normal form.
#[derive(Clone, Debug)]
pub struct Router<T> {
    /// Paths without parameters, in their normal form. Who sends paths cannot add to them, so there is
    /// nothing to be had from collisions.
    whole: HashTable<(Box<str>, T)>,
    /// A bit for each length that one of them has; the last is for all that are longer.
    lengths: u64,
    /// The places of the values of all other patterns.
    tree: matchit::Router<usize>,
    values: Vec<T>,
    /// Stands for the tree as long as the only parameter of every pattern is a `{*name}`: the longest
    /// prefix comes first.
    rests: Vec<Rest>,
    patterns: Vec<Pattern>,
}

/// A pattern that ends with `{*name}` and has no other parameter.
#[derive(Clone, Debug)]
struct Rest {
    prefix: Box<str>,
    name: Box<str>,
    value: usize,
}

/// So many prefixes are tried one by one.
const RESTS_MAX: usize = 8;

/// A path's route.
#[derive(Clone)]
pub struct Match<'a, T> {
    /// What was put in for it.
    pub value: &'a T,
    /// What stands for its parameters.
    pub params: Params<'a>,
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("route `{pattern}`: {reason}")]
pub struct RouteError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

impl<T> Router<T> {
    /// Bytes that a pattern may have.
    pub const PATTERN_BYTES_MAX: usize = 2048;
    /// Parameters that a pattern may have.
    pub const PARAMS_MAX: usize = 16;

    /// No routes.
    pub fn new() -> Router<T> {
        Router {
            whole: HashTable::new(),
            lengths: 0,
            tree: matchit::Router::new(),
            values: Vec::new(),
            rests: Vec::new(),
            patterns: Vec::new(),
        }
    }

    /// Adds a route.
    ///
    /// # Errors
    /// If the pattern is malformed or too long, or cannot be told from an earlier one.
    pub fn insert(&mut self, pattern: &str, value: T) -> Result<(), RouteError> {
        let refused = |reason| RouteError { pattern: pattern.to_owned(), reason };
        let parsed = Pattern::parse(pattern, Self::PATTERN_BYTES_MAX, Self::PARAMS_MAX);
        let parsed = parsed.map_err(refused)?;
        if let Some(other) = self.patterns.iter().find(|other| other.is_same(&parsed)) {
            return Err(refused(format!(
                "stands for the same paths as `{other}`: use one pattern for both, or remove one"
            )));
        }
        if let Some(other) = self.patterns.iter().find(|other| other.hides(&parsed)) {
            return Err(refused(ambiguous(other)));
        }
        match parsed.whole() {
            Some(path) => {
                let entry = (path.into(), value);
                self.lengths |= length_bit(path);
                self.whole.insert_unique(hash(path), entry, |(path, _)| hash(path));
            }
            None => {
                let place = self.values.len();
                self.tree.insert(parsed.normal(), place).map_err(|error| {
                    refused(match (error, parsed.rival(&self.patterns)) {
                        (matchit::InsertError::Conflict { .. }, Some(other)) => ambiguous(other),
                        (error, _) => error.to_string(),
                    })
                })?;
                self.values.push(value);
                self.note_rest(&parsed, place);
            }
        }
        self.patterns.push(parsed);
        Ok(())
    }

    /// The route of a path, as it was sent: still encoded.
    #[inline]
    pub fn at<'a>(&'a self, path: &'a str) -> Option<Match<'a, T>> {
        if let Some(value) = self.whole(path) {
            return Some(Match { value, params: Params::NONE });
        }
        if memchr::memchr(b'%', path.as_bytes()).is_some() {
            return self.at_encoded(path);
        }
        if !self.rests.is_empty() {
            let (rest, value) = self.rest(path)?;
            return Some(Match {
                value: &self.values[rest.value],
                params: Params::rest(&rest.name, value),
            });
        }
        let found = self.tree.at(path).ok()?;
        Some(Match { value: &self.values[*found.value], params: Params::matched(found.params) })
    }

    /// Takes note of a pattern that is in the tree, at this place of the values.
    fn note_rest(&mut self, pattern: &Pattern, value: usize) {
        let all = self.rests.len() == value && value < RESTS_MAX;
        match pattern.rest().filter(|_| all) {
            Some((prefix, name)) => {
                let at = self.rests.partition_point(|rest| rest.prefix.len() > prefix.len());
                self.rests.insert(at, Rest { prefix: prefix.into(), name: name.into(), value });
            }
            None => self.rests.clear(),
        }
    }

    #[inline]
    fn rest<'a>(&'a self, path: &'a str) -> Option<(&'a Rest, &'a str)> {
        let after = |rest: &'a Rest| Some((rest, path.strip_prefix(&*rest.prefix)?));
        self.rests.iter().filter_map(after).find(|(_, value)| !value.is_empty())
    }

    /// A path that has a route, and differs from this one, which has none, in a slash at its end or
    /// in slashes that are doubled: for messages and redirects.
    ///
    /// ```
    /// # use corelane_http::web::Router;
    /// let mut router = Router::new();
    /// router.insert("/users/{id}", ())?;
    /// assert_eq!(router.suggest("//users/7/").as_deref(), Some("/users/7"));
    /// assert_eq!(router.suggest("/user/7"), None);
    /// # Ok::<(), corelane_http::web::RouteError>(())
    /// ```
    pub fn suggest(&self, path: &str) -> Option<String> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let bare = format!("/{}", segments.join("/"));
        let slashed = format!("{bare}/");
        [bare, slashed].into_iter().find(|other| *other != path && self.at(other).is_some())
    }

    #[inline(always)]
    fn whole(&self, path: &str) -> Option<&T> {
        if self.lengths & length_bit(path) == 0 {
            return None;
        }
        self.whole.find(hash(path), |(other, _)| **other == *path).map(|(_, value)| value)
    }

    #[cold]
    fn at_encoded<'a>(&'a self, path: &'a str) -> Option<Match<'a, T>> {
        let normal = pattern::normalised(path);
        if let Some(value) = self.whole(&normal) {
            return Some(Match { value, params: Params::NONE });
        }
        let found = self.tree.at(&normal).ok()?;
        let mut params = Vec::with_capacity(found.params.len());
        for (name, value) in found.params.iter() {
            // Where the same part is in the path as it was sent.
            let start = value.as_ptr().addr() - normal.as_ptr().addr();
            let range = pattern::sent(path, start)..pattern::sent(path, start + value.len());
            params.push((name, path.get(range)?));
        }
        // The names live as long as the routes; what they were found by does not.
        let value = &self.values[*found.value];
        Some(Match { value, params: Params::mapped(params) })
    }
}

#[inline]
fn length_bit(path: &str) -> u64 {
    1 << path.len().min(63)
}

#[inline]
fn hash(path: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(path.as_bytes());
    hasher.finish()
}

fn ambiguous(other: &Pattern) -> String {
    format!(
        "cannot stand beside `{other}`: the two have different parameters at the same place. Put a \
         segment of text before one of them, or use a fallback"
    )
}

impl<T> Default for Router<T> {
    fn default() -> Router<T> {
        Router::new()
    }
}
