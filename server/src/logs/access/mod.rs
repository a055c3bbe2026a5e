//! The access log: a line per answered request, written by one thread for all lanes.

mod clock;
mod escape;
mod format;
mod record;
mod slot;
mod target;
mod variable;
mod writer;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use corelane_acceptor::Address;
use corelane_eventloop::ListenerId;
use rtrb::{Producer, RingBuffer};

pub use self::format::{AccessFormat, FormatError};
pub use self::record::AccessRecord;
pub use self::slot::{AccessCounts, AccessLogSlot};
pub use self::target::AccessTarget;

use self::clock::Clock;
use self::writer::{Shared, Writer};

/// The smallest ring. A line of values at their longest, all to be escaped, takes about 100 KiB.
const RING_BYTES_MIN: usize = 4 * 1024;

/// How long the last handle of a log waits for its end to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// An access log to be.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// Where it goes.
    pub target: AccessTarget,
    /// How its lines look.
    pub format: AccessFormat,
    /// Bytes that may wait per lane; 1 MiB by default, 4 KiB at least. A line that is longer is always
    /// dropped.
    pub ring_bytes: usize,
}

impl AccessConfig {
    /// A log in the `combined` format.
    pub fn new(target: AccessTarget) -> AccessConfig {
        AccessConfig { target, format: AccessFormat::default(), ring_bytes: 1 << 20 }
    }
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
#[error("access log {target}: {source}")]
pub struct AccessLogError {
    /// Where it was to go.
    pub target: AccessTarget,
    /// What the system said.
    pub source: io::Error,
}

/// An access log. Clones are handles on the same one. Once the last one is dropped, which waits for a
/// second at most until what was recorded is written, the log ends with its last lane.
///
/// Each lane writes lines into a ring of its own, and one thread writes the rings out, after 200 ms or
/// when one is half full. A lane takes no lock, allocates nothing and waits for nothing: a record that
/// finds no room is dropped and counted. Whole lines are dropped, never parts.
///
/// A failed write (a full disk) is counted, logged every 10 s at most, and tried again with the same
/// bytes.
///
/// ```
/// use corelane::logs::{AccessConfig, AccessLog, AccessRecord, AccessTarget};
/// use std::time::Duration;
///
/// let path = std::env::temp_dir().join(format!("corelane-doc-{}.log", std::process::id()));
/// let log = AccessLog::open(AccessConfig::new(AccessTarget::File(path.clone())))?;
/// let mut lane = log.lane(); // One per lane.
/// lane.record(&AccessRecord { method: b"GET", target: b"/", status: 200, ..AccessRecord::default() });
/// lane.flush(); // At the end of the turn.
///
/// assert!(log.flush(Duration::from_secs(10)));
/// assert_eq!((log.written(), log.dropped()), (1, 0));
/// assert!(std::fs::read_to_string(&path)?.contains("\"GET / \" 200 0"));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AccessLog(Arc<Owner>);

struct Owner {
    shared: Arc<Shared>,
    format: Arc<AccessFormat>,
    ring_bytes: usize,
    ports: Arc<OnceLock<Vec<Option<u16>>>>,
}

impl AccessLog {
    /// Opens the target and starts the thread that writes.
    ///
    /// # Errors
    /// If the target cannot be opened, or there is no thread to be had.
    pub fn open(config: AccessConfig) -> Result<AccessLog, AccessLogError> {
        let AccessConfig { target, format, ring_bytes } = config;
        let shared =
            Writer::start(target.clone()).map_err(|source| AccessLogError { target, source })?;
        let ring_bytes = ring_bytes.max(RING_BYTES_MIN);
        let format = Arc::new(format);
        Ok(AccessLog(Arc::new(Owner { shared, format, ring_bytes, ports: Arc::default() })))
    }

    /// Tells where the server listens, by the numbers of its listeners: known only once it has started.
    /// The first call counts.
    pub fn listening_on(&self, addresses: &[Address]) {
        let port = |address: &Address| address.tcp().map(|tcp| tcp.port());
        let _ = self.0.ports.set(addresses.iter().map(port).collect());
    }

    /// One lane's end. Allocates its ring.
    pub fn lane(&self) -> AccessLane {
        let (ring, reader) = RingBuffer::new(self.0.ring_bytes);
        self.0.shared.arrive(reader);
        AccessLane {
            half: self.0.ring_bytes / 2,
            ring,
            shared: Told(self.0.shared.clone()),
            format: self.0.format.clone(),
            ports: self.0.ports.clone(),
            clock: Clock::new(),
            line: Vec::with_capacity(1024),
            is_new: false,
        }
    }

    /// Has the writer open the file again: what is recorded before goes into the old one or the new
    /// one, once. Does not wait. If the file cannot be opened, the old one is kept and that is logged.
    pub fn reopen(&self) {
        self.0.shared.reopen();
    }

    /// Waits until everything recorded before is written, or the time is over; says which.
    pub fn flush(&self, within: Duration) -> bool {
        self.0.shared.flush(within)
    }

    /// Whether this is the same log.
    fn is(&self, other: &AccessLog) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Records written.
    pub fn written(&self) -> u64 {
        read(&self.0.shared.written)
    }

    /// Records dropped because too much waited already.
    pub fn dropped(&self) -> u64 {
        read(&self.0.shared.dropped)
    }

    /// Failed writes. What they were to write is tried again.
    pub fn errors(&self) -> u64 {
        read(&self.0.shared.errors)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.flush(LAST_WORDS);
        // Not joined: lanes may still write, and it may stand in a write that never returns.
        self.shared.stop();
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// One lane's end of an [`AccessLog`].
pub struct AccessLane {
    ring: Producer<u8>,
    half: usize,
    /// Behind the ring, to be dropped after it.
    shared: Told,
    format: Arc<AccessFormat>,
    ports: Arc<OnceLock<Vec<Option<u16>>>>,
    clock: Clock,
    /// The line in the making.
    line: Vec<u8>,
    /// There are records that the writer may not know of.
    is_new: bool,
}

impl AccessLane {
    /// Puts a record's line into the ring, or drops it if there is no room.
    ///
    /// Cost: about 2,200 instructions for a `combined` line; see `benches/benches/accesslog.rs`.
    pub fn record(&mut self, record: &AccessRecord<'_>) {
        self.line.clear();
        self.format.put(&mut self.line, record, &mut self.clock);
        self.line.push(b'\n');
        match self.ring.push_entire_slice(&self.line) {
            Ok(()) => self.is_new = true,
            Err(_) => drop(self.shared.0.dropped.fetch_add(1, Ordering::Relaxed)),
        }
        // The first look is at what this lane knows, the second at what the writer has done since.
        if self.ring.cached_slots() < self.half && self.ring.slots() < self.half {
            self.shared.0.hurry();
        }
    }

    /// The port of a listener, if that has been told ([`AccessLog::listening_on`]) and is one of TCP.
    pub fn server_port(&self, listener: ListenerId) -> Option<u16> {
        self.ports.get()?.get(usize::from(listener)).copied().flatten()
    }

    /// Makes sure that what was recorded is written within a fraction of a second. To be called at the
    /// end of each turn; costs nothing if nothing was recorded, else about as much as a fence.
    #[inline]
    pub fn flush(&mut self) {
        if self.is_new {
            self.is_new = false;
            self.shared.0.wake();
        }
    }
}

/// Tells the writer that a lane has ended.
struct Told(Arc<Shared>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.wake();
    }
}
