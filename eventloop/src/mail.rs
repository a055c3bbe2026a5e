//! Mail between lanes: one bounded ring per pair of lanes, and at most one wake per sleep.
//!
//! A lane that is about to block says so in its [`Doorbell`], looks into its rings once more, and
//! only then blocks. A sender that has put something in looks at the doorbell after that: either the
//! receiver saw the mail, or the sender sees the receiver asleep and rings. On the hot path, when both
//! run, a message costs a ring push and no system call.

use std::collections::VecDeque;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use crossbeam::queue::ArrayQueue;
use rtrb::{Consumer, Producer, RingBuffer};

use crate::driver::ListenOptions;
use crate::id::{ConnId, LaneId, ListenerId};
use crate::moving::Parcel;
use crate::time::Nanos;
use corelane_mempool::Key;

/// Capacity of a lane's control queue. Sockets handed over wait in it.
const CONTROL: usize = 1024;

/// Epochs of sending count from here, and 0 is before all of them.
const FIRST_EPOCH: u8 = 2;

/// Mail that could not be queued, given back.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Full<T>(pub T);

/// Wakes a lane that sleeps in its driver.
#[derive(Default)]
pub(crate) struct Doorbell {
    asleep: AtomicBool,
    /// Locked only to ring, which happens at most once per sleep, and when a driver takes over.
    bell: Mutex<Option<Bell>>,
}

type Bell = Box<dyn Fn() + Send + Sync>;

impl Doorbell {
    /// The driver supplies the wake. A lane's successor, with a driver of its own, replaces it.
    pub(crate) fn install(&self, bell: Bell) {
        *self.bell.lock().unwrap_or_else(PoisonError::into_inner) = Some(bell);
    }

    /// The lane is about to block. Everything put into its queues before a ring that found it awake
    /// is visible after this call, so the caller must look into them once more.
    pub(crate) fn going_to_sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Rings if the lane sleeps; says whether it did.
    pub(crate) fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        if !self.asleep.load(Ordering::Relaxed) || !self.asleep.swap(false, Ordering::Relaxed) {
            return false;
        }
        if let Some(bell) = &*self.bell.lock().unwrap_or_else(PoisonError::into_inner) {
            bell();
        }
        true
    }
}

/// What a lane is told from outside.
#[derive(Debug)]
pub(crate) enum Control {
    /// Take over an accepted socket.
    Adopt { socket: Socket, listener: ListenerId, options: ListenOptions },
}

/// Orders that must not be lost to a full queue.
#[derive(Default)]
struct Orders {
    /// How long to drain, plus one; 0 if there is no order to stop.
    stop: AtomicU64,
    cut: AtomicBool,
    /// The lane is to take a turn, whatever else there is to do.
    wake: AtomicBool,
}

/// A connected socket on its way to a lane.
#[derive(Debug)]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection to a Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Gets a lane to take a turn, and no more than that.
struct TurnWaker {
    orders: Arc<Orders>,
    doorbell: Arc<Doorbell>,
}

impl Wake for TurnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever found it unset rings; the lane takes it before it looks at what it was woken for.
        if !self.orders.wake.swap(true, Ordering::AcqRel) {
            self.doorbell.ring();
        }
    }
}

/// Reaches a lane from any thread: to wake it, to stop it, or to hand it a connection.
#[derive(Clone)]
pub struct LaneHandle {
    lane: LaneId,
    control: Arc<ArrayQueue<Control>>,
    orders: Arc<Orders>,
    doorbell: Arc<Doorbell>,
    waker: Waker,
}

impl LaneHandle {
    fn new(lane: LaneId) -> LaneHandle {
        let (orders, doorbell) = (Arc::<Orders>::default(), Arc::<Doorbell>::default());
        let waker = TurnWaker { orders: orders.clone(), doorbell: doorbell.clone() };
        LaneHandle {
            lane,
            control: Arc::new(ArrayQueue::new(CONTROL)),
            orders,
            doorbell,
            waker: Arc::new(waker).into(),
        }
    }

    /// Which lane this reaches.
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// Has the lane take a turn soon, from any thread and without a lock unless the lane sleeps. What
    /// was written before a wake is visible in the [`Protocol::turn`](crate::Protocol::turn) after
    /// it; many wakes before that turn are one. It outlives the lane, and then reaches its successor.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Asks the lane to stop: it accepts no more, tells every connection, and cuts those that are
    /// left after `drain`. Returns at once.
    pub fn stop(&self, drain: Nanos) {
        self.orders.stop.store(drain.0.saturating_add(1), Ordering::Release);
        self.doorbell.ring();
    }

