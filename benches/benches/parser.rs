//! The parser beside `httparse` and `std::fmt`. Each group is one operation; within a group the
//! first functions are the rivals, `corelane` is ours. Figures are for one core.
//!
//! `cargo bench -p corelane-benches --bench parser` first prints the ratios of heads to bare
//! `httparse`, from samples taken in turns, which what else the machine does cannot move far, and
//! what a byte of a head costs that arrives byte by byte; then come criterion's figures.
//! `... --bench parser -- ratios` prints only those.
//!
//! Instructions, which nothing moves: `EXECUTABLE count WHO FIELDS TIMES` runs one parser so many
//! times, where `cargo bench -p corelane-benches --bench parser --no-run` names the executable, WHO
//! is `httparse` or `corelane`, and FIELDS 1, 12 or 40. The difference between 3,000 and 1,000 times
//! under `valgrind --tool=callgrind`, by 2,000.

use std::hint::black_box;
use std::io::Write;
use std::mem::MaybeUninit;
use std::time::Instant;

use corelane_parser::http1::encode::{FieldLine, ResponseHead};
use corelane_parser::http1::{
    Body, BodyKind, BodyStep, FieldSlots, HeadParser, HttpDate, Limits, Prerendered, Progress,
};
use criterion::{Criterion, Throughput, criterion_group};

const LIMITS: Limits = Limits::DEFAULT;

/// For heads longer than the default limit.
const WIDE_LIMITS: Limits = Limits { head_bytes: 64 * 1024, ..Limits::DEFAULT };

/// Samples of each function, taken in turns; the least counts.
const ROUNDS: usize = 300;

fn small_head() -> Vec<u8> {
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n".to_vec()
}

/// What a desktop browser sends for a page: 12 fields.
fn browser_head() -> Vec<u8> {
    b"GET /articles/2026/11/index.html?page=2&sort=date HTTP/1.1\r\n\
      Host: www.example.org\r\n\
      Connection: keep-alive\r\n\
      Cache-Control: max-age=0\r\n\
      Upgrade-Insecure-Requests: 1\r\n\
      User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
      Chrome/142.0.0.0 Safari/537.36\r\n\
      Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
      Sec-Fetch-Site: same-origin\r\n\
      Sec-Fetch-Mode: navigate\r\n\
      Referer: https://www.example.org/articles/2026/11/\r\n\
      Accept-Encoding: gzip, deflate, br, zstd\r\n\
      Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n\
      Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r\n\r\n"
        .to_vec()
}

