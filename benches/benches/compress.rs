//! Compressing a response of 7 KB of JSON, beside the bare libraries.
//!
//! `request` is a whole request through the stack in the simulator, without a socket: what compression
//! costs is its difference to `identity`. `library` compresses the same bytes with nothing around it, by
//! level; gzip and zstd with a context that is used again, as the middleware does. The ratios are
//! printed first.

use std::hint::black_box;
use std::io::Write;

use corelane_http::middleware::Compress;
use corelane_http::web::testing::{TestRequest, TestServer};
use corelane_http::web::{App, Request, Response, Routes};
use corelane_mempool::Shared;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compression, FlushCompress};
use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};

/// A list of records as an API answers it.
fn json() -> Vec<u8> {
    // A linear congruential generator (Knuth's MMIX constants): the same values in every run.
    let mut state = 1_u64;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let names = ["Alice", "Bob", "Carol", "Dave", "Erin", "Frank"];
    let tags = ["red", "green", "blue", "large", "small"];
    let mut text = String::from("[");
    for id in 0.. {
        let (first, last) = (names[next(6) as usize], names[next(6) as usize]);
        let (one, other) = (tags[next(5) as usize], tags[next(5) as usize]);
        let (email, score) = (next(100_000), next(100_000));
        text += &format!(
            "{{\"id\":{id},\"name\":\"{first} {last}\",\"email\":\"user{email}@example.org\",\
             \"active\":{},\"score\":{}.{:02},\"tags\":[\"{one}\",\"{other}\"]}}",
            next(2) == 1,
            score / 100,
            score % 100,
        );
        if text.len() > 7 * 1024 {
            break;
        }
        text.push(',');
    }
    text.push(']');
    text.into_bytes()
}

fn server(body: Vec<u8>) -> TestServer<App> {
    let body = Shared::from(body);
    let list = move |_: &Request<'_>| Response::bytes("application/json", body.clone());
    let app = Routes::new().get("/list", list).with(Compress::new());
    TestServer::new(app.build().expect("one route"))
}

fn request(criterion: &mut Criterion) {
    let mut server = server(json());
    let mut group = criterion.benchmark_group("compress, request");
    for coding in ["identity", "gzip", "br", "zstd"] {
        let request = TestRequest::get("/list").header("Accept-Encoding", coding);
        let bytes = server.send(request.clone()).body().len();
        println!("{coding}: {bytes} of {} bytes", json().len());
        group.bench_function(coding, |bencher| bencher.iter(|| server.send(request.clone())));
    }
    group.finish();
}

fn gzip(level: u32) -> impl FnMut(&[u8], &mut Vec<u8>) {
    let mut coder = flate2::Compress::new_gzip(Compression::new(level), 15);
    move |input, out| {
        coder.reset();
        coder.compress_vec(input, out, FlushCompress::Finish).expect("there is room");
    }
}

fn br(level: u32) -> impl FnMut(&[u8], &mut Vec<u8>) {
    move |input, out| {
        let mut coder = brotli::CompressorWriter::new(std::mem::take(out), 4096, level, 18);
        coder.write_all(input).expect("a vector takes everything");
        *out = coder.into_inner();
    }
}

fn zstd(level: u32) -> impl FnMut(&[u8], &mut Vec<u8>) {
    let mut coder = Encoder::new(level as i32).expect("the level exists");
    move |input, out| {
        coder.reinit().expect("between two frames");
        coder.set_pledged_src_size(Some(input.len() as u64)).expect("at the beginning");
        let (mut from, mut to) = (InBuffer::around(input), OutBuffer::around(out));
        coder.run(&mut from, &mut to).expect("there is room");
        coder.finish(&mut to, true).expect("there is room");
    }
}

/// Compresses one into the other.
type Coder = Box<dyn FnMut(&[u8], &mut Vec<u8>)>;

fn library(criterion: &mut Criterion) {
    let input = json();
    let mut group = criterion.benchmark_group("compress, library");
    group.throughput(Throughput::Bytes(input.len() as u64));
    let mut bench = |name: String, mut compress: Coder| {
        let mut out = Vec::with_capacity(2 * input.len());
        compress(&input, &mut out);
        println!("{name}: {} of {} bytes", out.len(), input.len());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                compress(black_box(&input), &mut out);
            });
        });
    };
    for level in [1, 4, 5, 6, 9] {
        bench(format!("gzip {level}"), Box::new(gzip(level)));
    }
    for level in [1, 3, 4, 5] {
        bench(format!("br {level}"), Box::new(br(level)));
    }
    for level in [1, 3, 5, 9] {
        bench(format!("zstd {level}"), Box::new(zstd(level)));
    }
    group.finish();
}

criterion_group!(benches, request, library);
criterion_main!(benches);
