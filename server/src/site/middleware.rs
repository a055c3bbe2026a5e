//! From the middleware of a configuration to that of the library.

use std::rc::Rc;

use corelane_http::middleware::{
    BodyLimit, Cors, MiddlewareError, SecurityHeaders, SetHeaders, Timeout,
};
use corelane_http::web::Middleware as Link;

use super::build::{BuildError, Shared};
use crate::config::{self, Frame, HeaderRules, Middleware};

/// The links of a chain, outermost first.
pub(super) fn links(
    settings: &Middleware,
    shared: &Shared,
    place: &str,
) -> Result<Vec<Rc<dyn Link>>, BuildError> {
    let _ = shared;
    let mut links: Vec<Rc<dyn Link>> = Vec::new();
    let failed = |key: &str| {
        let place = format!("{place}.{key}");
        move |error| BuildError::Middleware { place, error }
    };
    if let Some(settings) = settings.security_headers.on() {
        let link = security_headers(settings).map_err(failed("security_headers"))?;
        links.push(Rc::new(link));
    }
    if let Some(settings) = settings.headers.on() {
        links.push(Rc::new(header_rules(settings).map_err(failed("headers"))?));
    }
    if let Some(settings) = settings.cors.on() {
        links.push(Rc::new(cors(settings).map_err(failed("cors"))?));
    }
    if let Some(time) = settings.timeout.on() {
        links.push(Rc::new(Timeout::new(time.get())));
    }
    if let Some(bytes) = settings.body_limit.on() {
        links.push(Rc::new(BodyLimit::new(bytes.get())));
    }
    Ok(links)
}

fn security_headers(
    settings: &config::SecurityHeaders,
) -> Result<SecurityHeaders, MiddlewareError> {
    let mut link = SecurityHeaders::none();
    if settings.nosniff {
        link = link.set("X-Content-Type-Options", "nosniff")?;
    }
    match settings.frame {
        Frame::Deny => link = link.set("X-Frame-Options", "DENY")?,
        Frame::SameOrigin => link = link.set("X-Frame-Options", "SAMEORIGIN")?,
        Frame::Off => {}
    }
    if let Some(policy) = &settings.referrer_policy {
        link = link.set("Referrer-Policy", policy)?;
    }
    if let Some(policy) = &settings.content_security_policy {
        link = link.set("Content-Security-Policy", policy)?;
    }
    if let Some(max_age) = settings.hsts {
        link = link.hsts(max_age.get());
    }
    Ok(link)
}

fn header_rules(settings: &HeaderRules) -> Result<SetHeaders, MiddlewareError> {
    let mut link = SetHeaders::new();
    for name in &settings.remove {
        link = link.remove(name);
    }
    for (name, value) in &settings.add {
        link = link.set(name, value)?;
    }
    Ok(link)
}

fn cors(settings: &config::Cors) -> Result<Cors, MiddlewareError> {
    let mut link = Cors::builder()
        .methods(settings.methods.iter().cloned())
        .request_headers(settings.headers.iter().cloned())
        .expose(settings.expose.iter().cloned())
        .max_age(settings.max_age.get());
    link = match settings.origins.iter().any(|origin| origin.get() == "*") {
        true => link.any_origin(),
        false => link.origins(settings.origins.iter().map(|origin| origin.get())),
    };
    if settings.credentials {
        link = link.credentials();
    }
    link.build()
}
