//! Output: what a connection still has to send, as an ordered queue of chunks.
//!
//! Theory of operation:
//!
//! 1. Small pieces are copied into the *tail page*, a pooled buffer, so that sixteen pipelined
//!    replies leave as one send. The page starts small and grows in place.
//! 2. Pieces of [`COPY_LIMIT`] bytes and more are queued by reference, and gathered into one
//!    `sendmsg` with what stands before and after them.
//! 3. A file stays a placeholder until the driver sends it; a gate holds back everything behind it
//!    until the lane opens its level.
//! 4. An empty queue owns no memory: the page goes back to the pool, the ring to the lane's stash.

use std::collections::VecDeque;
use std::io::IoSlice;

use corelane_mempool::{Buf, Pool, Shared};

use crate::files::File;
use crate::protocol::Closed;

/// Pieces below this many bytes are copied into the tail page: copying 1 KiB costs less than another
/// entry in a gathered write.
pub const COPY_LIMIT: usize = 1024;

/// The tail page starts with this capacity…
const PAGE_FIRST: usize = 1024;
/// …and grows in place up to this one; after that, further pages are chained.
const PAGE_MAX: usize = 8 * 1024;

/// How many memory pieces one send gathers.
pub(crate) const GATHER: usize = 32;

/// A queue is also full with as many chunks as these bytes would make it, however few theirs are: a
/// chunk may hold a whole buffer.
const CHUNK_BYTES: u64 = 512;
/// A queue of so few chunks never is.
const CHUNKS_LEAST: u64 = 8;

/// How many empty rings a lane keeps for reuse.
const STASH: usize = 256;

/// A position in a connection's output: everything put before the mark was taken lies before it.
/// Reported back by [`Event::Sent`](crate::Event::Sent).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mark(pub u64);

/// One piece of output.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes in a buffer of the lane's pool, handed over.
    Buf(Buf),
    /// Bytes that live as long as the program.
    Static(&'static [u8]),
    /// Bytes shared with other connections.
    Shared(Shared),
    /// A range of a file, read by the kernel when it is sent.
    File {
        /// The open file.
        file: File,
        /// Where the range begins.
        offset: u64,
        /// Its length. A file that turns out shorter closes the connection.
        len: u64,
    },
    /// Holds back what follows until [`Turn::open_gates`](crate::Turn::open_gates) reaches this level.
    Gate(u64),
}

impl Chunk {
    fn memory(&self) -> Option<&[u8]> {
        match self {
            Chunk::Buf(buf) => Some(buf.as_slice()),
            Chunk::Static(bytes) => Some(bytes),
            Chunk::Shared(bytes) => Some(bytes),
            Chunk::File { .. } | Chunk::Gate(_) => None,
        }
    }

    fn len(&self) -> u64 {
        match self {
            Chunk::File { len, .. } => *len,
            Chunk::Gate(_) => 0,
            _ => self.memory().map_or(0, |bytes| bytes.len() as u64),
        }
    }
}

/// The rings of idle queues, kept for the next one that needs one.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "a queue takes the box as it is")]
pub struct Stash(Vec<Box<VecDeque<Chunk>>>);

/// A connection's pending output. Plain state; [`Out`] pairs it with the pool it draws on.
#[derive(Debug, Default)]
pub struct OutQueue {
    /// What stands before the page. INVARIANT: never `Some` of an empty ring.
    #[expect(clippy::box_collection, reason = "an idle connection pays one word, not four")]
    ring: Option<Box<VecDeque<Chunk>>>,
    /// The tail page. Empty only between `room` and the next flush.
    page: Option<Buf>,
    /// How much of the ring's front chunk has been sent (memory only; files move their offset).
    front_sent: usize,
    /// Output is missing: the connection cannot go on.
    broken: Option<Closed>,
    put: u64,
    sent: u64,
    /// The earliest and latest mark not yet reached; 0 when there is none.
    mark_first: u64,
    mark_last: u64,
}

/// What stands at the front of the queue, for the driver to send.
pub(crate) enum Front<'a> {
    /// Nothing to send.
    Empty,
    /// This many slices were filled in; `more` says that a file or further memory follows at once.
    Memory { slices: usize, bytes: usize, more: bool },
    /// A range of a file.
    File { file: &'a File, offset: u64, len: u64 },
    /// A gate that is still shut.
    Shut,
}

