//! Methods, limits, files that change, signals.

use std::fs::File;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use super::{Feature, of};
use crate::cell::Cell;
use crate::client::{Answer, Connection, End, request};
use crate::probe::Probe;
use crate::tree::{CHANGING_BYTES, DOWNLOAD_BYTES, TEXT_BYTES, text};

const TARGET: &str = "/text.txt";
/// What of a download is read before something happens.
const READ_BYTES: usize = 1 << 20;
/// What a file is cut to: more than was read, less than the server and both sockets can hold.
const SHRUNK_BYTES: u64 = 16 << 20;
/// A server may take this long to end.
const END_LIMIT: Duration = Duration::from_secs(15);
/// A signal has been noticed by then.
const NOTICE: Duration = Duration::from_millis(500);

pub(super) const FEATURES: &[Feature] = &[
    of("HEAD like GET, without a body", head),
    of("POST to a file: 405 with Allow", post),
    of("OPTIONS answered with Allow", options),
    of("a target of 70 kB: 414", long_target),
    of("a file that shrinks while it is sent never corrupts the connection", shrinking).repeated(),
    of("a file that grows is sent as long as announced", growing),
    of("SIGHUP does not end downloads", hangup).repeated(),
    of("SIGTERM lets a download of 60 MB end", terminate).repeated(),
    of("an idle connection does not delay SIGTERM", idle).repeated(),
];

fn head(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let (get, head) = (probe.get(TARGET)?, probe.ask("HEAD", TARGET, &[])?);
    let mut connection = Connection::open(probe.address())?;
    // A body after the head would be taken for the second answer.
    connection.send(&[request("HEAD", TARGET, &[]), request("GET", TARGET, &[])].concat());
    connection.answer("HEAD")?;
    let second = connection.answer("GET");
    if !second.is_ok_and(|answer| answer.status == 200 && answer.body.len() == TEXT_BYTES) {
        return Ok(Cell::no("with a body"));
    }
    let missed: Vec<_> = ["Content-Length", "Content-Type", "ETag", "Last-Modified"]
        .into_iter()
        .filter(|name| get.field(name) != head.field(name))
        .collect();
    Ok(match missed.len() {
        0 => Cell::check(head.status == get.status, head.seen()),
        _ => Cell::part(format!("without {}", missed.join(", "))),
    })
}

fn post(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.ask("POST", TARGET, &[("Content-Length", "0")])?;
    Ok(match (answer.status, answer.field("Allow")) {
        (405, Some(_)) => Cell::yes(),
        (405, None) => Cell::part("405 without Allow"),
        _ => Cell::no(answer.seen()),
    })
}

fn options(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.ask("OPTIONS", TARGET, &[])?;
    let right = matches!(answer.status, 200 | 204) && answer.field("Allow").is_some();
    Ok(Cell::check(right, answer.seen()))
}

fn long_target(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = probe.get(&format!("/{}", "a".repeat(70_000)))?;
    Ok(match answer.status {
        414 => Cell::yes(),
        // The whole head was too large: true, and less helpful.
        400 | 431 => Cell::part(answer.seen()),
        _ => Cell::no(answer.seen()),
    })
}

/// Begins to download a file of `CHANGING_BYTES`, with another request behind, changes the file,
/// and reads on: both answers.
fn while_sent(
    probe: &Probe<'_>,
    name: &str,
    change: impl Fn(&File) -> anyhow::Result<()>,
) -> anyhow::Result<(Answer, anyhow::Result<Answer>)> {
    let path = probe.tree.write(name, text(CHANGING_BYTES))?;
    let mut connection = probe.begin_download(&format!("/{name}"), READ_BYTES)?;
    connection.send(&request("GET", TARGET, &[]));
    change(&File::options().append(true).open(&path)?)?;
    connection.allow(Duration::from_secs(4));
    let first = connection.answer("GET")?;
    let second = connection.answer("GET");
    Ok((first, second))
}

