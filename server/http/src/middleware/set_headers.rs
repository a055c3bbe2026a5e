//! Response fields that a site wants on everything.

use corelane_parser::http1::FieldBlock;

use super::error::MiddlewareError;
use crate::web::{Middleware, Request, Response};

const NAME: &str = "set-headers";

/// Changes the fields of every response: sets, adds and removes, in the order in which it was told.
///
/// ```
/// use corelane_http::middleware::SetHeaders;
/// use corelane_http::web::{Request, Routes};
///
/// let headers = SetHeaders::new()
///     .set("Server", "corelane")?
///     .set_default("Cache-Control", "no-store")?
///     .add("Link", "</site.css>; rel=preload; as=style")?
///     .remove("X-Powered-By");
/// let app = Routes::new().get("/", |_: &Request<'_>| "hello\n").with(headers).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SetHeaders {
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    kind: Kind,
    name: String,
    /// The one line; empty for a removal.
    line: FieldBlock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Set,
    SetDefault,
    Add,
    Remove,
}

impl SetHeaders {
    /// Changes nothing.
    pub fn new() -> SetHeaders {
        SetHeaders::default()
    }

    /// Sets a field, in the place of those of its name.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn set(self, name: &str, value: &str) -> Result<SetHeaders, MiddlewareError> {
        self.change(Kind::Set, name, value)
    }

    /// Sets a field, unless there is one of its name.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn set_default(self, name: &str, value: &str) -> Result<SetHeaders, MiddlewareError> {
        self.change(Kind::SetDefault, name, value)
    }

    /// Adds a field, beside those of its name.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn add(self, name: &str, value: &str) -> Result<SetHeaders, MiddlewareError> {
        self.change(Kind::Add, name, value)
    }

    /// Removes the fields of this name. What the protocol adds (Date, framing) stays.
    pub fn remove(mut self, name: &str) -> SetHeaders {
        let (name, line) = (name.to_owned(), FieldBlock::new());
        self.changes.push(Change { kind: Kind::Remove, name, line });
        self
    }

    fn change(
        mut self,
        kind: Kind,
        name: &str,
        value: &str,
    ) -> Result<SetHeaders, MiddlewareError> {
        let mut line = FieldBlock::new();
        line.add(name, value.as_bytes())
            .map_err(|flaw| MiddlewareError::new(NAME, format!("{name}: {flaw}")))?;
        self.changes.push(Change { kind, name: name.to_owned(), line });
        Ok(self)
    }
}

impl Middleware for SetHeaders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn after(&self, _request: &Request<'_>, response: &mut Response) {
        let fields = response.fields_mut();
        for Change { kind, name, line } in &self.changes {
            match kind {
                Kind::SetDefault if fields.contains(name) => continue,
                Kind::Set | Kind::Remove => {
                    fields.remove(name);
                }
                Kind::SetDefault | Kind::Add => {}
            }
            fields.append(line);
        }
    }
}
