//! What people see when something is wrong.

use std::collections::BTreeMap;

use corelane_mempool::Shared;

use super::accept::quality;
use crate::Content;
use crate::web::{Middleware, Request, Response};

/// Gives error responses a page: HTML or JSON, as the client prefers (Accept), with the status they
/// had.
///
/// It fills responses without content, and takes the place of a problem
/// ([`Response::problem`]) for clients that would rather have HTML than JSON, as browsers do. Other
/// content was meant by its handler and stays, unless [told otherwise](ErrorPages::replace_content).
///
/// ```
/// use corelane_http::middleware::ErrorPages;
/// use corelane_http::web::testing::{TestRequest, TestServer};
/// use corelane_http::web::Routes;
///
/// let pages = ErrorPages::new()
///     .html(404, "<!doctype html><title>Not here</title><h1>Not here</h1>")
///     .html_of(|status| format!("<!doctype html><title>Sorry</title><h1>Error {status}</h1>"));
/// let mut server = TestServer::new(Routes::new().with(pages).build()?);
/// let response = server.send(TestRequest::get("/").header("Accept", "text/html"));
/// assert_eq!(response.status(), 404);
/// assert!(response.text().contains("<h1>Not here</h1>"));
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
#[derive(Default)]
pub struct ErrorPages {
    html: BTreeMap<u16, Shared>,
    html_of: Option<Box<PageOf>>,
    json: BTreeMap<u16, Shared>,
    replaces_content: bool,
}

type PageOf = dyn Fn(u16) -> String;

/// What describes content, and is wrong once that is another.
const DESCRIBE: [&str; 8] = [
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Last-Modified",
    "Accept-Ranges",
];

impl ErrorPages {
    /// No pages.
    pub fn new() -> ErrorPages {
        ErrorPages::default()
    }

    /// The page of a status, 400 to 599, in HTML and UTF-8.
    pub fn html(mut self, status: u16, page: impl Into<Vec<u8>>) -> ErrorPages {
        self.html.insert(status, Shared::from(page.into()));
        self
    }

    /// Makes the page of every status that has none of its own, in HTML.
    pub fn html_of(mut self, page: impl Fn(u16) -> String + 'static) -> ErrorPages {
        self.html_of = Some(Box::new(page));
        self
    }

    /// The page of a status, in JSON, for clients that prefer that.
    pub fn json(mut self, status: u16, page: impl Into<Vec<u8>>) -> ErrorPages {
        self.json.insert(status, Shared::from(page.into()));
        self
    }

    /// Takes the place of what handlers made on purpose, too.
    pub fn replace_content(mut self) -> ErrorPages {
        self.replaces_content = true;
        self
    }

    fn html_page(&self, status: u16) -> Option<Content> {
        match self.html.get(&status) {
            Some(page) => Some(Content::Shared(page.clone())),
            None => self.html_of.as_ref().map(|page| Content::Bytes(page(status).into_bytes())),
        }
    }
}

impl Middleware for ErrorPages {
    fn name(&self) -> &'static str {
        "error-pages"
    }

    fn after(&self, request: &Request<'_>, response: &mut Response) {
        let status = response.status();
        if !(400..600).contains(&status) {
            return;
        }
        let has_html = self.html_of.is_some() || self.html.contains_key(&status);
        let json = self.json.get(&status);
        let is_empty = response.content().is_empty();
        let is_problem = response.field("Content-Type") == Some(b"application/problem+json");
        let replaces = is_empty || is_problem || self.replaces_content;
        if !replaces || (!has_html && json.is_none()) {
            return;
        }
        let accept = request.header("Accept");
        let wants_html = quality(accept, "text", "html");
        let wants_json = quality(accept, "application", "json");
        response.vary("Accept");
        let (kind, page) = match json {
            Some(page) if wants_json > 0 && (wants_json >= wants_html || !has_html) => {
                ("application/json", Content::Shared(page.clone()))
            }
            _ if wants_html > wants_json || (wants_html > 0 && !is_problem) => {
                let Some(page) = self.html_page(status) else { return };
                ("text/html; charset=utf-8", page)
            }
            _ => return,
        };
        DESCRIBE.iter().for_each(|name| response.remove(name));
        response.add("Content-Type", kind);
        *response.content_mut() = page;
    }
}
