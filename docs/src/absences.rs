//! What is deliberately absent: protocols make no system call and read no clock or random
//! source, and `unsafe` stands in few files.

use crate::finding::Finding;
use crate::path::{Use, paths};
use crate::source::Source;

/// Code that must do without some paths.
struct Rule {
    /// The folder whose code it is.
    folder: &'static str,
    /// The named exceptions.
    except: &'static [Exception],
    /// What the folder must do without.
    bans: &'static [&'static [Ban]],
}

/// A file or folder that a rule spares.
struct Exception {
    place: &'static str,
    /// The only paths it may name; `a::*` is everything beneath `a`, none is everything.
    only: &'static [&'static str],
}

/// A place that exists to do what the rule forbids elsewhere.
const fn free(place: &'static str) -> Exception {
    Exception { place, only: &[] }
}

/// A place that names some types to carry or classify their values, and calls nothing.
const fn carries(place: &'static str, only: &'static [&'static str]) -> Exception {
    Exception { place, only }
}

/// A path that code must not name.
struct Ban {
    path: &'static str,
    /// Segments after the path that are harmless: plain values.
    except: &'static [&'static str],
    why: &'static str,
}

const fn ban(path: &'static str, why: &'static str) -> Ban {
    Ban { path, except: &[], why }
}

const SYSTEM: &str = "makes system calls; pass the bytes in, or move it to a driver";
const CLOCK: &str = "reads a clock; take the time as an argument";
const RANDOM: &str = "is random outside the seed; take the numbers as an argument";
const ORDER: &str = "hashes with a random seed, so a replay would differ; use a map with a \
                     seeded hasher, a BTreeMap or a Vec";

/// Sockets, files, processes, the terminal.
const CALLS: &[Ban] = &[
    Ban {
        path: "std::net",
        // Addresses are values.
        except: &[
            "AddrParseError",
            "IpAddr",
            "Ipv4Addr",
            "Ipv6Addr",
            "SocketAddr",
            "SocketAddrV4",
            "SocketAddrV6",
        ],
        why: SYSTEM,
    },
    ban("std::env", SYSTEM),
    ban("std::fs", SYSTEM),
    ban("std::os", SYSTEM),
    ban("std::process", SYSTEM),
    ban("thread::Builder", SYSTEM),
    ban("thread::sleep", SYSTEM),
    ban("thread::spawn", SYSTEM),
    ban("libc", SYSTEM),
    ban("mio", SYSTEM),
    ban("rustix", SYSTEM),
    ban("socket2", SYSTEM),
    ban("eprint", SYSTEM),
    ban("eprintln", SYSTEM),
    ban("print", SYSTEM),
    ban("println", SYSTEM),
];

/// Clocks and random sources.
const CHANCE: &[Ban] = &[
    ban("Instant", CLOCK),
    ban("SystemTime", CLOCK),
    ban("fastrand", RANDOM),
    ban("getrandom", RANDOM),
    ban("rand", RANDOM),
    ban("thread_rng", RANDOM),
    ban("RandomState", ORDER),
    ban("std::collections::HashMap", ORDER),
    ban("std::collections::HashSet", ORDER),
];

