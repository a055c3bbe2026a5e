//! Listeners on real sockets: groups, conflicts, files of Unix sockets.

// Helpers outside of test functions are not covered by `allow-unwrap-in-tests`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use corelane_acceptor::{
    Address, ListenConfig, ListenErrorKind, Listener, SocketFile, Stream, bind, bind_group,
};
use socket2::{Domain, SockRef, Socket, Type};

fn loopback() -> Address {
    "127.0.0.1:0".parse().unwrap()
}

fn port_of(listener: &Listener) -> SocketAddr {
    listener.local_address().unwrap().tcp().unwrap()
}

fn config() -> ListenConfig {
    ListenConfig::default()
}

/// Waits for a connection that is on its way: non-blocking accept, at most five seconds.
fn accept(listener: &Listener) -> (Stream, Option<SocketAddr>) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match listener.accept() {
            Ok(accepted) => return accepted,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(Instant::now() < deadline, "no connection came");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A directory of its own for each test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane-acceptor-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn socket(&self) -> (PathBuf, Address) {
        let path = self.0.join("a.sock");
        (path.clone(), Address::Unix(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn leave_stale_socket(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(path.exists());
}

#[test]
fn connections_are_nonblocking_and_inherit_nodelay() {
    for nodelay in [true, false] {
        let listener = bind(&loopback(), &ListenConfig { nodelay, ..config() }).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let client = TcpStream::connect(port_of(&listener)).unwrap();
        let (stream, peer) = accept(&listener);
        assert_eq!(peer, Some(client.local_addr().unwrap()));
        let Stream::Tcp(mut stream) = stream else { panic!("not TCP") };
        assert_eq!(stream.nodelay().unwrap(), nodelay);
        assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_takes_no_more_than_it_may_for_a_client_that_does_not_read() {
    let taken = |unsent_bytes| {
        let listener = bind(&loopback(), &ListenConfig { unsent_bytes, ..config() }).unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_recv_buffer_size(4096).unwrap();
        client.connect(&port_of(&listener).into()).unwrap();
        let (Stream::Tcp(mut stream), _) = accept(&listener) else { panic!("not TCP") };
        let mut taken = 0;
        loop {
            match stream.write(&[b'x'; 16 * 1024]) {
                Ok(n) => taken += n,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break taken;
                }
            }
        }
    };
    let (limited, unlimited) = (taken(64 * 1024), taken(0));
    assert!(limited < 256 * 1024 && limited < unlimited / 2, "{limited} and {unlimited}");
}

#[test]
fn ipv6_serves_both_families_unless_told_otherwise() {
    let every: Address = "[::]:0".parse().unwrap();
    let both = match bind(&every, &config()) {
        Ok(listener) => listener,
        // A machine without IPv6 cannot show it.
        Err(error) if error.kind == ListenErrorKind::Other => return,
        Err(error) => panic!("{error}"),
    };
    TcpStream::connect(("127.0.0.1", port_of(&both).port())).unwrap();
    assert!(accept(&both).1.unwrap().ip().to_canonical().is_ipv4());

    let only = bind(&every, &ListenConfig { ipv6_only: true, ..config() }).unwrap();
    let refused = TcpStream::connect(("127.0.0.1", port_of(&only).port()));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
#[cfg(target_os = "linux")]
fn every_member_of_a_group_gets_connections() {
    let group = bind_group(&loopback(), 4, &config()).unwrap();
    let address = port_of(&group[0]);
    assert!(address.port() != 0 && group.iter().all(|member| port_of(member) == address));

    let clients: Vec<TcpStream> = (0..256).map(|_| TcpStream::connect(address).unwrap()).collect();
    let counts: Vec<usize> =
        group.iter().map(|member| std::iter::from_fn(|| member.accept().ok()).count()).collect();
    assert_eq!(counts.iter().sum::<usize>(), clients.len(), "{counts:?}");
    // 64 each on average; the first member, which listened alone for a moment, is one of them.
    assert!(counts.iter().all(|count| *count >= 20), "{counts:?}");
}

#[test]
fn a_group_has_at_least_one_member() {
    assert_eq!(bind_group(&loopback(), 0, &config()).unwrap().len(), 1);
}

#[test]
fn a_port_in_use_is_an_error_even_if_its_owner_would_share() {
    let exclusive = TcpListener::bind("127.0.0.1:0").unwrap();
    let sharing = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    sharing.set_reuse_address(true).unwrap();
    sharing.set_reuse_port(true).unwrap();
    sharing.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    sharing.listen(16).unwrap();
    let sharing_address = sharing.local_addr().unwrap().as_socket().unwrap();

    for taken in [exclusive.local_addr().unwrap(), sharing_address] {
        let error = bind(&taken.into(), &config()).unwrap_err();
        assert_eq!(error.kind, ListenErrorKind::InUse);
        let error = bind_group(&taken.into(), 3, &config()).unwrap_err();
        assert_eq!(error.kind, ListenErrorKind::InUse);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {taken}: the port is in use; \
                 stop the process that has it or choose another"
            )
        );
    }
    // Unless sharing with other processes is wanted.
    let config = ListenConfig { reuse_port: true, ..config() };
    assert_eq!(bind_group(&sharing_address.into(), 2, &config).unwrap().len(), 2);
}

#[test]
fn a_second_group_on_a_port_fails() {
    let first = bind_group(&loopback(), 2, &config()).unwrap();
    let address = port_of(&first[0]).into();
    let error = bind_group(&address, 2, &config()).unwrap_err();
    assert_eq!(error.kind, ListenErrorKind::InUse);
    drop(first);
    bind_group(&address, 2, &config()).unwrap();
}

#[test]
fn of_servers_that_start_at_once_at_most_one_gets_the_port() {
    for _ in 0..50 {
        let probe = bind(&loopback(), &config()).unwrap();
        let address: Address = port_of(&probe).into();
        drop(probe);
        let barrier = Arc::new(Barrier::new(2));
        let servers = [0, 1].map(|_| {
            let (barrier, address) = (Arc::clone(&barrier), address.clone());
            thread::spawn(move || {
                barrier.wait();
                let group = bind_group(&address, 2, &config());
                // Nobody closes before both have tried.
                barrier.wait();
                group.is_ok()
            })
        });
        let started = servers.map(|server| server.join().unwrap());
        assert_ne!(started, [true, true]);
    }
}

#[test]
fn a_port_is_free_again_at_once_after_its_connections() {
    let listener = bind(&loopback(), &config()).unwrap();
    let address = port_of(&listener);
    let mut client = TcpStream::connect(address).unwrap();
    // The side that closes first keeps the port in TIME_WAIT.
    drop(accept(&listener));
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    drop((client, listener));
    bind(&address.into(), &config()).unwrap();
}

#[test]
fn an_address_of_another_machine() {
    // TEST-NET-1 (RFC 5737): no interface has it.
    let address = "192.0.2.1:0".parse().unwrap();
    let error = bind(&address, &config()).unwrap_err();
    assert_eq!(error.kind, ListenErrorKind::NotAvailable);
    assert!(error.to_string().contains("192.0.2.1:0: no interface"), "{error}");
}

#[test]
fn the_backlog_is_what_the_kernel_allows() {
    assert_eq!(Listener::effective_backlog(1), 1);
    let effective = Listener::effective_backlog(u32::MAX);
    if let Ok(text) = fs::read_to_string("/proc/sys/net/core/somaxconn") {
        assert_eq!(effective, text.trim().parse::<u32>().unwrap());
    }
    bind(&loopback(), &ListenConfig { backlog: u32::MAX, ..config() }).unwrap();
}

#[test]
fn a_unix_socket_serves_and_is_removed_by_its_guard() {
    let scratch = Scratch::new();
    let (path, address) = scratch.socket();
    let listener = bind(&address, &config()).unwrap();
    assert_eq!(listener.local_address().unwrap(), address);
    let file = SocketFile::of(&listener).unwrap().unwrap();

    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"x").unwrap();
    let (stream, peer) = accept(&listener);
    assert_eq!(peer, None);
    let Stream::Unix(mut stream) = stream else { panic!("not Unix") };
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
    assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);

    drop(listener);
    assert!(path.exists(), "the listener itself leaves the file");
    drop(file);
    assert!(!path.exists());
}

#[test]
fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
    let scratch = Scratch::new();
    let (path, address) = scratch.socket();
    leave_stale_socket(&path);
    let keep = ListenConfig { unlink_stale: false, ..config() };
    assert_eq!(bind(&address, &keep).unwrap_err().kind, ListenErrorKind::InUse);

    let live = bind(&address, &config()).unwrap();
    let error = bind(&address, &config()).unwrap_err();
    assert_eq!(error.kind, ListenErrorKind::InUse);
    assert!(error.to_string().ends_with("stop it or choose another path"), "{error}");
    UnixStream::connect(&path).unwrap();
    drop(live);
}

#[test]
fn a_live_unix_socket_with_a_full_queue_is_live() {
    let scratch = Scratch::new();
    let (path, address) = scratch.socket();
    let _live = bind(&address, &ListenConfig { backlog: 0, ..config() }).unwrap();
    // One connection fills a queue of length 0; the second probe would have to wait.
    let _client = UnixStream::connect(&path).unwrap();
    assert_eq!(bind(&address, &config()).unwrap_err().kind, ListenErrorKind::InUse);
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let scratch = Scratch::new();
    let (path, address) = scratch.socket();
    fs::write(&path, "precious").unwrap();
    let error = bind(&address, &config()).unwrap_err();
    assert_eq!(error.kind, ListenErrorKind::NotASocket);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_missing_directory_is_named() {
    let scratch = Scratch::new();
    let address = Address::Unix(scratch.0.join("missing/a.sock"));
    let error = bind(&address, &config()).unwrap_err();
    assert_eq!(error.kind, ListenErrorKind::Other);
    assert!(error.to_string().contains("missing/a.sock: No such file"), "{error}");
}

#[test]
fn a_guard_leaves_the_file_of_a_successor() {
    let scratch = Scratch::new();
    let (path, address) = scratch.socket();
    let old = bind(&address, &config()).unwrap();
    let file = SocketFile::of(&old).unwrap();
    drop(old);
    // Bound under another name first, so that the inode cannot be the old one used again.
    let successor = UnixListener::bind(scratch.0.join("b.sock")).unwrap();
    fs::rename(scratch.0.join("b.sock"), &path).unwrap();
    drop(file);
    UnixStream::connect(&path).unwrap();
    drop(successor);
}

#[test]
fn permissions_are_set() {
    let scratch = Scratch::new();
    let (path, address) = scratch.socket();
    bind(&address, &ListenConfig { unix_mode: Some(0o620), ..config() }).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o620);
}

#[test]
fn a_group_on_a_unix_socket_shares_one_queue() {
    let scratch = Scratch::new();
    let (path, address) = scratch.socket();
    let group = bind_group(&address, 3, &config()).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    accept(&group[2]);
    assert!(group.iter().all(|member| member.accept().is_err()));
}

#[test]
fn of_servers_that_find_a_stale_socket_exactly_one_gets_it() {
    let scratch = Scratch::new();
    let (path, address) = scratch.socket();
    for _ in 0..30 {
        leave_stale_socket(&path);
        let barrier = Arc::new(Barrier::new(4));
        let servers = [0; 4].map(|_| {
            let (barrier, address) = (Arc::clone(&barrier), address.clone());
            thread::spawn(move || {
                barrier.wait();
                let listener = bind(&address, &config());
                barrier.wait();
                listener.is_ok()
            })
        });
        let started = servers.map(|server| server.join().unwrap());
        assert_eq!(started.iter().filter(|ok| **ok).count(), 1, "{started:?}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_clone_outlives_the_original() {
    let listener = bind(&loopback(), &config()).unwrap();
    let clone = listener.try_clone().unwrap();
    drop(listener);
    let _client = TcpStream::connect(port_of(&clone)).unwrap();
    accept(&clone);
    assert!(SocketFile::of(&clone).unwrap().is_none());
    assert!(SockRef::from(&clone).nonblocking().unwrap());
}
