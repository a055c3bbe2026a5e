//! What the kernel says about sockets.

use std::collections::HashSet;
use std::fs;

use anyhow::Context;

use crate::client::Client;

/// A reading of the kernel's table skips entries whose neighbours come or go meanwhile, so that one
/// alone would take some connections for closed.
const READINGS: usize = 3;

/// The connections of this machine that a process has open, as pairs of ports: this end's, the other
/// end's.
#[derive(Debug)]
pub(crate) struct Sockets(HashSet<(u16, u16)>);

impl Sockets {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let mut pairs = HashSet::new();
        for _ in 0..READINGS {
            let text = fs::read_to_string("/proc/net/tcp").context("/proc/net/tcp")?;
            let lines = text.lines().skip(1).filter_map(parse);
            pairs.extend(lines.filter(|line| line.owned).map(|line| (line.local, line.remote)));
        }
        Ok(Self(pairs))
    }

    /// How many of `clients` the server at `server_port` still has a descriptor for. A connection that
    /// it closed does not count, though the kernel may still be delivering what was sent before.
    pub(crate) fn held(&self, server_port: u16, clients: &[Client]) -> usize {
        clients.iter().filter(|client| self.0.contains(&(server_port, client.port()))).count()
    }
}

/// What a line of `/proc/net/tcp` says.
struct Line {
    local: u16,
    remote: u16,
    /// Whether a process has it open: only then it has an inode.
    owned: bool,
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let mut port = || u16::from_str_radix(words.next()?.rsplit_once(':')?.1, 16).ok();
    let (local, remote) = (port()?, port()?);
    // State, queues, timer, retransmissions, user and timeout stand between.
    let owned = words.nth(6)? != "0";
    Some(Line { local, remote, owned })
}

/// Memory that the kernel holds for the data of all TCP connections, in bytes.
pub(crate) fn kernel_bytes() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/net/sockstat").context("/proc/net/sockstat")?;
    let pages = pages(&text).context("/proc/net/sockstat without TCP memory")?;
    Ok(pages * rustix::param::page_size() as u64)
}

fn pages(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    line.split_once(" mem ")?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::client::Window;

    #[test]
    fn a_connection_is_held_until_the_server_closes_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = [Client::connect(address, Window::Usual).unwrap()];
        let (accepted, _) = listener.accept().unwrap();
        let held = || Sockets::read().unwrap().held(address.port(), &clients);
        assert_eq!(held(), 1);
        drop(accepted);
        assert_eq!(held(), 0);
    }

    #[test]
    fn memory_is_read_from_sockstat() {
        let text =
            "sockets: used 14\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 37\nUDP: inuse 0 mem 9\n";
        assert_eq!(pages(text), Some(37));
        assert_eq!(pages("UDP: inuse 0 mem 9\n"), None);
    }
}
