//! What a person sees, in a real browser without a window: Debian's Chromium, where it is installed.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{Program, corelane, scratch};

/// The browser. Continuous integration must have one; elsewhere tests say that they were skipped.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| ["chromium", "chromium-browser"].map(|name| folder.join(name)))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "chromium is not installed");
        eprintln!("skipped: chromium is not installed");
    }
    found
}

/// The document that a page has become once its scripts have run.
fn page(browser: &PathBuf, url: &str) -> String {
    let profile = scratch(&format!("browser-{}", url.len()));
    let output = Command::new("timeout")
        .arg("60")
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--virtual-time-budget=10000", "--dump-dom", url])
        .output()
        .unwrap();
    let _ = std::fs::remove_dir_all(profile);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {text}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn a_page_its_script_a_listing_and_an_error_page() {
    let Some(browser) = chromium() else { return };
    let welcome = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/welcome");
    let program = Program::start(corelane(&[
        "static",
        welcome,
        "0",
        "--bind",
        "127.0.0.1",
        "--statsd",
        "off",
        "--error-page",
        "404=404.html",
    ]));
    let base = format!("http://{}", program.address());
    let first = page(&browser, &format!("{base}/"));
    assert!(first.contains("<strong>corelane</strong>"), "{first}");
    assert!(first.contains("ms from here and back"), "its script ran, and fetched: {first}");
    let listing = page(&browser, &format!("{base}/listing/"));
    for name in ["hello.json", "readme.txt", "Parent directory", "sort="] {
        assert!(listing.contains(name), "{name}: {listing}");
    }
    let missing = page(&browser, &format!("{base}/nowhere"));
    assert!(missing.contains("There is nothing at this path"), "{missing}");
    program.stop();
}
