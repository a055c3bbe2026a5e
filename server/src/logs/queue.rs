//! The queue between whoever logs and a standard error that may be read slowly, or never.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const LINES_MAX: usize = 1024;
/// Bytes of all lines that may wait.
const BYTES_MAX: usize = 1 << 20;
/// Lost lines are reported this often at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often a flush looks whether a full queue has room again.
const FLUSH_RETRY: Duration = Duration::from_millis(2);

/// Takes lines without ever waiting, and has a thread write them.
#[derive(Clone)]
pub(super) struct LineQueue {
    sender: SyncSender<Entry>,
    counts: Arc<Counts>,
}

enum Entry {
    Line(Vec<u8>),
    /// Answered once all lines before it are written.
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    /// Bytes that wait.
    waiting: AtomicUsize,
}

impl LineQueue {
    /// Starts the thread that writes to `sink`. It ends with the last handle of the queue.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<LineQueue> {
        let (sender, receiver) = sync_channel(LINES_MAX);
        let counts = Arc::<Counts>::default();
        let writer = Writer { sink, counts: counts.clone(), reported: 0, reported_at: None };
        thread::Builder::new().name("log".into()).spawn(move || writer.run(&receiver))?;
        Ok(LineQueue { sender, counts })
    }

    /// Queues a line, or drops it if too much waits.
    pub(super) fn push(&self, line: &[u8]) {
        let size = line.len();
        let counts = &self.counts;
        if counts.waiting.fetch_add(size, Ordering::Relaxed) + size > BYTES_MAX
            || self.sender.try_send(Entry::Line(line.to_vec())).is_err()
        {
            counts.waiting.fetch_sub(size, Ordering::Relaxed);
            counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything queued so far is written, or the time is over; says which.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let (done, written) = sync_channel(1);
        let mut entry = Entry::Flush(done);
        loop {
            match self.sender.try_send(entry) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < deadline => entry = back,
                Err(_) => return false,
            }
            thread::sleep(FLUSH_RETRY);
        }
        written.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
    }

    /// Lines written, and lines dropped: because too much waited, or because writing failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.counts.written), read(&self.counts.dropped))
    }
}

/// The formatter of events writes each in one call.
impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(self)
    }
}

/// Every write is a line.
pub(super) struct LineWriter<'a>(&'a LineQueue);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Writer<W> {
    sink: W,
    counts: Arc<Counts>,
    /// Dropped lines that have been reported, and when.
    reported: u64,
    reported_at: Option<Instant>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, entries: &Receiver<Entry>) {
        for entry in entries {
            match entry {
                Entry::Line(line) => self.write(&line),
                // Whoever asked may have stopped waiting.
                Entry::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn write(&mut self, line: &[u8]) {
        let written = self.sink.write_all(line).and_then(|()| self.sink.flush());
        self.counts.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        if written.is_err() {
            // Nobody reads. There is nobody to tell, either.
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            self.reported = self.counts.dropped.load(Ordering::Relaxed);
            return;
        }
        self.counts.written.fetch_add(1, Ordering::Relaxed);
        let dropped = self.counts.dropped.load(Ordering::Relaxed);
        let due = self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_INTERVAL);
        if dropped > self.reported && due {
            let lines = dropped - self.reported;
            (self.reported, self.reported_at) = (dropped, Some(Instant::now()));
            // Comes back to this queue, and is dropped like any line if that is full.
            tracing::warn!(lines, "log lines dropped: standard error was not read fast enough");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// Passes each write on, once it is let.
    struct Gated {
        gate: Receiver<()>,
        seen: Sender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.gate.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.seen.send(line.to_vec()).unwrap();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_does_not_write_costs_lines_and_no_time() {
        let ((open, gate), (seen, lines)) = (channel(), channel());
        let queue = LineQueue::start(Gated { gate, seen }).unwrap();
        let sent = LINES_MAX as u64 + 500;
        for number in 0..sent {
            queue.push(format!("{number}\n").as_bytes());
        }
        assert!(!queue.flush(Duration::from_millis(20)), "nothing was let through");
        let dropped = queue.counts().1;
        // One may be in the hands of the thread.
        assert!((499..=500).contains(&dropped), "{dropped}");
        for _ in dropped..sent {
            open.send(()).unwrap();
        }
        assert!(queue.flush(Duration::from_secs(20)));
        assert_eq!(queue.counts().0, sent - dropped);
        // In order, and the first ones: those that came later found no room.
        for number in 0..sent - dropped {
            assert_eq!(lines.recv().unwrap(), format!("{number}\n").into_bytes());
        }
    }

    #[test]
    fn bytes_are_limited_too() {
        let ((open, gate), (seen, _lines)) = (channel(), channel());
        let queue = LineQueue::start(Gated { gate, seen }).unwrap();
        let half = vec![b'x'; BYTES_MAX / 2];
        for _ in 0..5 {
            queue.push(&half);
        }
        assert_eq!(queue.counts().1, 3);
        queue.push(&vec![b'x'; BYTES_MAX + 1]);
        assert_eq!(queue.counts().1, 4);
        drop(open);
        // Writing fails now: the thread goes on, and every line is accounted for.
        assert!(queue.flush(Duration::from_secs(20)));
        assert_eq!(queue.counts(), (0, 6));
        assert_eq!(queue.counts.waiting.load(Ordering::Relaxed), 0);
    }
}
