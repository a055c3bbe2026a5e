//! The file of typed lines.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustyline::DefaultEditor;

/// How many lines are kept.
pub(super) const LINES_MAX: usize = 1000;

/// A longer line is not kept.
const LINE_MAX: usize = 4 * 1024;

/// A file longer than all lines that are kept, each doubled by escapes, is no history.
const FILE_MAX: u64 = (LINES_MAX * LINE_MAX * 2) as u64;

/// Where lines are kept unless the user says: beneath the state directory of the XDG Base Directory
/// Specification. `None` if there is none.
pub(super) fn default() -> Option<PathBuf> {
    // A relative path there is to be ignored.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("corelane/connect_history"))
}

/// Lines typed now and before, in a file that only its owner may read.
pub(super) struct History {
    /// `None` if lines are kept for this run only.
    path: Option<PathBuf>,
}

impl History {
    /// Reads the file, or makes its folder. If neither is possible, says why, and keeps lines for this run
    /// only.
    pub(super) fn load(
        path: Option<PathBuf>,
        editor: &mut DefaultEditor,
    ) -> (History, Option<String>) {
        let Some(path) = path else { return (History { path: None }, None) };
        match load(&path, editor) {
            Ok(()) => (History { path: Some(path) }, None),
            Err(why) => {
                let why = format!("no history, {}: {why}", path.display());
                (History { path: None }, Some(why))
            }
        }
    }

    /// Keeps a line, at once: whoever ends this process should not lose it.
    pub(super) fn add(&mut self, line: &str, editor: &mut DefaultEditor) -> Result<(), String> {
        if line.len() > LINE_MAX || !editor.add_history_entry(line).unwrap_or(false) {
            return Ok(());
        }
        let Some(path) = self.path.take() else { return Ok(()) };
        match editor.append_history(&path) {
            Ok(()) => {
                self.path = Some(path);
                Ok(())
            }
            Err(error) => Err(format!("no more history, {}: {error}", path.display())),
        }
    }
}

fn load(path: &Path, editor: &mut DefaultEditor) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err("not a file".to_owned()),
        Ok(found) if found.len() > FILE_MAX => Err(format!("larger than {FILE_MAX} bytes")),
        Ok(_) => editor.load_history(path).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new(""));
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            // The file itself is made, mode 600, when there is something to keep.
            if folder.as_os_str().is_empty() {
                Ok(())
            } else {
                made.map_err(|error| error.to_string())
            }
        }
        Err(error) => Err(error.to_string()),
    }
}
