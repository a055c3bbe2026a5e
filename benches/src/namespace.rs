//! A network of one's own, so that the machine's settings are in nobody's figures.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::Context;

/// The congestion control of all measurements: it neither paces nor keeps state between
/// connections.
const CONGESTION_CONTROL: &str = "reno";
const CONGESTION_CONTROL_FILE: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Moves this process, and those that it starts from now on, into a network namespace with nothing
/// but loopback, and one congestion control for all. Says what came of it: it needs root, and
/// without it everything is measured in the machine's network.
///
/// Only the calling thread moves, so this belongs to the start of a program with one thread.
#[must_use]
pub fn isolate() -> String {
    match enter() {
        Ok(()) => format!("a namespace of its own, {CONGESTION_CONTROL}"),
        Err(error) => format!("the machine's ({error:#})"),
    }
}

#[allow(unsafe_code)] // `unshare` with any flags is unsafe; this flag shares no memory.
fn enter() -> anyhow::Result<()> {
    // SAFETY: no pointers; CLONE_NEWNET affects only which network the thread sees.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error()).context("unshare");
    }
    raise_loopback().context("cannot raise loopback")?;
    // Inside a namespace of its own this file changes nothing outside of it.
    fs::write(CONGESTION_CONTROL_FILE, CONGESTION_CONTROL).context(CONGESTION_CONTROL_FILE)
}

/// What `ip link set lo up` does.
#[allow(unsafe_code)] // No safe binding knows this request.
fn raise_loopback() -> io::Result<()> {
    // SAFETY: no pointers; the result is checked before it is owned.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: a structure of integers and byte arrays, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    // The flags of this program's choice; both are below 256, so they fit.
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the descriptor is open, and the request is a live `ifreq` with a terminated name.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
