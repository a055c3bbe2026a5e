//! What a handler answers with.

use std::borrow::Cow;

use corelane_mempool::Shared;
use corelane_parser::http1::FieldBlock;
use corelane_parser::http1::encode::FieldLine;
use serde::Serialize;

use crate::content::{Content, Produce};

const TEXT: FieldLine = FieldLine::from_static("Content-Type: text/plain; charset=utf-8\r\n");
const HTML: FieldLine = FieldLine::from_static("Content-Type: text/html; charset=utf-8\r\n");
const JSON: FieldLine = FieldLine::from_static("Content-Type: application/json\r\n");

/// A status, fields and content. Date, framing and Connection are the protocol's to add.
///
/// ```
/// use corelane_http::web::Response;
///
/// let response = Response::text("created\n").with_status(201).with("Location", "/users/7");
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.field("location"), Some(&b"/users/7"[..]));
/// ```
///
/// A field that cannot be sent (a control byte in it, or one that the protocol writes) makes the
/// answer a 500, which is counted, and nothing of it is sent: [`Response::is_malformed`].
#[derive(Debug)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) fields: FieldBlock,
    pub(crate) content: Content,
    pub(crate) malformed: bool,
    /// It stands in for one whose handler panicked.
    pub(crate) panicked: bool,
    /// It stands in for one whose handler took too long.
    pub(crate) timed_out: bool,
}

impl Response {
    /// No fields, no content. The status is 200 to 599.
    pub fn new(status: u16) -> Response {
        Response {
            status,
            fields: FieldBlock::new(),
            content: Content::Empty,
            malformed: false,
            panicked: false,
            timed_out: false,
        }
    }

    /// 200, `text/plain` in UTF-8.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Response {
        Response::typed(TEXT, content(text.into()))
    }

    /// 200, `text/html` in UTF-8.
    pub fn html(html: impl Into<Cow<'static, str>>) -> Response {
        Response::typed(HTML, content(html.into()))
    }

    /// 200, `application/json`. A value that cannot be written as JSON (a map whose keys are no
    /// strings) makes it a 500.
    pub fn json(value: &impl Serialize) -> Response {
        match serde_json::to_vec(value) {
            Ok(bytes) => Response::typed(JSON, Content::Bytes(bytes)),
            Err(error) => {
                tracing::error!(%error, "a response cannot be written as JSON");
                Response { malformed: true, ..Response::new(500) }
            }
        }
    }

    /// 200, with this media type and content.
    pub fn bytes(media_type: &str, content: impl Into<Content>) -> Response {
        Response::new(200).with("Content-Type", media_type).with_content(content)
    }

    /// 200, with this media type, and content that is made while it is sent.
    pub fn stream(media_type: &str, stream: impl Produce + 'static) -> Response {
        Response::bytes(media_type, Content::Stream(Box::new(stream)))
    }

    /// A redirection: 301, 302, 303, 307 or 308, and where to.
    pub fn redirect(status: u16, to: &str) -> Response {
        Response::new(status).with("Location", to)
    }

    /// An error as [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) JSON: what was wrong, in words.
    pub fn problem(status: u16, detail: impl std::fmt::Display) -> Response {
        let title = corelane_parser::http1::status::reason(status);
        let body = serde_json::json!({
            "status": status, "title": title, "detail": detail.to_string(),
        });
        Response::json(&body).with_status(status).with("Content-Type", "application/problem+json")
    }

    fn typed(line: FieldLine, content: Content) -> Response {
        let mut fields = FieldBlock::new();
        fields.add_line(line);
        Response { fields, content, ..Response::new(200) }
    }

    /// Sets the status.
    pub fn with_status(mut self, status: u16) -> Response {
        self.status = status;
        self
    }

    /// Sets a field, in the place of those of its name.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Response {
        self.set(name, value);
        self
    }

    /// Sets the content.
    pub fn with_content(mut self, content: impl Into<Content>) -> Response {
        self.content = content.into();
        self
    }

    /// Sets a field, in the place of those of its name.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.malformed |= self.fields.set(name, value.as_ref()).is_err();
    }

    /// Adds a field, beside those of its name.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.malformed |= self.fields.add(name, value.as_ref()).is_err();
    }

    /// Removes the fields of this name.
    pub fn remove(&mut self, name: &str) {
        self.fields.remove(name);
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of the first field of this name, in any case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name)
    }

    /// The fields.
    pub fn fields(&self) -> &FieldBlock {
        &self.fields
    }

    /// The fields, to be changed.
    pub fn fields_mut(&mut self) -> &mut FieldBlock {
        &mut self.fields
    }

    /// The content.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The content, to be changed: what describes it in the fields is the caller's to keep true.
    pub fn content_mut(&mut self) -> &mut Content {
        &mut self.content
    }

    /// True if a field could not be taken: the client will get a 500.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Adds a name to Vary, unless it is there (RFC 9110 §12.5.5).
    pub fn vary(&mut self, name: &str) {
        let named = |value: &[u8]| {
            value.split(|&byte| byte == b',').any(|part| {
                let part = part.trim_ascii();
                part == b"*" || part.eq_ignore_ascii_case(name.as_bytes())
            })
        };
        if !self.fields.contains("Vary") {
            return self.add("Vary", name);
        }
        let mut names = Vec::new();
        for field in self.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("Vary")) {
            if named(field.value) {
                return;
            }
            names.extend_from_slice(field.value);
            names.extend_from_slice(b", ");
        }
        names.extend_from_slice(name.as_bytes());
        self.set("Vary", names);
    }
}

fn content(text: Cow<'static, str>) -> Content {
    match text {
        Cow::Borrowed(text) => Content::Shared(Shared::from_static(text.as_bytes())),
        Cow::Owned(text) => Content::Bytes(text.into_bytes()),
    }
}

/// What handlers may return.
pub trait IntoResponse {
    /// The response it stands for.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

/// 204.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(204)
    }
}

/// A response with another status.
impl<T: IntoResponse> IntoResponse for (u16, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

/// 404 if there is nothing.
impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        match self {
            Some(value) => value.into_response(),
            None => Response::problem(404, "there is no such thing"),
        }
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// A value to be sent, or received, as JSON.
///
/// ```
/// use corelane_http::web::{IntoResponse, Json};
///
/// let response = Json(vec![1, 2, 3]).into_response();
/// assert_eq!(response.field("Content-Type"), Some(&b"application/json"[..]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0)
    }
}
