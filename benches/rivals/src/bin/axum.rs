//! axum and tower-http on one tokio thread: `axum --port N [--app NAME] [--root DIRECTORY]`.

use axum::extract::RawPathParams;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use corelane_rivals::{
    App, BODY, Failure, Message, ORIGIN, Options, ROUTES, SECURITY_FIELDS, TIMEOUT, request_id,
};
use tokio::net::TcpListener;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{
    MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer,
};
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

fn main() -> Result<(), Failure> {
    let apps = [App::Fixed, App::Static, App::Json, App::Routed, App::Middleware];
    let options = Options::read(&apps)?;
    let app = match options.app {
        App::Fixed => Router::new().fallback(async || BODY),
        App::Static => Router::new().fallback_service(ServeDir::new(&options.root)),
        App::Json => Router::new().route("/json", get(async || Json(Message::HELLO))),
        App::Routed => routes(),
        App::Middleware => behind_middleware(routes()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        Ok(axum::serve(listener, app).await?)
    })
}

fn routes() -> Router {
    ROUTES.lines().fold(Router::new(), |router, route| router.route(route, get(parameters)))
}

async fn parameters(parameters: RawPathParams) -> String {
    let values: Vec<_> = parameters.iter().map(|(_, value)| value).collect();
    values.join("/")
}

fn behind_middleware(router: Router) -> Router {
    let security = |router: Router, (name, value)| {
        router.layer(SetResponseHeaderLayer::overriding(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        ))
    };
    let router = router.layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT));
    SECURITY_FIELDS
        .into_iter()
        .fold(router, security)
        .layer(CompressionLayer::new())
        .layer(CorsLayer::new().allow_origin(HeaderValue::from_static(ORIGIN)))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(Counted))
}

#[derive(Clone)]
struct Counted;

impl MakeRequestId for Counted {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        HeaderValue::from_str(&request_id()).ok().map(RequestId::new)
    }
}
