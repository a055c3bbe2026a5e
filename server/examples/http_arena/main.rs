//! The HTTP/1.1 endpoints of the public benchmark HttpArena.
//!
//! `cargo run --release --example http_arena [address] [directory]`; the directory holds `dataset.json`
//! and `static/`, as the benchmark mounts them. Without it the data set is made up, and there are no
//! files. Then:
//!
//! ```sh
//! curl -i 'http://127.0.0.1:8080/baseline11?a=13&b=42'
//! curl -i 'http://127.0.0.1:8080/baseline11?a=13&b=42' -d 20
//! curl -i http://127.0.0.1:8080/pipeline
//! curl -i --compressed 'http://127.0.0.1:8080/json/5?m=3'
//! head -c 2000000 /dev/zero | curl -i http://127.0.0.1:8080/upload --data-binary @-
//! curl -i http://127.0.0.1:8080/static/app.js
//! ```
//!
//! `server/tests/arena` checks the answers. SIGTERM or ctrl-c stops it.

mod routes;

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use corelane::logs::{LogConfig, Logs};
use corelane::web::WebServer;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    Logs::start(&LogConfig::default())?;
    let mut server = WebServer::new(&address)?.http(routes::http());
    let mut items = routes::data_set();
    if let Some(directory) = arguments.next().map(PathBuf::from) {
        items = serde_json::from_slice(&std::fs::read(directory.join("dataset.json"))?)?;
        server = server.root(directory.join("static"));
    }
    let items = Arc::new(items);
    Ok(server.run(move || routes::routes(items.clone()).build())?)
}
