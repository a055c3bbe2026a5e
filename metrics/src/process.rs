//! What the process as a whole uses: processor time, memory, descriptors, threads.
//!
//! Read from `/proc/self` on Linux (proc(5)); elsewhere, and where `/proc` is not mounted, every
//! figure that cannot be had is `None`. Reading opens a few files and lists the open descriptors:
//! about 50 µs, and 0.35 µs more for each open descriptor. That is for a status page or a report
//! every few seconds, not for a loop.

use std::fs;
use std::time::{Duration, SystemTime};

/// What the process uses, each figure `None` where the system does not tell.
///
/// ```
/// use corelane_metrics::ProcessFigures;
///
/// let figures = ProcessFigures::read();
/// if let (Some(open), Some(limit)) = (figures.descriptors_open, figures.descriptors_limit) {
///     assert!(open <= limit);
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// Processor time in user mode, all threads, in steps of 10 ms.
    pub cpu_user: Option<Duration>,
    /// Processor time in the kernel, all threads, in steps of 10 ms.
    pub cpu_system: Option<Duration>,
    /// Resident memory in bytes.
    pub memory_resident: Option<u64>,
    /// The highest resident memory so far, in bytes.
    pub memory_resident_max: Option<u64>,
    /// Open file descriptors.
    pub descriptors_open: Option<u64>,
    /// The soft limit of open file descriptors (RLIMIT_NOFILE); `u64::MAX` when there is none.
    /// Known on every Unix.
    pub descriptors_limit: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// When the process started, to the second.
    pub started: Option<SystemTime>,
}

impl ProcessFigures {
    /// Reads the figures of this process. It cannot fail: what cannot be read is `None`.
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let stat = Stat::parse(&text("/proc/self/stat"));
        let status = text("/proc/self/status");
        let ticks = ticks_per_second();
        let started = || {
            let since_boot = in_time(stat?.started, ticks?)?;
            let boot = Duration::from_secs(field(&text("/proc/stat"), "btime")?);
            SystemTime::UNIX_EPOCH.checked_add(boot)?.checked_add(since_boot)
        };
        Self {
            cpu_user: stat.and_then(|stat| in_time(stat.user, ticks?)),
            cpu_system: stat.and_then(|stat| in_time(stat.system, ticks?)),
            memory_resident: kibibytes(&status, "VmRSS:"),
            memory_resident_max: kibibytes(&status, "VmHWM:"),
            descriptors_open: descriptors_open(),
            descriptors_limit: descriptors_limit(),
            threads: field(&status, "Threads:"),
            started: started(),
        }
    }

    /// When the process started, as the time since the Unix epoch.
    pub fn started_since_epoch(&self) -> Option<Duration> {
        self.started?.duration_since(SystemTime::UNIX_EPOCH).ok()
    }

    /// Processor time in user mode and in the kernel together.
    pub fn cpu(&self) -> Option<Duration> {
        self.cpu_user?.checked_add(self.cpu_system?)
    }
}

/// The fields of `/proc/self/stat` of interest, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    user: u64,
    system: u64,
    started: u64,
}

impl Stat {
    /// The second field is the program's name in parentheses, which may itself hold spaces and
    /// parentheses: fields are counted from the last one on.
    fn parse(text: &str) -> Option<Self> {
        let (_, after_name) = text.rsplit_once(')')?;
        // proc(5) counts from 1, and `state`, the first after the name, is 3.
        let field = |number: usize| after_name.split_whitespace().nth(number - 3)?.parse().ok();
        Some(Self { user: field(14)?, system: field(15)?, started: field(22)? })
    }
}

/// The first number after `key` at the start of a line.
fn field(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The same, in bytes: `/proc/self/status` counts in units of 1,024 that it calls kB.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    field(text, key)?.checked_mul(1_024)
}

/// Clock ticks as time.
fn in_time(ticks: u64, ticks_per_second: u64) -> Option<Duration> {
    let seconds = ticks.checked_div(ticks_per_second)?;
    let rest = ticks % ticks_per_second * 1_000_000_000 / ticks_per_second;
    Some(Duration::from_secs(seconds) + Duration::from_nanos(rest))
}

fn descriptors_open() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // The listing is itself an open descriptor.
    Some(listed.saturating_sub(1))
}

#[cfg(unix)]
fn descriptors_limit() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    Some(limit.current.unwrap_or(u64::MAX))
}

#[cfg(not(unix))]
fn descriptors_limit() -> Option<u64> {
    None
}

#[cfg(unix)]
fn ticks_per_second() -> Option<u64> {
    Some(rustix::param::clock_ticks_per_second())
}

#[cfg(not(unix))]
fn ticks_per_second() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_named_like_its_own_statistics() {
        let text = "7 (a) R 1 2 (b)) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 3 0 9000 1 2\n";
        assert_eq!(Stat::parse(text), Some(Stat { user: 150, system: 25, started: 9_000 }));
    }

    #[test]
    fn text_that_is_not_as_expected_is_none() {
        for text in ["", "7", "7 (a)", "7 (a) S 1 2 3", "7 (a) S 1 7 7 0 -1 4 1 2 3 4 x 25 0 0"] {
            assert_eq!(Stat::parse(text), None, "{text:?}");
        }
        assert_eq!(field("VmRSS:\n", "VmRSS:"), None);
        assert_eq!(field("VmRSS: -1\n", "VmRSS:"), None);
        assert_eq!(kibibytes("VmRSS: 18446744073709551615 kB\n", "VmRSS:"), None);
        assert_eq!(in_time(1, 0), None);
    }

    #[test]
    fn numbers_are_found_and_scaled() {
        let text = "Name:\tx VmRSS: 1\nVmRSS:\t    2048 kB\nThreads:\t3\n";
        assert_eq!(kibibytes(text, "VmRSS:"), Some(2_048 * 1_024));
        assert_eq!(field(text, "Threads:"), Some(3));
        assert_eq!(in_time(250, 100), Some(Duration::from_millis(2_500)));
        assert_eq!(in_time(u64::MAX, 1_024).map(|time| time.as_secs()), Some(u64::MAX / 1_024));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn figures_of_this_process_are_plausible() {
        let figures = ProcessFigures::read();
        assert!(figures.cpu().is_some());
        assert!(figures.memory_resident.unwrap() > 100_000);
        assert!(figures.memory_resident_max.unwrap() >= 100_000);
        assert!(figures.threads.unwrap() >= 1);
        let uptime = figures.started.unwrap().elapsed().unwrap_or_default();
        assert!(uptime < Duration::from_secs(24 * 3_600), "{uptime:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn open_descriptors_are_counted() {
        // Far more than tests that run at the same time may close meanwhile.
        let before = ProcessFigures::read().descriptors_open.unwrap();
        let held: Vec<_> = (0..100).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let after = ProcessFigures::read();
        assert!(after.descriptors_open.unwrap() >= before + held.len() as u64 - 50);
        assert!(after.descriptors_limit.unwrap() >= after.descriptors_open.unwrap());
    }
}
