//! How much memory the process may use.

use std::fs;
use std::path::Path;

/// What a server works with in any case: fewer buffers than this serve nobody.
const LEAST: usize = 16 << 20;

/// The default limit of buffers: half of what the process may use. The other half is for connections'
/// own state, for what handlers allocate, and for what the kernel buffers, which a control group counts
/// too.
pub(super) fn default_budget() -> usize {
    half(usable(Path::new("/")))
}

fn half(usable: usize) -> usize {
    if usable == usize::MAX { usable } else { (usable / 2).max(LEAST) }
}

/// Bytes that the process may use: what the machine has, or less if a control group (of either
/// version, anywhere above the process) or the limit of its address space says so. Without a limit that
/// can be read, `usize::MAX`. `root` is where `/proc` and `/sys` are.
fn usable(root: &Path) -> usize {
    let limits = [installed(root), group_limit(root), address_space(root)];
    limits.into_iter().flatten().min().unwrap_or(usize::MAX)
}

/// `Max address space` of `/proc/self/limits` (`ulimit -v`), in bytes.
fn address_space(root: &Path) -> Option<usize> {
    let text = fs::read_to_string(root.join("proc/self/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn installed(root: &Path) -> Option<usize> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The lowest limit of the control groups that the process is in.
fn group_limit(root: &Path) -> Option<usize> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    // Lines are `hierarchy:controllers:path`; version 2 has number 0 and names no controllers.
    let limits = text.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // In a container the path may be the host's, and its own group the root of the mount: every
        // level that is there is asked.
        let mount = root.join(mount);
        let within = Path::new(path.trim_start_matches('/'));
        let levels = within.ancestors().map(|level| mount.join(level).join(file));
        levels.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok()).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const GIB: usize = 1 << 30;

    /// A machine of 4 GiB, as its files tell it.
    fn machine(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root =
            std::env::temp_dir().join(format!("corelane-memory-{}-{name}", std::process::id()));
        let meminfo = ("proc/meminfo", "MemTotal:        4194304 kB\nMemFree: 1 kB\n");
        for (path, text) in files.iter().chain([&meminfo]) {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[track_caller]
    fn check(name: &str, files: &[(&str, &str)], expected: usize) {
        let root = machine(name, files);
        let found = usable(&root);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_lowest_limit_counts() {
        check("bare", &[], 4 * GIB);
        let own = ("proc/self/cgroup", "0::/system.slice/web.service\n");
        let limit = ("sys/fs/cgroup/system.slice/web.service/memory.max", "1073741824\n");
        let none = ("sys/fs/cgroup/system.slice/web.service/memory.max", "max\n");
        let above = ("sys/fs/cgroup/system.slice/memory.max", "536870912\n");
        check("v2", &[own, limit], GIB);
        check("v2-max", &[own, none], 4 * GIB);
        check("v2-above", &[own, limit, above], GIB / 2);
        check(
            "v2-container",
            &[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "7\n")],
            7,
        );
        let old = ("proc/self/cgroup", "5:cpu:/\n4:memory,other:/docker/ab:c\n0::/\n");
        let file = "sys/fs/cgroup/memory/docker/ab:c/memory.limit_in_bytes";
        check("v1", &[old, (file, "2147483648\n")], 2 * GIB);
        check("v1-none", &[old, (file, "9223372036854771712\n")], 4 * GIB);
        let mounted = "sys/fs/cgroup/memory/memory.limit_in_bytes";
        check("v1-container", &[old, (mounted, "2147483648\n")], 2 * GIB);
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
            Max address space         3221225472           unlimited            bytes\n";
        check("ulimit", &[("proc/self/limits", limits)], 3 * GIB);
        let unlimited = limits.replace("3221225472", "unlimited ");
        check("no-ulimit", &[("proc/self/limits", &unlimited)], 4 * GIB);
        check("garbled", &[("proc/self/cgroup", "what\n::\n0::/x\n")], 4 * GIB);
    }

    #[test]
    fn half_is_for_buffers() {
        assert_eq!((half(GIB), half(1 << 20), half(usize::MAX)), (GIB / 2, LEAST, usize::MAX));
        assert!(default_budget() >= LEAST);
    }
}
