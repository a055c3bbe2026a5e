//! Tokens.

use std::future::Future;
use std::rc::Rc;

use super::credentials;
use super::error::MiddlewareError;
use super::user::User;
use crate::web::{Before, LocalFuture, Middleware, Request, Response};

const NAME: &str = "bearer-auth";

/// Lets in who has a token that a function accepts (RFC 6750), and leaves the [`User`] that it returns
/// on the request. The token is taken from Authorization only, where no log and no history finds it.
///
/// | request | answer | `error` (RFC 6750 §3.1) |
/// |---|---|---|
/// | without a token | 401 | none |
/// | with something that is no token, or with two | 400 | `invalid_request` |
/// | with one that is not accepted | 401 | `invalid_token` |
/// | with one that allows too little | 403 | `insufficient_scope` |
///
/// Compare secrets in constant time, or by a keyed hash.
///
/// ```
/// use corelane_http::middleware::{BearerAuth, BearerError, User};
/// use corelane_http::web::testing::{TestRequest, TestServer};
/// use corelane_http::web::{Request, Routes};
///
/// fn check(token: &str, request: &Request<'_>) -> Result<User, BearerError> {
///     match token {
///         "reader" if request.method().as_str() != "GET" => {
///             Err(BearerError::InsufficientScope("write".into()))
///         }
///         "reader" => Ok(User::new("ada")),
///         _ => Err(BearerError::InvalidToken("unknown".into())),
///     }
/// }
///
/// let auth = BearerAuth::new("api", check)?;
/// let mut server = TestServer::new(Routes::new().get("/", |_: &Request<'_>| "").with(auth).build()?);
/// let mut ask = |token| server.send(TestRequest::get("/").header("Authorization", token)).status();
/// assert_eq!([ask("Bearer reader"), ask("Bearer other"), ask("Bearer ?")], [200, 401, 400]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BearerAuth {
    realm: Rc<str>,
    check: Check,
}

enum Check {
    Plain(Box<Plain>),
    Async(Box<Async>),
}

type Plain = dyn Fn(&str, &Request<'_>) -> Result<User, BearerError>;
type Async = dyn Fn(String) -> LocalFuture<Result<User, BearerError>>;

/// Why a token does not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BearerError {
    /// It is unknown, expired or revoked: why, for people.
    InvalidToken(String),
    /// It does not allow this request: the scope that would, names with spaces between.
    InsufficientScope(String),
    /// It cannot be checked now: 503.
    Unavailable,
}

impl BearerAuth {
    /// By a function that decides at once. The realm names what is protected, for people.
    ///
    /// # Errors
    /// If the realm has a control character.
    pub fn new(
        realm: &str,
        check: impl Fn(&str, &Request<'_>) -> Result<User, BearerError> + 'static,
    ) -> Result<BearerAuth, MiddlewareError> {
        BearerAuth::with(realm, Check::Plain(Box::new(check)))
    }

    /// By an `async` function, which may ask a [`ThreadPool`](corelane_eventloop::ThreadPool) or
    /// another server; meanwhile the lane serves others.
    ///
    /// ```
    /// use corelane_http::middleware::{BearerAuth, BearerError, User};
    ///
    /// async fn check(token: String) -> Result<User, BearerError> {
    ///     match token.as_str() {
    ///         "secret" => Ok(User::new("ada")),
    ///         _ => Err(BearerError::InvalidToken("unknown".into())),
    ///     }
    /// }
    /// let auth = BearerAuth::asynchronous("api", check)?;
    /// # Ok::<(), corelane_http::middleware::MiddlewareError>(())
    /// ```
    ///
    /// # Errors
    /// As [`BearerAuth::new`].
    pub fn asynchronous<F>(
        realm: &str,
        check: impl Fn(String) -> F + 'static,
    ) -> Result<BearerAuth, MiddlewareError>
    where
        F: Future<Output = Result<User, BearerError>> + 'static,
    {
        let check = move |token| -> LocalFuture<_> { Box::pin(check(token)) };
        BearerAuth::with(realm, Check::Async(Box::new(check)))
    }

    fn with(realm: &str, check: Check) -> Result<BearerAuth, MiddlewareError> {
        match credentials::quoted(realm) {
            Some(realm) => Ok(BearerAuth { realm: realm.into(), check }),
            None => Err(MiddlewareError::new(NAME, "the realm has a control character")),
        }
    }
}

/// The answer with a challenge: `name=value` behind the realm, of which a value that cannot be sent is
/// left out.
fn refusal(realm: &str, status: u16, detail: &str, attributes: &[(&str, &str)]) -> Response {
    let mut challenge = format!("Bearer realm={realm}");
    for (name, value) in attributes {
        // RFC 6750 §3: neither quotes nor backslashes, nor anything but ASCII.
        if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte)) {
            challenge += &format!(", {name}=\"{value}\"");
        }
    }
    Response::problem(status, detail).with("WWW-Authenticate", challenge)
}

fn refused(realm: &str, error: &BearerError) -> Response {
    match error {
        BearerError::InvalidToken(why) => {
            let attributes = [("error", "invalid_token"), ("error_description", why)];
            refusal(realm, 401, &format!("the token is not accepted: {why}"), &attributes)
        }
        BearerError::InsufficientScope(scope) => {
            let attributes = [("error", "insufficient_scope"), ("scope", scope)];
            refusal(realm, 403, "the token does not allow this", &attributes)
        }
        BearerError::Unavailable => {
            Response::problem(503, "tokens cannot be checked now").with("Retry-After", "1")
        }
    }
}

impl Middleware for BearerAuth {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before(&self, request: &Request<'_>) -> Before {
        let token = credentials::of_scheme(request, "Bearer");
        let Some(token) = token else {
            let is_twice = request.headers("Authorization").nth(1).is_some();
            let (status, attributes) = match is_twice {
                true => (400, &[("error", "invalid_request")][..]),
                false => (401, &[][..]),
            };
            return Before::Answer(refusal(&self.realm, status, "a token is needed", attributes));
        };
        let token = std::str::from_utf8(token).ok();
        let Some(token) = token.filter(|token| credentials::is_bearer_token(token.as_bytes()))
        else {
            let attributes = [("error", "invalid_request")];
            return Before::Answer(refusal(&self.realm, 400, "that is no token", &attributes));
        };
        match &self.check {
            Check::Plain(check) => match check(token, request) {
                Ok(user) => {
                    request.insert(user);
                    Before::Next
                }
                Err(error) => Before::Answer(refused(&self.realm, &error)),
            },
            Check::Async(check) => {
                let decision = check(token.to_owned());
                let (realm, extensions) = (self.realm.clone(), request.extensions().clone());
                Before::Wait(Box::pin(async move {
                    match decision.await {
                        Ok(user) => {
                            extensions.insert(user);
                            Ok(())
                        }
                        Err(error) => Err(refused(&realm, &error)),
                    }
                }))
            }
        }
    }
}
