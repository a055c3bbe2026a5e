//! What a process and its children use, read from `/proc` (Linux).

use std::collections::HashSet;
use std::fs;
use std::io;

/// What the scheduler has given to a process and its descendants so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cpu {
    /// Nanoseconds spent on a core, in user and kernel mode.
    pub ran_nanos: u64,
    /// Nanoseconds spent ready to run while something else had the core.
    pub waited_nanos: u64,
}

impl Cpu {
    /// What was added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            ran_nanos: self.ran_nanos.saturating_sub(earlier.ran_nanos),
            waited_nanos: self.waited_nanos.saturating_sub(earlier.waited_nanos),
        }
    }
}

/// What the living threads of `process` and of its descendants have used.
///
/// Read from `/proc/PID/task/*/schedstat`: nanoseconds, where `/proc/PID/stat` counts ticks of
/// 10 ms. A thread that is running is up to one scheduler tick (1–4 ms) ahead of what it shows, so
/// differences are good to about 0.5 % over a second. Costs a few system calls for each thread.
///
/// # Errors
/// When the process is gone, or the kernel was built without scheduler statistics.
pub fn cpu(process: u32) -> io::Result<Cpu> {
    let mut total = Cpu::default();
    for task in tasks(process)? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(format!("/proc/{task}/schedstat")) else { continue };
        let mut words = text.split_ascii_whitespace().map(str::parse::<u64>);
        let (Some(Ok(ran)), Some(Ok(waited))) = (words.next(), words.next()) else {
            return Err(invalid("schedstat", &text));
        };
        total.ran_nanos += ran;
        total.waited_nanos += waited;
    }
    Ok(total)
}

/// Resident memory in bytes of `process` and its descendants.
///
/// From `/proc/PID/smaps_rollup`, which walks the page tables and is exact, where the counters in
/// `statm` lag by up to 64 pages for each CPU. Costs milliseconds for a large process.
///
/// # Errors
/// When the process is gone or belongs to another user.
pub fn resident_bytes(process: u32) -> io::Result<u64> {
    let mut total = 0;
    for member in family(process)? {
        let text = fs::read_to_string(format!("/proc/{member}/smaps_rollup"))?;
        let kibibytes = text
            .lines()
            .find_map(|line| line.strip_prefix("Rss:"))
            .and_then(|rest| rest.split_ascii_whitespace().next())
            .and_then(|word| word.parse::<u64>().ok());
        total += kibibytes.ok_or_else(|| invalid("smaps_rollup", &text))? * 1024;
    }
    Ok(total)
}

/// `process` and its descendants.
///
/// # Errors
/// When the process is gone.
pub fn family(process: u32) -> io::Result<Vec<u32>> {
    let mut members = vec![process];
    let mut seen = HashSet::from([process]);
    let mut index = 0;
    while index < members.len() {
        for thread in threads(members[index])? {
            let path = format!("/proc/{}/task/{thread}/children", members[index]);
            let Ok(text) = fs::read_to_string(path) else { continue };
            let children = text.split_ascii_whitespace().filter_map(|word| word.parse().ok());
            members.extend(children.filter(|&child| seen.insert(child)));
        }
        index += 1;
    }
    Ok(members)
}

/// `PID/task/TID` of every thread of the family.
fn tasks(process: u32) -> io::Result<Vec<String>> {
    let mut tasks = Vec::new();
    for member in family(process)? {
        tasks.extend(threads(member)?.into_iter().map(|thread| format!("{member}/task/{thread}")));
    }
    Ok(tasks)
}

fn threads(process: u32) -> io::Result<Vec<u32>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))? {
        threads.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(threads)
}

fn invalid(file: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("unexpected {file}: {text:.80}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let me = std::process::id();
        let before = cpu(me).unwrap();
        let started = std::time::Instant::now();
        // Long enough for several scheduler ticks to bring the figure up to date.
        while started.elapsed() < std::time::Duration::from_millis(100) {
            std::hint::spin_loop();
        }
        assert!(cpu(me).unwrap().since(before).ran_nanos > 0);
        assert!(resident_bytes(me).unwrap() > 64 * 1024);
    }

    #[test]
    fn children_belong_to_the_family() {
        let mut child = std::process::Command::new("sleep").arg("10").spawn().unwrap();
        let members = family(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(members.contains(&std::process::id()) && members.contains(&child.id()));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        // Above the largest PID that Linux gives out (2^22).
        assert!(cpu(1 << 23).is_err());
        assert!(resident_bytes(1 << 23).is_err());
    }
}
