//! What of this machine may distort a load test, and what to do about it.
//!
//! Everything is read from files of `/proc` and `/sys`, through [`Files`], so that it can be tried on
//! machines that are made up. Nothing is changed. What a machine does not tell is passed over.

mod cores;
mod limits;

use std::fmt;

use crate::record::Environment;

/// Where files are read: [`Machine`], or a made-up one.
pub trait Files {
    /// The contents of a file; `None` if it is not there or may not be read.
    fn read(&self, path: &str) -> Option<String>;

    /// As [`read`](Self::read), without white space at both ends.
    fn line(&self, path: &str) -> Option<String> {
        self.read(path).map(|text| text.trim().to_owned())
    }

    /// As [`line`](Self::line), as a number.
    fn number(&self, path: &str) -> Option<u64> {
        self.line(path)?.parse().ok()
    }
}

/// The machine this runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl Files for Machine {
    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }
}

/// What is going to be run on it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Connections at once.
    pub connections: u64,
    /// Whether connections are kept for further requests.
    pub keep_alive: bool,
    /// Whether client and server are on this machine.
    pub local: bool,
    /// The cores the client is bound to; empty if it is not.
    pub cores: Vec<usize>,
    /// The server's process, if it is here and known.
    pub server: Option<u32>,
}

impl Default for Subject {
    /// A thousand kept connections to a server on this machine.
    fn default() -> Self {
        Self { connections: 1_000, keep_alive: true, local: true, cores: Vec::new(), server: None }
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// Figures are good for comparisons under the same conditions only.
    Hint,
    /// Figures may be wrong.
    Warning,
}

/// What was found at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// What was looked at.
    pub subject: &'static str,
    /// What is the case.
    pub found: String,
    /// Where that is read.
    pub place: String,
    /// What to do; empty where it is good.
    pub advice: String,
}

impl Finding {
    fn good(subject: &'static str, found: impl Into<String>, place: impl Into<String>) -> Self {
        let (found, place) = (found.into(), place.into());
        Self { level: Level::Good, subject, found, place, advice: String::new() }
    }

    fn hint(self, advice: impl Into<String>) -> Self {
        Self { level: Level::Hint, advice: advice.into(), ..self }
    }

    fn warning(self, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, advice: advice.into(), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, subject, found, place, advice } = self;
        let level = match level {
            Level::Good => "ok",
            Level::Hint => "hint",
            Level::Warning => "WARNING",
        };
        write!(out, "{level:<8} {subject:<16} {found} ({place})")?;
        if !advice.is_empty() {
            write!(out, "\n{:26}{advice}", "")?;
        }
        Ok(())
    }
}

/// Looks at everything that is known to distort load tests.
///
/// # Examples
/// ```
/// use corelane_load::doctor::{Machine, Subject, examine};
///
/// let findings = examine(&Machine, &Subject { connections: 10_000, ..Subject::default() });
/// for finding in &findings {
///     println!("{finding}");
/// }
/// ```
#[must_use]
pub fn examine(files: &impl Files, subject: &Subject) -> Vec<Finding> {
    [
        limits::descriptors(files, subject),
        limits::ports(files, subject),
        limits::time_wait(files, subject),
        limits::backlog(files, subject),
        limits::tracking(files, subject),
        cores::allowed(files, subject),
        cores::shared(files, subject),
        cores::quota(files),
        cores::governor(files),
        cores::steal(files),
        cores::load(files),
        cores::clock(files),
        virtualization(files).map(|(name, place)| {
            Finding::good("virtual machine", name, place).hint(
                "cores, clocks and network are shared with others: compare runs that alternate, not \
                 figures of different days",
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Where a run takes place; of the findings those that are warnings.
#[must_use]
pub fn environment(files: &impl Files, findings: &[Finding]) -> Environment {
    let part = |path| files.line(path).unwrap_or_default();
    let processor = files.read("/proc/cpuinfo").and_then(|text| {
        let named =
            |key: &str| Some(text.lines().find_map(|line| line.strip_prefix(key))?.to_owned());
        let value = named("model name").or_else(|| named("Model"))?;
        Some(value.trim_start_matches([' ', '\t', ':']).to_owned())
    });
    let warnings = findings.iter().filter(|finding| finding.level == Level::Warning);
    Environment {
        system: format!(
            "{} {}",
            part("/proc/sys/kernel/ostype"),
            part("/proc/sys/kernel/osrelease")
        ),
        processor: processor.unwrap_or_else(|| "unknown".to_owned()),
        cores: cores::online(files).len(),
        virtualization: virtualization(files).map(|(name, _)| name),
        warnings: warnings
            .map(|Finding { subject, found, advice, .. }| format!("{subject}: {found}; {advice}"))
            .collect(),
    }
}

/// What the machine pretends to be hardware upon, and where that is read.
fn virtualization(files: &impl Files) -> Option<(String, &'static str)> {
    const PRODUCT: &str = "/sys/class/dmi/id/product_name";
    const CPUINFO: &str = "/proc/cpuinfo";
    /// Parts of the names that virtual machines give themselves.
    const KNOWN: [&str; 9] = [
        "KVM",
        "QEMU",
        "VMware",
        "VirtualBox",
        "Virtual Machine",
        "Xen",
        "HVM domU",
        "Bochs",
        "Google Compute Engine",
    ];
    if let Some(product) = files.line(PRODUCT)
        && KNOWN.iter().any(|known| product.contains(known))
    {
        return Some((product, PRODUCT));
    }
    if let Some(kind) = files.line("/sys/hypervisor/type").filter(|kind| !kind.is_empty()) {
        return Some((kind, "/sys/hypervisor/type"));
    }
    let text = files.read(CPUINFO)?;
    let flags = text.lines().find(|line| line.starts_with("flags"))?;
    let guest = flags.split_ascii_whitespace().any(|flag| flag == "hypervisor");
    guest.then(|| ("the processor says that a hypervisor runs below".to_owned(), CPUINFO))
}

#[cfg(test)]
mod tests;
