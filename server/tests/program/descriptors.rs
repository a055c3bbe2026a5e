//! Running out of file descriptors, and getting over it.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::admin::Status;
use crate::client::GET;
use crate::process::{Program, scratch, wait_until};

/// Clients that connect to a process with room for far fewer.
const CLIENTS: usize = 300;

/// CPU time that a process has used.
fn cpu_time(pid: Pid) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name, which is in parentheses: utime and stime are the 14th and 15th field.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// 300 clients come, more than there can be; then all leave, and another one must be served.
fn overrun(program: &Program, what: &str) {
    let address = program.address();
    let clients: Vec<TcpStream> =
        (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    let before = cpu_time(program.pid());
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu_time(program.pid()) - before;
    drop(clients);
    let left = Instant::now();
    assert_eq!(program.connect().ask(GET).text(), "Vrypt");
    let served = left.elapsed();
    println!("{what}: {used:?} of CPU time in a second of overload; served again after {served:?}");
    assert!(used < Duration::from_millis(100), "it spins: {used:?} of CPU time in a second");
    assert!(served < Duration::from_secs(1), "served only after {served:?}");
}

#[test]
fn more_clients_than_descriptors_allow_from_the_start() {
    for mode in ["reuseport", "round-robin"] {
        let mut shell = Command::new("sh");
        let script = format!(
            "ulimit -n 128; exec \"$0\" fixed --port 0 --bind 127.0.0.1 --statsd off \
             --workers 2 --no-pin --accept {mode}"
        );
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_corelane")]);
        let program = Program::start(shell);
        overrun(&program, &format!("limit at the start, {mode}"));
        program.stop();
    }
}

/// Here the process believes it may have more, and learns from the kernel that it may not.
#[test]
fn more_clients_than_descriptors_allow_from_one_moment_on() {
    for mode in ["reuseport", "round-robin"] {
        let program = Program::fixed(&["--workers", "2", "--accept", mode]);
        assert_eq!(program.connect().ask(GET).status, 200);
        let limit = Rlimit { current: Some(60), maximum: Some(60) };
        prlimit(Some(program.pid()), Resource::Nofile, limit).unwrap();
        overrun(&program, &format!("limit later, {mode}"));
        program.stop();
    }
}

/// Descriptors that a process has open.
fn descriptors(pid: Pid) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Memory of a process that is resident, in bytes.
pub(crate) fn resident(pid: Pid) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Clients come, leave something unfinished in every state there is, and reset or close.
fn storm(program: &Program) {
    let large = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(40);
    let states: [&[u8]; 6] = [
        b"",
        b"GET / HTTP/1.1\r\nHo",
        b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5000\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"no request at all\r\n\r\n",
        &large,
    ];
    for round in 0..25 {
        let mut clients: Vec<TcpStream> =
            (0..48).map(|_| TcpStream::connect(program.address()).unwrap()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(states[number % states.len()]).unwrap();
            if number % 4 == 0 {
                let _ = client.set_read_timeout(Some(Duration::from_millis(1)));
                let _ = client.read(&mut [0; 1000]);
            }
            if (number / states.len() + round).is_multiple_of(2) {
                // Closing then resets.
                set_socket_linger(&*client, Some(Duration::ZERO)).unwrap();
            }
        }
    }
}

/// Whatever clients leave behind when they reset, nothing of it stays.
#[test]
fn descriptors_and_memory_return_after_storms_of_resets() {
    let body = scratch("storm-body");
    std::fs::write(&body, vec![b'x'; 300_000]).unwrap();
    let body = body.to_str().unwrap();
    let program = Program::fixed(&["--body-file", body, "--admin", "127.0.0.1:0"]);
    let before = descriptors(program.pid());
    let mut sizes = Vec::new();
    for _ in 0..3 {
        storm(&program);
        wait_until("descriptors return", || descriptors(program.pid()) <= before);
        let lent = || Status::of(&program).gauge("corelane_pool_lent_bytes");
        wait_until("buffers return", || lent() == 0);
        sizes.push(resident(program.pid()));
    }
    // What the first storm made it keep for reuse is enough for the others.
    assert!(sizes[2] < sizes[0] + (2 << 20), "it grows: {sizes:?}");
    program.stop();
}
