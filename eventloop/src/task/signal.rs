//! Wakers: what the wakers of one task share, and where they put it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use corelane_mempool::Key;
use crossbeam::queue::SegQueue;

thread_local! {
    /// Where tasks are put that are woken in this thread, while it runs those of that inbox.
    static RUNNING: RefCell<Option<Rc<Woken>>> = const { RefCell::new(None) };
}

/// The tasks that were woken, by whatever thread, since the last run.
pub(super) struct Inbox {
    /// Holds each task once, so it is as long as there are tasks, and those that went while they stood
    /// in it.
    queue: SegQueue<Key>,
    lane: Waker,
}

impl Inbox {
    pub(super) fn new(lane: Waker) -> Inbox {
        Inbox { queue: SegQueue::new(), lane }
    }

    pub(super) fn wake_lane(&self) {
        self.lane.wake_by_ref();
    }
}

/// The tasks to poll: those from the inbox, and those that others woke while they ran.
pub(super) struct Woken {
    inbox: Arc<Inbox>,
    keys: RefCell<VecDeque<Key>>,
}

impl Woken {
    pub(super) fn new(inbox: Arc<Inbox>) -> Rc<Woken> {
        Rc::new(Woken { inbox, keys: RefCell::default() })
    }

    /// A run begins: takes over what is in the inbox. Until the guard is dropped, wakes in this thread
    /// take the short way.
    pub(super) fn begin_run(self: &Rc<Woken>) -> Run {
        let mut keys = self.keys.borrow_mut();
        // It ends: no task is put there twice before it is taken by a poll.
        keys.extend(std::iter::from_fn(|| self.inbox.queue.pop()));
        Run { outer: RUNNING.replace(Some(self.clone())) }
    }

    pub(super) fn pop(&self) -> Option<Key> {
        self.keys.borrow_mut().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.borrow().is_empty() && self.inbox.queue.is_empty()
    }
}

/// Ends a run when it is dropped.
pub(super) struct Run {
    /// The run within which this one takes place, if anybody should do that.
    outer: Option<Rc<Woken>>,
}

impl Drop for Run {
    fn drop(&mut self) {
        RUNNING.set(self.outer.take());
    }
}

/// Wakes one task.
pub(super) struct Signal {
    key: Key,
    /// Set while the task stands in a queue, and for good once it is gone.
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

    /// Queues the task for the run that is under way in this thread. False if there is none.
    fn queue_here(&self) -> bool {
        let queued = RUNNING.try_with(|running| match &*running.borrow() {
            Some(woken) if Arc::ptr_eq(&woken.inbox, &self.inbox) => {
                woken.keys.borrow_mut().push_back(self.key);
                true
            }
            _ => false,
        });
        // A thread that is ending runs nothing.
        queued.unwrap_or(false)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) && !self.queue_here() {
            self.inbox.queue.push(self.key);
            self.inbox.wake_lane();
        }
    }
}
