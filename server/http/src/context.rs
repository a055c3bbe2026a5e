//! What surrounds a request: time, place, files.

use std::task::Waker;

use corelane_eventloop::{ConnId, Files, Nanos, Origin, Peer, Random, Stage, Tracer};

/// What a handler may know and use besides the request itself.
pub struct Context<'a> {
    pub(crate) now: Nanos,
    pub(crate) wall: Nanos,
    pub(crate) since: Nanos,
    pub(crate) peer: Peer,
    pub(crate) origin: Origin,
    pub(crate) conn: ConnId,
    pub(crate) stopping: bool,
    pub(crate) files: &'a mut (dyn Files + Send),
    pub(crate) random: &'a mut Random,
    pub(crate) waker: &'a Waker,
    pub(crate) tracer: &'a Tracer,
}

impl Context<'_> {
    /// The lane's clock.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Time since the Unix epoch.
    pub fn wall(&self) -> Nanos {
        self.wall
    }

    /// When the first byte of the request came, by the lane's clock: the end of the poll before its
    /// receive, also if the request then waited for those before it on its connection.
    pub fn since(&self) -> Nanos {
        self.since
    }

    /// The other end of the connection.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The listener that the connection came in through.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The connection.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// True once the server was asked to stop.
    pub fn stopping(&self) -> bool {
        self.stopping
    }

    /// Has the lane take a turn, from any thread.
    pub fn waker(&self) -> &Waker {
        self.waker
    }

    /// The files the driver gives access to.
    pub fn files(&mut self) -> &mut (dyn Files + Send) {
        self.files
    }

    /// Adds a note to the trace of this connection, if it is traced: see
    /// [`Io::note`](corelane_eventloop::Io::note).
    #[inline]
    pub fn note(&self, stage: Stage, event: &'static str, detail: impl FnOnce() -> String) {
        self.tracer.note(self.conn.key, self.now, stage, event, detail);
    }

    /// A pseudo-random number: for jitter, sampling and ids, not for secrets.
    pub fn random(&mut self) -> u64 {
        self.random.draw()
    }
}
