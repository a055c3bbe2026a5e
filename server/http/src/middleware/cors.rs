//! Cross-origin resource sharing: which other sites' scripts may read answers.
//!
//! The protocol is that of the [Fetch standard](https://fetch.spec.whatwg.org/#http-cors-protocol),
//! a living one, whose sections are named here by their titles.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use corelane_parser::http1::{FieldBlock, Method};

use super::error::MiddlewareError;
use super::syntax::{is_token, origin_flaw};
use crate::web::{Before, Middleware, Request, Response};

const NAME: &str = "cors";
const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";

/// Answers preflights, and tells browsers which origins' scripts may read responses (Fetch standard,
/// ["CORS protocol"](https://fetch.spec.whatwg.org/#http-cors-protocol)).
///
/// It protects no server: whoever is not a browser ignores it, requests of origins that are not
/// allowed are served all the same (their scripts just cannot read the answer), and what changes
/// something needs a check of its own.
///
/// ```
/// use std::time::Duration;
/// use corelane_http::middleware::Cors;
/// use corelane_http::web::{Request, Routes};
///
/// let cors = Cors::builder()
///     .origins(["https://app.example", "http://localhost:5173"])
///     .methods(["GET", "PUT", "DELETE"])
///     .request_headers(["Content-Type", "Authorization"])
///     .expose(["X-Request-Id"])
///     .credentials()
///     .max_age(Duration::from_secs(3600))
///     .build()?;
/// let app = Routes::new().get("/", |_: &Request<'_>| "hello\n").with(cors).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A preflight (OPTIONS with Origin and Access-Control-Request-Method; Fetch, "HTTP requests")
/// is answered with 204 before whatever stands further in is asked: put it in front of authentication, because browsers
/// send no credentials with one. One of an origin that is not allowed gets none of the fields.
///
/// Where the answer depends on Origin, every response says so by Vary, also one to a request without
/// Origin: a cache must not give that to a script (Fetch, "CORS protocol and HTTP caches"). A response that has
/// Access-Control-Allow-Origin already is left alone.
pub struct Cors {
    origins: Origins,
    /// What is added to a response that has none of it, by Access-Control-Allow-Origin: put together in
    /// advance where that is known.
    granted: BTreeMap<Vec<u8>, FieldBlock>,
    /// Fields of every response that a script may read.
    actual: FieldBlock,
    /// Fields of every preflight that is allowed.
    preflight: FieldBlock,
    mirror: bool,
    private_network: bool,
}

enum Origins {
    Any,
    List(BTreeSet<String>),
    Predicate(Box<Predicate>),
}

type Predicate = dyn Fn(&str, &Request<'_>) -> bool;

/// What is allowed; nothing at first. Made by [`Cors::builder`].
pub struct CorsBuilder {
    origins: Option<Origins>,
    methods: Names,
    request_headers: Names,
    expose: Names,
    credentials: bool,
    max_age: Option<Duration>,
    private_network: bool,
}

enum Names {
    Any,
    Mirror,
    List(Vec<String>),
}

impl Cors {
    /// Nothing is allowed yet: [`build`](CorsBuilder::build) wants origins at least.
    pub fn builder() -> CorsBuilder {
        CorsBuilder {
            origins: None,
            methods: Names::List(Vec::new()),
            request_headers: Names::List(Vec::new()),
            expose: Names::List(Vec::new()),
            credentials: false,
            max_age: None,
            private_network: false,
        }
    }

    /// The value of Access-Control-Allow-Origin for this request, if it is to have one.
    fn allowed<'a>(&self, request: &Request<'a>) -> Option<&'a str> {
        if matches!(self.origins, Origins::Any) {
            return Some("*");
        }
        let origin = std::str::from_utf8(sole_origin(request)?).ok()?;
        let allowed = match &self.origins {
            Origins::Any => true,
            Origins::List(list) => list.contains(origin),
            Origins::Predicate(accepts) => {
                (origin == "null" || origin_flaw(origin).is_none()) && accepts(origin, request)
            }
        };
        if !allowed {
            tracing::debug!(origin, path = request.path(), "the origin is not allowed");
        }
        allowed.then_some(origin)
    }

    /// What is added to a response to this request that has none of it, if that is known in advance.
    fn granted(&self, request: &Request<'_>) -> Option<&FieldBlock> {
        match &self.origins {
            Origins::Any => self.granted.get(&b"*"[..]),
            Origins::List(_) => self.granted.get(sole_origin(request)?),
            Origins::Predicate(_) => None,
        }
    }

    fn preflight(&self, request: &Request<'_>) -> Response {
        let mut response = Response::new(204)
            .with("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
        let Some(origin) = self.allowed(request) else { return response };
        response.add(ALLOW_ORIGIN, origin);
        response.fields_mut().append(&self.preflight);
        if self.mirror {
            let asked = request.header("Access-Control-Request-Headers").unwrap_or_default();
            let names = asked.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            if !asked.is_empty() && names.clone().all(is_token) {
                let names: Vec<&[u8]> = names.collect();
                response.add("Access-Control-Allow-Headers", names.join(&b", "[..]));
            }
        }
        let asked = request.header("Access-Control-Request-Private-Network");
        if self.private_network && asked == Some(b"true") {
            response.add("Access-Control-Allow-Private-Network", "true");
        }
        response
    }
}

