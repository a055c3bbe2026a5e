//! Files of the operating system, over real connections.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use corelane_eventloop::{Driver, Lane, LaneConfig, Links, Mio, Nanos, OsFiles, Post};
use corelane_http::files::StaticFiles;
use corelane_http::web::Routes;
use corelane_http::{Http, HttpConfig, HttpCounters, HttpMetrics};
use corelane_metrics::Registry;

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory of a test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("corelane-files-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("www")).unwrap();
        Scratch(path)
    }

    fn www(&self, name: &str) -> PathBuf {
        self.0.join("www").join(name)
    }

    /// A file that was last changed a while ago.
    fn put(&self, name: &str, contents: &[u8]) {
        put(&self.www(name), contents);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(path: &Path, contents: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, contents).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
}

/// A lane on a thread of its own that serves a directory.
struct Server {
    address: SocketAddr,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn of(root: &Path, links: Links, site: StaticFiles) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let (until, root) = (done.clone(), root.to_owned());
        let thread = std::thread::spawn(move || {
            let mut files = OsFiles::new();
            files.add_root_with(&root, links).unwrap();
            let mut builder = Registry::builder();
            let metrics = HttpMetrics::declare(&mut builder);
            let registry = builder.build().unwrap();
            let counters = HttpCounters::new(metrics, Rc::new(registry.shard(0).unwrap()));
            let app = site.mount(Routes::new(), "").build().unwrap();
            let http = Http::new(app, HttpConfig::default(), counters);
            let lane = Lane::new(http, LaneConfig::default(), Post::mesh(1, 16).remove(0));
            let mut lane = lane.with_files(Box::new(files));
            let mut driver = Mio::new().unwrap();
            driver.listen(listener, 0, Default::default()).unwrap();
            while !until.load(Ordering::Relaxed) {
                driver.turn(&mut lane, Some(Nanos::from_millis(5))).unwrap();
            }
        });
        Server { address, done, thread: Some(thread) }
    }

    fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The status and the body of an answer.
    fn get(&self, target: &str) -> (u16, Vec<u8>) {
        let mut socket = self.connect();
        request(&mut socket, target);
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let end = head_end(&answer).expect("a whole head");
        let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
        (status, answer.split_off(end))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

fn request(socket: &mut TcpStream, target: &str) {
    let head = format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
}

fn head_end(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// A download that has begun and whose reader waits: the head, and the first bytes.
fn begin(server: &Server, target: &str) -> (TcpStream, Vec<u8>) {
    let mut socket = server.connect();
    request(&mut socket, target);
    let mut answer = vec![0; 4096];
    socket.read_exact(&mut answer).unwrap();
    let body = answer.split_off(head_end(&answer).unwrap());
    (socket, body)
}

/// More than the buffers of a connection hold.
const LARGE: usize = 24 << 20;

#[test]
fn what_is_no_file_beneath_the_root_is_not_sent() {
    let scratch = Scratch::new();
    put(&scratch.0.join("secret"), b"secret");
    scratch.put("a.txt", b"hello");
    scratch.put("d/b.txt", b"beneath");
    symlink("a.txt", scratch.www("inward")).unwrap();
    symlink("d", scratch.www("inward-directory")).unwrap();
    symlink("../secret", scratch.www("outward")).unwrap();
    symlink(scratch.0.join("secret"), scratch.www("absolute")).unwrap();
    symlink("..", scratch.www("up")).unwrap();
    symlink("loop", scratch.www("loop")).unwrap();
    symlink("/dev/zero", scratch.www("zero")).unwrap();
    std::os::unix::net::UnixListener::bind(scratch.www("socket")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(scratch.www("pipe")).status().unwrap();
    assert!(made.success());
    // (target, whether links are followed, status)
    let within = Server::of(&scratch.www(""), Links::Within, StaticFiles::new(0).listing(100));
    let never = Server::of(&scratch.www(""), Links::Never, StaticFiles::new(0));
    for (target, with_links, without) in [
        ("/a.txt", 200, 200),
        ("/d/b.txt", 200, 200),
        ("/inward", 200, 404),
        ("/inward-directory/b.txt", 200, 404),
        ("/outward", 403, 404),
        ("/absolute", 403, 404),
        ("/up/secret", 403, 404),
        ("/loop", 404, 404),
        ("/zero", 403, 404),
        ("/pipe", 403, 403),
        ("/socket", 403, 403),
        ("/../secret", 404, 404),
        ("/%2e%2e/secret", 404, 404),
        ("/..%2fsecret", 404, 404),
        ("/d/%2e%2e/%2e%2e/secret", 404, 404),
    ] {
        for (server, expected) in [(&within, with_links), (&never, without)] {
            let (status, body) = server.get(target);
            assert_eq!(status, expected, "{target}");
            assert!(!body.starts_with(b"secret"), "{target}");
        }
    }
    let (_, listing) = within.get("/?format=json");
    let listing = String::from_utf8(listing).unwrap();
    assert!(listing.contains("\"inward\"") && !listing.contains("outward"), "{listing}");
    assert!(!listing.contains("pipe") && !listing.contains("zero"), "{listing}");
}

#[test]
fn a_large_file_arrives_whole_by_a_slow_reader_though_it_is_replaced() {
    let scratch = Scratch::new();
    let contents: Vec<u8> = (0..LARGE).map(|at| (at >> 12) as u8).collect();
    scratch.put("large", &contents);
    let server = Server::of(&scratch.www(""), Links::Within, StaticFiles::new(0));
    let (mut socket, mut body) = begin(&server, "/large");
    put(&scratch.0.join("new"), b"another");
    fs::rename(scratch.0.join("new"), scratch.www("large")).unwrap();
    // Others are served meanwhile.
    scratch.put("small", b"small");
    assert_eq!(server.get("/small"), (200, b"small".to_vec()));
    socket.read_to_end(&mut body).unwrap();
    assert!(body == contents, "{} bytes", body.len());
    let until = std::time::Instant::now() + PATIENCE;
    while server.get("/large").1 != b"another" {
        assert!(std::time::Instant::now() < until, "the new file is never seen");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let scratch = Scratch::new();
    scratch.put("large", &vec![b'x'; LARGE]);
    let server = Server::of(&scratch.www(""), Links::Within, StaticFiles::new(0));
    let (mut socket, mut body) = begin(&server, "/large");
    fs::File::options().write(true).open(scratch.www("large")).unwrap().set_len(1).unwrap();
    // In order or by a reset. What the kernel had taken by reference and cut since is zeros.
    let _ = socket.read_to_end(&mut body);
    assert!(body.len() < LARGE, "{} bytes", body.len());
    assert!(body.iter().all(|&byte| byte == b'x' || byte == 0), "nothing follows in its place");
    scratch.put("small", b"small");
    assert_eq!(server.get("/small").0, 200);
}

#[test]
fn a_file_that_grows_while_it_is_sent_arrives_as_it_was_promised() {
    let scratch = Scratch::new();
    scratch.put("large", &vec![b'x'; LARGE]);
    let server = Server::of(&scratch.www(""), Links::Within, StaticFiles::new(0));
    let (mut socket, mut body) = begin(&server, "/large");
    let mut file = fs::File::options().append(true).open(scratch.www("large")).unwrap();
    file.write_all(&[b'y'; 100_000]).unwrap();
    socket.read_to_end(&mut body).unwrap();
    assert_eq!(body.len(), LARGE);
    assert!(body.iter().all(|&byte| byte == b'x'));
}
