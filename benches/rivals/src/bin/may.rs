//! may_minihttp with one worker: `may --port N`.
//!
//! It parses at most 16 header fields and ignores `Connection: close`, so `compare` leaves it out
//! of the workloads that need either.

use std::io;

use corelane_rivals::{Failure, port};
use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Fixed;

impl HttpService for Fixed {
    fn call(&mut self, _request: Request, response: &mut Response) -> io::Result<()> {
        response.header("Content-Type: text/plain");
        response.body("Vrypt");
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    let port = port()?;
    may::config().set_workers(1);
    let server = HttpServer(Fixed).start(("127.0.0.1", port))?;
    server.join().map_err(|_| "the accepting coroutine panicked")?;
    Ok(())
}
