//! Where connections go, and where they come from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use corelane_eventloop::Target;

/// Connections taken from one source address before the next is used. The kernel's default range
/// has 28,232 ephemeral ports for each.
const CONNECTIONS_PER_SOURCE: u64 = 20_000;
/// Loopback source addresses at most: 127.0.0.1 to 127.0.0.64.
const SOURCE_COUNT_MAX: u64 = 64;

/// Gives each connection its addresses.
///
/// A closed connection keeps its pair of ports in TIME_WAIT for a minute, so a client that opens
/// tens of thousands per second runs out of them. All of 127.0.0.0/8 is local: towards an IPv4
/// loopback target the source address moves on as ports are used up.
#[derive(Debug)]
pub(crate) struct Source {
    targets: Vec<SocketAddr>,
    /// Connections begun so far.
    begun: u64,
}

impl Source {
    /// `first` tells apart the workers of one run, so that they start on different addresses.
    pub(crate) fn new(targets: &[SocketAddr], first: u64) -> Self {
        Self { targets: targets.to_vec(), begun: first * CONNECTIONS_PER_SOURCE }
    }

    /// The addresses of the next connection.
    pub(crate) fn next(&mut self) -> Target {
        // Fewer than the number of targets, which fits.
        let to = self.targets[(self.begun % self.targets.len() as u64) as usize];
        let source = self.begun / CONNECTIONS_PER_SOURCE % SOURCE_COUNT_MAX;
        self.begun += 1;
        match to.ip() {
            // The first source is left to the kernel, which then also picks the port later and cheaper.
            IpAddr::V4(ip) if ip.is_loopback() && source > 0 => {
                Target::From { source: Ipv4Addr::new(127, 0, 0, 1 + source as u8).into(), to }
            }
            _ => Target::Ip(to),
        }
    }

    /// The present source has no port left: goes on to the next.
    pub(crate) fn exhausted(&mut self) {
        self.begun = self.begun.next_multiple_of(CONNECTIONS_PER_SOURCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_move_on_and_targets_take_turns() {
        let to: SocketAddr = ([127, 0, 0, 1], 80).into();
        let mut source = Source::new(&[to], 0);
        assert_eq!(source.next(), Target::Ip(to));
        source.exhausted();
        let second = IpAddr::from([127, 0, 0, 2]);
        assert_eq!(source.next(), Target::From { source: second, to });
        let far: Vec<SocketAddr> = vec![([192, 0, 2, 1], 80).into(), ([192, 0, 2, 2], 80).into()];
        let mut source = Source::new(&far, 1);
        let next: Vec<_> = (0..4).map(|_| source.next()).collect();
        assert_eq!(next, [far[0], far[1], far[0], far[1]].map(Target::Ip));
    }
}
