//! Answers: the representation that is wanted, or the part of it, or why there is none.

use corelane_mempool::Shared;
use corelane_parser::http1::Method;

use super::conditions::{Conditions, Outcome};
use super::multipart;
use super::range::Ranges;
use super::resource::{Resource, Variant, whole};
use crate::content::Content;
use crate::negotiate::{self, Encoding};
use crate::web::{Request, Response};

/// The representation that the client would rather have.
#[inline]
pub(crate) fn choose<'a>(accepted: impl Iterator<Item = &'a [u8]>, resource: &Resource) -> usize {
    let [_, offered @ ..] = &resource.codings[..] else { return 0 };
    if offered.is_empty() {
        return 0;
    }
    let coding = negotiate::encoding(accepted, offered).unwrap_or(Encoding::Identity);
    resource.codings.iter().position(|known| *known == coding).unwrap_or(0)
}

/// Answers with a representation, or the part of it that is asked for.
pub(crate) fn show(
    request: &Request<'_>,
    conditions: &Conditions<'_>,
    variant: &Variant,
) -> Response {
    let known = &variant.validators;
    match conditions.judge(known) {
        Outcome::Go => {}
        Outcome::NotModified => {
            let mut response = Response::new(304);
            *response.fields_mut() = variant.brief.clone();
            return response;
        }
        Outcome::Failed => return plain(412),
    }
    let mut response = Response::new(200);
    *response.fields_mut() = variant.fields.clone();
    let ranges = match request.method() {
        Method::Get => conditions.ranges(known, variant.len),
        _ => Ranges::Whole,
    };
    match ranges {
        Ranges::Whole => response.with_content(variant.content(whole(variant.len))),
        Ranges::One(range) => {
            response.add("Content-Range", multipart::content_range(range, variant.len));
            response.with_status(206).with_content(variant.content(range))
        }
        Ranges::Several(ranges) => multipart::answer(response, variant, &ranges, request.random()),
        Ranges::Unsatisfiable => {
            plain(416).with("Content-Range", format!("bytes */{}", variant.len))
        }
    }
}

/// Whether a page is wanted, by name: what scripts and images ask for is no navigation.
pub(crate) fn names_html(request: &Request<'_>) -> bool {
    request.headers("Accept").any(|line| {
        negotiate::members(line).any(|member| {
            member.name.eq_ignore_ascii_case("text/html") && member.weight > negotiate::Weight::ZERO
        })
    })
}

/// To the same path with a slash at its end.
pub(crate) fn redirect(request: &Request<'_>) -> Response {
    let path = request.path();
    // Two slashes at the front would be the name of a host.
    if !path.starts_with('/') || path.starts_with("//") {
        return plain(404);
    }
    let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
    Response::redirect(301, &format!("{path}/{query}"))
}

/// An answer that says no more than its status.
pub(crate) fn plain(status: u16) -> Response {
    let reason = corelane_parser::http1::status::reason(status);
    let text = format!("{status} {reason}\n");
    Response::bytes("text/plain; charset=utf-8", Content::Shared(Shared::from(text)))
        .with_status(status)
}
