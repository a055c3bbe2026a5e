//! Writing web applications: routes, handlers, middleware.
//!
//! | module item | what |
//! |---|---|
//! | [`Routes`], [`App`] | which function answers what |
//! | [`Request`], [`OwnedRequest`] | what handlers get |
//! | [`Response`], [`IntoResponse`], [`Json`] | what they return |
//! | [`Middleware`] | what stands before them |
//! | [`Router`] | paths to values, usable alone |

mod app;
mod chain;
mod endpoint;
mod extensions;
mod head;
mod params;
mod request;
mod response;
mod router;
mod routes;

pub use app::{App, Observe, Work};
pub use chain::{Before, LocalFuture, Middleware, RouteLimits};
pub use endpoint::Endpoint;
pub use extensions::Extensions;
pub use params::Params;
pub use request::{OwnedRequest, Request};
pub use response::{IntoResponse, Json, Response};
pub use router::{Match, RouteError, Router};
pub use routes::Routes;
