//! Where they go: which loop gets the next connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::maglev::Maglev;
use crate::siphash::siphash13;

/// How connections are distributed over loops.
///
/// Parsed from and shown as `hash` (by IP address), `hash-port` (by IP address and port),
/// `round-robin` and `least`.
///
/// ```
/// use corelane_acceptor::{HashBy, Placement};
/// assert_eq!("hash".parse(), Ok(Placement::Hash { by: HashBy::IpOnly }));
/// assert_eq!(Placement::LeastConnections.to_string(), "least");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The same peer goes to the same loop, whatever else comes: consistent hashing.
    Hash {
        /// What is a peer.
        by: HashBy,
    },
    /// Each loop in turn.
    RoundRobin,
    /// The loop with the fewest connections; in turn among equals.
    LeastConnections,
}

/// What makes two connections come from one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// The IP address: all connections of a client share a loop, hence its caches and its limits.
    ///
    /// Of an IPv6 address the first 64 bits count, because the rest is the subscriber's to choose,
    /// and privacy extensions (RFC 8981) change it daily. An IPv4 address mapped into IPv6 counts as
    /// IPv4.
    IpOnly,
    /// The whole IP address and the port: connections spread even if one proxy opens them all.
    IpAndPort,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Placement::Hash { by: HashBy::IpOnly } => "hash",
            Placement::Hash { by: HashBy::IpAndPort } => "hash-port",
            Placement::RoundRobin => "round-robin",
            Placement::LeastConnections => "least",
        })
    }
}

impl FromStr for Placement {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Placement, PlacementError> {
        match text {
            "hash" => Ok(Placement::Hash { by: HashBy::IpOnly }),
            "hash-port" => Ok(Placement::Hash { by: HashBy::IpAndPort }),
            "round-robin" => Ok(Placement::RoundRobin),
            "least" => Ok(Placement::LeastConnections),
            _ => Err(PlacementError),
        }
    }
}

/// A text that names no [`Placement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementError;

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown placement; write hash, hash-port, round-robin or least")
    }
}

impl std::error::Error for PlacementError {}

/// Chooses a target (a loop) for each connection.
///
/// Targets are numbered from 0 and may be down for a while. Under [`Placement::Hash`] a target that
/// goes down moves its own peers and no others, and gets the very same ones back when it comes up:
/// with *n* targets, one *n*-th of the peers move.
///
/// ```
/// use corelane_acceptor::{HashBy, Placement, Placer};
/// let seed = [0x5eed, 0xfeed]; // From the system's random source, in earnest.
/// let mut placer = Placer::new(Placement::Hash { by: HashBy::IpOnly }, 4, seed);
/// let peer = "192.0.2.7:50123".parse().ok();
/// let before = placer.place(peer.as_ref(), |_| 0).unwrap();
/// placer.set_up(before, false);
/// assert_ne!(placer.place(peer.as_ref(), |_| 0), Some(before));
/// placer.set_up(before, true);
/// assert_eq!(placer.place(peer.as_ref(), |_| 0), Some(before));
/// ```
#[derive(Clone, Debug)]
pub struct Placer {
    rule: Rule,
    up: Vec<bool>,
    up_count: usize,
    /// Where the next turn, or the next search among equals, begins.
    cursor: usize,
}

#[derive(Clone, Debug)]
enum Rule {
    Hash { by: HashBy, seed: [u64; 2], table: Maglev },
    RoundRobin,
    LeastConnections,
}

impl Placer {
    /// The most targets a placer can have.
    pub const TARGETS_MAX: usize = 4_096;

    /// A placer over `targets` targets, all up.
    ///
    /// `seed` keys the hash (SipHash-1-3). Drawn at random once per process and kept secret, it keeps
    /// peers from choosing addresses and ports that meet on one loop. Placers with equal arguments
    /// place alike.
    ///
    /// # Panics
    ///
    /// If there are more than [`Placer::TARGETS_MAX`] targets.
    pub fn new(placement: Placement, targets: usize, seed: [u64; 2]) -> Placer {
        assert!(targets <= Placer::TARGETS_MAX, "{targets} targets, at most 4,096 are possible");
        let rule = match placement {
            Placement::Hash { by } => Rule::Hash { by, seed, table: Maglev::new(targets, seed) },
            Placement::RoundRobin => Rule::RoundRobin,
            Placement::LeastConnections => Rule::LeastConnections,
        };
        Placer { rule, up: vec![true; targets], up_count: targets, cursor: 0 }
    }