const RULES: &[Rule] = &[
    Rule { folder: "parser/src", except: &[], bans: &[CALLS, CHANCE] },
    Rule { folder: "mempool/src", except: &[], bans: &[CALLS, CHANCE] },
    Rule { folder: "server/http/src", except: &[], bans: &[CALLS, CHANCE] },
    Rule {
        folder: "eventloop/src",
        except: &[
            free("eventloop/src/driver"),
            free("eventloop/src/disk.rs"),
            free("eventloop/src/affinity.rs"),
            // Sockets handed over travel in the inbox of the lane; an open file is passed on to
            // the driver.
            carries(
                "eventloop/src/mail.rs",
                &["std::net::TcpStream", "std::os::unix::net::UnixStream"],
            ),
            carries("eventloop/src/files.rs", &["std::fs", "std::fs::File"]),
            // The threads that do what would hold up a lane.
            carries("eventloop/src/pool.rs", &["std::thread::Builder::*"]),
        ],
        bans: &[CALLS, CHANCE],
    },
    Rule {
        folder: "acceptor/src",
        except: &[
            free("acceptor/src/listen.rs"),
            // The part of listening that is about sockets which others opened.
            free("acceptor/src/inherit.rs"),
            // The part of listening that is about socket files.
            free("acceptor/src/unix.rs"),
            // The dispatcher is a thread that polls listeners and accepts.
            free("acceptor/src/dispatch.rs"),
            // Names are resolved once, at start.
            carries(
                "acceptor/src/address.rs",
                &["std::net::ToSocketAddrs", "std::os::unix::net::SocketAddr::*"],
            ),
            carries("acceptor/src/admission.rs", &["rustix::io::Errno::*"]),
        ],
        bans: &[CALLS, CHANCE],
    },
    Rule {
        folder: "metrics/src",
        except: &[
            free("metrics/src/process.rs"),
            free("metrics/src/expose/statsd.rs"),
            free("metrics/src/expose/statsd"),
        ],
        bans: &[CALLS, CHANCE],
    },
    // What is hosted by a lane obeys the rule of protocols.
    Rule { folder: "server/src/apps", except: &[], bans: &[CALLS, CHANCE] },
    Rule { folder: "server/src/handler.rs", except: &[], bans: &[CALLS, CHANCE] },
];

/// Files and folders that may hold `unsafe`. Tests and benches are free: they do not ship.
const UNSAFE: &[&str] = &[
    "mempool/src/arena.rs",
    "mempool/src/pool.rs",
    "parser/src/scan",
    "eventloop/src/driver",
    "eventloop/src/affinity.rs",
];

/// Checks that the code at `path` names nothing it must do without. Tests are free.
pub fn check_paths(path: &str, text: &str) -> Vec<Finding> {
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| is_beneath(path, rule.folder)).collect();
    if rules.is_empty() || is_test(path) {
        return Vec::new();
    }
    let uses = paths(&Source::parse(text).code_without_tests());
    rules.iter().flat_map(|rule| rule.check(path, &uses)).collect()
}

/// Checks that `unsafe` stands only where it is allowed.
pub fn check_unsafe(path: &str, text: &str) -> Vec<Finding> {
    let allowed = UNSAFE.iter().any(|place| is_beneath(path, place));
    if allowed || is_test(path) || path.starts_with("benches/") {
        return Vec::new();
    }
    let advice = "unsafe is allowed only in mempool's pool and arena, parser's scan, the drivers \
                  and affinity: use what they offer, or move the code there";
    paths(&Source::parse(text).code_without_tests())
        .iter()
        .filter(|used| used.segments == ["unsafe"])
        .map(|used| Finding::at(path, used.line, advice))
        .collect()
}

impl Rule {
    fn check(&self, path: &str, uses: &[Use]) -> Vec<Finding> {
        let exception = self.except.iter().find(|exception| is_beneath(path, exception.place));
        let allows = |used: &&Use| exception.is_some_and(|exception| exception.allows(used));
        let uses = uses.iter().filter(|used| !allows(used));
        let bans: Vec<&Ban> = self.bans.iter().copied().flatten().collect();
        uses.flat_map(|used| bans.iter().filter_map(|ban| ban.check(path, used))).collect()
    }
}

impl Exception {
    fn allows(&self, used: &Use) -> bool {
        let path = used.segments.join("::");
        let covers = |only: &str| match only.strip_suffix("::*") {
            Some(above) => {
                path.strip_prefix(above).is_some_and(|r| r.is_empty() || r.starts_with("::"))
            }
            None => path == only,
        };
        self.only.is_empty() || self.only.iter().any(|only| covers(only))
    }
}

impl Ban {
    fn check(&self, path: &str, used: &Use) -> Option<Finding> {
        let message = || format!("{} {}", used.segments.join("::"), self.why);
        used.names(self.path, self.except).then(|| Finding::at(path, used.line, message()))
    }
}

/// Whether `path` is `place`, its folder or its file: `a/driver` covers `a/driver.rs` too.
fn is_beneath(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| {
        rest.is_empty() || rest.starts_with('/') || (rest == ".rs" && !place.ends_with(".rs"))
    })
}

