//! What the lanes of a process and other threads share: queues of words, and who is there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;

use corelane_eventloop::{ConnId, LaneId};
use corelane_mempool::{Key, Shared};
use crossbeam::queue::ArrayQueue;

use super::handle::SendError;
use super::topic::{Slow, To};

/// Words of other threads that wait for one lane at most.
const PARCELS: usize = 1024;
/// Their bytes at most, but for one message.
const PARCEL_BYTES: usize = 16 << 20;

/// Words of another thread.
pub(super) struct Parcel {
    pub(super) to: To,
    pub(super) words: Shared,
    pub(super) slow: Slow,
}

/// What all lanes of a process share. It outlives them.
pub(crate) struct Exchange {
    lanes: Box<[Place]>,
    handles: AtomicUsize,
}

impl Exchange {
    pub(crate) fn new(lanes: usize) -> Exchange {
        Exchange {
            lanes: (0..lanes.max(1)).map(|_| Place::new()).collect(),
            handles: AtomicUsize::new(0),
        }
    }

    pub(super) fn lane(&self, lane: LaneId) -> Option<&Place> {
        self.lanes.get(usize::from(lane))
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// The lane that a further handle speaks through: each in turn.
    pub(super) fn next_home(&self) -> LaneId {
        (self.handles.fetch_add(1, Ordering::Relaxed) % self.lanes.len()) as LaneId
    }

    /// What is known of a connection from afar.
    pub(super) fn presence(&self, conn: ConnId) -> Presence {
        self.lane(conn.lane).map_or(Presence::Gone, |place| place.presences.of(conn.key))
    }
}

/// One lane's part.
pub(super) struct Place {
    parcels: ArrayQueue<Parcel>,
    parcel_bytes: AtomicUsize,
    waker: OnceLock<Waker>,
    /// The lane has ended.
    ended: AtomicBool,
    pub(super) presences: Presences,
    /// Bytes of batches on their way to this lane.
    pub(super) under_way: AtomicUsize,
}

impl Place {
    fn new() -> Place {
        Place {
            parcels: ArrayQueue::new(PARCELS),
            parcel_bytes: AtomicUsize::new(0),
            waker: OnceLock::new(),
            ended: AtomicBool::new(false),
            presences: Presences::new(),
            under_way: AtomicUsize::new(0),
        }
    }

    /// A lane begins, or its successor.
    pub(super) fn begin(&self) {
        self.presences.clear();
        self.ended.store(false, Ordering::Release);
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Says how the lane is woken.
    pub(super) fn woken_by(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    pub(super) fn put(&self, parcel: Parcel) -> Result<(), SendError> {
        if self.has_ended() {
            return Err(SendError::Gone);
        }
        let bytes = parcel.words.len();
        if self.parcel_bytes.fetch_add(bytes, Ordering::Relaxed) >= PARCEL_BYTES {
            self.parcel_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(SendError::Full);
        }
        if self.parcels.push(parcel).is_err() {
            self.parcel_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(SendError::Full);
        }
        // A lane that has not begun finds it in its first turn.
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
        Ok(())
    }

    pub(super) fn take(&self) -> Option<Parcel> {
        let parcel = self.parcels.pop()?;
        self.parcel_bytes.fetch_sub(parcel.words.len(), Ordering::Relaxed);
        Some(parcel)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parcels.is_empty()
    }
}

/// What is known of a connection from afar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presence {
    Gone,
    Open,
    /// As much waits for it as may.
    Full,
}

const CHUNK: usize = 1024;
const CHUNKS: usize = 1024;

/// Who is there, by place in the lane: readable from any thread, written by the lane. Grows by chunks of
/// 8 KiB, up to 1,048,576 places; whoever sits beyond is taken to be there.
pub(super) struct Presences(Box<[OnceLock<Box<[AtomicU64]>>]>);

impl Presences {
    fn new() -> Presences {
        Presences((0..CHUNKS).map(|_| OnceLock::new()).collect())
    }

    fn slot(&self, key: Key) -> Option<&AtomicU64> {
        let chunk = self.0.get(key.index() / CHUNK)?;
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU64::new(0)).collect());
        chunk.get(key.index() % CHUNK)
    }

    pub(super) fn set(&self, key: Key, presence: Presence) {
        let Some(slot) = self.slot(key) else { return };
        let state = match presence {
            Presence::Gone => 0,
            Presence::Open => 1,
            Presence::Full => 2,
        };
        slot.store(u64::from(key.generation()) << 2 | state, Ordering::Release);
    }

    fn of(&self, key: Key) -> Presence {
        let Some(chunk) = self.0.get(key.index() / CHUNK) else { return Presence::Open };
        let Some(chunk) = chunk.get() else { return Presence::Gone };
        let state = chunk[key.index() % CHUNK].load(Ordering::Acquire);
        match (state >> 2 == u64::from(key.generation()), state & 3) {
            (true, 1) => Presence::Open,
            (true, 2) => Presence::Full,
            _ => Presence::Gone,
        }
    }

    fn clear(&self) {
        for chunk in self.0.iter().filter_map(OnceLock::get) {
            for slot in chunk {
                slot.store(0, Ordering::Release);
            }
        }
    }
}