    /// The target of the next connection; `None` if every target is down.
    ///
    /// `peer` is `None` where peers have no address (Unix sockets): these are placed in turn under
    /// [`Placement::Hash`]. `load` tells the connections of a target; it is asked only under
    /// [`Placement::LeastConnections`], once per target that is up, and should count connections
    /// already on their way to the target, or a burst of accepts all goes to one.
    #[inline]
    pub fn place(
        &mut self,
        peer: Option<&SocketAddr>,
        load: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        match (&self.rule, peer) {
            (Rule::Hash { by, seed, table }, Some(peer)) => {
                table.target(peer_hash(*seed, *by, peer))
            }
            (Rule::Hash { .. } | Rule::RoundRobin, _) => self.next_in_turn(),
            (Rule::LeastConnections, _) => self.least_loaded(load),
        }
    }

    /// The first target after `target`, cyclically, that is up; `target` itself comes last.
    ///
    /// For connections that their target could not take.
    pub fn next_up(&self, target: usize) -> Option<usize> {
        let count = self.up.len();
        (1..=count).map(|step| (target + step) % count).find(|&index| self.up[index])
    }

    /// Takes a target out, or back in. Costs time in proportion to the number of targets, about
    /// 100 table slots each. An index out of range changes nothing.
    pub fn set_up(&mut self, target: usize, up: bool) {
        if self.up.get(target).is_none_or(|&was| was == up) {
            return;
        }
        self.up[target] = up;
        self.up_count = self.up.iter().filter(|up| **up).count();
        if let Rule::Hash { table, .. } = &mut self.rule {
            table.set_up(&self.up);
        }
    }

    /// Is this target up? `false` for an index out of range.
    pub fn is_up(&self, target: usize) -> bool {
        self.up.get(target).copied().unwrap_or(false)
    }

    /// Targets, up or down.
    pub fn targets(&self) -> usize {
        self.up.len()
    }

    /// Targets that are up.
    pub fn up_count(&self) -> usize {
        self.up_count
    }

    fn next_in_turn(&mut self) -> Option<usize> {
        let target = self.up_in_turn().next()?;
        self.set_cursor_after(target);
        Some(target)
    }

    /// Starting after the last choice makes equals take turns: `min_by_key` returns the first.
    fn least_loaded(&mut self, load: impl Fn(usize) -> usize) -> Option<usize> {
        let target = self.up_in_turn().min_by_key(|&target| load(target))?;
        self.set_cursor_after(target);
        Some(target)
    }

    /// The targets that are up, each once, beginning at the cursor.
    fn up_in_turn(&self) -> impl Iterator<Item = usize> {
        (self.cursor..self.up.len()).chain(0..self.cursor).filter(|&target| self.up[target])
    }

    fn set_cursor_after(&mut self, target: usize) {
        self.cursor = if target + 1 == self.up.len() { 0 } else { target + 1 };
    }
}

/// The keyed hash of what makes a peer a peer.
#[inline]
fn peer_hash(seed: [u64; 2], by: HashBy, peer: &SocketAddr) -> u64 {
    match (peer.ip().to_canonical(), by) {
        (IpAddr::V4(ip), HashBy::IpOnly) => siphash13(seed, &[u64::from(ip.to_bits())]),
        (IpAddr::V4(ip), HashBy::IpAndPort) => {
            siphash13(seed, &[u64::from(ip.to_bits()) << 16 | u64::from(peer.port())])
        }
        (IpAddr::V6(ip), HashBy::IpOnly) => siphash13(seed, &[(ip.to_bits() >> 64) as u64]),
        (IpAddr::V6(ip), HashBy::IpAndPort) => {
            let [high, low] = [(ip.to_bits() >> 64) as u64, ip.to_bits() as u64];
            siphash13(seed, &[high, low, u64::from(peer.port())])
        }
    }
}
