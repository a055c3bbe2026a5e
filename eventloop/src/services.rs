//! What the connections of a lane share and reach through [`Io`](crate::Io) and
//! [`Turn`](crate::Turn): clock, memory, timers, mail, files.

use std::collections::BTreeMap;

use corelane_mempool::{Key, Pool};

use crate::config::LaneConfig;
use crate::files::Files;
use crate::id::{ConnId, LaneId, Target};
use crate::mail::{Full, Post};
use crate::moving::Moves;
use crate::out::Stash;
use crate::readers::Readers;
use crate::relief::Relief;
use crate::stats::LaneStats;
use crate::time::Nanos;
use crate::trace::Tracer;
use crate::wheel::Wheel;

pub(crate) struct Services<M> {
    pub(crate) now: Nanos,
    /// When the poll of this turn ended.
    pub(crate) polled: Nanos,
    /// Since the clock was read last, more was done than to tell what was sent: it may have taken a while.
    pub(crate) overtime: bool,
    /// Unix time at the lane's clock zero.
    pub(crate) wall_base: Nanos,
    pub(crate) random: Random,
    pub(crate) tracer: Tracer,
    pub(crate) limits: LaneConfig,
    pub(crate) pool: Pool,
    pub(crate) stash: Stash,
    pub(crate) wheel: Wheel,
    pub(crate) post: Post<M>,
    pub(crate) files: Box<dyn Files + Send>,
    pub(crate) stats: LaneStats,
    pub(crate) stopping: bool,
    pub(crate) gates_open: u64,
    pub(crate) gates_moved: bool,
    pub(crate) wake_at: Nanos,
    /// Outbound connections asked for, for the driver to start.
    pub(crate) connects: Vec<(Target, u64)>,
    /// Connections with output to flush.
    pub(crate) dirty: Vec<Key>,
    /// Connections to visit next turn without an event: yielded, resumed, or over their share.
    pub(crate) revisit: Vec<Key>,
    /// Connections to step before the turn's output leaves, because the protocol asks for it.
    pub(crate) nudged: Vec<Key>,
    /// Connections whose output stands at a shut gate.
    pub(crate) gated: Vec<Key>,
    /// How many of those are closed by now.
    pub(crate) gated_gone: usize,
    /// Connections to remove at the end of the turn.
    pub(crate) closing: Vec<Key>,
    /// Peers that output waits for.
    pub(crate) readers: Readers,
    pub(crate) relief: Relief,
    pub(crate) moves: Moves<M>,
    pub(crate) skips: Skips,
    /// Counts connections as they come; wraps.
    pub(crate) born: u32,
}

/// Input that is to be dropped unread: few connections have any at a time, most lanes none ever.
#[derive(Debug, Default)]
pub(crate) struct Skips(BTreeMap<Key, u64>);

impl Skips {
    /// How many of the connection's next bytes are to be dropped.
    #[inline]
    pub(crate) fn of(&self, key: Key) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.get(&key).copied().unwrap_or(0) }
    }

    /// So many more.
    pub(crate) fn add(&mut self, key: Key, n: u64) {
        if n > 0 {
            let left = self.0.entry(key).or_default();
            *left = left.saturating_add(n);
        }
    }

    /// So many were dropped. True if they were the last.
    pub(crate) fn pass(&mut self, key: Key, n: u64) -> bool {
        let Some(left) = self.0.get_mut(&key) else { return false };
        *left = left.saturating_sub(n);
        *left == 0 && self.0.remove(&key).is_some()
    }

    /// The connection is gone.
    #[inline]
    pub(crate) fn forget(&mut self, key: Key) {
        if !self.0.is_empty() {
            self.0.remove(&key);
        }
    }
}

/// A lane's pseudo-random numbers, from its seed: for jitter and sampling, not for secrets.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The next number: splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
    /// generators", 2014).
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl<M> Services<M> {
    pub(crate) fn new(
        limits: LaneConfig,
        pool: Pool,
        post: Post<M>,
        files: Box<dyn Files + Send>,
    ) -> Self {
        Services {
            now: Nanos::ZERO,
            polled: Nanos::ZERO,
            overtime: false,
            wall_base: Nanos::ZERO,
            random: Random(
                limits.seed ^ u64::from(post.lane()).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ),
            tracer: Tracer::new(),
            limits,
            pool,
            stash: Stash::default(),
            wheel: Wheel::new(),
            post,
            files,
            stats: LaneStats::default(),
            stopping: false,
            gates_open: 0,
            gates_moved: false,
            wake_at: Nanos::MAX,
            connects: Vec::new(),
            dirty: Vec::new(),
            revisit: Vec::new(),
            nudged: Vec::new(),
            gated: Vec::new(),
            gated_gone: 0,
            closing: Vec::new(),
            readers: Readers::new(),
            relief: Relief::default(),
            moves: Moves::default(),
            skips: Skips::default(),
            born: 0,
        }
    }

    pub(crate) fn wall(&self) -> Nanos {
        self.wall_base + self.now
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.random.draw()
    }

    pub(crate) fn send_mail(&mut self, lane: LaneId, mail: M) -> Result<(), Full<M>> {
        let sent = self.post.send(lane, mail);
        self.count_mail(sent.is_ok());
        sent
    }

    pub(crate) fn post_mail(&mut self, conn: ConnId, mail: M) -> Result<(), Full<M>> {
        let sent = self.post.post(conn, mail);
        self.count_mail(sent.is_ok());
        sent
    }

    fn count_mail(&mut self, taken: bool) {
        if taken {
            self.stats.mail_out += 1;
        } else {
            self.stats.mail_refused += 1;
        }
    }
}
