//! Wakers: what the wakers of one task share, and where they put it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use corelane_mempool::Key;
use crossbeam::queue::SegQueue;

/// The tasks that were woken, by whatever thread.
pub(super) struct Inbox {
    /// Holds each task once, so it is as long as there are tasks, and those that went while they stood
    /// in it.
    woken: SegQueue<Key>,
    lane: Waker,
}

impl Inbox {
    pub(super) fn new(lane: Waker) -> Inbox {
        Inbox { woken: SegQueue::new(), lane }
    }

    pub(super) fn pop(&self) -> Option<Key> {
        self.woken.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.woken.is_empty()
    }

    pub(super) fn wake_lane(&self) {
        self.lane.wake_by_ref();
    }
}

/// Wakes one task.
pub(super) struct Signal {
    key: Key,
    /// Set while the task stands in the inbox, and for good once it is gone.
    queued: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Signal {
    pub(super) fn new(key: Key, inbox: Arc<Inbox>) -> Signal {
        Signal { key, queued: AtomicBool::new(false), inbox }
    }

    /// Before a poll: a wake from here on queues the task again, and what was written before an
    /// earlier one is visible.
    pub(super) fn take(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }

    /// The task is gone: later wakes do nothing.
    pub(super) fn mute(&self) {
        self.queued.store(true, Ordering::Relaxed);
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.inbox.woken.push(self.key);
            self.inbox.wake_lane();
        }
    }
}