impl Middleware for Cors {
    fn name(&self) -> &'static str {
        NAME
    }

    fn before(&self, request: &Request<'_>) -> Before {
        let is_preflight = matches!(request.method(), Method::Options)
            && request.header("Origin").is_some()
            && request.header("Access-Control-Request-Method").is_some();
        match is_preflight {
            true => Before::Answer(self.preflight(request)),
            false => Before::Next,
        }
    }

    fn after(&self, request: &Request<'_>, response: &mut Response) {
        if let Some(granted) = self.granted(request)
            && !response.fields().contains("Vary")
            && !response.fields().contains(ALLOW_ORIGIN)
        {
            return response.fields_mut().append(granted);
        }
        let allowed = self.allowed(request);
        if !matches!(self.origins, Origins::Any) {
            response.vary("Origin");
        }
        let Some(origin) = allowed else { return };
        if !response.fields().contains(ALLOW_ORIGIN) {
            response.add(ALLOW_ORIGIN, origin);
            response.fields_mut().append(&self.actual);
        }
    }
}

/// The value of Origin, if there is one and no other.
fn sole_origin<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    let mut origin = None;
    for field in request.fields() {
        if field.name.eq_ignore_ascii_case("Origin") && origin.replace(field.value).is_some() {
            return None;
        }
    }
    origin
}

impl CorsBuilder {
    /// Every origin, of sites, files and sandboxes. Not together with
    /// [`credentials`](CorsBuilder::credentials).
    pub fn any_origin(mut self) -> CorsBuilder {
        self.origins = Some(Origins::Any);
        self
    }

    /// These origins, each as browsers send it: scheme, host, and the port unless it is the scheme's
    /// own (`https://app.example`). Adds to those named before.
    pub fn origins<S: Into<String>>(mut self, origins: impl IntoIterator<Item = S>) -> CorsBuilder {
        let mut list = match self.origins {
            Some(Origins::List(list)) => list,
            _ => BTreeSet::new(),
        };
        list.extend(origins.into_iter().map(Into::into));
        self.origins = Some(Origins::List(list));
        self
    }

