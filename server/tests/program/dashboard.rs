//! `/dashboard`, in a real browser.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::browser::{chromium, page};
use crate::client::GET;
use crate::process::{PATIENCE, Program, scratch};

const TOKEN: &str = "3fzK9vWqLr0uX2bN";

/// Has a server answer as long as this lives, so that there is something to see.
struct Traffic(Arc<AtomicBool>);

impl Traffic {
    fn start(address: SocketAddr) -> Traffic {
        let stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&stop);
        thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut answer = [0; 4096];
            while !told.load(Ordering::Relaxed) {
                stream.write_all(GET).unwrap();
                assert!(stream.read(&mut answer).unwrap() > 0);
            }
        });
        Traffic(stop)
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Notes the words for the page's state, one after the other.
const WATCH: &str = "const seen = [];
    new MutationObserver(() => {
        const words = document.getElementById('state').textContent;
        if (seen.at(-1) !== words) seen.push(words);
        document.body.dataset.seen = seen.join();
    }).observe(document.getElementById('state'), { childList: true });";

/// A name that would be more than a name in a page that is put together from text.
const HOSTILE: &str = "<img src=x onerror=document.title='owned'>";

/// How a [`Front`] answers one question for figures.
#[derive(Clone, Copy)]
enum Answer {
    Whole,
    /// With a number where the list of addresses should be.
    Odd,
    Never,
}

/// A listener before the admin listener, whose page has one more script and no policy, whose figures have
/// a [`HOSTILE`] name, and which answers only some questions as they should be.
struct Front {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Front {
    /// Adds `script` to the page; answers the nth question for figures as `answers` says.
    fn start(admin: &str, script: &'static str, answers: fn(usize) -> Answer) -> Front {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicUsize>::default();
        let (admin, count) = (admin.to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (admin, count) = (admin.clone(), Arc::clone(&count));
                // A browser that leaves early is its own affair.
                thread::spawn(move || forward(client, &admin, script, &count, answers));
            }
        });
        Front { address, asked }
    }
}

/// Answers one question.
fn forward(
    mut client: TcpStream,
    admin: &str,
    script: &str,
    asked: &AtomicUsize,
    answers: fn(usize) -> Answer,
) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).replace("keep-alive", "close");
    let manner = match head.starts_with("GET /metrics.json") {
        true => answers(asked.fetch_add(1, Ordering::Relaxed)),
        false => Answer::Whole,
    };
    if let Answer::Never = manner {
        return Ok(());
    }
    // Compressed answers could not be added to.
    let head: String =
        head.split_inclusive("\r\n").filter(|line| !line.starts_with("Accept-Enc")).collect();
    let mut server = TcpStream::connect(admin)?;
    server.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let (fields, body) = text.split_once("\r\n\r\n").unwrap();
    let (kind, body) = if head.starts_with("GET /dashboard") {
        ("text/html", body.replace("</body>", &format!("<script>{script}</script></body>")))
    } else if head.starts_with("GET /metrics.json") && fields.contains(" 200 ") {
        let body = body.replace("\"finished\"", &format!("\"{HOSTILE}\""));
        let body = match manner {
            Answer::Odd => body.replace("\"addresses\":[", "\"addresses\":1,\"others\":["),
            _ => body,
        };
        ("application/json", body)
    } else {
        return client.write_all(&answer);
    };
    let length = body.len();
    let fields = format!("Content-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close");
    client.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}").as_bytes())
}

#[test]
fn the_page_shows_what_happens_under_its_own_policy() {
    let Some(browser) = chromium() else { return };
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let _traffic = Traffic::start(program.address());
    let response = program.admin().get("/dashboard");
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(response.field("content-security-policy").unwrap().contains("default-src 'none'"));
    let shown = page(&browser, &format!("http://{}/dashboard", program.admin_address()));
    for part in [
        r#"<span id="state" role="status" class="live">live</span>"#,
        " in all",
        "1 loop",
        "Latency over time; in the last",
        r#"<th scope="row" title="0">0</th>"#,
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let rate = shown.split(r#"<b id="t-requests">"#).nth(1).unwrap().split('<').next().unwrap();
    assert!(rate.ends_with("/s") && rate != "0/s", "{rate}");
    program.stop();
}

#[test]
fn the_page_asks_for_the_token_and_sends_it() {
    let Some(browser) = chromium() else { return };
    let file = scratch("dashboard-token");
    std::fs::write(&file, TOKEN).unwrap();
    let token = file.to_str().unwrap();
    let program = Program::fixed(&["--admin", "127.0.0.1:0", "--admin-token-file", token]);
    assert_eq!(program.admin().get("/metrics.json").status, 401);
    assert_eq!(program.admin().get("/nowhere").status, 401);
    let shown = page(&browser, &format!("http://{}/dashboard", program.admin_address()));
    assert!(
        shown.contains(">locked</span>") && shown.contains(r#"<div id="all" hidden"#),
        "{shown}"
    );
    // As a user types: what cannot be a token, then a wrong one, then the right one.
    const TYPE: &str = "const told = [];
        const enter = (token) => {
            document.getElementById('token').value = token;
            document.getElementById('ask').requestSubmit();
        };
        const look = () => {
            const words = document.getElementById('refused').textContent;
            if (!words) return;
            told.push(words);
            document.body.dataset.said = told.join('; ');
            const next = ['no\u{20ac}token', 'another-token-0000', '3fzK9vWqLr0uX2bN'][told.length - 1];
            if (next) setTimeout(() => enter(next), 100);
        };
        // It may have been said before this script was read.
        look();
        new MutationObserver(look).observe(document.getElementById('refused'), { childList: true });";
    let front = Front::start(program.admin_address(), TYPE, |_| Answer::Whole);
    let shown = page(&browser, &format!("http://{}/dashboard", front.address));
    let said = "data-said=\"This server wants the admin token.; \
        A token has letters, digits and -._~+/ only.; The server refuses this token.\"";
    assert!(shown.contains(said), "{shown}");
    assert!(shown.contains(">live</span>"), "{shown}");
    assert!(shown.contains("role=\"alert\"></p>"), "nothing is said any more: {shown}");
    program.stop();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_page_goes_on_after_figures_that_it_does_not_understand() {
    let Some(browser) = chromium() else { return };
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    let front = Front::start(program.admin_address(), WATCH, |asked| match asked {
        2 => Answer::Odd,
        _ => Answer::Whole,
    });
    let shown = page(&browser, &format!("http://{}/dashboard", front.address));
    assert!(shown.contains(r#"data-seen="live,not understood,live""#), "{shown}");
    assert!(front.asked.load(Ordering::Relaxed) > 3);
    program.stop();
}

#[test]
fn the_page_says_when_the_server_has_gone_and_that_it_is_back() {
    let Some(browser) = chromium() else { return };
    let program = Program::fixed(&["--admin", "127.0.0.1:0"]);
    // One connection that ended, so that the reason is told.
    assert_eq!(program.connect().ask(GET).status, 200);
    let front = Front::start(program.admin_address(), WATCH, |asked| match asked {
        2..4 => Answer::Never,
        _ => Answer::Whole,
    });
    let shown = page(&browser, &format!("http://{}/dashboard", front.address));
    assert!(shown.contains(r#"data-seen="live,no answer,live""#), "{shown}");
    // Nobody has a policy here that would forbid it: names are only ever text.
    assert!(shown.contains("&lt;img src=x onerror="), "{shown}");
    assert!(!shown.contains("<img") && !shown.contains(">owned<"), "{shown}");
    assert!(front.asked.load(Ordering::Relaxed) > 4);
    program.stop();
}
