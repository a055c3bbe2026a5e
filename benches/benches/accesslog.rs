//! A line of the access log, beside the usual way to write one: an event of `tracing`, formatted by
//! `tracing-subscriber`, through the non-blocking writer of `tracing-appender`.
//!
//! All write to /dev/null, so that nobody waits for a disk. What a lane pays is measured: formatting,
//! and handing the line over. The threads that write run beside it.

use std::fs::File;
use std::hint::black_box;
use std::time::Duration;

use corelane::logs::{AccessConfig, AccessLane, AccessLog, AccessRecord, AccessTarget};
use corelane_eventloop::{ConnId, Nanos};
use corelane_mempool::Key;
use criterion::{Criterion, criterion_group, criterion_main};
use tracing_appender::non_blocking::NonBlockingBuilder;
use tracing_subscriber::layer::SubscriberExt;

/// A request of a browser.
fn record() -> AccessRecord<'static> {
    AccessRecord {
        time: Nanos(1_795_267_447_123_456_789),
        peer: Some(([203, 0, 113, 77], 50_123).into()),
        method: b"GET",
        target: b"/assets/app.3f9c2b.js?v=17",
        version: "HTTP/1.1",
        status: 200,
        body_bytes: 48_213,
        duration: Nanos(183_412),
        referer: Some(b"https://www.example.com/shop/index.html"),
        user_agent: Some(
            b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
              Chrome/142.0.0.0 Safari/537.36",
        ),
        host: Some(b"www.example.com"),
        connection: Some(ConnId { lane: 1, key: Key::from_bits(17 << 32 | 70_123) }),
        server_port: Some(443),
        ..AccessRecord::default()
    }
}

fn log(format: &str) -> AccessLog {
    let format = format.parse().expect("the format is known");
    let config = AccessConfig::new(AccessTarget::File("/dev/null".into()));
    AccessLog::open(AccessConfig { format, ..config }).expect("it can be opened")
}

/// The time moves on by 10 µs per record, as for 100,000 requests per second.
fn line(lane: &mut AccessLane, record: &mut AccessRecord<'_>) {
    record.time += Nanos::from_micros(10);
    lane.record(black_box(record));
    lane.flush();
}

fn ours(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access log");
    for format in ["common", "combined", "json"] {
        let log = log(format);
        let (mut lane, mut record) = (log.lane(), record());
        group.bench_function(format!("corelane, {format}"), |bencher| {
            bencher.iter(|| line(&mut lane, &mut record));
        });
        log.flush(Duration::from_secs(5));
        println!("written {}, dropped {}", log.written(), log.dropped());
    }
    // What formatting costs if a value has to be escaped byte by byte.
    let log = log("combined");
    let (mut lane, mut record) = (log.lane(), record());
    record.user_agent = Some(&[0xff; 100]);
    group.bench_function("corelane, combined, 100 bytes to escape", |bencher| {
        bencher.iter(|| line(&mut lane, &mut record));
    });
    group.finish();
}

fn event(record: &AccessRecord<'_>) {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    tracing::info!(
        remote_addr = record.peer.map(|peer| tracing::field::display(peer.ip())),
        request_method = text(record.method),
        request_uri = text(record.target),
        server_protocol = record.version,
        status = record.status,
        body_bytes_sent = record.body_bytes,
        request_time_us = record.duration.0 / 1000,
        http_referer = record.referer.and_then(text),
        http_user_agent = record.user_agent.and_then(text),
        http_host = record.host.and_then(text),
        connection = record.connection.map(tracing::field::display),
        server_port = record.server_port,
    );
}

fn rivals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access log");
    for json in [false, true] {
        let null = File::options().write(true).open("/dev/null").expect("it can be opened");
        let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(null);
        let dropped = writer.error_counter();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
        let registry = tracing_subscriber::registry();
        let subscriber: tracing::Dispatch = if json {
            registry.with(layer.json().flatten_event(true)).into()
        } else {
            registry.with(layer).into()
        };
        let name = if json { "json" } else { "text" };
        tracing::dispatcher::with_default(&subscriber, || {
            group.bench_function(format!("tracing and tracing-appender, {name}"), |bencher| {
                let record = record();
                bencher.iter(|| event(black_box(&record)));
            });
        });
        println!("dropped {}", dropped.dropped_lines());
        drop(guard);
    }
    group.finish();
}

criterion_group!(benches, ours, rivals);
criterion_main!(benches);
