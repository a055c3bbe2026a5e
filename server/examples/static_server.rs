//! A server of files: what is beneath a directory, with listings.
//!
//! `cargo run --release --example static_server [address] [directory]`, then open
//! <http://127.0.0.1:8080/>, or:
//!
//! ```sh
//! curl -i http://127.0.0.1:8080/                             # the index, or a listing
//! curl -i 'http://127.0.0.1:8080/?format=json'               # the listing for programs
//! curl -i -r 0-99 http://127.0.0.1:8080/README.md            # 206: the first hundred bytes
//! curl -i -H 'If-None-Match: *' http://127.0.0.1:8080/README.md # 304
//! curl -i --path-as-is http://127.0.0.1:8080/../etc/passwd   # 404
//! ```
//!
//! SIGTERM or ctrl-c stops it; downloads are finished first.

use std::error::Error;

use corelane::logs::{LogConfig, Logs};
use corelane::web::WebServer;
use corelane_http::files::StaticFiles;
use corelane_http::middleware::SecurityHeaders;
use corelane_http::web::Routes;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let directory = arguments.next().unwrap_or_else(|| ".".to_owned());
    Logs::start(&LogConfig::default())?;
    // Root 0 is the first directory that the server opens.
    let files = StaticFiles::new(0).listing(1000).cache_control("**", "max-age=60")?;
    let routes = move || files.mount(Routes::new().with(SecurityHeaders::new()), "").build();
    Ok(WebServer::new(&address)?.root(directory).run(routes)?)
}
