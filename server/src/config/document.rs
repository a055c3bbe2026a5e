//! A configuration file: its values, and where each of them stands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::finding::{FINDINGS_MAX, Finding, Origin, is_within};
use super::{json, toml};

/// The largest file that is read.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// A place in a text, in bytes from its beginning.
pub(super) type Offset = usize;

/// Where keys and values stand, by path.
pub(super) type Offsets = BTreeMap<String, Offset>;

/// What a file says.
#[derive(Debug)]
pub(super) struct Document {
    path: PathBuf,
    /// Its values.
    pub(super) tree: Value,
    /// Paths that flags have said, and their names, if the file was never written.
    pub(super) spoken: Vec<(String, String)>,
    places: BTreeMap<String, (usize, usize)>,
}

/// Something wrong with a text: where, about which key, and what.
pub(super) struct Fault {
    pub(super) offset: Offset,
    pub(super) path: String,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(offset: Offset, path: &str, message: impl Into<String>) -> Fault {
        Fault { offset, path: path.to_owned(), message: message.into() }
    }
}

/// What reading a text gives: its tree, where its parts stand, and what is wrong with it otherwise.
pub(super) type Reading = Result<(Value, Offsets, Vec<Fault>), Fault>;

impl Document {
    /// A file that says nothing.
    pub(super) fn empty() -> Document {
        let (path, tree) = (PathBuf::new(), Value::Object(Map::new()));
        Document { path, tree, spoken: Vec::new(), places: BTreeMap::new() }
    }

    /// Reads a text: TOML if the path ends in `.toml`, JSON otherwise. What can be passed over is
    /// added to `findings`.
    pub(super) fn read(
        path: &Path,
        bytes: &[u8],
        findings: &mut Vec<Finding>,
    ) -> Result<Document, Finding> {
        let at = |(line, column), key: String, message| Finding {
            origin: Origin::File { path: path.to_owned(), line, column },
            path: key,
            message,
        };
        if bytes.len() > FILE_BYTES_MAX {
            let limit = FILE_BYTES_MAX >> 20;
            return Err(at((0, 0), String::new(), format!("larger than {limit} MiB")));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let valid = &bytes[..error.valid_up_to()];
            let lines = Lines::new(&String::from_utf8_lossy(valid)).place(valid.len());
            at(lines, String::new(), "not UTF-8; save the file in that encoding".to_owned())
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let is_toml = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
        let reading = if is_toml { toml::read(text) } else { json::read(text) };
        let lines = Lines::new(text);
        let finding =
            |fault: Fault| at(lines.place(fault.offset), fault.path.clone(), fault.message);
        let (tree, offsets, faults) = reading.map_err(finding)?;
        findings.extend(faults.into_iter().take(FINDINGS_MAX).map(finding));
        let places = offsets.into_iter().map(|(path, offset)| (path, lines.place(offset)));
        let (path, spoken) = (path.to_owned(), Vec::new());
        Ok(Document { path, tree, spoken, places: places.collect() })
    }

    /// Whether there is a file.
    pub(super) fn is_file(&self) -> bool {
        !self.path.as_os_str().is_empty()
    }

    /// Where the value of this path stands, or the nearest around it.
    pub(super) fn origin(&self, path: &str) -> Origin {
        let said = self.spoken.iter().filter(|(outer, _)| is_within(path, outer));
        if let Some((_, name)) = said.max_by_key(|(outer, _)| outer.len()) {
            return Origin::Flag(name.clone());
        }
        let mut around = Some(path);
        let place = std::iter::from_fn(|| {
            let this = around?;
            around = super::finding::parent(this);
            Some(this)
        })
        .find_map(|path| self.places.get(path));
        let (line, column) = place.copied().unwrap_or((0, 0));
        Origin::File { path: self.path.clone(), line, column }
    }

    /// Lets `path` stand where `other` stands.
    pub(super) fn stand_in(&mut self, path: &str, other: &str) {
        if let Some(place) = self.places.get(other).copied() {
            self.places.insert(path.to_owned(), place);
        }
    }

    /// The folder that relative paths start from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// The beginnings of the lines of a text.
struct Lines<'t> {
    text: std::borrow::Cow<'t, str>,
    starts: Vec<Offset>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Lines<'t> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Lines { text: text.into(), starts: starts.collect() }
    }

    /// Line and column, from 1; columns count characters.
    fn place(&self, offset: Offset) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        let before = self.text.as_bytes().get(start..offset.min(self.text.len())).unwrap_or(&[]);
        // Bytes that continue a character do not count.
        let column = before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        (line, column + 1)
    }
}