/// Tests, examples, benches and fuzz targets, which do not ship.
fn is_test(path: &str) -> bool {
    let mut folders: Vec<&str> = path.split('/').collect();
    let file = folders.pop();
    file.is_some_and(|file| file.ends_with("tests.rs"))
        || folders.iter().any(|f| ["tests", "benches", "examples", "fuzz"].contains(f))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check_paths(path, text).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn protocols_touch_no_socket_file_or_clock() {
        for bad in [
            "use std::net::TcpStream;",
            "use std::{fs, io};",
            "fn f() { std::time::Instant::now(); }",
            "use std::time::{Duration, SystemTime};",
            "use rustix::net;",
            "fn f() { unsafe { libc::read(0) } }",
            "fn f() { println!(\"x\") }",
            "use std::collections::HashMap;",
            "fn f() -> u64 { rand::random() }",
        ] {
            for folder in ["parser/src", "mempool/src", "server/http/src", "eventloop/src"] {
                assert_eq!(lines(&format!("{folder}/a.rs"), bad), [1], "{folder}: {bad}");
            }
        }
    }

    #[test]
    fn values_comments_and_tests_pass() {
        for good in [
            "use std::net::{IpAddr, SocketAddr};",
            "use std::time::Duration;",
            "// std::fs::read\nfn f() -> &'static str { \"std::fs\" }",
            "#[cfg(test)]\nmod tests { use std::time::Instant; }",
            "use hashbrown::HashMap;",
        ] {
            assert_eq!(lines("parser/src/a.rs", good), [0; 0], "{good}");
        }
    }

    #[test]
    fn named_exceptions_pass() {
        let text = "use std::net::TcpListener;";
        for path in [
            "eventloop/src/driver/mio.rs",
            "eventloop/src/driver.rs",
            "acceptor/src/listen.rs",
            "metrics/src/process.rs",
            "server/src/supervisor.rs",
            "parser/tests/a.rs",
            "parser/src/http1/tests.rs",
            "parser/src/http1/head_tests.rs",
            "parser/fuzz/a.rs",
        ] {
            assert_eq!(lines(path, text), [0; 0], "{path}");
        }
        assert_eq!(lines("acceptor/src/listening.rs", text), [1]);
        assert_eq!(lines("server/src/apps/fixed.rs", text), [1]);
    }

    #[test]
    fn carried_values_pass_and_calls_on_them_do_not() {
        let path = "eventloop/src/mail.rs";
        assert_eq!(lines(path, "use std::net::TcpStream;\nfn f(s: TcpStream) {}"), [0; 0]);
        assert_eq!(lines(path, "use std::net::TcpStream;\nfn f() { TcpStream::connect(a) }"), [2]);
        assert_eq!(lines(path, "use std::net::UdpSocket;"), [1]);
        let path = "eventloop/src/files.rs";
        assert_eq!(lines(path, "use std::fs;\nstruct A(fs::File);"), [0; 0]);
        assert_eq!(lines(path, "use std::fs;\nfn f() { fs::File::open(a) }"), [2]);
        let path = "eventloop/src/pool.rs";
        assert_eq!(lines(path, "use std::thread;\nfn f() { thread::Builder::new() }"), [0; 0]);
        assert_eq!(lines(path, "use std::thread;\nfn f() { thread::sleep(a) }"), [2]);
        let path = "acceptor/src/admission.rs";
        assert_eq!(lines(path, "use rustix::io::Errno;\nfn f() { Errno::MFILE }"), [0; 0]);
        assert_eq!(lines(path, "use rustix::io;\nfn f() { io::read(a) }"), [1, 2]);
    }

    #[test]
    fn unsafe_is_found_outside_its_places() {
        let text = "// unsafe\nfn f() {\n    unsafe { g() }\n}";
        assert_eq!(check_unsafe("server/src/a.rs", text).len(), 1);
        assert_eq!(check_unsafe("server/src/a.rs", text)[0].line, 3);
        for path in ["mempool/src/pool.rs", "eventloop/src/driver/mio.rs", "benches/rivals/a.rs"] {
            assert_eq!(check_unsafe(path, text), [], "{path}");
        }
        assert_eq!(check_unsafe("parser/src/a.rs", "#![deny(unsafe_code)] // unsafe"), []);
    }
}
