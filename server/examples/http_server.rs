//! A small HTTP server. HTTP is a protocol like any other here, but one need not write it:
//! `corelane-http` has it, strict and with its limits, beneath routes and handlers.
//!
//! `cargo run --release --example http_server [address]`, then:
//!
//! ```sh
//! curl -i http://127.0.0.1:8080/
//! curl -i http://127.0.0.1:8080/hello/ada
//! curl -i http://127.0.0.1:8080/shout -d 'quietly'
//! ```
//!
//! SIGTERM or ctrl-c stops it. `web_server`, `api_server` and `static_server` show more.

use corelane::web::ServeError;
use corelane_http::web::{InputError, Request, Response, Routes};

fn hello(request: &Request<'_>) -> Result<String, InputError> {
    let name: String = request.param("name")?;
    Ok(format!("Hello, {name}!\n"))
}

fn shout(request: &Request<'_>) -> Response {
    let text = String::from_utf8_lossy(request.body()).to_uppercase();
    Response::text(text + "\n")
}

fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    corelane::web::serve(&address, || {
        Routes::new()
            .get("/", |_: &Request<'_>| "Try /hello/NAME, or POST to /shout.\n")
            .get("/hello/{name}", hello)
            .post("/shout", shout)
            .build()
    })
}
