//! A binary protocol: requests with ids, whose replies come when they are ready, in any order.
//!
//! Each message is a length (four bytes, the highest first) and as many bytes: an id of four bytes, which
//! the reply repeats, and a number in digits. The reply is the id, a status byte (0 done, 1 busy, 2 not
//! understood) and how many primes there are up to the number. Counting takes long for large numbers, so
//! threads do it: a lane must not wait.
//!
//! `cargo run --release --example request_response [address]`, then, with 5,000,000 as request 1 and 100
//! as request 2, which is answered first:
//!
//! ```sh
//! (printf '\0\0\0\013\0\0\0\0015000000\0\0\0\007\0\0\0\002100'; sleep 3) | nc 127.0.0.1 8080 | xxd
//! ```
//!
//! SIGTERM or ctrl-c stops it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use corelane::handler::{
    Action, Context, EventHandler, Framing, Handle, SendError, ServerError, Width,
};
use corelane_eventloop::ConnId;

const THREADS: usize = 2;
/// Requests that wait for a thread at most; further ones are told that it is busy.
const QUEUE: usize = 256;

struct Job {
    id: [u8; 4],
    number: u32,
    /// Whom to answer, and by whom.
    conn: ConnId,
    handle: Handle,
}

fn reply(id: [u8; 4], status: u8, body: &str) -> Vec<u8> {
    [&id[..], &[status], body.as_bytes()].concat()
}

struct Primes {
    jobs: SyncSender<Job>,
}

impl EventHandler for Primes {
    type Conn = ();

    fn framing(&self) -> Framing {
        Framing::prefixed(Width::U32, 1024)
    }

    fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
        Some(())
    }

    fn on_message<'m>(
        &mut self,
        _: &mut (),
        message: &'m [u8],
        cx: &mut Context<'_>,
    ) -> Action<'m> {
        // Without an id there is nobody to answer.
        let Some((&id, text)) = message.split_first_chunk() else { return Action::Close };
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        let Some(number @ 0..=10_000_000) = number else { return Action::reply(reply(id, 2, "")) };
        match self.jobs.try_send(Job { id, number, conn: cx.id(), handle: cx.handle() }) {
            // The next request may come meanwhile. `Action::Later` would make it wait.
            Ok(()) => Action::Nothing,
            Err(_) => Action::reply(reply(id, 1, "")),
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { id, number, conn, handle }) = next else { return };
        let prime = |n: u32| (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        let count = (2..=number).filter(|n| prime(*n)).count();
        // One that is gone needs no reply; one that does not read its replies misses them.
        if let Err(SendError::Full) = handle.send(conn, reply(id, 0, &count.to_string())) {
            tracing::warn!(%conn, "a reply is lost: the client does not read");
        }
    }
}

fn main() -> Result<(), ServerError> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let (jobs, queue) = sync_channel(QUEUE);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..THREADS {
        let queue = queue.clone();
        std::thread::spawn(move || work(&queue));
    }
    corelane::handler::serve(&address, move || Primes { jobs: jobs.clone() })
}
