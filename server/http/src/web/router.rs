//! Which route a path belongs to.

use super::params::Params;

/// Paths to values, by a radix tree ([matchit](https://docs.rs/matchit)); whole paths without
/// parameters by a hash table in front of it.
///
/// A pattern is a path in which `{name}` stands for one segment, or a part of one, and `{*name}`, at
/// the end, for all that follows, at least one byte. Braces that are meant are doubled. Where several
/// patterns match, the most literal one wins.
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
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Router<T> {
    tree: matchit::Router<T>,
}

/// A path's route.
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
    /// No routes.
    pub fn new() -> Router<T> {
        Router { tree: matchit::Router::new() }
    }

    /// Adds a route.
    ///
    /// # Errors
    /// If the pattern is malformed, or stands for the same paths as an earlier one.
    pub fn insert(&mut self, pattern: &str, value: T) -> Result<(), RouteError> {
        if !pattern.starts_with('/') {
            return Err(RouteError {
                pattern: pattern.to_owned(),
                reason: "a path begins with `/`".to_owned(),
            });
        }
        self.tree
            .insert(pattern, value)
            .map_err(|error| RouteError { pattern: pattern.to_owned(), reason: error.to_string() })
    }

    /// The route of a path, which is still encoded.
    pub fn at<'a>(&'a self, path: &'a str) -> Option<Match<'a, T>> {
        let found = self.tree.at(path).ok()?;
        Some(Match { value: found.value, params: Params::matched(found.params) })
    }
}

impl<T> Default for Router<T> {
    fn default() -> Router<T> {
        Router::new()
    }
}
