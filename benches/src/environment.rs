//! Where a run took place.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::build::Binaries;

/// Kernel settings that move the figures.
const SYSCTLS: [&str; 9] = [
    "kernel.sched_autogroup_enabled",
    "net.core.busy_poll",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
];
/// Libraries of the rivals whose versions are shown.
const RIVAL_LIBRARIES: [&str; 10] = [
    "actix-files",
    "actix-web",
    "axum",
    "httparse",
    "hyper",
    "may",
    "may_minihttp",
    "mio",
    "tokio",
    "tower-http",
];

/// Where a run took place.
#[derive(Debug)]
pub struct Environment {
    /// Year, month and day.
    pub date: String,
    facts: Vec<(String, String)>,
}

impl Environment {
    /// The machine, its kernel's settings and the versions of what is measured.
    pub fn read(binaries: &Binaries) -> Self {
        let mut facts = Vec::new();
        let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
        add("kernel", line("/proc/sys/kernel/osrelease"));
        add("CPU", cpu_model());
        add("cores", std::thread::available_parallelism().map_or(0, usize::from).to_string());
        for name in SYSCTLS {
            add(name, line(&format!("/proc/sys/{}", name.replace('.', "/"))));
        }
        add("commit", output(&binaries.root, "git", &["describe", "--always", "--dirty"]));
        add("rustc", output(&binaries.root, "rustc", &["--version"]));
        let versions = [("nginx", "-v"), ("h2o", "-v"), ("node", "-v"), ("python3", "-V")];
        for (name, option) in versions {
            if let Ok(program) = binaries.installed(name) {
                let version = output(&binaries.root, &program.to_string_lossy(), &[option]);
                add(name, version);
            }
        }
        let lock = binaries.root.join("benches/rivals/Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap_or_default();
        for library in RIVAL_LIBRARIES {
            if let Some(version) = locked_version(&lock, library) {
                add(library, version.to_owned());
            }
        }
        add("load before", line("/proc/loadavg"));
        Self { date: today(), facts }
    }

    /// Notes what the run itself has arranged.
    pub fn note(&mut self, name: &str, value: String) {
        self.facts.push((name.to_owned(), value));
    }

    /// Notes, once, at what priority a server really runs.
    pub fn note_priority(&mut self, process: u32) {
        if self.facts.iter().all(|(name, _)| name != "autogroup") {
            let autogroup = line(&format!("/proc/{process}/autogroup"));
            self.facts.push(("autogroup".to_owned(), autogroup));
        }
    }

    /// Notes the load when a run is over.
    pub fn finish(&mut self) {
        self.facts.push(("load after".to_owned(), line("/proc/loadavg")));
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let facts: serde_json::Map<_, _> =
            self.facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({ "date": self.date, "facts": facts })
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.facts {
            writeln!(out, "- {name}: {value}")?;
        }
        Ok(())
    }
}

/// Year, month and day in UTC.
#[must_use]
pub fn today() -> String {
    date(SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()))
}

/// The first line of a file; `?` if there is none.
fn line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("?").replace('\t', " ")
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let guest = if text.contains(" hypervisor") { " (virtual machine)" } else { "" };
    format!("{}{guest}", model.map_or("?", |(_, name)| name))
}

/// The first line a program prints, on either stream.
fn output(directory: &Path, program: &str, arguments: &[&str]) -> String {
    let result = Command::new(program).args(arguments).current_dir(directory).output();
    let Ok(result) = result else { return "?".to_owned() };
    let bytes = if result.stdout.is_empty() { result.stderr } else { result.stdout };
    String::from_utf8_lossy(&bytes).lines().next().unwrap_or("?").to_owned()
}

/// The version of a package in the text of a `Cargo.lock`.
fn locked_version<'lock>(lock: &'lock str, package: &str) -> Option<&'lock str> {
    let entry = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| **line != *entry);
    lines.nth(1)?.strip_prefix("version = \"")?.strip_suffix('"')
}

/// Year, month and day of a time in seconds since 1970, after Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months are counted from March, so that the leap day comes last.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_the_edges_of_months() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_795_219_200, "2026-11-21"),
            (4_102_444_799, "2099-12-31"),
        ] {
            assert_eq!(date(seconds), text);
        }
    }

    #[test]
    fn versions_are_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"hyper-util\"\nversion = \"0.1\"\n\n[[package]]\n\
                    name = \"hyper\"\nversion = \"1.8.1\"\n";
        assert_eq!(locked_version(lock, "hyper"), Some("1.8.1"));
        assert_eq!(locked_version(lock, "mio"), None);
    }
}
