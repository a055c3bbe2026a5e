//! Files to be served.

use std::path::{Path, PathBuf};

/// The hash of `lovelace`.
pub(crate) const LOVELACE: &str = "$2y$04$dBI/V4bm.BX7JeLnCPg7h.vUAVPfIsxfQF0H9HxHPiGtAks.Ki2R6";

/// A folder for this test, removed when dropped.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        let name = format!("{}-reload-keys", std::process::id());
        let folder = Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        for (name, text) in [
            ("one/index.html", "<p>index"),
            ("one/other.html", "<p>other"),
            ("one/404.html", "<p>not here"),
            ("one/a.txt", "text"),
            ("one/a.txt.gz", "as if compressed"),
            ("one/.hidden", "a secret"),
            ("one/sub/x.txt", "x"),
            ("two/index.html", "<p>second"),
            ("outside.txt", "from outside"),
            ("1.txt", "first body"),
            ("2.txt", "second body"),
            ("htpasswd", &format!("ada:{LOVELACE}\n")),
        ] {
            let path = folder.0.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("../outside.txt", folder.0.join("one/out.txt")).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