fn shrinking(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let shrink = |file: &File| file.set_len(SHRUNK_BYTES).context("cannot cut the file");
    let (answer, _) = while_sent(probe, "shrinking.bin", shrink)?;
    let true_bytes = text(CHANGING_BYTES);
    let same = answer.body.iter().zip(&true_bytes).take_while(|(a, b)| a == b).count();
    if !probe.is_up() {
        return Ok(Cell::no("the server ends"));
    }
    let rest = &answer.body[same..];
    Ok(match answer.end {
        _ if !rest.is_empty() && rest.iter().all(|&byte| byte == 0) => {
            Cell::no(format!("{} kB of zeroes", rest.len() / 1000))
        }
        _ if !rest.is_empty() => Cell::no("other bytes in its place"),
        End::Cut => Cell::yes(),
        End::Whole => Cell::Yes("sent whole, from memory".to_owned()),
        _ => Cell::part("stalls, connection left open"),
    })
}

fn growing(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let grow = |mut file: &File| Ok(file.write_all(&[b'+'; 1_000_000])?);
    let (answer, second) = while_sent(probe, "growing.bin", grow)?;
    let next = second.is_ok_and(|answer| answer.status == 200 && answer.body.len() == TEXT_BYTES);
    Ok(match (answer.end, answer.body.len() == CHANGING_BYTES, next) {
        (End::Whole, true, true) => Cell::yes(),
        (End::Whole, true, false) => Cell::part("but nothing after it"),
        _ => Cell::no(format!("{} bytes, {}", answer.body.len(), answer.seen())),
    })
}

fn signal(probe: &Probe<'_>, signal: Signal) -> anyhow::Result<()> {
    let process =
        Pid::from_raw(probe.running.process().cast_signed()).context("no such process")?;
    Ok(kill_process(process, signal)?)
}

/// Begins to download 60 MB, sends a signal, and reads the rest.
fn download_across(probe: &Probe<'_>, what: Signal) -> anyhow::Result<Answer> {
    let mut connection = probe.begin_download("/download.bin", READ_BYTES)?;
    signal(probe, what)?;
    thread::sleep(NOTICE);
    connection.answer("GET")
}

fn megabytes(answer: &Answer) -> String {
    format!("{} of {} MB", answer.body.len() / 1_000_000, DOWNLOAD_BYTES / 1_000_000)
}

fn is_whole(answer: &Answer) -> bool {
    answer.end == End::Whole && answer.body.len() as u64 == DOWNLOAD_BYTES
}

fn hangup(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = download_across(probe, Signal::HUP)?;
    Ok(match (is_whole(&answer), probe.is_up()) {
        (true, true) => Cell::yes(),
        (true, false) => Cell::part("but the server ends"),
        (false, true) => Cell::no(megabytes(&answer)),
        (false, false) => Cell::no(format!("the server ends, {}", megabytes(&answer))),
    })
}

fn terminate(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let answer = download_across(probe, Signal::TERM)?;
    if !is_whole(&answer) {
        return Ok(Cell::no(megabytes(&answer)));
    }
    probe.running.guard().wait(END_LIMIT)?;
    let status = probe.running.guard().0.wait()?;
    Ok(match status.success() {
        true => Cell::yes(),
        false => Cell::part(format!("then {status}")),
    })
}

fn idle(probe: &mut Probe<'_>) -> anyhow::Result<Cell> {
    let mut connection = Connection::open(probe.address())?;
    connection.send(&request("GET", TARGET, &[]));
    anyhow::ensure!(connection.answer("GET")?.status == 200, "no answer before");
    let started = Instant::now();
    signal(probe, Signal::TERM)?;
    if probe.running.guard().wait(END_LIMIT).is_err() {
        return Ok(Cell::no(format!("still there after {} s", END_LIMIT.as_secs())));
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(match seconds < 2.0 {
        true => Cell::yes(),
        false => Cell::no(format!("{seconds:.0} s")),
    })
}
