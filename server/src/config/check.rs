//! The second look: whether values that are right by themselves make sense together, and on this
//! machine. It reads the file system, and asks the resolver about host names in addresses.

use std::net::IpAddr;
use std::path::Path;

use corelane_acceptor::Address;
use corelane_metrics::expose::statsd::{INTERVAL_MAX, INTERVAL_MIN, StatsdEncoder};
use rustix::fs::Access;

use super::address;
use super::check_site::{self, middleware};
use super::finding::{index_path, key_path};
use super::keys::{Config, LogPath};
use crate::logs::AccessFormat;

/// What was found: each with its path and a message.
#[derive(Default)]
pub(super) struct Found {
    pub(super) errors: Vec<(String, String)>,
    pub(super) warnings: Vec<(String, String)>,
}

impl Found {
    pub(super) fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push((path.into(), message.into()));
    }

    pub(super) fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push((path.into(), message.into()));
    }

    /// A folder that must exist.
    pub(super) fn folder(&mut self, path: &str, folder: &Path) {
        match std::fs::metadata(folder) {
            Ok(found) if found.is_dir() => {
                if let Err(error) = rustix::fs::access(folder, Access::EXEC_OK) {
                    let user = rustix::process::geteuid().as_raw();
                    let folder = folder.display();
                    let message =
                        format!("{folder}: user {user} may not look into it (chmod +x): {error}");
                    self.error(path, message);
                }
            }
            Ok(_) => self.error(path, format!("{} is a file, not a folder", folder.display())),
            Err(error) => self.error(path, format!("{}: {error}", folder.display())),
        }
    }

    /// A file that must exist.
    pub(super) fn file(&mut self, path: &str, file: &Path) {
        match std::fs::File::open(file).and_then(|file| file.metadata()) {
            Ok(found) if found.is_file() => {}
            Ok(_) => self.error(path, format!("{} is no file", file.display())),
            Err(error) => self.error(path, format!("{}: {error}", file.display())),
        }
    }
}

/// Checks a whole configuration; `is_chosen` tells whether a key was given, and not as its
/// default.
pub(super) fn check(config: &Config, is_chosen: &dyn Fn(&str) -> bool) -> Found {
    let mut found = Found::default();
    listeners(config, is_chosen, &mut found);
    limits(config, &mut found);
    logs(config, &mut found);
    metrics(config, &mut found);
    if let Some(dir) = &config.static_dir {
        found.folder("static_dir", dir.get());
    }
    middleware(&config.middleware, "middleware", &mut found);
    check_site::sites(config, &mut found);
    if config.static_dir.is_none() && config.routes.is_empty() && config.hosts.is_empty() {
        let message = "nothing to serve: set `static_dir`, `routes` or `hosts`";
        found.warning("", message);
    }
    found
}

fn listeners(config: &Config, is_chosen: &dyn Fn(&str) -> bool, found: &mut Found) {
    let port = config.port.get() as u16;
    let own = |text: &str| address::names_port(text);
    if !config.listeners.is_empty() {
        let instead = "write it into `listeners`, or leave those out";
        if is_chosen("host") {
            found.error("host", format!("has no effect beside `listeners`: {instead}"));
        }
        if is_chosen("port") && config.listeners.iter().all(|listener| own(listener.get())) {
            found.error("port", format!("has no effect: all `listeners` have a port; {instead}"));
        }
    }
    let mut seen: Vec<(Address, String)> = Vec::new();
    let texts = config.listeners.iter().enumerate();
    let mut places: Vec<(String, &str, u16)> = texts
        .map(|(index, listener)| (index_path("listeners", index), listener.get(), port))
        .collect();
    if places.is_empty() {
        places.push(("host".to_owned(), &config.host, port));
    }
    if let Some(admin) = &config.admin {
        places.push(("admin".to_owned(), admin.get(), 9080));
    }
    if config.admin_token.is_some() && config.admin_token_file.is_some() {
        found.error("admin_token".to_owned(), "there is `admin_token_file` besides: leave out one");
    }
    for (path, text, port) in places {
        if path == "host" && address::names_port(text) {
            let message = "expected a host name or IP address without a port; that is `port`";
            found.error(path, message);
            continue;
        }
        let address = match address::parse(text, port) {
            Ok(address) => address,
            Err(error) => {
                found.error(path, error.to_string());
                continue;
            }
        };
        let open = config.admin_token.is_none() && config.admin_token_file.is_none();
        if path == "admin" && open && address.tcp().is_some_and(|tcp| !tcp.ip().is_loopback()) {
            let message = "only loopback addresses and Unix sockets without a token, since the \
                           pages are open to whoever reaches them; use 127.0.0.1:9080, or \
                           `admin_token_file`";
            found.error(path.clone(), message);
        }
        if let Some((_, first)) = seen.iter().find(|(taken, _)| overlap(taken, &address)) {
            found.error(path, format!("{address} is listened on already, by `{first}`"));
        } else {
            seen.push((address, path));
        }
    }
}

/// Whether the two cannot be listened on at once.
fn overlap(one: &Address, other: &Address) -> bool {
    let (Address::Tcp(one), Address::Tcp(other)) = (one, other) else { return one == other };
    let (a, b) = (one.ip(), other.ip());
    let all = |ip: IpAddr| ip.is_unspecified();
    // `[::]` takes IPv4 as well. Port 0 is another one every time.
    let meet = a == b
        || (all(a) && (a.is_ipv6() || b.is_ipv4()))
        || (all(b) && (b.is_ipv6() || a.is_ipv4()));
    one.port() == other.port() && one.port() != 0 && meet
}

fn limits(config: &Config, found: &mut Found) {
    let limits = &config.limits;
    if let Some(most) = limits.max_connections
        && limits.preallocate.get() > most.get()
    {
        let message = format!("more than `limits.max_connections`, {}", most.get());
        found.error("limits.preallocate", message);
    }
    if let Some(memory) = limits.max_buffer_memory
        && limits.max_head.get() > memory.get() / 4
    {
        let message =
            "more than a quarter of `limits.max_buffer_memory`: few clients could be served";
        found.error("limits.max_head", message);
    }
}

fn logs(config: &Config, found: &mut Found) {
    let access = &config.logs.access;
    if let Some(LogPath::File(file)) = &access.path {
        if file.is_dir() {
            found.error("logs.access.path", format!("{} is a folder", file.display()));
        } else if let Some(folder) = file.parent() {
            found.folder("logs.access.path", folder);
        }
    }
    if let Err(error) = access.format.parse::<AccessFormat>() {
        found.error("logs.access.format", error.to_string());
    }
}

fn metrics(config: &Config, found: &mut Found) {
    let metrics = &config.metrics;
    let tags: Vec<(String, String)> = metrics
        .tags
        .iter()
        .map(|tag| tag.pair())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    if let Err(error) = StatsdEncoder::new(&metrics.name, &[]) {
        found.error("metrics.name", error.to_string());
    } else {
        let one = |tag: &(String, String)| StatsdEncoder::new("", std::slice::from_ref(tag)).err();
        let mut good = true;
        for (index, tag) in tags.iter().enumerate() {
            if let Some(error) = one(tag) {
                good = false;
                found.error(index_path("metrics.tags", index), error.to_string());
            }
        }
        if good && let Err(error) = StatsdEncoder::new(&metrics.name, &tags) {
            found.error("metrics.tags", error.to_string());
        }
    }
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&metrics.interval.get()) {
        let message = format!("expected a time from {INTERVAL_MIN:?} to {INTERVAL_MAX:?}");
        found.error(key_path("metrics", "interval"), message);
    }
}
