//! Slow heads, slow bodies and slow readers, while somebody else is served.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{self, Client, Window};
use crate::probe::{Latencies, Probe, REQUEST};
use crate::sockets::{Queues, Sockets};
use crate::subject::Subject;
use crate::table::Figure;

/// In what a client is slow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// One byte of a request head each second
    Head,
    /// One byte of a request body each second
    Body,
    /// Some bytes of the responses each second
    Reader,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Head, Self::Body, Self::Reader];

    fn name(self) -> &'static str {
        match self {
            Self::Head => "heads",
            Self::Body => "bodies",
            Self::Reader => "readers",
        }
    }

    fn window(self) -> Window {
        if self == Self::Reader { Window::Narrow } else { Window::Usual }
    }

    /// What a client sends at first.
    fn greeting(self) -> &'static [u8] {
        match self {
            Self::Head => b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
            Self::Body => {
                b"POST /body HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
            }
            Self::Reader => REQUEST,
        }
    }
}

/// How slow, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Clients of each kind.
    pub(crate) count: usize,
    /// Bytes that a reader takes each second.
    pub(crate) read_bytes: usize,
    /// When a phase is over, whoever is left.
    pub(crate) limit: Duration,
}

/// Each client does something once in this time.
const PERIOD: Duration = Duration::from_secs(1);
/// The clients take turns, so that they do not come all at once.
const SLICES: usize = 50;
/// Slices between two looks at the server.
const LOOK_SLICES: usize = 12;
/// How long latency is measured before anybody is slow.
const BASELINE: Duration = Duration::from_secs(3);

/// The clients of one kind.
#[derive(Debug)]
struct Crowd {
    kind: Kind,
    clients: Vec<Client>,
    /// How many the server had open at the last look.
    held: usize,
    first_closed: Option<Duration>,
    last_closed: Option<Duration>,
    /// What the kernel held for the server's ends, at most.
    queues: Queues,
    requests: Vec<u8>,
}

impl Crowd {
    fn open(kind: Kind, subject: &Subject, count: usize) -> anyhow::Result<Self> {
        let clients = client::crowd(subject.address(), count, kind.window(), |client| {
            client.send(kind.greeting());
        })?;
        subject.wait_until_held(&clients)?;
        Ok(Self {
            kind,
            clients,
            held: count,
            first_closed: None,
            last_closed: None,
            queues: Queues::default(),
            requests: REQUEST.repeat(400),
        })
    }

    /// The clients whose turn it is do what they do each second.
    fn act(&mut self, slice: usize, read_bytes: usize) {
        for client in self.clients.iter_mut().skip(slice % SLICES).step_by(SLICES) {
            match self.kind {
                Kind::Head | Kind::Body => {
                    client.send(b"s");
                    client.receive_all();
                }
                Kind::Reader => {
                    client.send_cycle(&self.requests);
                    client.receive(read_bytes);
                }
            }
        }
    }

