//! What a person sees, in a real browser without a window: Debian's Chromium, where it is installed.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use corelane::web::WebServer;
use corelane_eventloop::Nanos;
use corelane_http::web::{Endpoint, OwnedRequest, Request, Response, Routes};

use crate::process::{Program, Scratch, corelane, scratch};

#[path = "../../examples/web_server.rs"]
#[expect(dead_code, reason = "its `main` is the example's")]
mod web_server;

/// The browser. Continuous integration must have one; elsewhere tests say that they were skipped.
pub(crate) fn chromium() -> Option<PathBuf> {
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

/// Loads a page and does this with it.
fn browse(browser: &PathBuf, url: &str, what: &[&str]) -> String {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let profile = scratch(&format!("browser-{run}"));
    let output = Command::new("timeout")
        .arg("60")
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(what)
        .arg(url)
        .output()
        .unwrap();
    let _ = std::fs::remove_dir_all(profile);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {text}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The document that a page has become once its scripts have run.
pub(crate) fn page(browser: &PathBuf, url: &str) -> String {
    browse(browser, url, &["--virtual-time-budget=10000", "--dump-dom"])
}

/// The example, and its page at `/held`, which the browser does not take for loaded before everything on
/// it is there: an answer without an end makes virtual time stand still.
fn held(visits: Arc<AtomicU64>) -> Routes {
    const SCRIPT: &str = "<script>setInterval(() => {
        const [hello, sum, clock] = ['hello', 'sum', 'clock'].map((id) => document.getElementById(id));
        if (/Visit/.test(hello.textContent) && sum.result.value && clock.dateTime) fetch('/shown');
    }, 20)</script><img src=/hold hidden alt>";
    let page = include_str!("../../examples/web_server.html").replace("</main>", SCRIPT);
    let shown = Rc::new(Cell::new(false));
    let tell = shown.clone();
    let hold = move |request: OwnedRequest| {
        let shown = shown.clone();
        async move {
            // It is said again until the page is loaded.
            shown.set(false);
            let local = request.lane().local();
            let until = local.now() + Nanos::from_secs(20);
            while !shown.get() && local.now() < until {
                local.sleep(Nanos::from_millis(10)).await;
            }
            Response::new(204)
        }
    };
    web_server::routes(visits)
        .get("/held", move |_: &Request<'_>| Response::html(page.clone()))
        .get("/shown", move |_: &Request<'_>| {
            tell.set(true);
            Response::new(204)
        })
        .on("GET", "/hold", Endpoint::asynchronous(hold))
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

#[test]
fn the_front_end_of_the_example_sees_its_api() {
    let Some(browser) = chromium() else { return };
    let visits = Arc::default();
    let server = WebServer::new("127.0.0.1:0").unwrap().lanes(1);
    let server = server.start(move || held(Arc::clone(&visits)).build()).unwrap();
    let url = format!("http://{}/held", server.addresses()[0]);
    let document = browse(&browser, &url, &["--dump-dom"]);
    assert!(document.contains("Hello, browser! Visit number 1."), "by GET: {document}");
    assert!(document.contains("<output name=\"result\">= 3</output>"), "by POST: {document}");
    assert!(document.contains("<time id=\"clock\" datetime=\"2"), "by events: {document}");
    let picture = Scratch(scratch("front-end.png"));
    let shot = format!("--screenshot={}", picture.path());
    browse(&browser, &url, &["--window-size=390,800", "--hide-scrollbars", &shot]);
    let png = std::fs::read(picture.path()).unwrap();
    // Signature, then the first chunk, which begins with the width (PNG §11.2.1).
    assert_eq!((&png[..8], &png[16..20]), (&b"\x89PNG\r\n\x1a\n"[..], &390_u32.to_be_bytes()[..]));
    server.stop(Nanos::from_secs(5));
    server.join().unwrap();
}
