//! What is wrong with a request, told to the client by name.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use super::response::{IntoResponse, Response};

/// A request whose data cannot be used: which part, and why. As a response it is problem+json
/// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) that names every fault:
///
/// ```
/// use corelane_http::web::{Input, InputError, IntoResponse};
///
/// let mut error = InputError::invalid(Input::Body, "name", "must not be empty");
/// error.add(Input::Body, "tags[2]", "must have 20 characters at most");
/// assert_eq!(error.to_string(), "name: must not be empty; tags[2]: must have 20 characters at most");
/// assert_eq!(error.into_response().status(), 422);
/// ```
///
/// ```json
/// {"status": 422, "title": "Unprocessable Content", "detail": "name: must not be empty; …",
///  "errors": [{"in": "body", "field": "name", "detail": "must not be empty"}, …]}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    status: u16,
    /// What a 415 says would have been taken.
    accept: Option<&'static str>,
    faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where it is.
    #[serde(rename = "in")]
    pub input: Input,
    /// Its name there: a parameter, a field of the query or form, a path in the document; empty for
    /// the whole.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub field: Cow<'static, str>,
    /// What is wrong.
    pub detail: Cow<'static, str>,
    /// The line in the document, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// The path, of which parameters are parts.
    Path,
    /// The query.
    Query,
    /// A header field.
    Header,
    /// A cookie.
    Cookie,
    /// The body.
    Body,
}

impl InputError {
    /// An error that is answered so, with one fault.
    pub fn new(
        status: u16,
        input: Input,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> InputError {
        let mut error = InputError { status, accept: None, faults: Vec::new() };
        error.add(input, field, detail);
        error
    }

    /// 422: understood, but not acceptable. For rules of the application.
    pub fn invalid(
        input: Input,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> InputError {
        InputError::new(422, input, field, detail)
    }

    /// 415: another media type is taken, which Accept names (RFC 9110 §15.5.16).
    pub(crate) fn media_type(accept: &'static str) -> InputError {
        let detail = format!("the body must be {accept}, and say so");
        let error = InputError::new(415, Input::Header, "Content-Type", detail);
        InputError { accept: Some(accept), ..error }
    }

    /// Adds what else is wrong, so that the client learns it all at once.
    pub fn add(
        &mut self,
        input: Input,
        field: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) {
        let (field, detail) = (field.into(), detail.into());
        self.faults.push(Fault { input, field, detail, line: None, column: None });
    }

    pub(crate) fn at(mut self, line: usize, column: usize) -> InputError {
        if let Some(fault) = self.faults.last_mut() {
            (fault.line, fault.column) = (Some(line), Some(column));
        }
        self
    }

    /// What it is answered with.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "; " })?;
            match &*fault.field {
                "" => f.write_str(&fault.detail)?,
                field => write!(f, "{field}: {}", fault.detail)?,
            }
            if let (Some(line), Some(column)) = (fault.line, fault.column) {
                write!(f, " (line {line}, column {column})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for InputError {}

impl IntoResponse for InputError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "status": self.status,
            "title": corelane_parser::http1::status::reason(self.status),
            "detail": self.to_string(),
            "errors": self.faults,
        });
        let response = Response::json(&body)
            .with_status(self.status)
            .with("Content-Type", "application/problem+json");
        match self.accept {
            Some(accept) => response.with("Accept", accept),
            None => response,
        }
    }
}
