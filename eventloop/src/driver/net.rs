//! What a reactor needs from a network: readiness, and non-blocking calls.

use std::io::{self, IoSlice};

use crate::files::File;
use crate::id::{Peer, Target};
use crate::mail;
use crate::time::Nanos;

/// A readiness event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// What the socket was registered with.
    pub(crate) token: u64,
    /// A receive will not block (or will fail).
    pub(crate) readable: bool,
    /// A send will not block (or will fail).
    pub(crate) writable: bool,
    /// The peer has shut down its side, or sent urgent data: a short receive is not the last one.
    pub(crate) read_closed: bool,
    /// The connection is gone in both directions: the peer reset it, or the network lost it. Not set
    /// by a peer that has only shut down its side.
    pub(crate) hung_up: bool,
}

/// Tokens from here on are not connections.
pub(crate) const RESERVED: u64 = 0xffff_ffff_0000_0000;

/// Readiness events taken from the kernel in one poll at most.
pub(crate) const EVENTS: usize = 1024;

/// How many bits of a key's generation survive in an event.
pub(crate) const GENERATION_BITS: u32 = if usize::BITS >= u64::BITS { 32 } else { 11 };

/// The token of listener number `index`.
pub(crate) fn listener_token(index: usize) -> u64 {
    RESERVED + index as u64
}

/// How a piece of a file is handed to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bulk {
    /// In one call.
    Small,
    /// So that it leaves in packets as large as may be: a few more calls.
    Large,
    /// As `Large`, and the kernel may take more than the socket's limit for unsent output allows.
    Roomy,
}

/// A non-blocking network with edge-triggered readiness: after an event, no other comes for the same
/// direction until a call has found nothing more to do.
pub(crate) trait Net {
    type Socket: Send + 'static;
    type Listener;

    /// A clock that never runs backwards.
    fn now(&mut self) -> Nanos;
    /// Time since the Unix epoch.
    fn wall(&mut self) -> Nanos;
    /// Reads that clock from elsewhere; `None` if it stands still within a turn.
    fn clock(&self) -> Option<Box<dyn Fn() -> Nanos + Send>>;
    /// Waits for readiness. `None`: without limit.
    fn poll(&mut self, wait: Option<Nanos>, ready: &mut Vec<Ready>) -> io::Result<()>;
    /// Something that ends a poll, from any thread.
    fn bell(&self) -> Box<dyn Fn() + Send + Sync>;

    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Socket, Peer)>;
    /// Stops listening and frees the address.
    fn close_listener(&mut self, listener: Self::Listener);
    fn adopt(&mut self, socket: mail::Socket) -> io::Result<(Self::Socket, Peer)>;
    fn connect(&mut self, target: &Target) -> io::Result<(Self::Socket, Peer)>;
    /// How a connect ended, once the socket is writable.
    fn connect_result(&mut self, socket: &mut Self::Socket) -> io::Result<()>;

    /// Has readiness of both directions reported with this token.
    fn register(&mut self, socket: &mut Self::Socket, token: u64) -> io::Result<()>;
    /// Has nothing reported any more, so that another net of its kind can register it.
    fn deregister(&mut self, socket: &mut Self::Socket) -> io::Result<()>;
    fn receive(&mut self, socket: &mut Self::Socket, into: &mut [u8]) -> io::Result<usize>;
    /// Receives and drops up to so many bytes.
    fn skip(&mut self, socket: &mut Self::Socket, most: usize) -> io::Result<usize>;
    /// `more` says that further output follows at once (a hint to fill packets).
    fn send(
        &mut self,
        socket: &mut Self::Socket,
        slices: &[IoSlice<'_>],
        more: bool,
    ) -> io::Result<usize>;
    /// Sends a range of a file; 0 means that the file ends before `offset`. `bulk` says how much the
    /// kernel should make of it at once, where it lets itself be told.
    fn send_file(
        &mut self,
        socket: &mut Self::Socket,
        file: &File,
        offset: u64,
        len: u64,
        bulk: Bulk,
    ) -> io::Result<usize>;
    /// How many of the bytes that were sent the peer has not acknowledged, at least; 0 where nobody
    /// knows.
    fn unacknowledged(&self, socket: &Self::Socket) -> u64;
    /// True if what the peer takes is seen only in large steps.
    fn sees_steps(&self, socket: &Self::Socket) -> bool;
    /// Shuts down the sending side.
    fn shutdown(&mut self, socket: &mut Self::Socket) -> io::Result<()>;
    /// Closes; with a reset instead of an orderly end if `reset`.
    fn close(&mut self, socket: Self::Socket, reset: bool);
}