    /// Wakes the lane if it sleeps, so that it turns once though nothing has happened. Returns at once.
    pub fn wake(&self) {
        self.doorbell.ring();
    }

    /// Cuts every connection of the lane. Returns at once.
    pub fn cut(&self) {
        self.orders.cut.store(true, Ordering::Release);
        self.doorbell.ring();
    }

    /// Hands over a connected socket, which the lane treats as accepted from `listener` with these options. A place
    /// reserved with [`Admit`](crate::Admit) goes with it: the lane releases it when the connection
    /// closes. Gives the socket back if the lane's queue is full.
    pub fn adopt(
        &self,
        socket: Socket,
        listener: ListenerId,
        options: ListenOptions,
    ) -> Result<(), Full<Socket>> {
        let pushed = self.control.push(Control::Adopt { socket, listener, options });
        if let Err(Control::Adopt { socket, .. }) = pushed {
            return Err(Full(socket));
        }
        self.doorbell.ring();
        Ok(())
    }
}

/// Whom a piece of mail is for, within the receiving lane.
#[derive(Debug)]
pub(crate) enum Recipient {
    Lane,
    Conn(Key),
    /// The connection that came here from this place.
    Moved(ConnId),
}

/// What travels through a ring. A connection goes the way of its mail, so that what is forwarded to it
/// comes behind it.
pub(crate) enum Envelope<M> {
    Mail { to: Recipient, mail: M },
    Parcel(Box<Parcel>),
}

/// Whether connections may move to a lane, and how many are on their way to it. Either the sender sees
/// that the lane has closed, or the lane sees that something is on its way, and waits for it.
#[derive(Default)]
struct Berth {
    closed: AtomicBool,
    inbound: AtomicUsize,
}

/// One lane's end of the mail system: rings to and from every other lane, and its control queue.
///
/// Made for all lanes at once by [`Post::mesh`]. It outlives the lane: a lane that died is restarted
/// with the post of its predecessor.
pub struct Post<M> {
    lane: LaneId,
    inboxes: Vec<Consumer<Envelope<M>>>,
    outboxes: Vec<Option<Producer<Envelope<M>>>>,
    /// Mail of the lane to itself, bounded like the rings.
    own: VecDeque<Envelope<M>>,
    own_limit: usize,
    bells: Vec<Arc<Doorbell>>,
    berths: Arc<[Berth]>,
    /// Lanes that were sent something since the last [`Post::ring_bells`].
    rung: Vec<bool>,
    any_rung: bool,
    /// How much was put into the queue to each lane.
    sent: Vec<u64>,
    /// The same when the present epoch began.
    sent_before: Vec<u64>,
    epoch: u8,
    handle: LaneHandle,
    /// How many lanes had it before.
    pub(crate) predecessors: u32,
}

impl<M> Post<M> {
    /// The posts of `lanes` lanes, with rings of `capacity` pieces of mail between each two.
    /// Memory: `lanes² × capacity × size of mail`, allocated at once.
    ///
    /// ```
    /// use corelane_eventloop::Post;
    /// let posts = Post::<u64>::mesh(2, 64);
    /// assert_eq!(posts[1].handle().lane(), 1);
    /// ```
    pub fn mesh(lanes: usize, capacity: usize) -> Vec<Post<M>> {
        let handles: Vec<_> = (0..lanes).map(|lane| LaneHandle::new(lane as LaneId)).collect();
        let bells: Vec<_> = handles.iter().map(|handle| handle.doorbell.clone()).collect();
        let berths: Arc<[Berth]> = handles.iter().map(|_| Berth::default()).collect();
        let mut posts: Vec<_> = handles
            .into_iter()
            .enumerate()
            .map(|(lane, handle)| Post {
                lane: lane as LaneId,
                inboxes: Vec::with_capacity(lanes),
                outboxes: Vec::with_capacity(lanes),
                own: VecDeque::new(),
                own_limit: capacity,
                bells: bells.clone(),
                berths: berths.clone(),
                rung: vec![false; lanes],
                any_rung: false,
                sent: vec![0; lanes],
                sent_before: vec![0; lanes],
                epoch: FIRST_EPOCH,
                handle,
                predecessors: 0,
            })
            .collect();
        for from in 0..lanes {
            for to in 0..lanes {
                if from == to {
                    posts[from].outboxes.push(None);
                    continue;
                }
                let (producer, consumer) = RingBuffer::new(capacity);
                posts[from].outboxes.push(Some(producer));
                posts[to].inboxes.push(consumer);
            }
        }
        posts
    }