    fn look(&mut self, sockets: &Sockets, subject: &Subject, elapsed: Duration) {
        let port = subject.address().port();
        let queues = sockets.queues(port, &self.clients);
        self.queues.sent_bytes = self.queues.sent_bytes.max(queues.sent_bytes);
        self.queues.received_bytes = self.queues.received_bytes.max(queues.received_bytes);
        let held = sockets.held(port, &self.clients);
        if held < self.held {
            self.held = held;
            self.first_closed.get_or_insert(elapsed);
            self.last_closed = Some(elapsed);
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let count = self.clients.len();
        let name = self.kind.name();
        let seconds = |time: Option<Duration>| {
            time.map_or("–".to_owned(), |time| format!("{:.1}", time.as_secs_f64()))
        };
        let times = format!("{} to {}", seconds(self.first_closed), seconds(self.last_closed));
        let mut figures = vec![
            Figure::new(format!("{name} closed"), format!("{} of {count}", count - self.held))
                .goal("all"),
            Figure::new(format!("{name} closed, first to last, s"), times),
        ];
        if self.kind == Kind::Reader {
            let each = |bytes: u64| bytes as f64 / count as f64;
            figures.extend([
                Figure::kibibytes(
                    "waiting in the server's socket to be sent, each, KiB",
                    each(self.queues.sent_bytes),
                ),
                Figure::kibibytes(
                    "waiting in it to be read, each, KiB",
                    each(self.queues.received_bytes),
                ),
            ]);
        } else {
            let told = self.clients.iter().filter(|client| client.status() == Some(408)).count();
            figures.push(Figure::new(format!("{name} told so (408)"), told));
        }
        figures
    }
}

/// What a phase cost the server and its other client.
#[derive(Debug)]
struct Cost {
    peak_bytes: u64,
    cpu: Duration,
    elapsed: Duration,
    latencies: Latencies,
}

/// One phase: the clients of all `kinds` at once.
pub(crate) fn slow(subject: &Subject, kinds: &[Kind], plan: Plan) -> anyhow::Result<Vec<Figure>> {
    let quiet_from = subject.cpu()?;
    let baseline = Probe::run(subject.address(), BASELINE)?;
    let quiet_cpu = subject.cpu()?.saturating_sub(quiet_from);
    let before = subject.usage()?;
    let mut crowds = Vec::new();
    let started = Instant::now();
    for &kind in kinds {
        crowds.push(Crowd::open(kind, subject, plan.count)?);
    }
    let cost = hold(subject, &mut crowds, plan, started)?;
    let mut figures: Vec<_> = crowds.iter().flat_map(Crowd::figures).collect();
    let clients: usize = crowds.iter().map(|crowd| crowd.clients.len()).sum();
    drop(crowds);
    let aftermath = subject.aftermath(before)?;
    let growth = cost.peak_bytes.saturating_sub(before.resident_bytes);
    figures.extend([
        Figure::kibibytes("memory each at its peak, KiB", growth as f64 / clients as f64),
        Figure::new("latency before, p50 / p99 µs", quantiles(&baseline)),
        Figure::new("latency meanwhile, p50 / p99 µs", quantiles(&cost.latencies)),
        Figure::new("requests that failed meanwhile", cost.latencies.failures).goal("0"),
        Figure::new("CPU before, ms per s", share(quiet_cpu, BASELINE)),
        Figure::new("CPU meanwhile, ms per s", share(cost.cpu, cost.elapsed)),
    ]);
    figures.extend(aftermath.figures("afterwards"));
    Ok(figures)
}

/// Goes on until every client is closed or the time is over.
fn hold(
    subject: &Subject,
    crowds: &mut [Crowd],
    plan: Plan,
    started: Instant,
) -> anyhow::Result<Cost> {
    let cpu_before = subject.cpu()?;
    let from = Instant::now();
    let probe = Probe::start(subject.address());
    let mut peak_bytes = 0;
    for slice in 0.. {
        crowds.iter_mut().for_each(|crowd| crowd.act(slice, plan.read_bytes));
        thread::sleep(PERIOD / SLICES as u32);
        if slice % LOOK_SLICES != 0 {
            continue;
        }
        let sockets = Sockets::read()?;
        crowds.iter_mut().for_each(|crowd| crowd.look(&sockets, subject, started.elapsed()));
        peak_bytes = peak_bytes.max(subject.resident_bytes()?);
        let all_closed = crowds.iter().all(|crowd| crowd.held == 0);
        if all_closed || started.elapsed() > plan.limit {
            break;
        }
    }
    let (cpu, elapsed) = (subject.cpu()?.saturating_sub(cpu_before), from.elapsed());
    Ok(Cost { peak_bytes, cpu, elapsed, latencies: probe.stop()? })
}

/// Median and 99th percentile.
pub(crate) fn quantiles(latencies: &Latencies) -> String {
    let quantile = |share| {
        latencies.quantile_micros(share).map_or("–".to_owned(), |micros| micros.to_string())
    };
    format!("{} / {}", quantile(0.5), quantile(0.99))
}

/// CPU time in milliseconds for each second.
pub(crate) fn share(cpu: Duration, elapsed: Duration) -> String {
    format!("{:.1}", cpu.as_secs_f64() / elapsed.as_secs_f64() * 1000.0)
}
