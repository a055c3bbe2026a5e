//! What the rival servers share: what they serve, and how they are told to.

pub mod wire;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// The body of every reply of [`App::Fixed`].
pub const BODY: &[u8] = b"Vrypt";
/// The routes of [`App::Routed`] and [`App::Middleware`], one on each line, parameters in braces.
pub const ROUTES: &str = include_str!("../routes.txt");
/// How long a handler may take under [`App::Middleware`].
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// The one origin that [`App::Middleware`] shares its replies with.
pub const ORIGIN: &str = "https://example.com";
/// Fields that [`App::Middleware`] adds for security.
pub const SECURITY_FIELDS: [(&str, &str); 3] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
];

/// What is serialised for every reply of [`App::Json`].
#[derive(Debug, Serialize)]
pub struct Message {
    /// The text that the public benchmarks agreed upon.
    pub message: &'static str,
}

impl Message {
    /// The only one there is.
    pub const HELLO: Self = Self { message: "Hello, World!" };
}

/// What a rival serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum App {
    /// [`BODY`], whatever is asked.
    Fixed,
    /// The files of a directory.
    Static,
    /// [`Message::HELLO`], serialised for each reply.
    Json,
    /// [`ROUTES`]; the reply is the values of the parameters, joined by `/`.
    Routed,
    /// The same behind request id, CORS, compression, security fields and timeout.
    Middleware,
}

/// The command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen on 127.0.0.1.
    pub port: u16,
    /// What to serve.
    pub app: App,
    /// The directory of [`App::Static`].
    pub root: PathBuf,
}

/// Any reason for which a rival gives up.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Options {
    /// Reads `--port N [--app NAME] [--root DIRECTORY]` for a program that serves `apps`.
    ///
    /// # Errors
    /// Says how to call the program when something is missing or not known.
    pub fn read(apps: &[App]) -> Result<Self, Failure> {
        let mut words = std::env::args();
        let program = words.next().unwrap_or_default();
        let usage = || format!("usage: {program} --port N [--app {apps:?}] [--root DIRECTORY]");
        let (mut port, mut app, mut root) = (None, App::Fixed, PathBuf::from("."));
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(usage)?;
            match name.as_str() {
                "--port" => port = Some(value.parse()?),
                "--app" => {
                    let known = |app: &&App| format!("{app:?}").eq_ignore_ascii_case(&value);
                    app = *apps.iter().find(known).ok_or_else(usage)?;
                }
                "--root" => root = value.into(),
                _ => return Err(usage().into()),
            }
        }
        Ok(Self { port: port.ok_or_else(usage)?, app, root })
    }
}

/// A request id nobody had before: 16 hexadecimal digits of a counter.
pub fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:016x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
