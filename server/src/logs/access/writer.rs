//! The thread that writes the access log.
//!
//! It looks into the lanes' rings, writes what is there, and rests for a while, so that many records
//! make one system call. When there was nothing it sleeps until a lane wakes it, which a lane does at
//! most once per sleep; a ring that is half full cuts a rest short. A log that was let go of ends once its
//! last lane has done so too.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rtrb::Consumer;

use super::target::AccessTarget;

/// How long records gather before they are written.
const GATHER: Duration = Duration::from_millis(200);
/// The rest after a failed write doubles between these.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// The rest after a write that would have blocked, on a descriptor that others made non-blocking.
const BLOCKED: Duration = Duration::from_millis(10);
/// Drops and errors are logged this often at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// What lanes, owner and writer share.
#[derive(Default)]
pub(super) struct Shared {
    /// The writer sleeps until it is woken.
    asleep: AtomicBool,
    /// A ring is half full, or was full.
    hurry: AtomicBool,
    reopen: AtomicBool,
    /// The last handle is gone: no further lane will come.
    stop: AtomicBool,
    /// Flushes asked for, and the last of them that is done.
    flushes: AtomicU64,
    flushed: AtomicU64,
    /// Rings of lanes that have begun since the writer looked last.
    arrivals: Mutex<Vec<Consumer<u8>>>,
    thread: OnceLock<Thread>,
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) errors: AtomicU64,
}

