//! Who asks.

use std::rc::Rc;

/// Who asks, as authentication has found: left on the request, for handlers and logs.
///
/// ```
/// use corelane_http::middleware::User;
/// use corelane_http::web::Request;
///
/// fn greet(request: &Request<'_>) -> String {
///     match request.get::<User>() {
///         Some(user) => format!("hello {}\n", user.name()),
///         None => "hello stranger\n".to_owned(),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(Rc<str>);

impl User {
    /// A user of this name.
    pub fn new(name: impl Into<Rc<str>>) -> User {
        User(name.into())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}
