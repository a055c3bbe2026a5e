//! The dispatcher on real sockets: placement, full and lost targets, limits, stop.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corelane_acceptor::*;

const WAIT: Duration = Duration::from_secs(5);
const BY_IP: Placement = Placement::Hash { by: HashBy::IpOnly };

type Inboxes = Vec<Vec<Accepted>>;

/// A dispatcher over three targets whose inboxes are vectors of limited length.
struct Setup {
    placement: Placement,
    config: AdmissionConfig,
    limit: usize,
    inbox_max: usize,
}

impl Default for Setup {
    fn default() -> Setup {
        let config = AdmissionConfig::default();
        Setup { placement: Placement::RoundRobin, config, limit: 1_000, inbox_max: 1_000 }
    }
}

/// What a test sees: `turn` it, then look into the inboxes.
struct Running<F> {
    dispatcher: Dispatcher<F>,
    address: SocketAddr,
    targets: Arc<Targets>,
    open: Arc<Open>,
}

impl Setup {
    fn start(
        self,
        inboxes: &mut Inboxes,
    ) -> Running<impl FnMut(usize, Accepted) -> Result<(), Accepted>> {
        let listener = bind(&"127.0.0.1:0".parse().unwrap(), &ListenConfig::default()).unwrap();
        let address = listener.local_address().unwrap().tcp().unwrap();
        inboxes.resize_with(3, Vec::new);
        let (targets, open) = (Arc::new(Targets::new(3)), Arc::new(Open::new(self.limit)));
        let dispatcher = Dispatcher::new(
            vec![listener],
            Placer::new(self.placement, 3, [1, 2]),
            Admission::new(self.config, Arc::clone(&open)),
            Arc::clone(&targets),
            move |target, accepted| {
                if inboxes[target].len() >= self.inbox_max {
                    return Err(accepted);
                }
                inboxes[target].push(accepted);
                Ok(())
            },
        );
        Running { dispatcher, address, targets, open }
    }
}

/// Connects from an address of its own in 127.0.0.0/8, so that peers differ by IP.
#[cfg(target_os = "linux")]
fn connect_from(source: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(IpAddr::from(source), 0).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    socket.into()
}

fn connect(count: usize, server: SocketAddr) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(server).unwrap()).collect()
}

fn lengths(inboxes: &Inboxes) -> Vec<usize> {
    inboxes.iter().map(Vec::len).collect()
}

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    let [per_second, burst] = [per_second, burst].map(|n| NonZeroU32::new(n).unwrap());
    Some(Rate::per_second(per_second, burst))
}

