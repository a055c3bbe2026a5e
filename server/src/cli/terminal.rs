//! Whether the terminal that a server was started from is still there.

use std::fs::File;

/// The terminal that this process was started from.
pub(super) struct Terminal(());

/// The terminal of the process, whatever its name is.
const CONTROLLING: &str = "/dev/tty";

impl Terminal {
    /// The terminal of this process, if it has one and shall end with it: not if SIGHUP is ignored, as it
    /// is under `nohup`. To be called before the signal gets a handler.
    pub(super) fn of_process() -> Option<Terminal> {
        let ignores = || {
            let status = std::fs::read_to_string("/proc/self/status").ok()?;
            ignores_hangup(&status)
        };
        (File::open(CONTROLLING).is_ok() && ignores() == Some(false)).then_some(Terminal(()))
    }

    /// Whether it is gone. The kernel takes it from its processes before it sends them SIGHUP.
    pub(super) fn is_closed(&self) -> bool {
        File::open(CONTROLLING).is_err()
    }
}

/// Whether a process whose `/proc/PID/status` this is ignores SIGHUP, the first bit of its mask.
fn ignores_hangup(status: &str) -> Option<bool> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).ok()? & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn masks_of_signals() {
        for (status, expected) in [
            ("Name:\tx\nSigIgn:\t0000000000000001\nSigCgt:\t0\n", Some(true)),
            ("SigIgn:\t0000000000001000\n", Some(false)),
            ("SigIgn:\tx\n", None),
            ("", None),
        ] {
            assert_eq!(ignores_hangup(status), expected, "{status}");
        }
    }
}
