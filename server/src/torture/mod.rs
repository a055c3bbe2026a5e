//! A black-box check of any HTTP/1.1 server: what it takes, what it refuses, and how long it waits.
//!
//! Nothing here knows which server it talks to: raw bytes go out, and what comes back is judged by the
//! RFC or by a stated policy. The cases are data (`cases`, and the tables in `bombs`, `pipelining` and
//! `close`); what sends and judges them stands apart (`messages`, and the functions beside those
//! tables). All of it is bounded: each wait, each connection's bytes, the number of connections.

mod answer;
mod bombs;
mod cases;
mod close;
mod messages;
mod pipelining;
mod report;
mod slow;
mod target;
mod wire;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) use self::report::{Section, json, summary};
pub(crate) use self::target::{Target, url};

use self::report::{Finding, Grade};
use self::wire::Lack;

/// Cases tried at once: a server that makes each wait for its time-out should not cost minutes.
const AT_ONCE: usize = 8;
/// The largest answer to GET that is of use: some groups ask for it hundreds of times.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Where a request ends: lengths, codings, chunks.
    Framing,
    /// Ends of lines, fields, Host, the request line.
    Lines,
    /// Messages without end or measure.
    Bombs,
    /// Several requests on one connection.
    Pipelining,
    /// How connections end.
    Close,
    /// Slow clients, many at once.
    Slow,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Slow clients of each kind.
    pub(crate) clients: usize,
    /// How long the server may keep them.
    pub(crate) patience: Duration,
}

impl Group {
    pub(crate) const ALL: [Group; 6] =
        [Group::Framing, Group::Lines, Group::Bombs, Group::Pipelining, Group::Close, Group::Slow];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Group::Framing => "framing",
            Group::Lines => "lines",
            Group::Bombs => "bombs",
            Group::Pipelining => "pipelining",
            Group::Close => "close",
            Group::Slow => "slow",
        }
    }

    /// Checks this group, and afterwards that the server still serves.
    pub(crate) fn check(self, target: &Target, load: Load) -> Section {
        let mut findings = match self {
            Group::Framing => each(cases::framing(), |case| messages::check(target, case)),
            Group::Lines => each(cases::lines(), |case| messages::check(target, case)),
            Group::Bombs => each(bombs::BOMBS.iter(), |bomb| bombs::check(target, bomb)),
            Group::Pipelining => {
                each(pipelining::SCENES.iter(), |scene| pipelining::check(target, scene))
            }
            Group::Close => each(close::SCENES.iter(), |scene| close::check(target, scene)),
            Group::Slow => slow::check(target, load.clients, load.patience),
        };
        let (grade, got) = match greet(target) {
            Ok(status) => (Grade::Ok, status.to_string()),
            Err(error) => (Grade::Violation, error),
        };
        let sent = "a plain GET afterwards";
        findings.push(Finding { id: "still-serves", rule: "policy", sent, got, grade });
        Section { group: self.name(), findings }
    }
}

/// Asks for the target once, as any client would. The error says why it cannot be tested.
pub(crate) fn greet(target: &Target) -> Result<u16, String> {
    let mut wire = target.connect()?;
    let _ = wire.send(target.fill("{get}\r\n"));
    match wire.last_answer(false) {
        Ok(answer) if answer.minor == 0 => {
            Err("it answers in HTTP/1.0, and these are the rules of HTTP/1.1".to_owned())
        }
        Ok(answer) if answer.is_refusal() => {
            Err(format!("a plain GET is answered with {}: choose another URL", answer.status))
        }
        Ok(answer) if answer.body_bytes > ANSWER_BYTES_MAX => Err(format!(
            "the answer to GET has {} bytes, more than {ANSWER_BYTES_MAX}: choose another URL",
            answer.body_bytes
        )),
        Ok(answer) => Ok(answer.status),
        Err(Lack::Garbled) => Err("the answer to a plain GET is no HTTP/1.1 response".to_owned()),
        Err(Lack::Quiet) => {
            Err(format!("a plain GET is not answered within {:?} (--wait)", target.wait))
        }
        Err(Lack::Ended(end)) => Err(format!("a plain GET is not answered: {end}")),
    }
}

/// Checks all of a table, some at once; the findings stand in its order.
fn each<T: Sync + 'static>(
    table: impl Iterator<Item = &'static T>,
    check: impl Fn(&'static T) -> Finding + Sync,
) -> Vec<Finding> {
    let table: Vec<&'static T> = table.collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(table.len()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(table.len()) {
            scope.spawn(|| {
                while let Some(case) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    table.get(index).map(|case| (index, *case))
                } {
                    let finding = check(case.1);
                    // A check that panics ends the whole run when the scope does.
                    found.lock().unwrap_or_else(|e| e.into_inner()).push((case.0, finding));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(|e| e.into_inner());
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, finding)| finding).collect()
}
