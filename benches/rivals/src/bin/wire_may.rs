//! Echo and broadcast on may with one worker: `wire_may --echo|--broadcast --port N`.
//!
//! Broadcast: a coroutine for each direction of each connection. Who reads lines puts them, shared,
//! into the channel of every other connection; a channel that holds too much is passed over.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corelane_rivals::Failure;
use corelane_rivals::wire::{LINE_BYTES_MAX, Options, Service, UNSENT_BYTES_MAX};
use may::go;
use may::net::{TcpListener, TcpStream};
use may::sync::RwLock;
use may::sync::mpsc::{self, Receiver, Sender};

const ECHO_BYTES: usize = 1024;
/// Enough for the page above, in machine words.
const STACK_WORDS: usize = 0x1000;

type Line = Arc<[u8]>;

/// Where lines for one connection go, and how many bytes of them wait.
struct Mailbox {
    lines: Sender<Line>,
    waiting: Arc<AtomicUsize>,
}

type Room = Arc<RwLock<HashMap<usize, Mailbox>>>;

fn main() -> Result<(), Failure> {
    let options = Options::read()?;
    may::config().set_workers(1).set_stack_size(STACK_WORDS);
    let accepting = go!(move || serve(options));
    accepting.join().map_err(|_| "the accepting coroutine panicked")?
}

fn serve(options: Options) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", options.port))?;
    let room = Room::default();
    for (id, stream) in listener.incoming().enumerate() {
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        if options.service == Service::Echo {
            go!(move || echo(stream));
            continue;
        }
        let Ok(output) = stream.try_clone() else { continue };
        let (sender, lines) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mailbox = Mailbox { lines: sender, waiting: waiting.clone() };
        write(&room, |room| drop(room.insert(id, mailbox)));
        let joined = room.clone();
        go!(move || receive(id, stream, &joined));
        go!(move || send(output, &lines, &waiting));
    }
    Ok(())
}

fn echo(mut stream: TcpStream) {
    let mut page = [0; ECHO_BYTES];
    loop {
        match stream.read(&mut page) {
            Ok(0) | Err(_) => return,
            Ok(received) => {
                if stream.write_all(&page[..received]).is_err() {
                    return;
                }
            }
        }
    }
}

/// Puts the lines of one connection into the mailboxes of the others.
fn receive(id: usize, input: TcpStream, room: &Room) {
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    loop {
        line.clear();
        let whole = (&mut input).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line);
        if whole.is_err() || line.last() != Some(&b'\n') {
            break;
        }
        let shared = Line::from(&*line);
        let Ok(room) = room.read() else { break };
        for (_, mailbox) in room.iter().filter(|(other, _)| **other != id) {
            if mailbox.waiting.load(Ordering::Relaxed) <= UNSENT_BYTES_MAX {
                mailbox.waiting.fetch_add(shared.len(), Ordering::Relaxed);
                // Its connection may have ended meanwhile.
                let _ = mailbox.lines.send(shared.clone());
            }
        }
    }
    // With its mailbox goes the sending coroutine.
    write(room, |room| drop(room.remove(&id)));
}

fn send(mut output: TcpStream, lines: &Receiver<Line>, waiting: &AtomicUsize) {
    while let Ok(line) = lines.recv() {
        if output.write_all(&line).is_err() {
            return;
        }
        waiting.fetch_sub(line.len(), Ordering::Relaxed);
    }
}

fn write(room: &Room, change: impl FnOnce(&mut HashMap<usize, Mailbox>)) {
    if let Ok(mut room) = room.write() {
        change(&mut room);
    }
}
