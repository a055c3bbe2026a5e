//! Typed access to what a request brings.

use std::fmt::Display;
use std::str::FromStr;

use corelane_eventloop::Nanos;
use serde::de::DeserializeOwned;

use super::cookies;
use super::input::{Input, InputError};
use super::request::{OwnedRequest, Request};

/// Typed access. Errors convert to responses, so a handler that returns a `Result` passes them on by
/// `?`.
///
/// ```
/// use corelane_http::web::testing::{TestRequest, TestServer};
/// use corelane_http::web::{InputError, Json, Request, Routes};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, Serialize)]
/// struct Order {
///     item: String,
///     count: u32,
/// }
///
/// fn order(request: &Request<'_>) -> Result<Json<Order>, InputError> {
///     let shop: u32 = request.param("shop")?;
///     let mut order: Order = request.json()?;
///     order.count *= shop;
///     Ok(Json(order))
/// }
///
/// let mut server = TestServer::new(Routes::new().post("/shops/{shop}/orders", order).build()?);
/// let orders = |shop: &str| TestRequest::post(&format!("/shops/{shop}/orders"));
/// let tea = serde_json::json!({"item": "tea", "count": 2});
/// assert_eq!(server.send(orders("3").json(&tea)).text(), r#"{"item":"tea","count":6}"#);
/// assert_eq!(server.send(orders("x").json(&tea)).status(), 400);
/// let none = server.send(orders("3").json(&serde_json::json!({"item": "tea", "count": "2"})));
/// assert_eq!(none.status(), 422);
/// assert!(none.text().contains(r#""field":"count""#));
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
impl<'a> Request<'a> {
    /// A parameter of the route, decoded.
    ///
    /// # Errors
    /// 400 if it is not what it should be; 500 if the route has no such parameter.
    pub fn param<T>(&self, name: &str) -> Result<T, InputError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let bad = |detail| InputError::new(400, Input::Path, name.to_owned(), detail);
        if self.params().raw(name).is_none() {
            tracing::error!(route = self.route(), name, "the route has no such parameter");
            return Err(InputError::new(500, Input::Path, name.to_owned(), "there is none"));
        }
        let text = self.params().get(name).ok_or_else(|| bad("is not UTF-8".to_owned()))?;
        text.parse().map_err(|error: T::Err| bad(error.to_string()))
    }

    /// The query as a struct or a map, by the rules of forms: `a=1&b=x+y%21`. A field that may be
    /// absent is an `Option` or has a default; one that may be repeated is a `Vec`.
    ///
    /// ```
    /// # use corelane_http::web::{InputError, Request};
    /// #[derive(serde::Deserialize)]
    /// struct Page {
    ///     #[serde(default)]
    ///     offset: u32,
    ///     limit: Option<u32>,
    ///     #[serde(default)]
    ///     tag: Vec<String>,
    /// }
    ///
    /// fn list(request: &Request<'_>) -> Result<String, InputError> {
    ///     let page: Page = request.query_as()?;
    ///     Ok(format!("{} from {}, {:?}", page.limit.unwrap_or(20), page.offset, page.tag))
    /// }
    /// ```
    ///
    /// # Errors
    /// 400, naming the field.
    pub fn query_as<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        urlencoded(self.query().unwrap_or_default().as_bytes(), 400, Input::Query)
    }

    /// The body, which is a form as browsers send it (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// 415 if Content-Type says something else; 422, naming the field.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        const FORM: &str = "application/x-www-form-urlencoded";
        if !self.media_type().is_some_and(|given| given.eq_ignore_ascii_case(FORM)) {
            return Err(InputError::media_type(FORM));
        }
        urlencoded(self.body(), 422, Input::Body)
    }

    /// The body, which is JSON. How large it may be is the route's limit, how deep 128 levels of what is
    /// read into values.
    ///
    /// # Errors
    /// 415 if Content-Type is neither `application/json` nor ends in `+json`; 400 if it is no JSON; 422
    /// if it is another document than asked for, with the path in the document, its line and column.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        let is_json = |given: &str| {
            given.eq_ignore_ascii_case("application/json")
                || given
                    .len()
                    .checked_sub(5)
                    .and_then(|at| given.get(at..))
                    .is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
        };
        if !self.media_type().is_some_and(is_json) {
            return Err(InputError::media_type("application/json"));
        }
        let mut document = serde_json::Deserializer::from_slice(self.body());
        let value = serde_path_to_error::deserialize(&mut document).map_err(|error| {
            let path = match error.path().to_string() {
                whole if whole == "." => String::new(),
                path => path,
            };
            unreadable(path, error.inner())
        })?;
        document.end().map_err(|error| unreadable(String::new(), &error))?;
        Ok(value)
    }

    /// The media type of the body without parameters, as it was sent: `text/html`.
    pub fn media_type(&self) -> Option<&'a str> {
        let value = self.header_str("Content-Type")?;
        Some(value.split(';').next().unwrap_or_default().trim())
    }

    /// A field that holds a date (RFC 9110 §5.6.7), since the Unix epoch.
    pub fn header_date(&self, name: &str) -> Option<Nanos> {
        let time = httpdate::parse_http_date(self.header_str(name)?).ok()?;
        let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Nanos::from_secs(since.as_secs()))
    }

    /// How much the client wants a media type, in thousandths: 0 is not at all, 1000 is everything, and
    /// what counts if there is no Accept (RFC 9110 §12.5.1).
    ///
    /// ```
    /// # use corelane_http::web::Request;
    /// fn wants_a_page(request: &Request<'_>) -> bool {
    ///     request.accepts("text", "html") > request.accepts("application", "json")
    /// }
    /// ```
    pub fn accepts(&self, kind: &str, subtype: &str) -> u16 {
        crate::middleware::accept_quality(self.header("Accept"), kind, subtype)
    }

    /// The cookies, names and values, as they were sent (RFC 6265 §5.4): nothing is decoded but the
    /// quotes around a value.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.fields()
            .filter(|field| field.name.eq_ignore_ascii_case("Cookie"))
            .filter_map(|field| std::str::from_utf8(field.value).ok())
            .flat_map(cookies::pairs)
    }

    /// The first cookie of this name.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        self.cookies().find(|(other, _)| *other == name).map(|(_, value)| value)
    }
}