    /// Reaches this lane from other threads.
    pub fn handle(&self) -> LaneHandle {
        self.handle.clone()
    }

    /// This lane's number.
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// How many lanes there are.
    pub fn lanes(&self) -> usize {
        self.bells.len()
    }

    pub(crate) fn doorbell(&self) -> &Arc<Doorbell> {
        &self.handle.doorbell
    }

    pub(crate) fn send(&mut self, lane: LaneId, mail: M) -> Result<(), Full<M>> {
        self.push_mail(lane, Recipient::Lane, mail)
    }

    pub(crate) fn post(&mut self, conn: ConnId, mail: M) -> Result<(), Full<M>> {
        self.push_mail(conn.lane, Recipient::Conn(conn.key), mail)
    }

    /// Sends mail after a connection that has gone from `from` to that lane.
    pub(crate) fn forward(&mut self, lane: LaneId, from: ConnId, mail: M) -> Result<(), Full<M>> {
        self.push_mail(lane, Recipient::Moved(from), mail)
    }

    fn push_mail(&mut self, lane: LaneId, to: Recipient, mail: M) -> Result<(), Full<M>> {
        match self.push(lane, Envelope::Mail { to, mail }) {
            Err(Envelope::Mail { mail, .. }) => Err(Full(mail)),
            _ => Ok(()),
        }
    }

    fn push(&mut self, lane: LaneId, envelope: Envelope<M>) -> Result<(), Envelope<M>> {
        let target = usize::from(lane);
        match self.outboxes.get_mut(target) {
            None => Err(envelope),
            Some(None) if self.own.len() >= self.own_limit => Err(envelope),
            Some(None) => {
                self.own.push_back(envelope);
                self.sent[target] += 1;
                Ok(())
            }
            Some(Some(ring)) => {
                ring.push(envelope).map_err(|rtrb::PushError::Full(envelope)| envelope)?;
                self.sent[target] += 1;
                self.rung[target] = true;
                self.any_rung = true;
                Ok(())
            }
        }
    }

    /// Pieces of mail that each of this lane's queues holds at most.
    pub(crate) fn capacity(&self) -> usize {
        self.own_limit
    }

    /// Says that a connection is about to be sent to that lane. False, and nothing said, if it takes
    /// none. To be followed by [`Post::ship`] or [`Post::unannounce`].
    pub(crate) fn announce(&mut self, lane: LaneId) -> bool {
        let Some(Some(ring)) = self.outboxes.get(usize::from(lane)) else { return false };
        if ring.slots() == 0 || ring.is_abandoned() {
            return false;
        }
        let berth = &self.berths[usize::from(lane)];
        berth.inbound.fetch_add(1, Ordering::SeqCst);
        let open = !berth.closed.load(Ordering::SeqCst);
        if !open {
            self.unannounce(lane);
        }
        open
    }

    /// The connection that was announced does not come.
    pub(crate) fn unannounce(&self, lane: LaneId) {
        let lane = usize::from(lane);
        self.berths[lane].inbound.fetch_sub(1, Ordering::SeqCst);
        if self.berths[lane].closed.load(Ordering::SeqCst) {
            // It may have waited for nothing else.
            self.bells[lane].ring();
        }
    }

    /// Sends the connection that was announced. Gives it back if there is no room after all.
    pub(crate) fn ship(&mut self, lane: LaneId, parcel: Box<Parcel>) -> Result<(), Box<Parcel>> {
        match self.push(lane, Envelope::Parcel(parcel)) {
            Err(Envelope::Parcel(parcel)) => {
                self.unannounce(lane);
                Err(parcel)
            }
            _ => Ok(()),
        }
    }

    /// A connection has come in.
    pub(crate) fn landed(&self) {
        self.berths[usize::from(self.lane)].inbound.fetch_sub(1, Ordering::SeqCst);
    }

    /// Connections may move here, or may no more.
    pub(crate) fn set_landing(&self, allowed: bool) {
        self.berths[usize::from(self.lane)].closed.store(!allowed, Ordering::SeqCst);
    }

