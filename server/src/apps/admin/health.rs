//! `/health`: 200 while serving, 503 while stopping.

use std::rc::Rc;

use corelane_http::web::{Endpoint, Request, Response};

use super::fresh;
use super::subject::Pages;

pub(super) fn page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |_: &Request<'_>| {
        fresh(match pages.subject.is_stopping() {
            true => Response::text("stopping\n").with_status(503),
            false => Response::text("ok\n"),
        })
    })
}
