//! Servers for the tests of the load generator: right ones, and ones with one fault each.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::Target;
use super::line::Cutter;
use crate::peer::Service;

/// Long enough for any test; nobody waits for it.
const LIFE: Duration = Duration::from_secs(60);
/// The line that is treated wrongly, counted from the first.
const VICTIM: usize = 20;

/// What a server does to one line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Misdeed {
    Nothing,
    /// Somebody does not get it.
    Drops,
    /// Somebody gets it twice.
    Repeats,
    /// Somebody gets it with another byte in it.
    Alters,
    /// Its sender gets it too.
    Returns,
    /// Somebody is closed instead.
    Closes,
}

/// Starts a server, which ends when its clients are gone.
pub(crate) fn start(service: Service, misdeed: Misdeed) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("non-blocking");
    let address: SocketAddr = listener.local_addr().expect("an address");
    thread::spawn(move || serve(&listener, service, misdeed));
    Target { address, process: std::process::id(), duration: Duration::from_millis(100) }
}

fn serve(listener: &TcpListener, service: Service, misdeed: Misdeed) {
    let started = Instant::now();
    let mut members: Vec<Option<(TcpStream, Cutter)>> = Vec::new();
    let mut page = vec![0; 64 * 1024];
    let mut count = 0;
    while started.elapsed() < LIFE {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true).expect("non-blocking");
            members.push(Some((stream, Cutter::default())));
        }
        let mut idle = true;
        for sender in 0..members.len() {
            let Some((stream, cutter)) = &mut members[sender] else { continue };
            let mut lines = Vec::new();
            match stream.read(&mut page) {
                Ok(received @ 1..) => {
                    cutter.feed(&page[..received], |line| lines.push(line.to_vec()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                _ => members[sender] = None,
            }
            idle = false;
            for line in lines {
                count += 1;
                let misdeed = if count == VICTIM { misdeed } else { Misdeed::Nothing };
                deliver(&mut members, service, sender, line, misdeed);
            }
        }
        if !members.is_empty() && members.iter().all(Option::is_none) {
            return;
        }
        if idle {
            thread::yield_now();
        }
    }
}

fn deliver(
    members: &mut [Option<(TcpStream, Cutter)>],
    service: Service,
    sender: usize,
    mut line: Vec<u8>,
    misdeed: Misdeed,
) {
    // Who suffers is the sender of an echo, or the last member, who only listens.
    let victim = if service == Service::Echo { sender } else { members.len() - 1 };
    for (index, member) in members.iter_mut().enumerate() {
        let own = index == sender;
        let due = own == (service == Service::Echo) || own && misdeed == Misdeed::Returns;
        let times = match misdeed {
            _ if !due => 0,
            Misdeed::Drops if index == victim => 0,
            Misdeed::Repeats if index == victim => 2,
            _ => 1,
        };
        if index == victim && misdeed == Misdeed::Closes {
            *member = None;
        }
        if index == victim && misdeed == Misdeed::Alters {
            line[20] ^= 1;
        }
        let Some((stream, _)) = member else { continue };
        for _ in 0..times {
            // The clients of tests have few lines in flight: a socket takes them all.
            let _ = stream.write_all(&line);
        }
    }
}