impl OutQueue {
    /// An empty queue. Owns no memory.
    pub fn new() -> OutQueue {
        OutQueue::default()
    }

    /// Bytes put and not yet handed to the kernel.
    pub fn pending(&self) -> u64 {
        self.put - self.sent
    }

    /// True if nothing is queued, not even a gate.
    pub fn is_empty(&self) -> bool {
        self.page.is_none() && self.ring.is_none()
    }

    /// Why output is missing, if it is: the memory budget refused a piece, or a file was too short.
    pub fn broken(&self) -> Option<Closed> {
        self.broken
    }

    /// True if more is queued than this watermark allows, in bytes or in chunks.
    #[inline]
    pub(crate) fn exceeds(&self, watermark: u64) -> bool {
        self.pending() > watermark || (self.ring.is_some() && self.is_crowded(watermark))
    }

    /// Apart, because queues of more than a page are rare.
    #[cold]
    fn is_crowded(&self, watermark: u64) -> bool {
        let most = (watermark / CHUNK_BYTES).max(CHUNKS_LEAST);
        self.ring.as_ref().is_some_and(|ring| ring.len() as u64 > most)
    }

    /// Bytes of the pool's memory that the queue holds. Walks the chunks.
    pub(crate) fn held(&self) -> usize {
        let capacity = |chunk: &Chunk| match chunk {
            Chunk::Buf(buf) => buf.capacity(),
            _ => 0,
        };
        let ring: usize = self.ring.iter().flat_map(|ring| ring.iter()).map(capacity).sum();
        ring + self.page.as_ref().map_or(0, |page| page.capacity())
    }

    /// Says that output is missing. The first reason stays.
    pub(crate) fn break_off(&mut self, why: Closed) {
        self.broken.get_or_insert(why);
    }

    /// Bytes handed to the kernel so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes the earliest mark that has been reached, as the position reached.
    pub(crate) fn reached(&mut self) -> Option<Mark> {
        if self.mark_first == 0 || self.sent + 1 < self.mark_first {
            return None;
        }
        // Marks are stored plus one, so that a mark at position 0 is told from none.
        self.mark_first = if self.sent + 1 >= self.mark_last { 0 } else { self.sent + 2 };
        Some(Mark(self.sent))
    }

    /// True if some mark waits to be reached.
    pub(crate) fn has_mark(&self) -> bool {
        self.mark_first != 0
    }

    /// The tail page, if it is all there is: the usual case.
    #[inline]
    pub(crate) fn page_only(&self) -> Option<&[u8]> {
        match (&self.ring, &self.page) {
            (None, Some(page)) if !page.is_empty() => Some(page.as_slice()),
            _ => None,
        }
    }

