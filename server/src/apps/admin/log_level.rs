//! `/log-level`: what is logged; PUT changes it.

use std::rc::Rc;

use corelane_http::web::{Endpoint, Request, Response};

use super::fresh;
use super::subject::Pages;
use crate::logs::Logs;

pub(super) fn page(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::of_head(move |_: &Request<'_>| {
        let level = pages.subject.log.as_ref().map_or_else(|| "off".to_owned(), Logs::level);
        fresh(Response::text(format!("{level}\n")))
    })
}

/// The body is the new filter.
pub(super) fn change(pages: &Rc<Pages>) -> Endpoint {
    let pages = pages.clone();
    Endpoint::new(move |request: &Request<'_>| {
        fresh(match set(pages.subject.log.as_ref(), request.body()) {
            Ok(level) => Response::text(format!("{level}\n")),
            Err(why) => Response::text(format!("{why}\n")).with_status(400),
        })
    })
}

/// Changes what is logged; the new filter, or what is wrong with it.
fn set(log: Option<&Logs>, text: &[u8]) -> Result<String, String> {
    let log = log.ok_or("this server has no log")?;
    let text = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
    log.set_level(text).map_err(|error| error.to_string())?;
    Ok(log.level())
}
