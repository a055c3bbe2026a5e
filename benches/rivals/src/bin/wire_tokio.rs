//! Echo and broadcast on one tokio thread: `wire_tokio --echo|--broadcast [--gather] --port N`.
//!
//! Broadcast is what tokio's documentation shows: a task for each direction of each connection and
//! a `broadcast` channel between them, one write for each line. A receiver that has fallen
//! [`CHANNEL_LINES`] behind misses lines (`Lagged`). With `--gather`, a task takes all lines that
//! wait for it at once and writes them together, which the channel has no call for.

use std::sync::Arc;

use corelane_rivals::Failure;
use corelane_rivals::wire::{LINE_BYTES_MAX, Options, Service};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// With lines of 64 bytes as much as the others keep for a receiver.
const CHANNEL_LINES: usize = 1024;
/// Lines that are written together at most.
const GATHERED_BYTES_MAX: usize = 64 * 1024;
/// What an echo takes at once: as in tokio's own example. Each connection has such a page.
const ECHO_BYTES: usize = 1024;

/// A line and the connection that it came from.
type Line = (usize, Arc<[u8]>);

fn main() -> Result<(), Failure> {
    let options = Options::read()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let (lines, _) = broadcast::channel(CHANNEL_LINES);
    for id in 0.. {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        if options.service == Service::Echo {
            tokio::spawn(echo(stream));
            continue;
        }
        let (input, output) = stream.into_split();
        tokio::spawn(receive(id, input, lines.clone()));
        tokio::spawn(send(id, output, lines.subscribe(), options.gather));
    }
    Ok(())
}

async fn echo(mut stream: TcpStream) {
    let mut page = [0; ECHO_BYTES];
    loop {
        match stream.read(&mut page).await {
            Ok(0) | Err(_) => return,
            Ok(received) => {
                if stream.write_all(&page[..received]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Publishes the lines of one connection.
async fn receive(id: usize, input: OwnedReadHalf, lines: Sender<Line>) {
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limited = (&mut input).take(LINE_BYTES_MAX as u64);
        let whole = {
            tokio::pin!(limited);
            limited.read_until(b'\n', &mut line).await
        };
        if whole.is_err() || line.last() != Some(&b'\n') {
            return;
        }
        // Without a receiver there is nobody to miss it.
        let _ = lines.send((id, Arc::from(&*line)));
    }
}

/// Sends one connection what the others publish.
async fn send(id: usize, mut output: OwnedWriteHalf, mut lines: Receiver<Line>, gather: bool) {
    let mut gathered = Vec::new();
    loop {
        let line = match lines.recv().await {
            Ok((from, line)) if from != id => line,
            Ok(_) | Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let bytes = if gather {
            gathered.clear();
            gathered.extend_from_slice(&line);
            gather_waiting(id, &mut lines, &mut gathered);
            &gathered
        } else {
            &*line
        };
        if output.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Takes what waits in the channel, without waiting for more.
fn gather_waiting(id: usize, lines: &mut Receiver<Line>, gathered: &mut Vec<u8>) {
    while gathered.len() < GATHERED_BYTES_MAX {
        match lines.try_recv() {
            Ok((from, line)) if from != id => gathered.extend_from_slice(&line),
            Ok(_) | Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}
