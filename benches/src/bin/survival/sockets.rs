//! What the kernel says about sockets.

use std::collections::HashMap;
use std::fs;

use anyhow::Context;

use crate::client::Client;

/// A reading of the kernel's table skips entries whose neighbours come or go meanwhile, so that one
/// alone would take some connections for closed.
const READINGS: usize = 3;

/// The connections of this machine that a process has open, by their ports: this end's, the other
/// end's.
#[derive(Debug)]
pub(crate) struct Sockets(HashMap<(u16, u16), Queues>);

/// Bytes that the kernel holds for one end of a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Queues {
    /// Given by the program, not yet acknowledged by the other end.
    pub(crate) sent_bytes: u64,
    /// Received, not yet taken by the program.
    pub(crate) received_bytes: u64,
}

impl Sockets {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let mut sockets = HashMap::new();
        for _ in 0..READINGS {
            let text = fs::read_to_string("/proc/net/tcp").context("/proc/net/tcp")?;
            sockets.extend(text.lines().skip(1).filter_map(parse));
        }
        Ok(Self(sockets))
    }

    fn of<'a>(
        &'a self,
        server_port: u16,
        clients: &'a [Client],
    ) -> impl Iterator<Item = &'a Queues> {
        clients.iter().filter_map(move |client| self.0.get(&(server_port, client.port())))
    }

    /// How many of `clients` the server at `server_port` still has a descriptor for. A connection that
    /// it closed does not count, though the kernel may still be delivering what was sent before.
    pub(crate) fn held(&self, server_port: u16, clients: &[Client]) -> usize {
        self.of(server_port, clients).count()
    }

    /// What the kernel holds for the server's ends of those, together.
    pub(crate) fn queues(&self, server_port: u16, clients: &[Client]) -> Queues {
        self.of(server_port, clients).fold(Queues::default(), |sum, one| Queues {
            sent_bytes: sum.sent_bytes + one.sent_bytes,
            received_bytes: sum.received_bytes + one.received_bytes,
        })
    }
}

/// A line of `/proc/net/tcp`, if a process has that socket open: only then it has an inode.
fn parse(line: &str) -> Option<((u16, u16), Queues)> {
    let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
    let mut words = line.split_ascii_whitespace().skip(1);
    let mut port = || u16::from_str_radix(words.next()?.rsplit_once(':')?.1, 16).ok();
    let ports = (port()?, port()?);
    // The state stands between.
    let (sent, received) = words.nth(1)?.split_once(':')?;
    let queues = Queues { sent_bytes: hexadecimal(sent)?, received_bytes: hexadecimal(received)? };
    // So do timer, retransmissions, user and timeout.
    (words.nth(4)? != "0").then_some((ports, queues))
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
    fn a_line_has_ports_queues_and_an_owner() {
        let owned = "   0: 0100007F:1F90 0200007F:ABCD 01 00000010:0000A000 00:00000000 00000000  \
                     1000        0 8141 1 0000000000000000 20 4 30 10 -1";
        let queues = Queues { sent_bytes: 16, received_bytes: 40_960 };
        assert_eq!(parse(owned), Some(((8080, 0xABCD), queues)));
        assert_eq!(parse(&owned.replace("8141", "0")), None);
        assert_eq!(parse("sl local_address"), None);
    }
}