/// A head of 40 fields, about 2.9 KB.
fn wide_head() -> Vec<u8> {
    let mut head = b"GET /api/v1/items/12345?fields=all HTTP/1.1\r\nHost: example.org\r\n".to_vec();
    for index in 0..39 {
        let value = "value-".repeat(8);
        head.extend_from_slice(format!("X-Forwarded-Field-{index:02}: {value}\r\n").as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// A head of about `bytes` bytes, in lines of 256 or, for the longest, 550.
fn sized_head(bytes: usize) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: example.org\r\n".to_vec();
    let field_count = bytes.div_ceil(256).min(60);
    let value_bytes = bytes / field_count - 10;
    for index in 0..field_count {
        head.extend_from_slice(format!("X-{index:02}: {}\r\n", "v".repeat(value_bytes)).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn httparse_uninit(input: &[u8]) -> usize {
    let mut slots = [const { MaybeUninit::uninit() }; 64];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(input, &mut slots) {
        Ok(httparse::Status::Complete(bytes)) => {
            black_box(&request);
            bytes
        }
        _ => 0,
    }
}

fn httparse_zeroed(input: &[u8]) -> usize {
    let mut slots = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut slots);
    match request.parse(input) {
        Ok(httparse::Status::Complete(bytes)) => {
            black_box(&request);
            bytes
        }
        _ => 0,
    }
}

fn corelane(input: &[u8]) -> usize {
    let mut slots = FieldSlots::new();
    match HeadParser::new().parse(input, &mut slots, black_box(&LIMITS)) {
        Ok(Progress::Complete(head)) => {
            black_box(&head);
            head.bytes()
        }
        _ => 0,
    }
}

/// The head as it arrives byte by byte, to a parser that starts again each time.
fn httparse_restarted(head: &[u8]) -> usize {
    (1..=head.len()).map(|end| httparse_uninit(black_box(&head[..end]))).max().unwrap_or(0)
}

fn corelane_byte_by_byte(head: &[u8]) -> usize {
    let mut parser = HeadParser::new();
    for end in 1..=head.len() {
        let mut slots = FieldSlots::new();
        let progress = parser.parse(black_box(&head[..end]), &mut slots, black_box(&WIDE_LIMITS));
        if let Ok(Progress::Complete(head)) = progress {
            return head.bytes();
        }
    }
    0
}

/// Fields, and the head.
fn heads_by_fields() -> [(usize, Vec<u8>); 3] {
    [(1, small_head()), (12, browser_head()), (40, wide_head())]
}

type Parse = fn(&[u8]) -> usize;

/// Nanoseconds of each of `parsers` for `head`: the least of samples taken in turns.
fn in_turns<const N: usize>(parsers: [Parse; N], head: &[u8]) -> [f64; N] {
    let sample = |parse: Parse, times: u32| {
        let start = Instant::now();
        for _ in 0..times {
            black_box(parse(black_box(head)));
        }
        start.elapsed().as_nanos() as f64 / f64::from(times)
    };
    // Some 50 microseconds each: long beside the clock, short beside a time slice.
    let times = parsers.map(|parse| (50_000.0 / sample(parse, 10)).clamp(1.0, 10_000.0) as u32);
    let mut least = [f64::MAX; N];
    for _ in 0..ROUNDS {
        for (index, parse) in parsers.into_iter().enumerate() {
            least[index] = least[index].min(sample(parse, times[index]));
        }
    }
    least
}

fn report_ratios() {
    println!("head, ns          httparse    corelane    ratio");
    for (fields, head) in heads_by_fields() {
        let [theirs, ours] = in_turns([httparse_uninit, corelane], &head);
        let name = format!("{fields} fields");
        println!("{name:<18}{theirs:>8.1}{ours:>12.1}{:>9.2}", ours / theirs);
    }
    println!("\nbyte by byte, ns per byte    httparse restarted    corelane");
    for bytes in [512, 2048, 8192, 32 * 1024] {
        let head = sized_head(bytes);
        let per_byte = |ns: f64| ns / head.len() as f64;
        // Restarted, 8 KB take 6 ms and 32 KB 100 ms: nobody waits for that.
        let (theirs, ours) = if bytes <= 2048 {
            let [theirs, ours] = in_turns([httparse_restarted, corelane_byte_by_byte], &head);
            (format!("{:.1}", per_byte(theirs)), ours)
        } else {
            let [ours] = in_turns([corelane_byte_by_byte], &head);
            ("-".to_owned(), ours)
        };
        println!("{:<29}{theirs:>18}{:>12.1}", head.len(), per_byte(ours));
    }
    println!();
}

fn heads(c: &mut Criterion) {
    for (fields, head) in heads_by_fields() {
        assert_eq!(corelane(&head), head.len());
        assert_eq!(httparse_uninit(&head), head.len());
        let mut group = c.benchmark_group(format!("head/{fields}-fields"));
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function("httparse", |b| b.iter(|| httparse_uninit(black_box(&head))));
        group.bench_function("httparse-zeroed", |b| b.iter(|| httparse_zeroed(black_box(&head))));
        group.bench_function("corelane", |b| b.iter(|| corelane(black_box(&head))));
        group.finish();
    }
}

fn byte_by_byte(c: &mut Criterion) {
    for bytes in [512, 2048, 8192, 32 * 1024] {
        let head = sized_head(bytes);
        assert_eq!(corelane_byte_by_byte(&head), head.len());
        let mut group = c.benchmark_group(format!("byte-by-byte/{bytes}"));
        group.sample_size(10);
        group.throughput(Throughput::Bytes(head.len() as u64));
        if bytes <= 8192 {
            group.bench_function("httparse-restarted", |b| b.iter(|| httparse_restarted(&head)));
        }
        group.bench_function("corelane", |b| b.iter(|| corelane_byte_by_byte(&head)));
        group.finish();
    }
}

fn chunked(c: &mut Criterion) {
    for (name, size, count) in [("chunked/16-bytes", 16, 64), ("chunked/4-kib", 4096, 4)] {
        let mut body = Vec::new();
        for _ in 0..count {
            body.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            body.extend(std::iter::repeat_n(b'x', size));
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(count as u64));
        // The size line only: httparse leaves the rest to the caller.
        group.bench_function("httparse-size-lines", |b| {
            b.iter(|| {
                let (mut at, mut data) = (0, 0);
                while let Ok(httparse::Status::Complete((line, bytes))) =
                    httparse::parse_chunk_size(black_box(&body[at..]))
                {
                    if bytes == 0 {
                        break;
                    }
                    at += line + bytes as usize + 2;
                    data += bytes;
                }
                data
            })
        });
        group.bench_function("corelane", |b| {
            b.iter(|| {
                let mut machine = Body::new(BodyKind::Chunked, &LIMITS);
                let (mut at, mut data) = (0, 0);
                while let Ok(step) = machine.advance(black_box(&body[at..]), &LIMITS) {
                    at += step.consumed();
                    match step {
                        BodyStep::Data { data: part, .. } => data += part.len(),
                        BodyStep::NeedMore { .. } | BodyStep::Done { .. } => break,
                    }
                }
                data
            })
        });
        group.finish();
    }
}

const TEXT: FieldLine = FieldLine::from_static("Content-Type: text/plain\r\n");

fn responses(c: &mut Criterion) {
    let date = HttpDate::from_unix_seconds(784_111_777);
    let mut out = [0; 512];
    let mut group = c.benchmark_group("response-head");
    group.bench_function("write!", |b| {
        b.iter(|| {
            let mut rest = &mut out[..];
            let _ = write!(
                rest,
                "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
                black_box(200),
                black_box("OK"),
                date.as_str(),
                black_box("text/plain"),
                black_box(12345),
            );
            rest.len()
        })
    });
    group.bench_function("corelane-fields", |b| {
        b.iter(|| {
            ResponseHead::new(black_box(&mut out), black_box(200))
                .date(&date)
                .field(black_box("Content-Type"), black_box(b"text/plain"))
                .length(black_box(12345))
                .finish()
        })
    });
    group.bench_function("corelane-built", |b| {
        b.iter(|| {
            ResponseHead::new(black_box(&mut out), black_box(200))
                .date(&date)
                .line(TEXT)
                .length(black_box(12345))
                .finish()
        })
    });
    let mut fixed = Prerendered::new(200, &[("Content-Type", "text/plain")], b"Vrypt")
        .expect("a response without faults");
    fixed.set_date(&date);
    group.bench_function("corelane-prerendered", |b| {
        b.iter(|| {
            let response = black_box(&fixed).response();
            black_box(&mut out)[..response.len()].copy_from_slice(response);
            response.len()
        })
    });
    group.finish();

    let mut group = c.benchmark_group("date");
    group.bench_function("corelane", |b| {
        b.iter(|| HttpDate::from_unix_seconds(black_box(784_111_777)))
    });
    group.bench_function("corelane-patch-prerendered", |b| {
        b.iter(|| black_box(&mut fixed).set_date(black_box(&date)))
    });
    group.finish();
}

criterion_group!(parser, heads, byte_by_byte, chunked, responses);

/// `count WHO FIELDS TIMES`: see above.
fn count(arguments: &[String]) -> Option<usize> {
    let [command, who, fields, times] = arguments else { return None };
    let parse: Parse = match who.as_str() {
        "httparse" => httparse_uninit,
        "corelane" => corelane,
        _ => return None,
    };
    let fields: usize = fields.parse().ok()?;
    let times: usize = times.parse().ok()?;
    let (_, head) = heads_by_fields().into_iter().find(|(count, _)| *count == fields)?;
    (command == "count").then(|| (0..times).map(|_| black_box(parse(black_box(&head)))).sum())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if count(&arguments).is_some() {
        return;
    }
    // Otherwise cargo only asks whether everything runs, or what there is.
    let has = |wanted: &str| arguments.iter().any(|argument| argument == wanted);
    if has("--bench") && !has("--test") && !has("--list") {
        report_ratios();
    }
    parser();
    Criterion::default().configure_from_args().final_summary();
}