/// The same for requests that outlive their heads; the rest is reached by
/// [`view`](OwnedRequest::view).
impl OwnedRequest {
    /// As [`Request::param`].
    ///
    /// # Errors
    /// The same.
    pub fn param<T>(&self, name: &str) -> Result<T, InputError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.view().param(name)
    }

    /// As [`Request::query_as`].
    ///
    /// # Errors
    /// The same.
    pub fn query_as<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        self.view().query_as()
    }

    /// As [`Request::form`].
    ///
    /// # Errors
    /// The same.
    pub fn form<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        self.view().form()
    }

    /// As [`Request::json`].
    ///
    /// # Errors
    /// The same.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, InputError> {
        self.view().json()
    }

    /// As [`Request::cookie`].
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.view().cookie(name).map(str::to_owned)
    }
}

fn urlencoded<T: DeserializeOwned>(
    text: &[u8],
    status: u16,
    input: Input,
) -> Result<T, InputError> {
    let fields = serde_html_form::Deserializer::from_bytes(text);
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let field = match error.path().to_string() {
            whole if whole == "." => String::new(),
            path => path,
        };
        InputError::new(status, input, field, error.inner().to_string())
    })
}

/// What is wrong with a document: no JSON, or another document.
fn unreadable(path: String, error: &serde_json::Error) -> InputError {
    let status = if error.is_data() { 422 } else { 400 };
    let said = error.to_string();
    // The place is told by itself.
    let detail = said.split(" at line ").next().unwrap_or_default().to_owned();
    InputError::new(status, Input::Body, path, detail).at(error.line(), error.column())
}
