//! The system calls on sockets, by platform.

use std::io::{self, IoSlice};
#[cfg(not(target_os = "linux"))]
use std::io::{Read, Write};

#[cfg(target_os = "linux")]
use mio::net::TcpStream;

/// What the kernel may hold of a large file that it has not sent.
#[cfg(target_os = "linux")]
const FILE_ROOM: u32 = 1 << 20;

#[cfg(target_os = "linux")]
pub(super) fn receive(socket: &impl std::os::fd::AsFd, into: &mut [u8]) -> io::Result<usize> {
    // Not through libc, whose call is a thread cancellation point: 40 instructions for nothing.
    let (n, _) = rustix::net::recv(socket, into, rustix::net::RecvFlags::empty())?;
    Ok(n)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn receive(socket: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    socket.read(into)
}

/// Drops up to `most` bytes. TCP drops them where they are; a Unix socket copies them.
#[cfg(target_os = "linux")]
pub(super) fn skip(
    socket: &impl std::os::fd::AsFd,
    most: usize,
    scratch: &mut [u8],
) -> io::Result<usize> {
    let most = most.min(scratch.len());
    let flags = rustix::net::RecvFlags::TRUNC;
    let (_, n) = rustix::net::recv(socket, &mut scratch[..most], flags)?;
    Ok(n)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn skip(socket: &mut impl Read, most: usize, scratch: &mut [u8]) -> io::Result<usize> {
    let most = most.min(scratch.len());
    socket.read(&mut scratch[..most])
}

/// Of TCP, the bytes between what was written and what was acknowledged; of a Unix socket, the memory
/// that what has not been read takes, which is somewhat more than its bytes.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub(super) fn unacknowledged(socket: &impl std::os::fd::AsRawFd) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as `socket` is borrowed, and SIOCOUTQ, which is
    // another name of TIOCOUTQ, writes one C int to where the argument points, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { u64::try_from(bytes).unwrap_or(0) } else { 0 }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unacknowledged<S>(_socket: &S) -> u64 {
    0
}

#[cfg(target_os = "linux")]
pub(super) fn send(
    socket: &impl std::os::fd::AsFd,
    slices: &[IoSlice<'_>],
    more: bool,
) -> io::Result<usize> {
    use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::MORE, more);
    let sent = match slices {
        [one] => rustix::net::send(socket, one, flags)?,
        _ => sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags)?,
    };
    Ok(sent)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn send(
    socket: &mut impl Write,
    slices: &[IoSlice<'_>],
    _more: bool,
) -> io::Result<usize> {
    match slices {
        [one] => socket.write(one),
        _ => socket.write_vectored(slices),
    }
}

/// Has a file leave in whole packets: `sendfile` passes it on in pieces of 64 KiB, and without the cork
/// (tcp(7)) each of them may leave a small packet behind.
#[cfg(target_os = "linux")]
pub(super) fn corked(
    socket: &TcpStream,
    send: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    rustix::net::sockopt::set_tcp_cork(socket, true)?;
    let sent = send();
    rustix::net::sockopt::set_tcp_cork(socket, false)?;
    sent
}

/// Sends while the socket may take [`FILE_ROOM`] of unsent output.
#[cfg(target_os = "linux")]
pub(super) fn with_room(
    socket: &TcpStream,
    send: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let options = socket2::SockRef::from(socket);
    match options.tcp_notsent_lowat() {
        Ok(limit) if (1..FILE_ROOM).contains(&limit) => {
            options.set_tcp_notsent_lowat(FILE_ROOM)?;
            let sent = send();
            options.set_tcp_notsent_lowat(limit)?;
            sent
        }
        // There is no limit, or no way to tell.
        _ => send(),
    }
}

#[cfg(target_os = "linux")]
pub(super) fn send_file(
    socket: &impl std::os::fd::AsFd,
    file: &std::fs::File,
    offset: u64,
    len: u64,
) -> io::Result<usize> {
    let mut offset = offset;
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    Ok(rustix::fs::sendfile(socket, file, Some(&mut offset), len)?)
}

#[cfg(all(unix, not(target_os = "linux")))]
pub(super) fn send_file(
    socket: &mut impl Write,
    file: &std::fs::File,
    offset: u64,
    len: u64,
) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let mut page = [0; 16 * 1024];
    let room = page.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    let n = file.read_at(&mut page[..room], offset)?;
    if n == 0 { Ok(0) } else { socket.write(&page[..n]) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    use super::*;

    /// Writes until the kernel takes no more; how much it took.
    fn fill(mut socket: impl Write) -> u64 {
        let page = [b'x'; 16 * 1024];
        let mut taken = 0;
        loop {
            match socket.write(&page) {
                Ok(n) => taken += n as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads all but what it is asked to leave.
    fn drain(mut socket: impl Read, bytes: u64) {
        let read = io::copy(&mut socket.by_ref().take(bytes), &mut io::sink()).expect("it reads");
        assert_eq!(read, bytes);
    }

    /// What is not acknowledged, once `settled` says that it is that.
    fn settled(socket: &impl AsRawFd, settled: impl Fn(u64) -> bool) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let bytes = unacknowledged(socket);
            if settled(bytes) {
                return bytes;
            }
            assert!(Instant::now() < deadline, "still {bytes} bytes");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn tcp_tells_what_the_peer_has_not_acknowledged() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = std::net::TcpStream::connect(listener.local_addr().expect("an address"));
        let client = client.expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        server.set_nonblocking(true).expect("a setting");
        assert_eq!(unacknowledged(&server), 0);
        let taken = fill(&server);
        // Its kernel has acknowledged what its receive buffer holds, and no more.
        let stuck = settled(&server, |bytes| bytes < taken);
        assert!(stuck > 0, "{taken} bytes, and all are acknowledged");
        drain(&client, taken);
        settled(&server, |bytes| bytes == 0);
    }

    #[test]
    fn a_file_has_room_and_the_limits_are_as_before() {
        let path = std::env::temp_dir().join(format!("corelane-room-{}", std::process::id()));
        std::fs::write(&path, vec![b'x'; 16 << 20]).expect("a file");
        let file = std::fs::File::open(&path).expect("the file");
        std::fs::remove_file(&path).expect("the file");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        // How much of the file the kernel takes for a client that reads nothing.
        let taken = |limit: u32, roomy: bool| {
            let client = std::net::TcpStream::connect(listener.local_addr().expect("an address"));
            let client = client.expect("a connection");
            let (server, _) = listener.accept().expect("a connection");
            server.set_nonblocking(true).expect("a setting");
            let server = TcpStream::from_std(server);
            let options = socket2::SockRef::from(&server);
            options.set_tcp_notsent_lowat(limit).expect("a setting");
            let mut taken = 0;
            loop {
                let send = || send_file(&server, &file, taken, (16 << 20) - taken);
                match corked(&server, || if roomy { with_room(&server, send) } else { send() }) {
                    Ok(n) => taken += n as u64,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(options.tcp_notsent_lowat().expect("a setting"), limit);
            assert!(!rustix::net::sockopt::tcp_cork(&server).expect("a setting"));
            drop(client);
            taken
        };
        let (tight, roomy) = (taken(64 * 1024, false), taken(64 * 1024, true));
        assert!(roomy >= tight + 512 * 1024, "{roomy} bytes, and {tight} without");
        // Who has more room already keeps it.
        assert!(taken(2 * FILE_ROOM, true) >= roomy);
    }

    #[test]
    fn a_unix_socket_tells_at_least_what_the_peer_has_not_read() {
        let (server, client) = std::os::unix::net::UnixStream::pair().expect("a pair");
        server.set_nonblocking(true).expect("a setting");
        assert_eq!(unacknowledged(&server), 0);
        let taken = fill(&server);
        assert!(unacknowledged(&server) >= taken);
        drain(&client, taken / 2);
        assert!(unacknowledged(&server) < 2 * taken / 3);
        drain(&client, taken - taken / 2);
        assert_eq!(unacknowledged(&server), 0);
    }
}
