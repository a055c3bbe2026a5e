//! What a connection costs that does nothing, or nothing but send.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::client::{self, Client, Window};
use crate::probe::REQUEST;
use crate::subject::Subject;
use crate::table::Figure;

/// Length of the partial head.
const PARTIAL_BYTES: usize = 200;
/// How long clients wait for their response.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// When no client could send anything for so long, the server has stopped reading.
const STANDSTILL: Duration = Duration::from_secs(1);
/// How long a server may go on reading from clients that do not read.
const FLOOD_LIMIT: Duration = Duration::from_secs(15);

/// Connections that had a response each and then say nothing.
pub(crate) fn idle(subject: &Subject, most: usize) -> anyhow::Result<Vec<Figure>> {
    grow(subject, most, "≤ 1", |subject, count| {
        let mut clients = client::crowd(subject.address(), count, Window::Usual, |client| {
            client.send(REQUEST);
        })?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            let mut waiting = 0;
            for client in clients.iter_mut().filter(|client| client.status().is_none()) {
                client.receive_all();
                waiting += usize::from(client.status().is_none());
            }
            if waiting == 0 {
                return Ok(clients);
            }
            if Instant::now() > deadline {
                bail!("{waiting} of {count} clients had no response");
            }
            thread::sleep(Duration::from_millis(5));
        }
    })
}

/// Connections that sent part of a head.
pub(crate) fn partial_head(subject: &Subject, most: usize) -> anyhow::Result<Vec<Figure>> {
    let mut head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: ".to_vec();
    head.resize(PARTIAL_BYTES, b'c');
    grow(subject, most, "≤ 5", |subject, count| {
        client::crowd(subject.address(), count, Window::Usual, |client| {
            client.send(&head);
        })
    })
}

/// Adds connections step by step and reads the memory at each.
fn grow(
    subject: &Subject,
    most: usize,
    goal: &'static str,
    add: impl Fn(&Subject, usize) -> anyhow::Result<Vec<Client>>,
) -> anyhow::Result<Vec<Figure>> {
    let before = subject.usage()?;
    let mut figures = Vec::new();
    let mut clients = Vec::new();
    for step in [most / 10, most / 5, most / 2, most] {
        clients.extend(add(subject, step - clients.len())?);
        subject.wait_until_held(&clients)?;
        subject.settle();
        let bytes = subject.resident_bytes()?.saturating_sub(before.resident_bytes);
        let held = subject.held(&clients)?;
        if held < step {
            bail!("only {held} of {step} connections were still open when memory was read");
        }
        let each = format!("{:.2}", bytes as f64 / step as f64 / 1024.0);
        figures.push(Figure::new(format!("KiB each, of {step}"), each).goal(goal));
    }
    drop(clients);
    figures.extend(subject.aftermath(before)?.figures("afterwards"));
    Ok(figures)
}

/// Clients that send requests for as long as they go and never read a response.
pub(crate) fn never_reads(
    subject: &Subject,
    count: usize,
    limit: Duration,
) -> anyhow::Result<Vec<Figure>> {
    let requests = REQUEST.repeat(400);
    let before = subject.usage()?;
    let opened = Instant::now();
    let mut clients = client::crowd(subject.address(), count, Window::Narrow, |_| {})?;
    let mut peak = 0;
    let mut moved = Instant::now();
    while moved.elapsed() < STANDSTILL && opened.elapsed() < FLOOD_LIMIT {
        let sent: usize = clients.iter_mut().map(|client| client.send_cycle(&requests)).sum();
        if sent > 0 {
            moved = Instant::now();
        }
        peak = peak.max(subject.resident_bytes()?);
        thread::sleep(Duration::from_millis(20));
    }
    let standstill = moved.elapsed() >= STANDSTILL;
    let sent: u64 = clients.iter().map(Client::sent).sum();
    let queues = subject.queues(&clients)?;
    // From here on they only wait.
    let mut held = subject.held(&clients)?;
    let mut last_closed = None;
    while held > 0 && opened.elapsed() < limit {
        thread::sleep(Duration::from_millis(250));
        peak = peak.max(subject.resident_bytes()?);
        let now = subject.held(&clients)?;
        if now < held {
            last_closed = Some(opened.elapsed());
        }
        held = now;
    }
    drop(clients);
    let aftermath = subject.aftermath(before)?;
    let growth = peak.saturating_sub(before.resident_bytes);
    let each = |bytes: u64| bytes as f64 / count as f64;
    let last = last_closed.map_or("–".to_owned(), |last| format!("{:.1}", last.as_secs_f64()));
    let mut figures = vec![
        Figure::kibibytes("memory each at its peak, KiB", each(growth)).goal("≤ 64"),
        Figure::kibibytes(
            "waiting in the server's socket to be sent, each, KiB",
            each(queues.sent_bytes),
        ),
        Figure::kibibytes("waiting in it to be read, each, KiB", each(queues.received_bytes)),
        Figure::kibibytes("taken from each client, KiB", each(sent)),
        Figure::new("stopped reading", if standstill { "yes" } else { "no" }).goal("yes"),
        Figure::new("closed", format!("{} of {count}", count - held)).goal("all"),
        Figure::new("last closed after, s", last),
    ];
    figures.extend(aftermath.figures("afterwards"));
    Ok(figures)
}
