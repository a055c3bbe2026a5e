use std::collections::BTreeMap;

use super::*;

/// A machine that is made up.
struct Paper(BTreeMap<String, String>);

impl Files for Paper {
    fn read(&self, path: &str) -> Option<String> {
        self.0.get(path).cloned()
    }
}

/// A machine without a fault, but for these files.
fn but(files: &[(&str, &str)]) -> Paper {
    let good = [
        (
            "/proc/self/limits",
            "Limit  Soft Limit  Hard Limit  Units\nMax open files  65536  1048576  files\n",
        ),
        ("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
        ("/proc/net/sockstat", "sockets: used 9\nTCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1\n"),
        ("/proc/sys/net/core/somaxconn", "4096\n"),
        ("/proc/self/status", "Name:\tload\nCpus_allowed_list:\t0-3\n"),
        ("/proc/7/status", "Name:\tserver\nCpus_allowed_list:\t0-1\n"),
        ("/proc/self/cgroup", "0::/a/b\n"),
        ("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
        ("/sys/devices/system/cpu/online", "0-3\n"),
        ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
        ("/sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2-3\n"),
        ("/proc/stat", "cpu  100 0 100 9000 0 0 0 0 0 0\ncpu0 1\n"),
        ("/proc/loadavg", "0.10 0.10 0.10 1/100 1234\n"),
        ("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ("/proc/cpuinfo", "processor: 0\nmodel name\t: A processor\nflags\t\t: fpu sse2\n"),
        ("/proc/sys/kernel/ostype", "Linux\n"),
        ("/proc/sys/kernel/osrelease", "6.1.0\n"),
    ];
    let pairs = good.iter().chain(files);
    Paper(pairs.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

fn subject() -> Subject {
    Subject { cores: vec![2], server: Some(7), ..Subject::default() }
}

#[test]
fn on_a_good_machine_everything_is_good() {
    let findings = examine(&but(&[]), &subject());
    assert!(findings.iter().all(|finding| finding.level == Level::Good), "{findings:#?}");
    assert_eq!(findings.len(), 11);
    let environment = environment(&but(&[]), &findings);
    let expected = Environment {
        system: "Linux 6.1.0".to_owned(),
        processor: "A processor".to_owned(),
        cores: 4,
        ..Environment::default()
    };
    assert_eq!(environment, expected);
}

/// What is found, how grave it is, with what is to be run and on which machine.
type Case<'a> = (&'a str, Level, &'a Subject, &'a [(&'a str, &'a str)]);

#[test]
fn limits_that_run_out_are_found() {
    let good = &subject();
    let other = Subject { keep_alive: false, local: false, ..subject() };
    let many = Subject { connections: 2_000_000, ..subject() };
    let files = "/proc/self/limits";
    let cases: [Case<'_>; 7] = [
        ("open files", Level::Hint, good, &[(files, "Max open files 1024 unlimited files")]),
        ("open files", Level::Warning, good, &[(files, "Max open files 512 1024 files")]),
        ("ephemeral ports", Level::Warning, &other, &[]),
        (
            "ephemeral ports",
            Level::Warning,
            &many,
            &[(files, "Max open files 4000000 4000000 files")],
        ),
        (
            "TIME_WAIT",
            Level::Warning,
            good,
            &[("/proc/net/sockstat", "TCP: inuse 5 orphan 0 tw 1000000 alloc 7")],
        ),
        ("accept queue", Level::Warning, good, &[("/proc/sys/net/core/somaxconn", "128")]),
        (
            "firewall",
            Level::Warning,
            good,
            &[
                ("/proc/sys/net/netfilter/nf_conntrack_count", "64000"),
                ("/proc/sys/net/netfilter/nf_conntrack_max", "65536"),
            ],
        ),
    ];
    cases.into_iter().for_each(check);
}

#[test]
fn what_takes_time_from_the_cores_is_found() {
    let good = &subject();
    let unbound = Subject { cores: Vec::new(), ..subject() };
    let absent = Subject { cores: vec![9], server: None, ..subject() };
    let alone = Subject { cores: vec![0], server: None, ..subject() };
    let shared = Subject { cores: vec![1], ..subject() };
    let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    let siblings = "/sys/devices/system/cpu/cpu2/topology/thread_siblings_list";
    let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let cases: [Case<'_>; 12] = [
        ("cores", Level::Warning, &absent, &[]),
        ("cores", Level::Warning, &alone, &[("/proc/self/status", "Cpus_allowed_list: 0")]),
        ("client and server", Level::Hint, &unbound, &[]),
        ("client and server", Level::Warning, &shared, &[]),
        ("client and server", Level::Warning, good, &[(siblings, "0,2")]),
        ("group quota", Level::Warning, good, &[("/sys/fs/cgroup/a/cpu.max", "150000 100000")]),
        ("frequency", Level::Warning, good, &[(governor, "powersave")]),
        ("stolen time", Level::Warning, good, &[("/proc/stat", "cpu 100 0 100 900 0 0 0 50 0 0")]),
        ("other work", Level::Hint, good, &[("/proc/loadavg", "3.10 1 1 1/1 1")]),
        ("clock", Level::Warning, good, &[(clock, "hpet")]),
        ("virtual machine", Level::Hint, good, &[("/proc/cpuinfo", "flags : fpu hypervisor")]),
        ("virtual machine", Level::Hint, good, &[("/sys/class/dmi/id/product_name", "KVM")]),
    ];
    cases.into_iter().for_each(check);
}

/// One fault is found, no other, and it comes with advice.
fn check((name, level, subject, files): Case<'_>) {
    let findings = examine(&but(files), subject);
    let bad: Vec<_> = findings.iter().filter(|finding| finding.level != Level::Good).collect();
    let [finding] = bad[..] else { panic!("{name}: {bad:#?}") };
    assert_eq!((finding.subject, finding.level), (name, level));
    assert!(finding.advice.len() > 10 && finding.place.starts_with('/'), "{finding:?}");
}

#[test]
fn a_machine_that_tells_nothing_or_nonsense_gets_no_finding() {
    let nothing = Paper(BTreeMap::new());
    assert_eq!(examine(&nothing, &subject()), []);
    assert_eq!(environment(&nothing, &[]).cores, 0);
    let nonsense =
        Paper(but(&[]).0.into_keys().map(|path| (path, "-9 x,,7-\u{0}".to_owned())).collect());
    let findings = examine(&nonsense, &subject());
    assert!(findings.len() <= 3, "{findings:#?}");
}
