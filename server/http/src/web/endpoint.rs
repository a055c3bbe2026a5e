//! What a route ends in.

use std::rc::Rc;

use super::request::Request;
use super::response::{IntoResponse, Response};

type Plain = dyn Fn(&Request<'_>) -> Response;

/// What answers the requests of a route.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) run: Run,
    /// Whether it is to see the request's body.
    pub(crate) takes_body: bool,
}

#[derive(Clone)]
pub(crate) enum Run {
    /// Answers at once.
    Plain(Rc<Plain>),
}

impl Endpoint {
    /// A function that answers at once, and gets the request's body whole, if it has one. It must not
    /// block: it holds up every connection of its lane.
    pub fn new<R: IntoResponse>(f: impl Fn(&Request<'_>) -> R + 'static) -> Endpoint {
        let run = move |request: &Request<'_>| f(request).into_response();
        Endpoint { run: Run::Plain(Rc::new(run)), takes_body: true }
    }

    /// As [`Endpoint::new`], for a function that looks at no body: it answers as soon as the head is
    /// there.
    pub fn of_head<R: IntoResponse>(f: impl Fn(&Request<'_>) -> R + 'static) -> Endpoint {
        Endpoint { takes_body: false, ..Endpoint::new(f) }
    }
}
