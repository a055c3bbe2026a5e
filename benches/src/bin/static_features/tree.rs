//! The directory that every server serves.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

/// What must never be served: it is in files outside of the root.
pub(crate) const SECRET: &str = "this is outside of the root";
/// What the index files say.
pub(crate) const INDEX: &str = "<!doctype html><title>index</title>the index\n";
/// What the page for what is not found says.
pub(crate) const NOT_FOUND: &str = "<!doctype html><title>404</title>our own page\n";
/// The length of `text.txt`.
pub(crate) const TEXT_BYTES: usize = 1000;
/// The length of `list/large.bin`.
pub(crate) const LISTED_BYTES: usize = 4321;
/// The length of `download.bin`.
pub(crate) const DOWNLOAD_BYTES: u64 = 60_000_000;
/// The length of the files that change while they are sent.
pub(crate) const CHANGING_BYTES: usize = 24 << 20;
/// When all files were last modified: 3 February 2001, 04:05:06 UTC.
pub(crate) const MODIFIED_SECONDS: u64 = 981_173_106;
/// The same as a field's value.
pub(crate) const MODIFIED: &str = "Sat, 03 Feb 2001 04:05:06 GMT";

/// File names that are written into a page, a link or a head without care at one's peril.
pub(crate) const HOSTILE_NAMES: [&[u8]; 10] = [
    b"<img src=x onerror=alert(1)>.txt",
    b"a&amp;b.txt",
    b"\"double\" 'single'.txt",
    b"100%25 percent.txt",
    b"question?mark#hash.txt",
    b"javascript:alert(1)",
    b"back\\slash.txt",
    b" spaces .txt",
    "\u{fc}ml\u{e4}ut \u{202e}txt.exe".as_bytes(),
    b"not utf8 \xff\xfe.bin",
];

/// Extensions, and what may be said of them.
pub(crate) const TYPES: [(&str, &[&str]); 14] = [
    ("html", &["text/html"]),
    ("css", &["text/css"]),
    ("js", &["text/javascript", "application/javascript"]),
    ("mjs", &["text/javascript", "application/javascript"]),
    ("json", &["application/json"]),
    ("svg", &["image/svg+xml"]),
    ("png", &["image/png"]),
    ("avif", &["image/avif"]),
    ("webp", &["image/webp"]),
    ("woff2", &["font/woff2"]),
    ("wasm", &["application/wasm"]),
    ("mp4", &["video/mp4"]),
    ("pdf", &["application/pdf"]),
    ("webmanifest", &["application/manifest+json"]),
];

/// The directory that every server serves.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    /// Whether the root has a device; only root may make one.
    pub(crate) has_device: bool,
}

impl Tree {
    /// Makes it inside of `scratch`, with a secret beside it.
    pub(crate) fn make(scratch: &Path) -> anyhow::Result<Self> {
        let root = scratch.join("root");
        for directory in ["", "site", "list", "pre", "types", "assets", ".git"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::write(scratch.join("secret.txt"), SECRET)?;
        let tree = Self { has_device: make_device(&root.join("device")), root };
        tree.write_files()?;
        let root = &tree.root;
        symlink("text.txt", root.join("link-relative.txt"))?;
        symlink(root.join("text.txt"), root.join("link-absolute.txt"))?;
        symlink(scratch.join("secret.txt"), root.join("link-outside.txt"))?;
        symlink(scratch, root.join("link-up"))?;
        mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o644), 0)
            .context("cannot make a fifo")?;
        Ok(tree)
    }

    fn write_files(&self) -> anyhow::Result<()> {
        self.write("index.html", INDEX)?;
        self.write("404.html", NOT_FOUND)?;
        self.write("text.txt", text(TEXT_BYTES))?;
        self.write("compressible.txt", text(200_000))?;
        self.write("site/index.html", INDEX)?;
        self.write(".git/config", SECRET)?;
        self.write("assets/app.js", "let a = 1;\n")?;
        self.write("list/small.txt", text(10))?;
        self.write("list/large.bin", text(LISTED_BYTES))?;
        self.write("list/.hidden", SECRET)?;
        for name in HOSTILE_NAMES {
            // A file says its own name, so that a link can be seen to lead to it.
            self.write(Path::new("list").join(OsStr::from_bytes(name)), name)?;
        }
        self.write("pre/file.txt", text(TEXT_BYTES))?;
        for extension in ["gz", "br", "zst"] {
            self.write(format!("pre/file.txt.{extension}"), format!("as {extension}"))?;
        }
        for (extension, _) in TYPES {
            self.write(format!("types/file.{extension}"), "x")?;
        }
        let download = File::create(self.root.join("download.bin"))?;
        download.set_len(DOWNLOAD_BYTES)?;
        Ok(())
    }

    /// Writes a file of the age that all have.
    pub(crate) fn write(
        &self,
        name: impl AsRef<Path>,
        content: impl AsRef<[u8]>,
    ) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        fs::write(&path, content).with_context(|| path.display().to_string())?;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED_SECONDS);
        File::options().write(true).open(&path)?.set_modified(modified)?;
        Ok(path)
    }
}

/// `length` bytes of text, none of which is zero.
pub(crate) fn text(length: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line: u32| format!("line {line} of a text\n").into_bytes());
    lines.take(length).collect()
}

/// A device that never ends to give zeroes.
fn make_device(path: &Path) -> bool {
    let zero = makedev(1, 5);
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o644), zero).is_ok()
}
