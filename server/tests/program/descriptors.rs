//! Running out of file descriptors, and getting over it.
#![cfg(target_os = "linux")]

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::client::GET;
use crate::process::Program;

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