    /// What can be sent now, given the level up to which gates are open.
    pub(crate) fn front<'a>(&'a self, open: u64, slices: &mut [IoSlice<'a>; GATHER]) -> Front<'a> {
        let mut count = 0;
        let mut bytes = 0;
        let mut skip = self.front_sent;
        for chunk in self.ring.iter().flat_map(|ring| ring.iter()) {
            match chunk {
                Chunk::Gate(level) if *level <= open => continue,
                Chunk::Gate(_) if count == 0 => return Front::Shut,
                Chunk::Gate(_) => return Front::Memory { slices: count, bytes, more: false },
                Chunk::File { file, offset, len } if count == 0 => {
                    return Front::File { file, offset: *offset, len: *len };
                }
                Chunk::File { .. } => return Front::Memory { slices: count, bytes, more: true },
                _ if count == GATHER => return Front::Memory { slices: count, bytes, more: true },
                _ => {
                    let memory = chunk.memory().unwrap_or_default();
                    slices[count] = IoSlice::new(&memory[skip..]);
                    bytes += memory.len() - skip;
                    skip = 0;
                    count += 1;
                }
            }
        }
        if let Some(page) = self.page.as_ref().filter(|page| !page.is_empty()) {
            if count == GATHER {
                return Front::Memory { slices: count, bytes, more: true };
            }
            slices[count] = IoSlice::new(page.as_slice());
            bytes += page.len();
            count += 1;
        }
        if count == 0 {
            return Front::Empty;
        }
        Front::Memory { slices: count, bytes, more: false }
    }

    /// Removes `n` sent bytes from the front, and every gate up to `open` that then stands there.
    #[inline]
    pub(crate) fn advance(&mut self, n: u64, open: u64, pool: &mut Pool, stash: &mut Stash) {
        // The usual case: one page, sent whole.
        if self.ring.is_none()
            && let Some(page) = self.page.take_if(|page| page.len() as u64 == n)
        {
            self.sent += n;
            return pool.deallocate(page);
        }
        self.advance_slow(n, open, pool, stash);
    }

    fn advance_slow(&mut self, mut n: u64, open: u64, pool: &mut Pool, stash: &mut Stash) {
        self.sent += n;
        if let Some(ring) = &mut self.ring {
            while let Some(front) = ring.front_mut() {
                match front {
                    Chunk::Gate(level) if *level <= open => {}
                    Chunk::Gate(_) => break,
                    Chunk::File { offset, len, .. } => {
                        let step = n.min(*len);
                        *offset += step;
                        *len -= step;
                        n -= step;
                        if *len > 0 {
                            break;
                        }
                    }
                    _ => {
                        let left = front.len() - self.front_sent as u64;
                        if n < left {
                            self.front_sent += n as usize;
                            n = 0;
                            break;
                        }
                        n -= left;
                        self.front_sent = 0;
                    }
                }
                if let Some(Chunk::Buf(buf)) = ring.pop_front() {
                    pool.deallocate(buf);
                }
            }
            if ring.is_empty() {
                self.retire_ring(stash);
            }
        }
        // Also without a byte sent: room may have been asked for and nothing put there.
        if let Some(page) = &mut self.page
            && (n > 0 || page.is_empty())
        {
            debug_assert!(n <= page.len() as u64, "more sent than was queued");
            page.consume(n as usize);
            if page.is_empty()
                && let Some(page) = self.page.take()
            {
                pool.deallocate(page);
            }
        }
    }

    /// Drops everything that is pending.
    pub(crate) fn clear(&mut self, pool: &mut Pool, stash: &mut Stash) {
        if let Some(page) = self.page.take() {
            pool.deallocate(page);
        }
        if let Some(ring) = &mut self.ring {
            for chunk in ring.drain(..) {
                if let Chunk::Buf(buf) = chunk {
                    pool.deallocate(buf);
                }
            }
            self.retire_ring(stash);
        }
        self.front_sent = 0;
        self.put = self.sent;
    }

    fn retire_ring(&mut self, stash: &mut Stash) {
        if let Some(ring) = self.ring.take()
            && stash.0.len() < STASH
        {
            stash.0.push(ring);
        }
    }
}

/// Writes a connection's output. Obtained from [`Io::out`](crate::Io::out).
///
/// Nothing here blocks or fails visibly: if the memory budget refuses, the connection is closed with
/// [`Closed::OutOfMemory`](crate::Closed::OutOfMemory) after the step.
pub struct Out<'a> {
    pub(crate) queue: &'a mut OutQueue,
    pub(crate) pool: &'a mut Pool,
    pub(crate) stash: &'a mut Stash,
}

