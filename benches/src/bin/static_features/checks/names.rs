//! Names that lead out of the root, and files that are none.

use std::time::{Duration, Instant};

use super::{Feature, of};
use crate::cell::Cell;
use crate::client::{Connection, End, request};
use crate::probe::Probe;
use crate::tree::SECRET;

/// Ways to write a path that leaves the root, or something that a careless server takes for one.
const TRAVERSALS: [&str; 22] = [
    "/../secret.txt",
    "/../../../../../../etc/passwd",
    "/list/../../secret.txt",
    "/%2e%2e/secret.txt",
    "/%2E%2E/secret.txt",
    "/.%2e/secret.txt",
    "/..%2fsecret.txt",
    "/..%2Fsecret.txt",
    "/%2e%2e%2fsecret.txt",
    "/list/..%2f..%2fsecret.txt",
    "/..\\secret.txt",
    "/..%5csecret.txt",
    "/%2e%2e%5csecret.txt",
    "/%252e%252e/secret.txt",
    "/%252e%252e%252fsecret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/..%c0%afsecret.txt",
    "/%uff0e%uff0e/secret.txt",
    "/..;/secret.txt",
    "//etc/passwd",
    "/%2fetc%2fpasswd",
    "/text.txt%00/../../secret.txt",
];
/// How long a file that never ends may keep its client.
const PATIENCE: Duration = Duration::from_secs(3);
/// Requests for another file afterwards.
const LATER_COUNT: usize = 8;

pub(super) const FEATURES: &[Feature] = &[
    of("22 spellings of a path out of the root", traversal),
    of("a NUL in a path is refused", nul),
    of("symbolic links out of the root are not followed", outside),
    of("symbolic links inside of the root can be", inside),
    of("fifo neither served nor waited for", fifo).repeated(),
    of("device not served", device),
];

fn traversal(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut leaks = Vec::new();
    for target in TRAVERSALS {
        // The absolute form goes another way through some servers.
        for target in [target.to_owned(), format!("http://localhost{target}")] {
            let text = probe.get(&target)?.text();
            if text.contains(SECRET) || text.contains("root:x:") {
                leaks.push(target);
            }
        }
    }
    Ok(if leaks.is_empty() { Cell::yes() } else { Cell::no(leaks.join(", ")) })
}

fn nul(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get("/text.txt%00.html")?;
    Ok(match (400..500).contains(&answer.status) {
        true => Cell::Yes(answer.seen()),
        false => Cell::no(answer.seen()),
    })
}

fn outside(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut leaks = Vec::new();
    for target in ["/link-outside.txt", "/link-up/secret.txt", "/link-up/root/../secret.txt"] {
        if probe.get(target)?.text().contains(SECRET) {
            leaks.push(target);
        }
    }
    Ok(if leaks.is_empty() { Cell::yes() } else { Cell::no(leaks.join(", ")) })
}

fn inside(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut missed = Vec::new();
    for kind in ["relative", "absolute"] {
        let answer = probe.get(&format!("/link-{kind}.txt"))?;
        if answer.status != 200 {
            missed.push(format!("{kind} ({})", answer.seen()));
        }
    }
    Ok(Cell::tally(&missed, 2))
}

fn fifo(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    odd_file(probe, "/fifo")
}

fn device(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    if !probe.tree.has_device {
        return Ok(Cell::Unknown("only root may make one".to_owned()));
    }
    odd_file(probe, "/device")
}

/// It must be refused at once, and the server must go on to serve.
fn odd_file(probe: &Probe<'_>, target: &str) -> anyhow::Result<Cell> {
    let started = Instant::now();
    let mut connection = Connection::open(probe.address())?;
    connection.allow(PATIENCE);
    connection.send(&request("GET", target, &[("Connection", "close")]));
    let answer = connection.answer("GET")?;
    let waited = started.elapsed();
    drop(connection);
    let unanswered = probe.unanswered(LATER_COUNT);
    if unanswered > 0 {
        return Ok(Cell::no(format!("{unanswered} of {LATER_COUNT} requests after it hang, too")));
    }
    Ok(match answer.end {
        End::Whole if (400..500).contains(&answer.status) => Cell::Yes(answer.seen()),
        End::Whole if answer.body.is_empty() => Cell::part(format!("{}, empty", answer.seen())),
        End::Stalled => Cell::no(format!("{} after {} s", answer.seen(), waited.as_secs())),
        _ => Cell::no(format!("{}, {} bytes", answer.seen(), answer.body.len())),
    })
}
