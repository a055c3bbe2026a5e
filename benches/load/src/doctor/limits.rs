//! Limits that run out: descriptors, ports, queues.

use super::{Files, Finding, Subject};
use crate::units::count;

/// Descriptors that client and server need beside their connections.
const SPARE: u64 = 64;
/// A server that is asked by many at once wants a queue of at least so many.
const BACKLOG_MIN: u64 = 1_024;
/// Towards an IPv4 loopback address the generator uses up to so many source addresses.
const LOOPBACK_SOURCES: u64 = 64;

pub(super) fn descriptors(files: &impl Files, subject: &Subject) -> Option<Finding> {
    const PLACE: &str = "/proc/self/limits";
    let text = files.read(PLACE)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let limits: Vec<_> = line.split_ascii_whitespace().take(2).map(limit).collect();
    let [soft, hard] = limits[..] else { return None };
    let words = |limit: u64| if limit == u64::MAX { "no limit".to_owned() } else { count(limit) };
    let found = format!("{} allowed, raised to {} on demand", words(soft), words(hard));
    let finding = Finding::good("open files", found, PLACE);
    let needed = subject.connections + SPARE;
    Some(if hard < needed {
        finding.warning(format!(
            "{} connections need {} descriptors: ulimit -Hn {} as root, or LimitNOFILE= of the service",
            count(subject.connections), count(needed), needed.next_power_of_two(),
        ))
    } else if soft < needed {
        finding.hint(format!(
            "the generator raises its own limit, a server started from the same shell may not: ulimit -n {}",
            needed.next_power_of_two(),
        ))
    } else {
        finding
    })
}

fn limit(word: &str) -> u64 {
    word.parse().unwrap_or(u64::MAX)
}

const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// How many ephemeral ports there are for each pair of addresses.
fn port_count(files: &impl Files) -> Option<u64> {
    let text = files.read(RANGE)?;
    let mut ends = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else { return None };
    Some((last + 1).saturating_sub(first))
}

pub(super) fn ports(files: &impl Files, subject: &Subject) -> Option<Finding> {
    let ports = port_count(files)?;
    let sources = if subject.local { LOOPBACK_SOURCES } else { 1 };
    let finding = Finding::good(
        "ephemeral ports",
        format!("{} for each pair of addresses", count(ports)),
        RANGE,
    );
    let advice = "sysctl -w net.ipv4.ip_local_port_range='1024 65535'";
    Some(if ports * sources < subject.connections + SPARE {
        finding.warning(format!("too few for {} connections: {advice}", count(subject.connections)))
    } else if !subject.keep_alive && !subject.local {
        finding.warning(format!(
            "with a connection for each request the side that closes first keeps its port for a minute: \
             about {} requests per second are all there can be: {advice}",
            count(ports / 60),
        ))
    } else {
        finding
    })
}

pub(super) fn time_wait(files: &impl Files, subject: &Subject) -> Option<Finding> {
    const PLACE: &str = "/proc/net/sockstat";
    let text = files.read(PLACE)?;
    let line = text.lines().find(|line| line.starts_with("TCP:"))?;
    let mut words = line.split_ascii_whitespace().skip_while(|word| *word != "tw").skip(1);
    let waiting: u64 = words.next()?.parse().ok()?;
    let sources = if subject.local { LOOPBACK_SOURCES } else { 1 };
    let finding = Finding::good("TIME_WAIT", format!("{} sockets wait", count(waiting)), PLACE);
    Some(if waiting > port_count(files)? * sources / 2 {
        finding.warning("more than half of the ports: wait a minute, until they are free again")
    } else {
        finding
    })
}

pub(super) fn backlog(files: &impl Files, subject: &Subject) -> Option<Finding> {
    const PLACE: &str = "/proc/sys/net/core/somaxconn";
    if !subject.local {
        return None;
    }
    let queue = files.number(PLACE)?;
    let finding =
        Finding::good("accept queue", format!("at most {} connections wait", count(queue)), PLACE);
    let wanted = subject.connections.clamp(BACKLOG_MIN, 65_535);
    Some(if queue < BACKLOG_MIN.min(wanted) {
        finding.warning(format!(
            "when many connect at once, some will be tried again a second later: sysctl -w \
             net.core.somaxconn={wanted}, then start the server anew",
        ))
    } else if queue < wanted && !subject.keep_alive {
        finding.hint(format!("sysctl -w net.core.somaxconn={wanted}, then start the server anew"))
    } else {
        finding
    })
}

/// Connection tracking of the firewall, whose table may fill.
pub(super) fn tracking(files: &impl Files, subject: &Subject) -> Option<Finding> {
    const USED: &str = "/proc/sys/net/netfilter/nf_conntrack_count";
    let (used, most) =
        (files.number(USED)?, files.number("/proc/sys/net/netfilter/nf_conntrack_max")?);
    let found = format!("{} of {} connections tracked", count(used), count(most));
    let finding = Finding::good("firewall", found, USED);
    Some(if used + 2 * subject.connections > most {
        finding.warning(
            "connections beyond that are dropped: sysctl -w net.netfilter.nf_conntrack_max=1048576",
        )
    } else {
        finding
    })
}