impl Out<'_> {
    /// True if nothing waits to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Copies `bytes` to the end of the output.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        if let Some(page) = &mut self.queue.page
            && page.spare_len() >= bytes.len()
        {
            page.extend(bytes);
            self.queue.put += bytes.len() as u64;
            return;
        }
        // The usual case: the first piece, and a small one.
        if self.queue.is_empty()
            && (1..=PAGE_FIRST).contains(&bytes.len())
            && self.queue.broken.is_none()
            && let Ok(mut page) = self.pool.allocate(PAGE_FIRST)
        {
            page.extend(bytes);
            self.queue.page = Some(page);
            self.queue.put += bytes.len() as u64;
            return;
        }
        self.put_slow(bytes);
    }

    fn put_slow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.room(bytes.len().min(PAGE_MAX));
            let take = room.len().min(bytes.len());
            if take == 0 {
                return;
            }
            room[..take].copy_from_slice(&bytes[..take]);
            self.commit(take);
            bytes = &bytes[take..];
        }
    }

    /// At least `n` writable bytes at the end of the output, to be followed by [`Out::commit`];
    /// empty if the budget refused. `n` beyond 8 KiB is cut to 8 KiB.
    pub fn room(&mut self, n: usize) -> &mut [u8] {
        let n = n.clamp(1, PAGE_MAX);
        if self.queue.broken.is_some() || !self.make_room(n) {
            self.queue.break_off(Closed::OutOfMemory);
            return &mut [];
        }
        match &mut self.queue.page {
            Some(page) => page.spare_mut(),
            None => &mut [],
        }
    }

    /// Makes the first `n` bytes of what [`Out::room`] returned part of the output.
    ///
    /// # Panics
    /// If `n` exceeds that room: a bug of the caller.
    pub fn commit(&mut self, n: usize) {
        if let Some(page) = &mut self.queue.page {
            page.advance(n);
            self.queue.put += n as u64;
            if page.is_empty()
                && let Some(page) = self.queue.page.take()
            {
                self.pool.deallocate(page);
            }
        }
    }

    /// Leaves a page with at least `n` spare bytes; false if the budget refused.
    fn make_room(&mut self, n: usize) -> bool {
        let Some(page) = self.queue.page.take() else {
            self.queue.page = self.pool.allocate(n.max(PAGE_FIRST)).ok();
            return self.queue.page.is_some();
        };
        if page.spare_len() >= n {
            self.queue.page = Some(page);
            return true;
        }
        let wanted = page.len() + n;
        if wanted > PAGE_MAX {
            self.ring().push_back(Chunk::Buf(page));
            self.queue.page = self.pool.allocate(PAGE_MAX).ok();
            return self.queue.page.is_some();
        }
        // Quadrupling, so that a burst of replies is copied at most twice.
        match self.pool.resize(page, wanted.max(4 * PAGE_FIRST)) {
            Ok(page) => {
                self.queue.page = Some(page);
                true
            }
            Err((page, _)) => {
                self.queue.page = Some(page);
                false
            }
        }
    }

    /// Adds one piece. Memory below [`COPY_LIMIT`] is copied; what is larger is sent from where it is.
    pub fn push(&mut self, chunk: Chunk) {
        let len = chunk.len();
        match chunk {
            Chunk::Gate(_) => {}
            _ if len == 0 => return self.give_back(chunk),
            Chunk::File { .. } => {}
            _ if (len as usize) < COPY_LIMIT => {
                if let Some(bytes) = chunk.memory() {
                    self.put(bytes);
                }
                return self.give_back(chunk);
            }
            _ => {}
        }
        if let Some(mut page) = self.queue.page.take() {
            // It takes no more: what it was given for more would be held for nothing.
            if page.capacity() > PAGE_FIRST && page.len() <= page.capacity() / 2 {
                let len = page.len();
                page = self.pool.resize(page, len).unwrap_or_else(|(page, _)| page);
            }
            self.ring().push_back(Chunk::Buf(page));
        }
        self.ring().push_back(chunk);
        self.queue.put += len;
    }

    fn give_back(&mut self, chunk: Chunk) {
        if let Chunk::Buf(buf) = chunk {
            self.pool.deallocate(buf);
        }
    }

    /// Asks for [`Event::Sent`](crate::Event::Sent) once everything put so far has left.
    pub fn mark(&mut self) -> Mark {
        let stored = self.queue.put + 1;
        if self.queue.mark_first == 0 {
            self.queue.mark_first = stored;
        }
        self.queue.mark_last = stored;
        Mark(self.queue.put)
    }

    /// As [`Out::mark`], and asks for [`Event::Sent`](crate::Event::Sent) after each flush until then,
    /// with how much has left: for those who put several things and follow each. Inside of a
    /// [`Hosted`](crate::Hosted) protocol it says how much its host has taken, not the kernel.
    #[inline]
    pub fn follow(&mut self) -> Mark {
        let last = self.queue.put + 1;
        let first = last.min(self.queue.sent + 2);
        // 0 is none, and becomes the largest.
        if self.queue.mark_first.wrapping_sub(1) >= first {
            self.queue.mark_first = first;
        }
        self.queue.mark_last = last;
        Mark(self.queue.put)
    }

    /// Bytes put and not yet handed to the kernel.
    pub fn pending(&self) -> u64 {
        self.queue.pending()
    }

    fn ring(&mut self) -> &mut VecDeque<Chunk> {
        let stash = &mut *self.stash;
        self.queue.ring.get_or_insert_with(|| stash.0.pop().unwrap_or_default())
    }
}

