//! actix-web 4 with one worker: `actix --port N [--app NAME] [--root DIRECTORY]`.

use actix_cors::Cors;
use actix_files::Files;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{ContentEncoding, HeaderName, HeaderValue};
use actix_web::middleware::{Compress, DefaultHeaders, Next, from_fn};
use actix_web::web::{self, Json, ServiceConfig};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, Responder, error, rt};
use corelane_rivals::{
    App as Served, BODY, Failure, Message, ORIGIN, Options, ROUTES, SECURITY_FIELDS, TIMEOUT,
    request_id,
};

/// Runs a server with one worker, and no limit that a benchmark could meet. (A function would have
/// to name the service's type.)
macro_rules! run {
    ($server:expr, $port:expr) => {
        $server
            .workers(1)
            .backlog(4096)
            // The default of 256 accepts per second would refuse short connections.
            .max_connection_rate(1_000_000)
            .max_connections(100_000)
            .bind(("127.0.0.1", $port))?
            .run()
            .await
    };
}

fn main() -> Result<(), Failure> {
    use Served::{Fixed, Json, Middleware, Routed, Static};
    let options = Options::read(&[Fixed, Static, Json, Routed, Middleware])?;
    rt::System::new().block_on(async move {
        let port = options.port;
        if options.app == Middleware {
            let server = HttpServer::new(|| {
                let security = SECURITY_FIELDS
                    .into_iter()
                    .fold(DefaultHeaders::new(), |fields, field| fields.add(field));
                App::new()
                    .configure(uncompressed_routes)
                    .wrap(from_fn(timed))
                    .wrap(security)
                    .wrap(Compress::default())
                    .wrap(Cors::default().allowed_origin(ORIGIN))
                    .wrap(from_fn(identified))
            });
            return run!(server, port);
        }
        let server = HttpServer::new(move || {
            let options = options.clone();
            App::new().configure(move |app| match options.app {
                Static => _ = app.service(Files::new("/", options.root)),
                Json => _ = app.route("/json", web::get().to(message)),
                Routed | Middleware => routes(app),
                Fixed => _ = app.default_service(web::to(reply)),
            })
        });
        run!(server, port)
    })?;
    Ok(())
}

fn routes(app: &mut ServiceConfig) {
    for route in ROUTES.lines() {
        app.route(route, web::get().to(parameters));
    }
}

/// Like `routes`, and opts out of compression: `Compress` has no least size, and would make more
/// bytes of these few.
fn uncompressed_routes(app: &mut ServiceConfig) {
    for route in ROUTES.lines() {
        let handler = async |request: HttpRequest| {
            parameters(request).await.customize().insert_header(ContentEncoding::Identity)
        };
        app.route(route, web::get().to(handler));
    }
}

async fn reply() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(BODY)
}

async fn message() -> Json<Message> {
    Json(Message::HELLO)
}

async fn parameters(request: HttpRequest) -> HttpResponse {
    let values: Vec<_> = request.match_info().iter().map(|(_, value)| value).collect();
    HttpResponse::Ok().content_type("text/plain").body(values.join("/"))
}

async fn timed(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let reply = rt::time::timeout(TIMEOUT, next.call(request)).await;
    reply.unwrap_or_else(|_| Err(error::ErrorRequestTimeout("too slow")))
}

async fn identified(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut reply = next.call(request).await?;
    let id = HeaderValue::from_str(&request_id())?;
    reply.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    Ok(reply)
}
