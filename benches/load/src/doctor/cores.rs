//! Whether there is time: cores, who else has them, how fast they run, and by which clock.

use std::collections::BTreeSet;

use super::{Files, Finding, Subject};

/// A share of steal time that shows in the tail of a distribution.
const STEAL_MAX: f64 = 0.01;
/// Runnable processes of others, beside each core, that are worth a word.
const LOAD_MAX: f64 = 0.25;
/// Clock sources that are read without a system call.
const FAST_CLOCKS: [&str; 5] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource"];

/// A list of cores as the kernel writes it: `0-3,8`.
fn list(text: &str) -> BTreeSet<usize> {
    let mut cores = BTreeSet::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            // No kernel has more; what is longer is no such list.
            cores.extend((first..=last).take(8_192));
        }
    }
    cores
}

/// The cores that are there.
pub(super) fn online(files: &impl Files) -> BTreeSet<usize> {
    files.read("/sys/devices/system/cpu/online").map(|text| list(&text)).unwrap_or_default()
}

/// The cores that a process may use.
fn allowed_to(files: &impl Files, process: &str) -> Option<BTreeSet<usize>> {
    let text = files.read(&format!("/proc/{process}/status"))?;
    Some(list(text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?))
}

pub(super) fn allowed(files: &impl Files, subject: &Subject) -> Option<Finding> {
    let allowed = allowed_to(files, "self")?;
    let found = match allowed.len() {
        1 => "1 may be used".to_owned(),
        more => format!("{more} may be used"),
    };
    let finding = Finding::good("cores", found, "/proc/self/status");
    Some(if let Some(absent) = subject.cores.iter().find(|core| !allowed.contains(core)) {
        finding.warning(format!("core {absent} is not among them: choose --cores of {allowed:?}"))
    } else if allowed.len() == 1 && subject.local {
        finding.warning(
            "client and server take turns on it: latencies are those of the scheduler, and \
                         no rate is the server's; use two cores or two machines",
        )
    } else {
        finding
    })
}

/// Whether client and server have cores of their own.
pub(super) fn shared(files: &impl Files, subject: &Subject) -> Option<Finding> {
    let server = subject.server?;
    let place = format!("/proc/{server}/status");
    let theirs = allowed_to(files, &server.to_string())?;
    let ours: BTreeSet<_> = match subject.cores.is_empty() {
        true => allowed_to(files, "self")?,
        false => subject.cores.iter().copied().collect(),
    };
    let both: Vec<_> = ours.intersection(&theirs).collect();
    let finding = |found: String| Finding::good("client and server", found, place.clone());
    if !both.is_empty() {
        let advice =
            "each delays the other: bind the server with taskset -c, the client with --cores";
        let finding = finding(format!("may both use cores {both:?}"));
        // With room for both, the scheduler keeps them apart most of the time.
        let crowded = ours.union(&theirs).count() < 2 || !subject.cores.is_empty();
        return Some(if crowded { finding.warning(advice) } else { finding.hint(advice) });
    }
    let siblings = ours.iter().find(|core| {
        let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        files.read(&path).is_some_and(|text| list(&text).intersection(&theirs).next().is_some())
    });
    Some(match siblings {
        Some(core) => finding(format!("core {core} of the client is half of one of the server's"))
            .warning("two threads of one core slow each other down: choose --cores of other cores"),
        None => finding("have cores of their own".to_owned()),
    })
}

/// A share of the cores that the process's group may not exceed.
pub(super) fn quota(files: &impl Files) -> Option<Finding> {
    let groups = files.read("/proc/self/cgroup")?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    // The nearest limit of the group and those around it.
    let mut folder = path.trim_end_matches('/');
    loop {
        let place = format!("/sys/fs/cgroup{folder}/cpu.max");
        if let Some((quota, period)) = files.line(&place).as_deref().and_then(|l| l.split_once(' '))
            && let (Ok(quota), Ok(period)) = (quota.parse::<f64>(), period.parse::<f64>())
        {
            let found = format!("{:.1} cores at most", quota / period);
            return Some(Finding::good("group quota", found, place).warning(
                "when it is used up, all threads stand still for the rest of the period (100 ms as a rule), \
                 which looks like a stall of the server",
            ));
        }
        folder = match folder.rsplit_once('/') {
            Some((outer, _)) => outer,
            None => return Some(Finding::good("group quota", "none", "/sys/fs/cgroup")),
        };
    }
}

pub(super) fn governor(files: &impl Files) -> Option<Finding> {
    let path = |core| format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
    let first =
        online(files).into_iter().find_map(|core| Some((files.line(&path(core))?, path(core))));
    let (governor, place) = first?;
    let finding = Finding::good("frequency", format!("governor {governor}"), place);
    Some(if governor == "performance" {
        finding
    } else {
        finding.warning(
            "cores are slow to wake under light load: cpupower frequency-set -g performance",
        )
    })
}

/// Time that the host gave to others while cores of this machine wanted to run.
pub(super) fn steal(files: &impl Files) -> Option<Finding> {
    const PLACE: &str = "/proc/stat";
    let text = files.read(PLACE)?;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<f64> =
        line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guest times are in user and nice.
    let whole: f64 = times.iter().take(8).sum();
    let share = times.get(7)? / whole.max(1.0);
    let finding =
        Finding::good("stolen time", format!("{:.1} % since the start", share * 100.0), PLACE);
    Some(if share > STEAL_MAX {
        finding.warning(
            "the host runs others on these cores: tails are theirs; repeat, and alternate runs",
        )
    } else {
        finding
    })
}

pub(super) fn load(files: &impl Files) -> Option<Finding> {
    const PLACE: &str = "/proc/loadavg";
    let load: f64 = files.read(PLACE)?.split_ascii_whitespace().next()?.parse().ok()?;
    let cores = online(files).len().max(1) as f64;
    let finding =
        Finding::good("other work", format!("load of {load:.2} in the last minute"), PLACE);
    Some(if load > cores * LOAD_MAX {
        finding.hint(
            "something else runs: stop it, or wait for it, unless it is the server under test",
        )
    } else {
        finding
    })
}

pub(super) fn clock(files: &impl Files) -> Option<Finding> {
    const PLACE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let clock = files.line(PLACE)?;
    let finding = Finding::good("clock", clock.clone(), PLACE);
    Some(if FAST_CLOCKS.contains(&clock.as_str()) {
        finding
    } else {
        finding.warning("each reading is a system call, of which each request needs one or two")
    })
}
