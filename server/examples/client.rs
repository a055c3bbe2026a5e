//! A client for line protocols, in its simplest form: standard input goes to the server, and what the
//! server sends goes to standard output.
//!
//! ```sh
//! cargo run --example client                      # 127.0.0.1:8080
//! cargo run --example client 127.0.0.1:4000
//! ```
//!
//! `corelane connect` does the same with line editing, history, and connecting again.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::thread;

fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let talked = TcpStream::connect(&address)
        .and_then(|server| talk(&server, io::stdin(), &mut io::stdout()));
    match talked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Copies both ways until the server closes.
pub(crate) fn talk(
    server: &TcpStream,
    mut input: impl Read + Send + 'static,
    output: &mut impl Write,
) -> io::Result<()> {
    let mut to_server = server.try_clone()?;
    // Each direction has a thread of its own: a server that answers before it has read all would
    // otherwise wait for us, and we for it.
    thread::spawn(move || {
        // If this fails, the connection is gone, and the other thread is told so.
        let _ = io::copy(&mut input, &mut to_server);
        // The server sees the end, answers what it has still to answer, and closes.
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut from_server = server;
    let mut buffer = [0; 16 * 1024];
    loop {
        match from_server.read(&mut buffer)? {
            0 => return Ok(()),
            len => output.write_all(&buffer[..len])?,
        }
        // Standard output is held back up to the end of a line, but a question has none.
        output.flush()?;
    }
}
