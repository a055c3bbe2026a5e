//! No heap allocation per request or line of the access log in the steady state, and no buffer held by
//! an idle connection.
//!
//! The lane runs in the test's own thread, whose allocations are counted; the client has another.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

mod counting;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use corelane::apps::fixed::Fixed;
use corelane::logs::{AccessConfig, AccessLog, AccessRecord, AccessTarget};
use corelane_eventloop::{Driver, Lane, LaneConfig, ListenOptions, Mio, Nanos, Post};
use corelane_http::{Http, HttpConfig, HttpCounters, HttpMetrics};
use corelane_metrics::Registry;

use crate::counting::taken;

const REQUESTS: usize = 10_000;
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n";

/// A lane in this thread.
struct Server {
    driver: Mio,
    lane: Lane<Http<Fixed>>,
    address: SocketAddr,
    registry: Registry,
}

impl Server {
    fn new(body: Vec<u8>) -> Server {
        let mut builder = Registry::builder();
        let metrics = HttpMetrics::declare(&mut builder);
        let registry = builder.build().unwrap();
        let counters = HttpCounters::new(metrics, Rc::new(registry.shard(0).unwrap()));
        let fixed = Fixed::new(200, &[("Content-Type", "text/plain")], body).unwrap();
        let http = Http::new(fixed, HttpConfig::default(), counters);
        let lane = Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut driver = Mio::new().unwrap();
        driver.listen(listener, 0, ListenOptions { eager: true }).unwrap();
        Server { driver, lane, address, registry }
    }

    fn requests(&self) -> u64 {
        self.registry.snapshot().counter(HttpMetrics::REQUESTS, &[]).unwrap().total()
    }

    /// Turns the lane until the client has said that it is done; returns what that allocated.
    fn turn_until(&mut self, done: &Receiver<()>) -> u64 {
        let before = taken();
        while done.try_recv().is_err() {
            self.driver.turn(&mut self.lane, Some(Nanos::from_millis(1))).unwrap();
        }
        taken() - before
    }
}

/// A client that sends requests by the batch, in a thread of its own, whenever it is told to.
struct Client {
    go: Option<SyncSender<usize>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// `batch` is sent at once, and answered with as many bytes in `answers`.
    fn new(address: SocketAddr, batch: Vec<u8>, answers: usize) -> Client {
        let (go, orders) = sync_channel::<usize>(1);
        let (finished, done) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut answer = vec![0; answers];
            for batches in orders {
                for _ in 0..batches {
                    stream.write_all(&batch).unwrap();
                    stream.read_exact(&mut answer).unwrap();
                    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
                }
                finished.send(()).unwrap();
            }
        });
        Client { go: Some(go), done, thread: Some(thread) }
    }

    fn send(&self, batches: usize) -> &Receiver<()> {
        self.go.as_ref().unwrap().send(batches).unwrap();
        &self.done
    }

    fn finish(mut self) {
        self.go = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The size of one answer with a body of this many bytes; the head's own size does not change.
fn answer_len(server: &mut Server) -> usize {
    let address = server.address;
    let (said, length) = sync_channel(1);
    let (finished, done) = sync_channel(1);
    let asking = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(GET).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        said.send(answer.len()).unwrap();
        finished.send(()).unwrap();
    });
    server.turn_until(&done);
    asking.join().unwrap();
    length.recv().unwrap()
}

/// Has requests served after a warm-up, and shows that they took nothing from the heap.
#[track_caller]
fn steady_state(body: Vec<u8>, pipelined: usize) {
    let mut server = Server::new(body);
    let answers = answer_len(&mut server) * pipelined;
    let client = Client::new(server.address, GET.repeat(pipelined), answers);
    server.turn_until(client.send(200));
    let (before, batches) = (server.requests(), REQUESTS / pipelined);
    let taken = server.turn_until(client.send(batches));
    assert_eq!(server.requests() - before, (batches * pipelined) as u64);
    assert_eq!(taken, 0, "allocations in {REQUESTS} requests");

    // The connection is idle now, and has given everything back.
    assert_eq!(server.lane.len(), 1);
    assert_eq!(server.lane.pool().stats().lent_bytes, 0, "held by an idle connection");
    client.finish();
}

#[test]
fn a_plain_request_allocates_nothing() {
    steady_state(b"Vrypt".to_vec(), 1);
}

#[test]
fn sixteen_pipelined_requests_allocate_nothing() {
    steady_state(b"Vrypt".to_vec(), 16);
}

#[test]
fn a_large_shared_body_allocates_nothing() {
    steady_state(vec![b'x'; 20_000], 1);
}

#[test]
fn a_line_of_the_access_log_allocates_nothing() {
    let target = AccessTarget::File("/dev/null".into());
    for format in ["combined", "json"] {
        let format = format.parse().unwrap();
        let log = AccessLog::open(AccessConfig { format, ..AccessConfig::new(target.clone()) });
        let (log, agent) = (log.unwrap(), [b'x'; 120]);
        let mut lane = log.lane();
        let mut record = AccessRecord {
            peer: Some(([192, 0, 2, 1], 1).into()),
            method: b"GET",
            target: b"/a/b?c=\xff",
            version: "HTTP/1.1",
            status: 200,
            user_agent: Some(&agent),
            ..AccessRecord::default()
        };
        let before = taken();
        for second in 0..REQUESTS as u64 {
            record.time = Nanos::from_secs(second);
            lane.record(&record);
            lane.flush();
        }
        assert_eq!(taken() - before, 0);
        assert!(log.flush(Duration::from_secs(20)));
        assert_eq!(log.written() + log.dropped(), REQUESTS as u64);
    }
}

#[test]
fn the_counter_counts() {
    let before = taken();
    drop(std::hint::black_box(vec![0_u8; 10]));
    assert_eq!(taken() - before, 1);
}
