//! The servers, and how each is told to have the features that it can have.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use corelane_benches::build::Binaries;
use corelane_benches::started::Started;

use crate::tree::Tree;

/// For files under `/assets/`, where a server can tell them from others.
pub(crate) const ASSETS_CACHE_CONTROL: &str = "public, max-age=31536000, immutable";

/// A server that serves directories.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Peer {
    /// `corelane static`
    Corelane,
    /// nginx as Debian packs it
    Nginx,
    /// caddy as Debian packs it
    Caddy,
    /// static-web-server, a crate
    StaticWebServer,
    /// miniserve, a crate
    Miniserve,
}

/// What a server is set up for. One cannot have all at once: a page for what is not found and a
/// page instead of what is not found exclude each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Profile {
    /// HTML listings, precompressed siblings, an error page, cache rules.
    Files,
    /// JSON listings.
    Json,
    /// The index page instead of what is not there.
    Spa,
    /// Compression of what is sent.
    Compress,
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        out.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl Peer {
    /// Where its program is; otherwise how to get it.
    pub(crate) fn program(self, binaries: &Binaries) -> anyhow::Result<PathBuf> {
        let name = self.to_string();
        match self {
            Self::Corelane => binaries.own(&name),
            Self::Nginx | Self::Caddy => binaries.installed(&name),
            Self::StaticWebServer | Self::Miniserve => binaries.peer(&name),
        }
    }

    /// What it says about its version.
    pub(crate) fn version(self, binaries: &Binaries) -> String {
        let option = match self {
            Self::Nginx => "-v",
            Self::Caddy => "version",
            _ => "--version",
        };
        let output = self
            .program(binaries)
            .and_then(|program| Ok(Command::new(program).arg(option).output()?));
        let Ok(output) = output else { return "?".to_owned() };
        let bytes = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        let text = String::from_utf8_lossy(&bytes);
        let digits = |word: &&str| {
            word.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit())
        };
        text.split([' ', '\n', '/', '+']).find(digits).unwrap_or("?").to_owned()
    }

    fn arguments(
        self,
        profile: Profile,
        port: u16,
        tree: &Tree,
        scratch: &Path,
    ) -> anyhow::Result<Vec<String>> {
        let root = tree.root.display().to_string();
        let text = match self {
            Self::Corelane => return Ok(corelane(profile, &root, port)),
            Self::Nginx => {
                let file = scratch.join(format!("nginx-{port}.conf"));
                std::fs::write(&file, nginx(profile, &root, port, scratch))?;
                format!("-p {} -c {}", scratch.display(), file.display())
            }
            Self::Caddy => {
                let file = scratch.join(format!("Caddyfile-{port}"));
                std::fs::write(&file, caddy(profile, &root, port))?;
                format!("run --adapter caddyfile --config {}", file.display())
            }
            Self::StaticWebServer => {
                let file = scratch.join(format!("sws-{port}.toml"));
                std::fs::write(&file, SWS_CONFIGURATION)?;
                format!("{} -w {}", static_web_server(profile, &root, port), file.display())
            }
            Self::Miniserve => {
                let mut words: Vec<_> =
                    miniserve(profile, port).split(' ').map(str::to_owned).collect();
                words.extend([
                    "--header".to_owned(),
                    format!("Cache-Control:{ASSETS_CACHE_CONTROL}"),
                ]);
                words.push(root);
                return Ok(words);
            }
        };
        // None of the paths has spaces: they are this program's own.
        Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
    }
}

fn corelane(profile: Profile, root: &str, port: u16) -> Vec<String> {
    let rule = format!("assets/**={ASSETS_CACHE_CONTROL}");
    let more: &[&str] = match profile {
        Profile::Files => &["--error-page", "404=404.html", "--cache-control", &rule],
        Profile::Json => &[],
        Profile::Spa => &["--spa", "index.html"],
        Profile::Compress => &["--compress"],
    };
    let port = port.to_string();
    let common = ["static", root, &port, "--bind", "127.0.0.1", "--workers", "1"];
    common.iter().chain(more).map(|&word| word.to_owned()).collect()
}

fn nginx(profile: Profile, root: &str, port: u16, scratch: &Path) -> String {
    let more = match profile {
        Profile::Files => {
            "autoindex on; gzip_static on; error_page 404 /404.html;
        location /assets/ { add_header Cache-Control \"public, max-age=31536000, immutable\"; }"
        }
        Profile::Json => "autoindex on; autoindex_format json;",
        Profile::Spa => "location / { try_files $uri $uri/ /index.html; }",
        Profile::Compress => "gzip on; gzip_types text/plain; gzip_vary on;",
    };
    let scratch = scratch.display();
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {scratch}/nginx-{port}.pid;
error_log stderr;
events {{}}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log off;
    sendfile on;
    tcp_nopush on;
    charset utf-8;
    charset_types text/plain text/css application/javascript;
    if_modified_since before;
    gzip_vary on;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        disable_symlinks on from=$document_root;
        location ~ /\\. {{ deny all; }}
        {more}
    }}
}}
"
    )
}

fn caddy(profile: Profile, root: &str, port: u16) -> String {
    let more = match profile {
        Profile::Files | Profile::Json => {
            "file_server {\n browse\n hide .*\n precompressed zstd br gzip\n }
    header /assets/* Cache-Control \"public, max-age=31536000, immutable\"
    handle_errors {\n rewrite * /404.html\n file_server\n }"
        }
        Profile::Spa => "try_files {path} /index.html\n file_server",
        Profile::Compress => "encode zstd gzip\n file_server",
    };
    format!(
        "{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port}, http://localhost:{port} {{
    bind 127.0.0.1
    root * {root}
    {more}
}}
"
    )
}

/// Rules for some files only are in its file, not among its options.
const SWS_CONFIGURATION: &str = "[advanced]
[[advanced.headers]]
source = \"/assets/**\"
headers = { Cache-Control = \"public, max-age=31536000, immutable\" }
";

fn static_web_server(profile: Profile, root: &str, port: u16) -> String {
    let more = match profile {
        Profile::Files => format!(
            "--directory-listing true --compression false --compression-static true \
             --cache-control-headers false --page404 {root}/404.html"
        ),
        Profile::Json => "--directory-listing true --directory-listing-format json".to_owned(),
        Profile::Spa => format!("--page-fallback {root}/index.html"),
        Profile::Compress => "--compression true".to_owned(),
    };
    format!("--host 127.0.0.1 --port {port} --root {root} {more}")
}

fn miniserve(profile: Profile, port: u16) -> String {
    let more = match profile {
        Profile::Files | Profile::Json => "--index index.html",
        Profile::Spa => "--index index.html --spa",
        Profile::Compress => "--compress-response",
    };
    format!("--interfaces 127.0.0.1 --port {port} --no-symlinks {more}")
}

/// Starts a server and waits until it accepts connections.
pub(crate) fn start(
    peer: Peer,
    profile: Profile,
    tree: &Tree,
    scratch: &Path,
    binaries: &Binaries,
) -> anyhow::Result<Started> {
    Started::start_command(&peer.to_string(), scratch, |port| {
        let mut command = Command::new(peer.program(binaries)?);
        // Its home is where caddy would keep what it does not need here.
        command
            .args(peer.arguments(profile, port, tree, scratch)?)
            .current_dir(scratch)
            .env("HOME", scratch);
        Ok(command)
    })
}