    /// True if connections are on their way here.
    pub(crate) fn expects(&self) -> bool {
        self.berths[usize::from(self.lane)].inbound.load(Ordering::SeqCst) > 0
    }

    /// Wakes that lane if it is stopping: what it waited for may have ended.
    pub(crate) fn ring_if_stopping(&self, lane: LaneId) {
        let lane = usize::from(lane);
        if self.berths[lane].closed.load(Ordering::SeqCst) {
            self.bells[lane].ring();
        }
    }

    /// The present epoch of sending.
    #[inline]
    pub(crate) fn epoch(&self) -> u8 {
        self.epoch
    }

    /// Ends epochs whose predecessors' mail was taken.
    pub(crate) fn settle(&mut self) {
        // Twice, so that nothing is unsettled where nothing waits.
        for _ in 0..2 {
            let taken =
                |(lane, &before): (usize, &u64)| self.sent[lane] - self.untaken(lane) >= before;
            if !self.sent_before.iter().enumerate().all(taken) {
                return;
            }
            self.sent_before.clone_from(&self.sent);
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    /// True if all that was sent in this epoch was taken. An epoch of long ago may seem to be a recent
    /// one, for a while.
    pub(crate) fn is_settled(&self, epoch: u8) -> bool {
        self.epoch.wrapping_sub(epoch) > 1
    }

    /// How much waits in the queue to that lane.
    fn untaken(&self, lane: usize) -> u64 {
        match &self.outboxes[lane] {
            Some(ring) => (ring.buffer().capacity() - ring.slots()) as u64,
            None => self.own.len() as u64,
        }
    }

    /// Wakes the lanes that were sent something and sleep; returns how many.
    pub(crate) fn ring_bells(&mut self) -> u64 {
        if !self.any_rung {
            return 0;
        }
        self.any_rung = false;
        let mut wakes = 0;
        for (rung, bell) in self.rung.iter_mut().zip(&self.bells) {
            if std::mem::take(rung) && bell.ring() {
                wakes += 1;
            }
        }
        wakes
    }

    /// How much mail each source holds, so that a turn takes only what was there when it began.
    pub(crate) fn sources(&self) -> usize {
        self.inboxes.len() + 1
    }

    pub(crate) fn waiting(&self, source: usize) -> usize {
        match self.inboxes.get(source) {
            Some(ring) => ring.slots(),
            None => self.own.len(),
        }
    }

    pub(crate) fn take(&mut self, source: usize) -> Option<Envelope<M>> {
        match self.inboxes.get_mut(source) {
            Some(ring) => ring.pop().ok(),
            None => self.own.pop_front(),
        }
    }

    pub(crate) fn control(&self) -> Option<Control> {
        self.handle.control.pop()
    }

    /// The order to stop, once: how long to drain.
    pub(crate) fn take_stop(&self) -> Option<Nanos> {
        let order = &self.handle.orders.stop;
        if order.load(Ordering::Relaxed) == 0 {
            return None;
        }
        order.swap(0, Ordering::Acquire).checked_sub(1).map(Nanos)
    }

    /// The order to cut, once.
    pub(crate) fn take_cut(&self) -> bool {
        let order = &self.handle.orders.cut;
        order.load(Ordering::Relaxed) && order.swap(false, Ordering::Acquire)
    }

    /// Takes what [`LaneHandle::waker`] was used for, once.
    pub(crate) fn take_wake(&self) {
        let order = &self.handle.orders.wake;
        if order.load(Ordering::Relaxed) {
            order.swap(false, Ordering::AcqRel);
        }
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.handle.waker
    }

    /// True if nothing waits in any queue, and no order.
    pub(crate) fn is_idle(&self) -> bool {
        self.own.is_empty()
            && self.handle.control.is_empty()
            && self.handle.orders.stop.load(Ordering::Relaxed) == 0
            && !self.handle.orders.cut.load(Ordering::Relaxed)
            && !self.handle.orders.wake.load(Ordering::Relaxed)
            && self.inboxes.iter().all(|ring| ring.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn content(envelope: Envelope<u32>) -> u32 {
        match envelope {
            Envelope::Mail { mail, .. } => mail,
            Envelope::Parcel(_) => panic!("a connection"),
        }
    }

    #[test]
    fn mail_arrives_in_order_and_is_bounded() {
        let mut posts = Post::<u32>::mesh(2, 4);
        for n in 0..4 {
            posts[0].send(1, n).unwrap();
        }
        assert_eq!(posts[0].send(1, 9), Err(Full(9)));
        let got: Vec<_> = std::iter::from_fn(|| posts[1].take(0)).map(content).collect();
        assert_eq!(got, [0, 1, 2, 3]);
        assert!(posts[1].is_idle());
    }

    #[test]
    fn mail_to_oneself_is_bounded_too() {
        let mut posts = Post::<u32>::mesh(1, 2);
        assert!(posts[0].send(0, 1).is_ok() && posts[0].send(0, 2).is_ok());
        assert_eq!(posts[0].send(0, 3), Err(Full(3)));
        assert_eq!(posts[0].send(7, 3), Err(Full(3)), "no such lane");
    }

    #[test]
    fn orders_are_not_lost_to_a_full_queue() {
        let mut posts = Post::<u32>::mesh(1, 2);
        // Small, so that filling it takes no descriptors from other tests.
        posts[0].handle.control = Arc::new(ArrayQueue::new(1));
        let handle = posts[0].handle();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let adopt = || handle.adopt(Socket::Tcp(socket.try_clone().unwrap()), 0, <_>::default());
        while adopt().is_ok() {}
        handle.stop(Nanos::from_secs(3));
        handle.cut();
        assert!(!posts[0].is_idle());
        assert_eq!(posts[0].take_stop(), Some(Nanos::from_secs(3)));
        assert!(posts[0].take_cut());
        assert_eq!((posts[0].take_stop(), posts[0].take_cut()), (None, false), "once");
    }

    #[test]
    fn a_sleeping_lane_is_woken_once() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let mut posts = Post::<u32>::mesh(2, 64);
        let counter = wakes.clone();
        posts[1].doorbell().install(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        posts[0].send(1, 1).unwrap();
        assert_eq!(posts[0].ring_bells(), 0, "awake: no wake");
        posts[1].doorbell().going_to_sleep();
        for n in 0..10 {
            posts[0].send(1, n).unwrap();
        }
        assert_eq!(posts[0].ring_bells(), 1);
        posts[0].send(1, 1).unwrap();
        assert_eq!(posts[0].ring_bells(), 0, "already woken");
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_waker_rings_once_until_the_turn_it_asked_for() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let post = Post::<u32>::mesh(1, 2).remove(0);
        let counter = wakes.clone();
        post.doorbell().install(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        let waker = post.handle().waker().clone();
        waker.wake_by_ref();
        assert!(!post.is_idle(), "a lane that is awake does not fall asleep");
        assert_eq!(wakes.load(Ordering::Relaxed), 0, "and need not be woken");
        post.take_wake();
        assert!(post.is_idle());
        for _ in 0..2 {
            post.doorbell().going_to_sleep();
            waker.wake_by_ref();
            waker.wake_by_ref();
            post.take_wake();
        }
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        // The receiver counts what it takes; whenever it finds nothing, it goes to sleep as a driver
        // does. A lost wake would leave it asleep with mail in the ring: the test would hang, so the
        // wait has a limit and fails instead.
        const MAIL: u64 = 20_000;
        let mut posts = Post::<u64>::mesh(2, 16);
        let mut receiver = posts.pop().unwrap();
        let mut sender = posts.pop().unwrap();
        let thread = std::thread::spawn(move || {
            let sleeper = std::thread::current();
            receiver.doorbell().install(Box::new(move || sleeper.unpark()));
            let mut next = 0;
            while next < MAIL {
                match receiver.take(0) {
                    Some(envelope) => {
                        let Envelope::Mail { mail, .. } = envelope else { panic!() };
                        assert_eq!(mail, next);
                        next += 1;
                    }
                    None => {
                        receiver.doorbell().going_to_sleep();
                        if receiver.is_idle() {
                            let before = std::time::Instant::now();
                            std::thread::park_timeout(std::time::Duration::from_secs(20));
                            assert!(before.elapsed().as_secs() < 20, "a wake was lost");
                        }
                        receiver.doorbell().awake();
                    }
                }
            }
        });
        for n in 0..MAIL {
            let mut mail = n;
            while let Err(Full(back)) = sender.send(1, mail) {
                mail = back;
                sender.ring_bells();
                std::thread::yield_now();
            }
            sender.ring_bells();
        }
        thread.join().unwrap();
    }
}
