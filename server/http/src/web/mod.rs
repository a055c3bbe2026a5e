//! Writing web applications: routes, handlers, middleware.
//!
//! | module item | what |
//! |---|---|
//! | [`Routes`], [`App`] | which function answers what |
//! | [`Hosts`] | … for which host |
//! | [`Request`], [`OwnedRequest`] | what handlers get |
//! | [`Endpoint`] | plain, `async` and body-reading functions |
//! | [`Lane`] | timers, futures and streamed responses for `async` handlers |
//! | [`Response`], [`IntoResponse`], [`Json`] | what they return |
//! | [`Request::param`], [`json`](Request::json), [`query_as`](Request::query_as), [`form`](Request::form), [`cookie`](Request::cookie) | typed access, and [`InputError`] that says what is wrong |
//! | [`SetCookie`] | cookies |
//! | [`Sse`] | events for `EventSource` in browsers |
//! | `Templates` | pages from templates, with the feature `templates` |
//! | [`Middleware`] | what stands before them |
//! | [`Router`] | paths to values, usable alone |
//! | [`testing`] | requests through all of it, without a socket |

mod app;
mod chain;
mod channel;
mod cookies;
pub(crate) mod endpoint;
mod extensions;
mod extract;
#[cfg(test)]
mod extract_tests;
mod head;
mod hosts;
mod input;
mod lane;
mod later;
mod observe;
mod params;
mod pattern;
mod request;
mod response;
mod router;
#[cfg(test)]
mod router_tests;
mod routes;
mod sse;
#[cfg(feature = "templates")]
mod templates;
pub mod testing;
mod upload;

pub use app::{App, Work};
pub use chain::{Before, LocalFuture, Middleware, RouteLimits};
pub use channel::{ClientGone, Writer};
pub use cookies::{CookieError, SameSite, SetCookie};
pub use endpoint::Endpoint;
pub use extensions::Extensions;
pub use hosts::Hosts;
pub use input::{Fault, Input, InputError};
pub use lane::{Lane, Stopping};
pub use observe::{Ended, Observe};
pub use params::Params;
pub use request::{OwnedRequest, Request};
pub use response::{IntoResponse, Json, Response};
pub use router::{Match, RouteError, Router};
pub use routes::Routes;
pub use sse::{Sse, SseEvent};
#[cfg(feature = "templates")]
pub use templates::{TemplateError, Templates};
pub use upload::{BodyCut, BodyReader};
