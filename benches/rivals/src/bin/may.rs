//! may_minihttp with one worker: `may --port N [--app NAME]`.
//!
//! It parses at most 16 header fields and ignores `Connection: close`, so `compare` leaves it out
//! of the workloads that need either.

use std::io;

use corelane_rivals::{App, Failure, Message, Options};
use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Service {
    json: bool,
}

impl HttpService for Service {
    fn call(&mut self, _request: Request, response: &mut Response) -> io::Result<()> {
        if self.json {
            response.header("Content-Type: application/json");
            response.body_vec(serde_json::to_vec(&Message::HELLO)?);
            return Ok(());
        }
        response.header("Content-Type: text/plain");
        response.body("Vrypt");
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::read(&[App::Fixed, App::Json])?;
    may::config().set_workers(1);
    let server = HttpServer(Service { json: options.app == App::Json });
    let server = server.start(("127.0.0.1", options.port))?;
    server.join().map_err(|_| "the accepting coroutine panicked")?;
    Ok(())
}
