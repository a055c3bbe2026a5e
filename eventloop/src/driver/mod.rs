//! Drivers: the only part that does I/O.
//!
//! [`Mio`] runs lanes on real sockets, [`Sim`] on a simulated network. Both are the same
//! [reactor](self::reactor), over two implementations of [`net::Net`], so that the order of a turn is
//! written once and what the simulator tests is what runs.

#[cfg(target_os = "linux")]
mod alarm;
mod calls;
#[cfg(target_os = "linux")]
mod files;
mod mio;
mod moving;
pub(crate) mod net;
mod reactor;
mod send;
pub(crate) mod sim;

use std::io;

use crate::lane::Lane;
use crate::protocol::Protocol;
use crate::time::Nanos;

#[cfg(target_os = "linux")]
pub use self::files::OsFiles;
pub use self::mio::{ListenOptions, Listener, Mio};
pub use self::sim::{ClientId, End, Faults, MemFiles, Sim, World};

/// Turns lanes: polls, steps, flushes.
pub trait Driver {
    /// One turn of `lane`. Blocks for at most `wait` (`None`: for as long as nothing happens).
    ///
    /// # Errors
    /// Only what makes the driver itself useless, such as a failing poll; errors of single
    /// connections and listeners are handled within.
    fn turn<P: Protocol>(&mut self, lane: &mut Lane<P>, wait: Option<Nanos>) -> io::Result<()>;

    /// Turns `lane` until it was stopped (see [`LaneHandle::stop`](crate::LaneHandle::stop)) and its
    /// last connection is closed.
    ///
    /// # Errors
    /// Those of [`Driver::turn`].
    fn run<P: Protocol>(&mut self, lane: &mut Lane<P>) -> io::Result<()> {
        while !lane.is_finished() {
            self.turn(lane, None)?;
        }
        Ok(())
    }
}
