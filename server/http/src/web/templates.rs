//! Pages from templates ([minijinja](https://docs.rs/minijinja)).

use std::cell::RefCell;
use std::rc::Rc;

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;

use super::response::{IntoResponse, Response};

/// The templates of one lane, in the language of Jinja2. Clones are the same templates. With the
/// feature `templates`.
///
/// Values are escaped in templates whose names end in `.html`, `.htm` or `.xml`, and in no others. A
/// variable that is not there is an error, except in a condition.
///
/// ```
/// use corelane_http::web::testing::TestServer;
/// use corelane_http::web::{Request, Routes, Templates};
///
/// let templates = Templates::new()
///     .add("base.html", "<!doctype html><title>{% block title %}{% endblock %}</title>")?
///     .add("user.html", "{% extends 'base.html' %}{% block title %}{{ name }}{% endblock %}")?;
/// let page = move |request: &Request<'_>| {
///     let name = request.params().get("name").unwrap_or_default();
///     templates.render("user.html", &serde_json::json!({"name": name}))
/// };
/// let mut server = TestServer::new(Routes::new().get("/{name}", page).build()?);
/// let expected = "<!doctype html><title>&lt;ada&gt;</title>";
/// assert_eq!(server.get("/%3Cada%3E").text(), expected);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Templates(Rc<Inner>);

struct Inner {
    environment: RefCell<Environment<'static>>,
    reloads: bool,
}

/// What is wrong with a template, and where. As a response it is a 500, and a line in the log; the
/// client is told no more, unless templates are [reloaded](Templates::reloading).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template `{template}`, line {line}: {reason}")]
pub struct TemplateError {
    /// Its name.
    pub template: String,
    /// The line, from 1; 0 if it is about none.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
    /// Whether the client may know.
    told: bool,
}

impl Templates {
    /// None yet.
    pub fn new() -> Templates {
        Templates::of(Environment::new(), false)
    }

    /// Templates that are asked for by name whenever they are used, so that changes show at once: for
    /// development. `load` gives the text, or `None` if there is no such template.
    pub fn reloading(load: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Templates {
        let mut environment = Environment::new();
        environment.set_loader(move |name| Ok(load(name)));
        Templates::of(environment, true)
    }

    fn of(mut environment: Environment<'static>, reloads: bool) -> Templates {
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        Templates(Rc::new(Inner { environment: RefCell::new(environment), reloads }))
    }

    /// Adds a template, in the place of one of its name.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn add(self, name: &str, source: &str) -> Result<Templates, TemplateError> {
        let added = match self.0.environment.try_borrow_mut() {
            Ok(mut environment) => {
                environment.add_template_owned(name.to_owned(), source.to_owned())
            }
            Err(_) => Err(Error::new(ErrorKind::InvalidOperation, "templates are being rendered")),
        };
        added.map_err(|error| self.error(name, &error))?;
        Ok(self)
    }

    /// The page that a template makes of these values: 200, `text/html`, or by the ending of its name
    /// `application/xml` or `text/plain`.
    ///
    /// # Errors
    /// If there is no such template, or it asks for what is not there.
    pub fn render(&self, name: &str, values: &impl Serialize) -> Result<Response, TemplateError> {
        if self.0.reloads
            && let Ok(mut environment) = self.0.environment.try_borrow_mut()
        {
            environment.clear_templates();
        }
        let environment = self.0.environment.borrow();
        let page =
            environment.get_template(name).and_then(|template| template.render(Serde(values)));
        let page = page.map_err(|error| self.error(name, &error))?;
        Ok(match name.rsplit('.').next() {
            Some("html" | "htm") => Response::html(page),
            Some("xml") => Response::bytes("application/xml", page.into_bytes()),
            _ => Response::text(page),
        })
    }

    fn error(&self, name: &str, error: &Error) -> TemplateError {
        let mut reason = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let mut innermost = error;
        // An error in an included or extended template is wrapped by those around it.
        while let Some(source) = std::error::Error::source(innermost) {
            let Some(source) = source.downcast_ref::<Error>() else { break };
            innermost = source;
            reason = source.detail().map_or_else(|| source.kind().to_string(), str::to_owned);
        }
        TemplateError {
            template: innermost.name().unwrap_or(name).to_owned(),
            line: innermost.line().unwrap_or(0),
            reason,
            told: self.0.reloads,
        }
    }
}

impl Default for Templates {
    fn default() -> Templates {
        Templates::new()
    }
}

impl IntoResponse for TemplateError {
    fn into_response(self) -> Response {
        tracing::error!(
            template = self.template,
            line = self.line,
            reason = self.reason,
            "no page"
        );
        match self.told {
            true => Response::problem(500, self),
            false => Response::problem(500, "the page cannot be made"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::content::Content;

    fn text(response: &Response) -> String {
        match response.content() {
            Content::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_are_escaped_by_the_kind_of_page() {
        let source = "{{ x }}{% if nothing %}!{% endif %}";
        for (name, expected, kind) in [
            ("a.html", "&lt;b&gt;", "text/html; charset=utf-8"),
            ("a.xml", "&lt;b&gt;", "application/xml"),
            ("a.txt", "<b>", "text/plain; charset=utf-8"),
        ] {
            let templates = Templates::new().add(name, source).unwrap();
            let page = templates.render(name, &json!({"x": "<b>"})).unwrap();
            assert_eq!(
                (text(&page).as_str(), page.field("Content-Type")),
                (expected, Some(kind.as_bytes()))
            );
        }
    }

    #[test]
    fn errors_name_the_template_and_the_line() {
        let malformed = Templates::new().add("a.html", "one\n{% if %}").err().unwrap();
        assert_eq!((malformed.template.as_str(), malformed.line), ("a.html", 2));
        let templates = Templates::new()
            .add("outer.html", "\n\n{% include 'inner.html' %}")
            .and_then(|templates| templates.add("inner.html", "\n{{ name.first }}"))
            .unwrap();
        let missing = templates.render("outer.html", &json!({})).unwrap_err();
        assert_eq!((missing.template.as_str(), missing.line), ("inner.html", 2), "{missing}");
        let unknown = templates.render("none.html", &json!({})).unwrap_err();
        assert!(unknown.to_string().contains("none.html"), "{unknown}");
        let told = text(&unknown.into_response());
        assert!(!told.contains("none.html"), "clients are told nothing of it");
    }

    #[test]
    fn changes_show_where_templates_are_reloaded() {
        let calls = AtomicUsize::new(0);
        let templates = Templates::reloading(move |name| {
            let call = calls.fetch_add(1, Ordering::Relaxed);
            (name == "a.html").then(|| format!("call {call}"))
        });
        for expected in ["call 0", "call 1"] {
            assert_eq!(text(&templates.render("a.html", &json!({})).unwrap()), expected);
        }
        let told = text(&templates.render("b.html", &json!({})).unwrap_err().into_response());
        assert!(told.contains("b.html"), "{told}");
    }
}
