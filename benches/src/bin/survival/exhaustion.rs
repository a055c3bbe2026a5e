//! More connections than a server may have descriptors.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::client::{self, Window};
use crate::probe::{Probe, Visitor};
use crate::slow;
use crate::subject::Subject;
use crate::table::Figure;

/// Descriptors that the server may have.
pub(crate) const DESCRIPTOR_COUNT_MAX: u64 = 256;
/// Connections that want one each.
const CLIENT_COUNT: usize = 1_000;
/// How long they wait for what is not there.
const SHORTAGE: Duration = Duration::from_secs(3);
/// How long a server may take to serve newcomers again.
const RETURN_LIMIT: Duration = Duration::from_secs(15);

/// Lets clients queue for descriptors that are not there, and lets them go.
pub(crate) fn descriptors(subject: &Subject) -> anyhow::Result<Vec<Figure>> {
    let before = subject.usage()?;
    // Connected before anybody else, this one is to be served throughout.
    let probe = Probe::start(subject.address());
    subject.settle();
    let clients = client::crowd(subject.address(), CLIENT_COUNT, Window::Usual, |_| {})?;
    subject.settle();
    let (cpu, from) = (subject.cpu()?, Instant::now());
    thread::sleep(SHORTAGE);
    let (cpu, elapsed) = (subject.cpu()?.saturating_sub(cpu), from.elapsed());
    let latencies = probe.stop()?;
    let held = subject.held(&clients)?;
    drop(clients);
    let freed = Instant::now();
    while Visitor::new(subject.address()).ask().is_err() {
        if freed.elapsed() > RETURN_LIMIT {
            bail!("serves nobody {} s after descriptors are free", RETURN_LIMIT.as_secs());
        }
    }
    let again = freed.elapsed();
    let aftermath = subject.aftermath(before)?;
    let mut figures = vec![
        Figure::new(format!("connections held, of {CLIENT_COUNT}"), held),
        Figure::new("CPU in the shortage, ms per s", slow::share(cpu, elapsed)),
        Figure::new("latency in the shortage, p50 / p99 µs", slow::quantiles(&latencies)),
        Figure::new("requests that failed in it", latencies.failures).goal("0"),
        Figure::new("a newcomer is served after, s", format!("{:.2}", again.as_secs_f64()))
            .goal("≤ 0.3"),
    ];
    figures.extend(aftermath.figures("afterwards"));
    Ok(figures)
}