/// Was this connection closed by the other side?
fn is_closed(mut client: &TcpStream) -> bool {
    client.set_read_timeout(Some(WAIT)).unwrap();
    match client.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn round_robin_gives_each_its_turn() {
    let mut inboxes = Inboxes::new();
    let mut running = Setup::default().start(&mut inboxes);
    let clients = connect(7, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    assert_eq!(running.dispatcher.counts().delivered, 7);
    assert_eq!(running.open.count(), 7);
    assert_eq!([0, 1, 2].map(|target| running.targets.load(target)), [3, 2, 2]);
    drop(running);
    assert_eq!(lengths(&inboxes), [3, 2, 2]);
    // In the order of arrival, with the right peer.
    assert_eq!(inboxes[0][0].peer, clients[0].local_addr().ok());
    assert_eq!(inboxes[1][0].peer, clients[1].local_addr().ok());
    assert_eq!(inboxes[1][0].listener, 0);
}

#[test]
#[cfg(target_os = "linux")]
fn hashing_keeps_a_client_on_its_loop() {
    let mut inboxes = Inboxes::new();
    let mut running = Setup { placement: BY_IP, ..Setup::default() }.start(&mut inboxes);
    // 12 clients with 4 connections each, interleaved.
    let address = running.address;
    let _clients: Vec<TcpStream> =
        (0..48).map(|n| connect_from([127, 0, 1, 1 + n % 12], address)).collect();
    running.dispatcher.turn(WAIT, || 0).unwrap();
    assert_eq!(running.dispatcher.counts().delivered, 48);
    drop(running);
    let mut home = HashMap::new();
    for (target, inbox) in inboxes.iter().enumerate() {
        for accepted in inbox {
            let ip = accepted.peer.unwrap().ip();
            assert_eq!(*home.entry(ip).or_insert(target), target, "{ip} is in two places");
        }
    }
    assert_eq!(home.len(), 12);
    assert!(inboxes.iter().all(|inbox| !inbox.is_empty()), "{:?}", lengths(&inboxes));
}

#[test]
fn least_connections_fills_the_emptiest() {
    let mut inboxes = Inboxes::new();
    let setup = Setup { placement: Placement::LeastConnections, ..Setup::default() };
    let mut running = setup.start(&mut inboxes);
    // Target 1 is busy with five connections from elsewhere.
    (0..5).for_each(|_| running.targets.connected(1));
    let _clients = connect(10, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    assert_eq!([0, 1, 2].map(|target| running.targets.load(target)), [5, 5, 5]);
    drop(running);
    assert_eq!(lengths(&inboxes), [5, 0, 5]);
}

#[test]
fn a_full_target_passes_on_and_full_targets_shed() {
    let mut inboxes = Inboxes::new();
    let setup = Setup { placement: BY_IP, inbox_max: 2, ..Setup::default() };
    let mut running = setup.start(&mut inboxes);
    let clients = connect(8, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    // All come from one address: two stay at home, four move on, two find no room.
    let expect = DispatchCounts { delivered: 6, redirected: 4, undeliverable: 2 };
    assert_eq!(running.dispatcher.counts(), expect);
    assert_eq!(running.open.count(), 6);
    assert_eq!([0, 1, 2].map(|target| running.targets.load(target)), [2, 2, 2]);
    assert!(is_closed(&clients[6]) && is_closed(&clients[7]));
    drop(running);
    assert_eq!(lengths(&inboxes), [2, 2, 2]);
}

#[test]
fn a_target_that_is_down_gets_nothing() {
    let mut inboxes = Inboxes::new();
    let mut running = Setup::default().start(&mut inboxes);
    running.targets.set_up(1, false);
    let _clients = connect(4, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    running.targets.set_up(1, true);
    let _more = connect(3, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    // With all down there is nobody to give it to.
    (0..3).for_each(|target| running.targets.set_up(target, false));
    let last = connect(1, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    assert!(is_closed(&last[0]));
    assert_eq!(running.dispatcher.counts().undeliverable, 1);
    assert_eq!(running.open.count(), 7);
    drop(running);
    assert_eq!(lengths(&inboxes), [3, 1, 3]);
}

#[test]
fn at_the_limit_it_sleeps_and_a_close_lets_the_next_in() {
    let mut inboxes = Inboxes::new();
    let mut running = Setup { limit: 2, ..Setup::default() }.start(&mut inboxes);
    let _clients = connect(3, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    assert_eq!(running.dispatcher.counts().delivered, 2);
    assert_eq!(running.dispatcher.admission().counts().paused.connections, 1);

    // The third waits, the listener is readable, and yet a turn takes its time: no spin.
    let start = Instant::now();
    running.dispatcher.turn(Duration::from_millis(15), || 1).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(15));

    running.open.release();
    let later = Duration::from_millis(100).as_nanos() as u64;
    running.dispatcher.turn(WAIT, || later).unwrap();
    assert_eq!(running.dispatcher.counts().delivered, 3);
}

#[test]
fn shedding_closes_what_is_too_much() {
    let mut inboxes = Inboxes::new();
    let config = AdmissionConfig { overload: Overload::Shed, ..AdmissionConfig::default() };
    let mut running = Setup { limit: 2, config, ..Setup::default() }.start(&mut inboxes);
    let clients = connect(4, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    assert!(is_closed(&clients[2]) && is_closed(&clients[3]));
    assert_eq!(running.dispatcher.counts().delivered, 2);
    // Two connections; the verdict before the accept that found the queue empty is taken back.
    assert_eq!(running.dispatcher.admission().counts().shed.connections, 2);
}

#[test]
fn the_rate_is_kept() {
    let mut inboxes = Inboxes::new();
    let config = AdmissionConfig { accept_rate: rate(100, 2), ..AdmissionConfig::default() };
    let mut running = Setup { config, ..Setup::default() }.start(&mut inboxes);
    let _clients = connect(5, running.address);
    let mut delivered_at = |ms: u64| {
        running.dispatcher.turn(Duration::ZERO, || ms * 1_000_000).unwrap();
        running.dispatcher.counts().delivered
    };
    assert_eq!([0, 9, 10, 19, 20, 30, 99].map(&mut delivered_at), [2, 2, 3, 3, 4, 5, 5]);
}

#[test]
fn several_listeners_are_told_apart() {
    let path = std::env::temp_dir().join(format!("corelane-dispatch-{}.sock", std::process::id()));
    let addresses = [Address::Unix(path.clone()), "127.0.0.1:0".parse().unwrap()];
    let listeners: Vec<Listener> =
        addresses.iter().map(|a| bind(a, &ListenConfig::default()).unwrap()).collect();
    let file = SocketFile::of(&listeners[0]).unwrap();
    let port = listeners[1].local_address().unwrap().tcp().unwrap();
    let mut seen = Vec::new();
    let mut dispatcher = Dispatcher::new(
        listeners,
        Placer::new(BY_IP, 1, [0, 0]),
        Admission::new(AdmissionConfig::default(), Arc::new(Open::new(10))),
        Arc::new(Targets::new(1)),
        |_, accepted| {
            let unix = matches!(accepted.stream, Stream::Unix(_));
            seen.push((accepted.listener, unix, accepted.peer.is_some()));
            Ok(())
        },
    );
    let _clients = (UnixStream::connect(&path).unwrap(), TcpStream::connect(port).unwrap());
    dispatcher.turn(WAIT, || 0).unwrap();
    drop((dispatcher, file));
    assert_eq!(seen, [(0, true, false), (1, false, true)]);
}

#[test]
fn a_batch_is_bounded_and_the_rest_comes_next() {
    let mut inboxes = Inboxes::new();
    let mut running = Setup::default().start(&mut inboxes);
    let _clients = connect(100, running.address);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    assert_eq!(running.dispatcher.counts().delivered, 64);
    running.dispatcher.turn(WAIT, || 0).unwrap();
    assert_eq!(running.dispatcher.counts().delivered, 100);
    assert_eq!(running.open.count(), 100);
}

#[test]
fn stop_ends_an_idle_run_within_a_tenth_of_a_second() {
    let stop = AtomicBool::new(false);
    let mut inboxes = Inboxes::new();
    let mut running = Setup::default().start(&mut inboxes);
    let elapsed = std::thread::scope(|scope| {
        let epoch = Instant::now();
        let clock = move || epoch.elapsed().as_nanos() as u64;
        let (stop, dispatcher) = (&stop, &mut running.dispatcher);
        let thread = scope.spawn(move || dispatcher.run(stop, clock).map(|()| Instant::now()));
        std::thread::sleep(Duration::from_millis(20));
        let stopped = Instant::now();
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap().unwrap().saturating_duration_since(stopped)
    });
    // Generous for a busy machine; the wait itself is at most 100 ms.
    assert!(elapsed < Duration::from_millis(400), "{elapsed:?}");
}

#[test]
fn a_broken_listener_is_reported_by_its_index() {
    let mut inboxes = Inboxes::new();
    let mut running = Setup::default().start(&mut inboxes);
    // On Linux shutting down a listener makes it readable and accept fail with EINVAL.
    let listener = socket2::SockRef::from(&running.dispatcher.listeners()[0]).try_clone().unwrap();
    if listener.shutdown(std::net::Shutdown::Both).is_err() {
        return;
    }
    let error = running.dispatcher.turn(WAIT, || 0).unwrap_err();
    assert_eq!(error.listener, Some(0));
    assert!(error.to_string().starts_with("cannot accept on listener 0: "), "{error}");
    assert_eq!(running.open.count(), 0);
}