impl Shared {
    /// Tells of records put into a ring before this. Usually one fence and one load.
    #[inline]
    pub(super) fn wake(&self) {
        // The writer says that it sleeps, then looks into the rings; we have filled a ring, then look
        // whether it sleeps. With a fence on both sides, one sees the other.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.unpark();
        }
    }

    /// Cuts the writer's rest short.
    #[cold]
    pub(super) fn hurry(&self) {
        if !self.hurry.load(Ordering::Relaxed) && !self.hurry.swap(true, Ordering::Release) {
            self.unpark();
        }
    }

    pub(super) fn arrive(&self, ring: Consumer<u8>) {
        self.lock_arrivals().push(ring);
        self.unpark();
    }

    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        self.unpark();
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.unpark();
    }

    /// Waits until everything recorded before is written, or the time is over; says which.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let asked = self.flushes.fetch_add(1, Ordering::AcqRel) + 1;
        self.unpark();
        while self.flushed.load(Ordering::Acquire) < asked {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn unpark(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn lock_arrivals(&self) -> std::sync::MutexGuard<'_, Vec<Consumer<u8>>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody waits for the next pass.
    fn is_urgent(&self) -> bool {
        self.hurry.load(Ordering::Acquire)
            || self.reopen.load(Ordering::Acquire)
            || self.flushed.load(Ordering::Acquire) < self.flushes.load(Ordering::Acquire)
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    target: AccessTarget,
    file: File,
    rings: Vec<Consumer<u8>>,
    /// The ring to go on with: a write may fail in the middle of a line.
    next: usize,
    /// What was written last is the beginning of a line.
    torn: bool,
    /// How long to rest after the next failure.
    retry: Duration,
    report: Report,
}

impl Writer {
    /// Opens the target and starts the thread.
    pub(super) fn start(target: AccessTarget) -> io::Result<Arc<Shared>> {
        let file = target.open()?;
        let shared = Arc::<Shared>::default();
        let writer = Writer {
            shared: shared.clone(),
            target,
            file,
            rings: Vec::new(),
            next: 0,
            torn: false,
            retry: RETRY_MIN,
            report: Report::default(),
        };
        let thread = thread::Builder::new().name("access-log".into()).spawn(|| writer.run())?;
        // Nobody else has it yet.
        let _ = shared.thread.set(thread.thread().clone());
        Ok(shared)
    }

    fn run(mut self) {
        let shared = self.shared.clone();
        loop {
            if shared.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            let asked = shared.flushes.load(Ordering::Acquire);
            let stop = shared.stop.load(Ordering::Acquire);
            let passed = self.pass();
            // Lanes may go on for a while with a log that another one has replaced.
            let is_over = match &passed {
                Ok(_) => self.rings.is_empty(),
                Err(_) => self.rings.iter().all(Consumer::is_abandoned),
            };
            let rest = match passed {
                Ok(bytes) => {
                    self.retry = RETRY_MIN;
                    shared.flushed.store(asked, Ordering::Release);
                    if bytes == 0 && !(stop && is_over) {
                        self.sleep(stop);
                    }
                    if shared.is_urgent() { Duration::ZERO } else { GATHER }
                }
                Err(error) => self.failed(&error),
            };
            if stop && is_over {
                return;
            }
            self.report.dropped(shared.dropped.load(Ordering::Relaxed));
            if !rest.is_zero() {
                thread::park_timeout(rest);
            }
        }
    }

    /// Writes what is in the rings; how many bytes that was. Ends with the first error, and goes on
    /// from there the next time.
    fn pass(&mut self) -> io::Result<usize> {
        self.rings.append(&mut self.shared.lock_arrivals());
        let mut bytes = 0;
        for _ in 0..self.rings.len() {
            bytes += self.drain()?;
            self.next = (self.next + 1) % self.rings.len();
        }
        self.next = 0;
        // Not where writing fails: lanes in a hurry would have it tried again at once, forever.
        self.shared.hurry.store(false, Ordering::Release);
        self.rings.retain(|ring| !(ring.is_abandoned() && ring.is_empty()));
        Ok(bytes)
    }

    /// Writes what is in one ring now.
    fn drain(&mut self) -> io::Result<usize> {
        let ring = &mut self.rings[self.next];
        let bytes = ring.slots();
        let mut left = bytes;
        while let Ok(chunk) = ring.read_chunk(left) {
            let (first, second) = chunk.as_slices();
            if first.is_empty() {
                break;
            }
            // In one call, so that a line which goes on at the begin of the ring is not parted by those
            // that another writer appends to the same file.
            match self.file.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let first = &first[..written.min(first.len())];
                    let second = &second[..written - first.len()];
                    let ends = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
                    let lines = ends(first) + ends(second);
                    self.shared.written.fetch_add(lines as u64, Ordering::Relaxed);
                    self.torn = second.last().or(first.last()) != Some(&b'\n');
                    chunk.commit(written);
                    left -= written;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Sleeps until there is something to do; that the log is to end is not, once that is known.
    fn sleep(&self, stop: bool) {
        self.shared.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let idle = self.rings.iter().all(|ring| ring.is_empty())
            && self.shared.lock_arrivals().is_empty()
            && !self.rings.iter().any(Consumer::is_abandoned)
            && (stop || !self.shared.stop.load(Ordering::Acquire))
            && !self.shared.is_urgent();
        match self.report.due_in(self.shared.dropped.load(Ordering::Relaxed)) {
            _ if !idle => {}
            None => thread::park(),
            Some(due) => thread::park_timeout(due),
        }
        self.shared.asleep.store(false, Ordering::Relaxed);
    }

    /// Counts a failure; how long to rest.
    fn failed(&mut self, error: &io::Error) -> Duration {
        if error.kind() == io::ErrorKind::WouldBlock {
            return BLOCKED;
        }
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
        self.report.error(&self.target, error);
        let rest = self.retry;
        self.retry = (rest * 2).min(RETRY_MAX);
        rest
    }

    /// Opens the file anew: the old one may have been moved away. Keeps the old one if that fails.
    fn reopen(&mut self) {
        if !matches!(self.target, AccessTarget::File(_)) {
            return;
        }
        match self.target.open() {
            Ok(file) => {
                self.file = file;
                if std::mem::take(&mut self.torn) {
                    self.skip_line();
                }
                self.retry = RETRY_MIN;
                tracing::info!(path = %self.target, "access log reopened");
            }
            Err(error) => {
                let path = &self.target;
                tracing::error!(%path, %error, "access log cannot be reopened; the old file is kept");
            }
        }
    }

    /// Drops the rest of a line whose beginning is in another file.
    fn skip_line(&mut self) {
        let Some(ring) = self.rings.get_mut(self.next) else { return };
        if let Ok(chunk) = ring.read_chunk(ring.slots()) {
            let (first, second) = chunk.as_slices();
            let end = first.iter().chain(second).position(|&byte| byte == b'\n');
            let rest = end.map_or(chunk.len(), |at| at + 1);
            chunk.commit(rest);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What was logged about drops and errors, and when.
#[derive(Default)]
struct Report {
    dropped: u64,
    dropped_at: Option<Instant>,
    error_at: Option<Instant>,
}

impl Report {
    /// When unreported drops are to be reported; `None` if there are none.
    fn due_in(&self, dropped: u64) -> Option<Duration> {
        let since = self.dropped_at.map_or(REPORT_INTERVAL, |at| at.elapsed());
        (dropped > self.dropped).then(|| REPORT_INTERVAL.saturating_sub(since))
    }

    fn dropped(&mut self, dropped: u64) {
        if self.due_in(dropped) == Some(Duration::ZERO) {
            let records = dropped - self.dropped;
            tracing::warn!(
                records,
                "access log records dropped: they were not written fast enough"
            );
            (self.dropped, self.dropped_at) = (dropped, Some(Instant::now()));
        }
    }

    fn error(&mut self, target: &AccessTarget, error: &io::Error) {
        if self.error_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL) {
            tracing::error!(path = %target, %error, "access log cannot be written; trying again");
            self.error_at = Some(Instant::now());
        }
    }
}