    /// Origins that the function accepts, for example every one that ends in `.app.example`. It is
    /// asked for well-formed origins, and for `null`, which is what every sandboxed document and local
    /// file has: accept that only for what anybody may read.
    pub fn origin_if(
        mut self,
        accepts: impl Fn(&str, &Request<'_>) -> bool + 'static,
    ) -> CorsBuilder {
        self.origins = Some(Origins::Predicate(Box::new(accepts)));
        self
    }

    /// Methods that scripts may use besides GET, HEAD and POST, which need no permission.
    pub fn methods<S: Into<String>>(mut self, methods: impl IntoIterator<Item = S>) -> CorsBuilder {
        self.methods = Names::List(methods.into_iter().map(Into::into).collect());
        self
    }

    /// Every method.
    pub fn any_method(mut self) -> CorsBuilder {
        self.methods = Names::Any;
        self
    }

    /// Request fields that scripts may set besides the safelisted ones (Fetch, "CORS-safelisted
    /// request-header"). JSON needs
    /// `Content-Type`.
    pub fn request_headers<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> CorsBuilder {
        self.request_headers = Names::List(names.into_iter().map(Into::into).collect());
        self
    }

    /// Every request field that a preflight asks for; Authorization, too.
    pub fn mirror_request_headers(mut self) -> CorsBuilder {
        self.request_headers = Names::Mirror;
        self
    }

    /// Response fields that scripts may read besides the safelisted ones.
    pub fn expose<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> CorsBuilder {
        self.expose = Names::List(names.into_iter().map(Into::into).collect());
        self
    }

    /// Every response field may be read.
    pub fn expose_any(mut self) -> CorsBuilder {
        self.expose = Names::Any;
        self
    }

    /// Scripts may send cookies and the like, and read what comes back (Fetch, "CORS protocol and
    /// credentials").
    pub fn credentials(mut self) -> CorsBuilder {
        self.credentials = true;
        self
    }

    /// How long browsers may remember the answer to a preflight, in whole seconds. They have a limit
    /// of their own, and 5 s if nothing is said.
    pub fn max_age(mut self, time: Duration) -> CorsBuilder {
        self.max_age = Some(time);
        self
    }

    /// Public sites may ask a server in a private network, if the browser asks for permission
    /// ([Private Network Access](https://wicg.github.io/private-network-access/) "Integration with Fetch").
    pub fn private_network(mut self) -> CorsBuilder {
        self.private_network = true;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// If no origin is allowed, an origin or a name is malformed, or credentials meet `*`, which
    /// browsers refuse (Fetch, "CORS protocol and credentials").
    pub fn build(self) -> Result<Cors, MiddlewareError> {
        let Some(origins) = self.origins else {
            return Err(error("no origin is allowed: call origins, origin_if or any_origin"));
        };
        if let Origins::List(list) = &origins {
            if let Some((origin, flaw)) = list.iter().find_map(|o| Some((o, origin_flaw(o)?))) {
                return Err(error(&format!("origin `{origin}`: {flaw}")));
            }
            if list.is_empty() {
                return Err(error("the list of origins is empty"));
            }
        }
        if self.credentials && matches!(origins, Origins::Any) {
            return Err(error(
                "credentials cannot be allowed to every origin: list the origins, or decide by \
                 origin_if",
            ));
        }
        let (mut actual, mut preflight) = (FieldBlock::new(), FieldBlock::new());
        if self.credentials {
            put(&mut actual, "Access-Control-Allow-Credentials", "true")?;
            put(&mut preflight, "Access-Control-Allow-Credentials", "true")?;
        }
        let star = !self.credentials;
        self.expose.put(&mut actual, "Access-Control-Expose-Headers", star)?;
        self.methods.put(&mut preflight, "Access-Control-Allow-Methods", star)?;
        self.request_headers.put(&mut preflight, "Access-Control-Allow-Headers", star)?;
        if let Some(time) = self.max_age {
            put(&mut preflight, "Access-Control-Max-Age", &time.as_secs().to_string())?;
        }
        let mut granted = BTreeMap::new();
        let (list, any) = match &origins {
            Origins::Any => (None, Some("*")),
            Origins::List(list) => (Some(list), None),
            Origins::Predicate(_) => (None, None),
        };
        for origin in list.into_iter().flatten().map(String::as_str).chain(any) {
            let mut fields = FieldBlock::new();
            if origin != "*" {
                put(&mut fields, "Vary", "Origin")?;
            }
            put(&mut fields, ALLOW_ORIGIN, origin)?;
            fields.append(&actual);
            granted.insert(origin.as_bytes().to_vec(), fields);
        }
        Ok(Cors {
            origins,
            granted,
            actual,
            preflight,
            mirror: matches!(self.request_headers, Names::Mirror),
            private_network: self.private_network,
        })
    }
}

impl Names {
    /// Puts the field that lists them, if there are any; `*` for all of them, if that may be.
    fn put(&self, block: &mut FieldBlock, field: &str, star: bool) -> Result<(), MiddlewareError> {
        let names = match self {
            Names::Any if star => return put(block, field, "*"),
            Names::Any => {
                return Err(error(&format!(
                    "with credentials `*` in {field} means a name, not all of them: list the names"
                )));
            }
            Names::Mirror => return Ok(()),
            Names::List(names) => names,
        };
        match names.iter().find(|name| !is_token(name.as_bytes()) || *name == "*") {
            Some(name) if name == "*" => {
                Err(error(&format!("`*` among the names of {field}: say so by any_ or mirror_")))
            }
            Some(name) => Err(error(&format!("`{name}` is no name (RFC 9110 §5.6.2)"))),
            None if names.is_empty() => Ok(()),
            None => put(block, field, &names.join(", ")),
        }
    }
}

fn put(block: &mut FieldBlock, name: &str, value: &str) -> Result<(), MiddlewareError> {
    block.add(name, value.as_bytes()).map_err(|flaw| error(&format!("{name}: {flaw}")))
}

fn error(reason: &str) -> MiddlewareError {
    MiddlewareError::new(NAME, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_work_is_not_built() {
        let list = || Cors::builder().origins(["https://a.example"]);
        for (builder, expected) in [
            (Cors::builder(), "no origin is allowed"),
            (Cors::builder().origins(<[String; 0]>::default()), "is empty"),
            (Cors::builder().any_origin().credentials(), "to every origin"),
            (list().any_method().credentials(), "`*` in Access-Control-Allow-Methods"),
            (list().expose_any().credentials(), "`*` in Access-Control-Expose-Headers"),
            (list().request_headers(["*"]), "`*` among the names"),
            (list().methods(["GET, PUT"]), "`GET, PUT` is no name"),
            (list().expose(["X\r\nY"]), "is no name"),
            (Cors::builder().origins(["https://a.example/"]), "origin `https://a.example/`"),
            (Cors::builder().origins(["*"]), "origin `*`"),
            (Cors::builder().origins(["null"]), "origin_if"),
        ] {
            let error = builder.build().err().expect(expected).to_string();
            assert!(error.starts_with("cors: ") && error.contains(expected), "{error}");
        }
        assert!(list().mirror_request_headers().credentials().build().is_ok());
    }
}
