//! The load tester: `cargo run --release --example load_test -- URL --rate 1k`, with all options of
//! `corelane load`. Without arguments it asks a small server of its own, 500 times a second for two
//! seconds, and shows how that is done from a program.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corelane_load::{Discipline, Load, Plan, Record, Request, Stop, report, run};

/// The arguments and what clap needs around them.
#[derive(Parser)]
#[command(name = "load_test")]
struct Program {
    #[command(flatten)]
    args: corelane_load::cli::Args,
}

fn main() -> ExitCode {
    let words = corelane_load::cli::words(1);
    if words.is_empty() {
        return match demonstrate() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let Program { args } = Program::parse();
    corelane_load::cli::run(args, words)
}

fn demonstrate() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let target = listener.local_addr()?;
    std::thread::spawn(move || serve(&listener));
    let request = Request::new("GET", "/", &target.to_string(), &[], b"")?;
    let mut plan = Plan::open(&[target], request, 500.0);
    plan.connections = 8;
    plan.stop = Stop::After(Duration::from_secs(2));
    let outcome = run(&plan)?;
    let load = Load {
        urls: vec![format!("http://{target}/")],
        method: "GET".to_owned(),
        discipline: Discipline::Open { rate: "500/s".to_owned(), arrivals: "constant".to_owned() },
        connections: plan.connections,
        pipeline: plan.pipeline,
        keep_alive: true,
        threads: plan.threads,
        ..Load::default()
    };
    print!("{}", report::text(&Record::new(load, &outcome)));
    Ok(())
}

/// Answers whatever comes, each connection on a thread.
fn serve(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            while stream.read(&mut [0; 1024]).is_ok_and(|received| received > 0) {
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").is_err() {
                    return;
                }
            }
        });
    }
}
