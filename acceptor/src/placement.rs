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
/// goes down moves its own peers and no others (one *n*-th of all, with *n* targets), and gets the very
/// same ones back when it comes up. A placer built with one target more places all but about one
/// *n*-th of the peers as before, unless the number passes 64 or 655, where the table grows.
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

    /// Takes a target out, or back in. An index out of range changes nothing.
    ///
    /// Under [`Placement::Hash`] it walks the table: a few dozen microseconds with up to 64 targets,
    /// on the thread that places.
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
        (IpAddr::V4(ip), HashBy::IpOnly) => siphash13::<4>(seed, &[], ip.to_bits().into()),
        (IpAddr::V4(ip), HashBy::IpAndPort) => {
            let both = u64::from(ip.to_bits()) << 16 | u64::from(peer.port());
            siphash13::<6>(seed, &[], both)
        }
        (IpAddr::V6(ip), HashBy::IpOnly) => siphash13::<0>(seed, &[(ip.to_bits() >> 64) as u64], 0),
        (IpAddr::V6(ip), HashBy::IpAndPort) => {
            let [high, low] = [(ip.to_bits() >> 64) as u64, ip.to_bits() as u64];
            siphash13::<2>(seed, &[high, low], peer.port().into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
    const BY_IP: Placement = Placement::Hash { by: HashBy::IpOnly };
    const BY_PORT: Placement = Placement::Hash { by: HashBy::IpAndPort };

    fn peer(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Neighbouring addresses, as a provider's customers have them.
    fn peers(count: u32) -> impl Iterator<Item = SocketAddr> {
        (0..count).map(|n| SocketAddr::new(IpAddr::V4((0x0a00_0000 + n).into()), 40_000))
    }

    fn by_hash(placer: &mut Placer, peer: &SocketAddr) -> usize {
        placer.place(Some(peer), |_| unreachable!("hashing asks for no load")).unwrap()
    }

    /// Pearson's statistic against an even distribution.
    fn chi_square(counts: &[u32]) -> f64 {
        let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        counts.iter().map(|&count| (f64::from(count) - mean).powi(2) / mean).sum()
    }

    #[test]
    fn hashing_is_even() {
        for (targets, by) in [(8, BY_IP), (64, BY_IP), (8, BY_PORT), (64, BY_PORT)] {
            let mut placer = Placer::new(by, targets, SEED);
            let mut counts = vec![0; targets];
            peers(50_000).for_each(|peer| counts[by_hash(&mut placer, &peer)] += 1);
            // Degrees of freedom plus five standard deviations, and the table's own 1 % at most.
            let freedom = (targets - 1) as f64;
            let bound = freedom + 5.0 * (2.0 * freedom).sqrt() + 50_000.0 * 0.01 * 0.01;
            assert!(chi_square(&counts) < bound, "{targets}: {} {counts:?}", chi_square(&counts));
        }
    }

    #[test]
    fn only_the_peers_of_a_lost_target_move() {
        for targets in [8, 64] {
            let mut placer = Placer::new(BY_IP, targets, SEED);
            let before: Vec<usize> = peers(20_000).map(|p| by_hash(&mut placer, &p)).collect();
            placer.set_up(5, false);
            let mut moved = 0;
            for (peer, was) in peers(20_000).zip(&before) {
                let is = by_hash(&mut placer, &peer);
                assert_eq!(is != *was, *was == 5);
                moved += usize::from(is != *was);
            }
            let fair = 20_000 / targets;
            assert!((fair * 4 / 5..=fair * 6 / 5).contains(&moved), "{targets}: {moved}");
            placer.set_up(5, true);
            assert!(
                peers(20_000).zip(before).all(|(peer, was)| by_hash(&mut placer, &peer) == was)
            );
        }
    }

    #[test]
    fn one_target_more_takes_its_share_and_little_else() {
        let (mut old, mut new) = (Placer::new(BY_IP, 8, SEED), Placer::new(BY_IP, 9, SEED));
        let moved = peers(20_000)
            .map(|peer| (by_hash(&mut old, &peer), by_hash(&mut new, &peer)))
            .filter(|(old, new)| old != new)
            .count();
        assert!((2_000..3_400).contains(&moved), "{moved} of 20,000, 2,222 at least");
    }

    #[test]
    fn what_counts_as_a_peer() {
        let key = |by, text| peer_hash(SEED, by, &peer(text));
        use HashBy::{IpAndPort, IpOnly};
        assert_eq!(key(IpOnly, "192.0.2.1:1"), key(IpOnly, "192.0.2.1:2"));
        assert_ne!(key(IpOnly, "192.0.2.1:1"), key(IpOnly, "192.0.2.2:1"));
        assert_ne!(key(IpAndPort, "192.0.2.1:1"), key(IpAndPort, "192.0.2.1:2"));
        // One subscriber, two privacy addresses; then another subscriber.
        assert_eq!(key(IpOnly, "[2001:db8:0:1::1]:1"), key(IpOnly, "[2001:db8:0:1:a:b:c:d]:9"));
        assert_ne!(key(IpOnly, "[2001:db8:0:1::1]:1"), key(IpOnly, "[2001:db8:0:2::1]:1"));
        assert_ne!(key(IpAndPort, "[2001:db8::1]:1"), key(IpAndPort, "[2001:db8::2]:1"));
        assert_ne!(key(IpAndPort, "[2001:db8::1]:1"), key(IpAndPort, "[2001:db8::1]:2"));
        // A socket that serves both families sees IPv4 peers mapped.
        assert_eq!(key(IpOnly, "192.0.2.1:1"), key(IpOnly, "[::ffff:192.0.2.1]:1"));
        assert_eq!(key(IpAndPort, "192.0.2.1:1"), key(IpAndPort, "[::ffff:192.0.2.1]:1"));
    }

    #[test]
    fn another_seed_places_otherwise() {
        let (mut one, mut two) = (Placer::new(BY_IP, 8, SEED), Placer::new(BY_IP, 8, [1, 2]));
        let same = peers(8_000).filter(|p| by_hash(&mut one, p) == by_hash(&mut two, p)).count();
        assert!((800..1_200).contains(&same), "{same} of 8,000 by chance alone");
    }

    #[test]
    fn round_robin_skips_who_is_down() {
        let mut placer = Placer::new(Placement::RoundRobin, 3, SEED);
        let next = |placer: &mut Placer| placer.place(None, |_| unreachable!());
        assert_eq!([0; 4].map(|_| next(&mut placer)), [Some(0), Some(1), Some(2), Some(0)]);
        placer.set_up(1, false);
        assert_eq!([0; 3].map(|_| next(&mut placer)), [Some(2), Some(0), Some(2)]);
        assert_eq!((placer.is_up(1), placer.is_up(9), placer.up_count()), (false, false, 2));
    }

    #[test]
    fn least_connections_takes_turns_among_equals() {
        let mut placer = Placer::new(Placement::LeastConnections, 4, SEED);
        let mut loads = [3, 1, 1, 0];
        let mut order = Vec::new();
        for _ in 0..7 {
            let target = placer.place(None, |target| loads[target]).unwrap();
            loads[target] += 1;
            order.push(target);
        }
        assert_eq!(order, [3, 1, 2, 3, 1, 2, 3]);
        assert_eq!(loads, [3, 3, 3, 3]);
    }

    #[test]
    fn peers_without_an_address_take_turns() {
        let mut placer = Placer::new(BY_IP, 2, SEED);
        assert_eq!([0; 3].map(|_| placer.place(None, |_| 0)), [Some(0), Some(1), Some(0)]);
    }

    #[test]
    fn names() {
        for placement in [BY_IP, BY_PORT, Placement::RoundRobin, Placement::LeastConnections] {
            assert_eq!(placement.to_string().parse(), Ok(placement));
        }
        assert!("random".parse::<Placement>().unwrap_err().to_string().contains("write hash"));
    }

    proptest! {
        /// Whatever goes up and down: a choice is up, and there is one as long as anything is.
        #[test]
        fn a_choice_is_always_up(
            kind in 0..4_usize,
            targets in 0..9_usize,
            changes in prop::collection::vec((0..9_usize, any::<bool>(), any::<u32>()), 0..40),
        ) {
            let kinds = [BY_IP, BY_PORT, Placement::RoundRobin, Placement::LeastConnections];
            let mut placer = Placer::new(kinds[kind], targets, SEED);
            let mut up = vec![true; targets];
            for (target, now_up, ip) in changes {
                placer.set_up(target, now_up);
                if let Some(state) = up.get_mut(target) {
                    *state = now_up;
                }
                let peer = SocketAddr::new(IpAddr::V4(ip.into()), 1);
                match placer.place(Some(&peer), |target| target) {
                    Some(choice) => {
                        prop_assert!(up[choice]);
                        prop_assert!(up[placer.next_up(choice).unwrap()]);
                    }
                    None => prop_assert!(!up.contains(&true)),
                }
                prop_assert_eq!(placer.up_count(), up.iter().filter(|up| **up).count());
            }
        }
    }
}
