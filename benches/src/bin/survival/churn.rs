//! Connections that come and are reset.

use std::time::Instant;

use crate::client::{self, Window};
use crate::probe::{REQUEST, Visitor};
use crate::subject::Subject;
use crate::table::Figure;

/// Open at one time.
const BATCH: usize = 1_000;

/// `count` connections, opened and reset in batches, twice over: the second storm shows whether what
/// the first left behind is kept for use or lost.
pub(crate) fn churn(subject: &Subject, count: usize) -> anyhow::Result<Vec<Figure>> {
    let before = subject.usage()?;
    let mut figures = Vec::new();
    for name in ["first", "second"] {
        let started = Instant::now();
        for batch in 0..count.div_ceil(BATCH) {
            storm(subject, BATCH.min(count - batch * BATCH))?;
        }
        let seconds = started.elapsed().as_secs_f64();
        figures.push(Figure::new(format!("the {name} storm took, s"), format!("{seconds:.1}")));
        figures.extend(subject.aftermath(before)?.figures(&format!("after the {name} storm")));
    }
    let served = Visitor::new(subject.address()).ask();
    let answer = served.map_or_else(|error| format!("no: {error}"), |()| "yes".to_owned());
    figures.push(Figure::new("serves afterwards", answer).goal("yes"));
    Ok(figures)
}

/// Every connection is in one of four states when it is reset.
fn storm(subject: &Subject, count: usize) -> anyhow::Result<()> {
    let mut index = 0;
    let clients = client::crowd(subject.address(), count, Window::Usual, |client| {
        let bytes: &[u8] = match index % 4 {
            0 => b"",
            1 => &REQUEST[..20],
            2 => REQUEST,
            _ => b"POST /body HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nhalf",
        };
        client.send(bytes);
        index += 1;
    })?;
    clients.into_iter().try_for_each(client::Client::reset)
}
