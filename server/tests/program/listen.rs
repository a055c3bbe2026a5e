//! Where it listens, and what it says about that.

use std::net::TcpListener;
use std::path::Path;

use crate::client::{Client, GET};
use crate::process::{Program, corelane, scratch};

#[test]
fn says_where_how_many_and_within_which_limits() {
    let program = Program::fixed(&[
        "--workers",
        "2",
        "--max-connections",
        "100",
        "--max-buffer-memory",
        "64M",
    ]);
    let address = program.address();
    assert_ne!(address.port(), 0, "the port that the kernel chose");
    let (first, second) = program.announcement.split_once('\n').unwrap();
    assert_eq!(first, format!("listening on http://{address}"));
    assert!(second.starts_with("2 loops; limits: 100 connections, 64M for buffers, "), "{second}");
    for limit in ["head 10s", "1048576 bytes", "240 bytes/s", "idle 60s", "drain 30s"] {
        assert!(second.contains(limit), "no {limit:?} in {second}");
    }
    program.stop();
}

#[test]
fn the_port_may_be_given_in_three_ways() {
    for args in [&["fixed", "0"][..], &["fixed", "-p", "0"], &["fixed", "--port", "0"]] {
        let program =
            Program::start(corelane(&[args, &["--statsd", "off", "--workers", "1"]].concat()));
        assert!(program.addresses()[0].starts_with("0.0.0.0:"), "{:?}", program.addresses());
        let mut client = Client::connect(([127, 0, 0, 1], program.address().port()).into());
        assert_eq!(client.ask(GET).text(), "Vrypt");
        program.stop();
    }
}

#[test]
fn several_addresses_at_once() {
    let path = scratch("several.sock");
    let unix = format!("unix:{}", path.display());
    let mut args = vec!["--bind", "127.0.0.1:0", "--bind", "127.0.0.1", "--bind", &unix];
    let ipv6 = TcpListener::bind("[::1]:0").is_ok();
    if ipv6 {
        args.extend(["--bind", "[::1]:0"]);
    } else {
        eprintln!("skipped: this machine has no IPv6 loopback");
    }
    for workers in ["1", "2"] {
        let program = Program::fixed(&[&args[..], &["--workers", workers]].concat());
        let addresses = program.addresses();
        assert_eq!(addresses.len(), args.len() / 2, "{addresses:?}");
        assert_eq!(addresses[2], unix);
        assert_eq!(ipv6, addresses.last().unwrap().starts_with("[::1]:"));
        for address in addresses.iter().filter(|address| !address.starts_with("unix:")) {
            let mut client = Client::connect(address.parse().unwrap());
            assert_eq!(client.ask(GET).text(), "Vrypt", "{address}");
        }
        for _ in 0..8 {
            let mut client = Client::connect_unix(&path);
            assert_eq!(client.ask(GET.repeat(2)).text(), "Vrypt");
            assert_eq!(client.response().text(), "Vrypt");
        }
        program.stop();
        assert!(!Path::exists(&path), "the socket's file is removed at the end");
    }
}

#[test]
fn a_socket_file_that_a_killed_process_left_is_taken_over() {
    let path = scratch("left.sock");
    let bind = format!("unix:{}", path.display());
    let killed = Program::fixed(&["--bind", &bind]);
    drop(killed);
    assert!(path.exists(), "nobody could remove it");
    let program = Program::fixed(&["--bind", &bind]);
    assert_eq!(Client::connect_unix(&path).ask(GET).text(), "Vrypt");
    program.stop();
    assert!(!path.exists());
}