impl<'a> Out<'a> {
    /// Writes to a queue of one's own, as a protocol that hosts another does for the inner one.
    pub fn new(queue: &'a mut OutQueue, pool: &'a mut Pool, stash: &'a mut Stash) -> Out<'a> {
        Out { queue, pool, stash }
    }

    /// Takes the first chunk out of the queue, counted as sent: how a hosting protocol empties the
    /// queue of the one it hosts.
    pub fn pop(&mut self) -> Option<Chunk> {
        let chunk = match &mut self.queue.ring {
            Some(ring) => ring.pop_front(),
            None => self.queue.page.take().map(Chunk::Buf),
        }?;
        if self.queue.ring.as_ref().is_some_and(|ring| ring.is_empty()) {
            self.queue.retire_ring(self.stash);
        }
        self.queue.sent += chunk.len();
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use corelane_mempool::PoolConfig;

    use super::*;

    /// What the first send of a queue that holds these chunks gathers.
    fn first_send(chunks: Vec<Chunk>, tail: &[u8], open: u64) -> (usize, bool) {
        let mut pool = Pool::new(PoolConfig::default());
        let (mut queue, mut stash) = (OutQueue::new(), Stash::default());
        let mut out = Out::new(&mut queue, &mut pool, &mut stash);
        for chunk in chunks {
            out.push(chunk);
        }
        out.put(tail);
        let mut slices = [IoSlice::new(&[]); GATHER];
        match queue.front(open, &mut slices) {
            Front::Memory { slices, more, .. } => (slices, more),
            _ => (0, false),
        }
    }

    #[test]
    fn output_that_is_followed_tells_of_each_flush() {
        let mut pool = Pool::new(PoolConfig::default());
        let (mut queue, mut stash) = (OutQueue::new(), Stash::default());
        let mut told = Vec::new();
        Out::new(&mut queue, &mut pool, &mut stash).follow();
        told.push(queue.reached());
        Out::new(&mut queue, &mut pool, &mut stash).put(&[b'x'; 8]);
        Out::new(&mut queue, &mut pool, &mut stash).follow();
        for n in [0, 3, 0, 2] {
            queue.advance(n, 0, &mut pool, &mut stash);
            told.push(queue.reached());
        }
        Out::new(&mut queue, &mut pool, &mut stash).put(&[b'x'; 8]);
        Out::new(&mut queue, &mut pool, &mut stash).mark();
        for n in [3, 8] {
            queue.advance(n, 0, &mut pool, &mut stash);
            told.push(queue.reached());
        }
        let told: Vec<_> = told.into_iter().flatten().map(|mark| mark.0).collect();
        assert_eq!(told, [0, 3, 5, 8, 16]);
        assert!(!queue.has_mark());
    }

    fn memory(count: usize) -> Vec<Chunk> {
        static BYTES: [u8; COPY_LIMIT] = [0; COPY_LIMIT];
        (0..count).map(|_| Chunk::Static(&BYTES)).collect()
    }

    #[test]
    fn a_send_announces_more_only_if_more_can_follow() {
        // Announced in vain, the kernel would hold the last packet back for 200 ms.
        assert_eq!(first_send(memory(GATHER), b"", 0), (GATHER, false));
        assert_eq!(first_send(memory(GATHER), b"tail", 0), (GATHER, true));
        assert_eq!(first_send(memory(GATHER + 1), b"", 0), (GATHER, true));
        let mut gated = memory(GATHER);
        gated.push(Chunk::Gate(1));
        gated.extend(memory(1));
        assert_eq!(first_send(gated, b"tail", 0), (GATHER, false));
        let file = File::from_memory(vec![0; 10]);
        let mut with_file = memory(2);
        with_file.push(Chunk::File { file, offset: 0, len: 10 });
        assert_eq!(first_send(with_file, b"", 0), (2, true));
    }
}
