//! `corelane torture`: our own server passes, a bad one is found out, and nobody is attacked by mistake.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use crate::process::{Finished, Program, run};

/// Runs it against a server on this machine; its report must be JSON.
fn torture(address: SocketAddr, args: &[&str]) -> (Finished, Value) {
    let url = format!("http://{address}/");
    let finished = run(&[&["torture", &url, "--json"], args].concat());
    let report = serde_json::from_str(&finished.stdout).unwrap_or_default();
    (finished, report)
}

fn grade<'a>(report: &'a Value, id: &str) -> &'a str {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["id"] == id);
    finding.unwrap_or_else(|| panic!("no {id}"))["grade"].as_str().unwrap()
}

#[test]
fn our_own_server_violates_nothing() {
    let program = Program::fixed(&[]);
    let groups = ["framing", "lines", "bombs", "pipelining", "close"];
    let only: Vec<&str> = groups.iter().flat_map(|group| ["--only", group]).collect();
    // Other tests run beside this one: the wait must not be the tightest of all.
    let (finished, report) = torture(program.address(), &[&only[..], &["--wait", "3s"]].concat());
    let bad: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["grade"] == "violation")
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(report["violations"], 0);
    assert!(report["findings"].as_array().unwrap().len() >= 200, "all of them");
    program.stop();
}

#[test]
fn our_own_server_ends_slow_clients_and_serves_the_others() {
    let program = Program::fixed(&["--head-timeout", "500ms", "--rate-grace", "500ms"]);
    let args = ["--only", "slow", "--clients", "6", "--patience", "15s"];
    let (_, report) = torture(program.address(), &args);
    let kinds = ["slow-heads", "slow-bodies", "silent-readers", "dripping-readers"];
    for id in [&kinds[..], &["still-serves"]].concat() {
        assert_eq!(grade(&report, id), "ok", "{report:#}");
    }
    // How fast the others are served is a matter of what else this machine does.
    grade(&report, "others-served");
    program.stop();
}

#[test]
fn a_bad_server_is_found_out() {
    let address = bad_server();
    let groups = ["framing", "lines", "pipelining", "close"];
    let only: Vec<&str> = groups.iter().flat_map(|group| ["--only", group]).collect();
    let (finished, report) = torture(address, &[&only[..], &["--wait", "150ms"]].concat());
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for (expected, ids) in [
        // Not everything is wrong with it.
        ("ok", &["length", "plain", "many", "expect-at-once", "still-serves"][..]),
        ("lenient", &["cl-twice", "lf"]),
        ("violation", &["cl-te", "te-cl", "te-unknown", "cl-letters", "cl-differ", "size-lf"]),
        ("violation", &["host-none", "order", "every-cut"]),
        ("violation", &["close", "http-1.0", "head", "date", "expect"]),
    ] {
        for id in ids {
            assert_eq!(grade(&report, id), expected, "{id}");
        }
    }
    let violations = report["violations"].as_u64().unwrap();
    let said = format!("error: http://{address}/: {violations} violations\n");
    assert_eq!(finished.stderr, said);
}

#[test]
fn a_server_without_limits_is_found_out() {
    // It answers a small GET, and swallows everything else.
    let address = serve(|mut stream| {
        let mut page = vec![0; 1 << 20];
        while let Ok(n @ 1..) = stream.read(&mut page) {
            if page[..n].ends_with(b"\r\n\r\n") && n < 100 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let (finished, report) = torture(address, &["--only", "bombs", "--wait", "200ms"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let bombs = report["findings"].as_array().unwrap();
    assert!(bombs.len() > 20);
    for bomb in bombs {
        let expected = if bomb["id"] == "still-serves" { "ok" } else { "violation" };
        assert_eq!(bomb["grade"], expected, "{bomb}");
    }
}

#[test]
fn a_patient_server_is_found_out() {
    let address = bad_server();
    let args = ["--only", "slow", "--clients", "2", "--patience", "300ms"];
    let (finished, report) = torture(address, &args);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for id in ["slow-heads", "slow-bodies", "silent-readers", "dripping-readers"] {
        assert_eq!(grade(&report, id), "violation", "{id}");
    }
    assert_eq!(grade(&report, "still-serves"), "ok", "it has a thread for each");
}

#[test]
fn tables_say_what_was_sent_and_what_came() {
    let program = Program::fixed(&[]);
    let url = format!("http://{}/", program.address());
    let finished = run(&["torture", &url, "--only", "lines"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let line = finished.stdout.lines().find(|line| line.contains(" host-none ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words, ["ok", "host-none", "9112", "§3.2", "no", "Host", "400,", "closed"]);
    assert!(finished.stdout.contains("\nall "), "{}", finished.stdout);
    program.stop();
}

#[test]
fn what_cannot_be_tested_is_said() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let other = serve(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-none\r\n");
    });
    let old = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    });
    let silent = serve(|mut stream| while let Ok(1..) = stream.read(&mut [0; 1024]) {});
    for (address, part) in [
        (free, "no connection"),
        (other, "no HTTP/1.1"),
        (old, "answers in HTTP/1.0"),
        (silent, "within 500ms (--wait)"),
    ] {
        let (finished, _) = torture(address, &["--wait", "500ms"]);
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
        assert!(finished.stderr.contains("cannot be tested"), "{finished:?}");
        assert!(finished.stderr.contains(part), "{finished:?}");
    }
}

#[test]
fn wrong_usage_attacks_nobody() {
    for (args, part) in [
        (&["http://192.0.2.1/"][..], "--i-may"),
        (&["https://127.0.0.1/"], "only http"),
        (&["127.0.0.1:80"], "http://127.0.0.1:8080/"),
        (&["http://127.0.0.1/", "--only", "everything"], "pipelining"),
        (&["http://127.0.0.1/", "--clients", "301"], "1..=300"),
        (&[], "URL"),
    ] {
        let finished = run(&[&["torture"], args].concat());
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
        assert!(finished.stderr.contains(part), "no {part:?} in: {}", finished.stderr);
    }
}

/// Listens on a port of its own and gives each connection a thread, until the tests are over.
fn serve(each: impl Fn(TcpStream) + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || each(stream));
        }
    });
    address
}

/// A server that does what many have done: Content-Length wins over Transfer-Encoding, numbers are
/// read as far as they are digits, any LF ends a line, every answer is alike, nothing ends.
fn bad_server() -> SocketAddr {
    serve(|mut stream| {
        let mut input = Vec::new();
        let mut page = [0; 4096];
        loop {
            while let Some(length) = request_bytes(&input) {
                input.drain(..length);
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").is_err() {
                    return;
                }
            }
            match stream.read(&mut page) {
                Ok(n) if n > 0 => input.extend_from_slice(&page[..n]),
                _ => return,
            }
        }
    })
}

/// The length of the request at the front, once it is whole.
fn request_bytes(input: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(input).replace('\u{fffd}', "?").to_ascii_lowercase();
    let ends = ["\n\r\n", "\n\n"].map(|end| text.find(end).map(|at| at + end.len()));
    let head_bytes = ends.into_iter().flatten().min()?;
    let (head, body) = text.split_at(head_bytes);
    let body_bytes = if let Some((_, value)) = head.split_once("content-length:") {
        let value = value.trim_start_matches(' ');
        let digits = value.bytes().take_while(u8::is_ascii_digit).count();
        value[..digits].parse().unwrap_or(0)
    } else if head.contains("transfer-encoding:") {
        body.find("0\r\n\r\n").map(|at| at + 5)?
    } else {
        0
    };
    (body.len() >= body_bytes).then_some(head_bytes + body_bytes)
}
