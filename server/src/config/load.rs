//! From a file, the environment and flags to one configuration.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::document::Document;
use super::finding::{
    FINDINGS_MAX, Finding, Findings, Origin, index_path, is_within, key_path, parent,
};
use super::settings::{self, Setting};
use super::shape::{Kind, Shape};
use super::values::Single;
use super::{Config, Environment, StaticFiles, check, examine, precedence, values};

/// What a configuration is made from. What comes later in this list wins: the defaults of the
/// environment, the file, `CORELANE_*` variables, flags.
///
/// ```
/// use corelane::config::Sources;
///
/// let text = br#"{ "port": 8080, "limits": { "max_body": "2M" } }"#;
/// let loaded = Sources::new()
///     .text("site.json", text)
///     .variables([("CORELANE_PORT", "9090")])
///     .flag("--max-body", "limits.max_body", "64K")
///     .load()?;
/// assert_eq!(loaded.config.port.get(), 9090);
/// assert_eq!(loaded.config.limits.max_body.get(), 65_536);
/// assert_eq!(loaded.origin("port").to_string(), "CORELANE_PORT");
/// assert_eq!(loaded.origin("workers").to_string(), "default in production");
///
/// let findings = Sources::new().text("site.json", b"{ \"prot\": 80 }").load().unwrap_err();
/// let expected = "site.json:1:3: prot: unknown key; did you mean `port`?";
/// assert_eq!(findings.to_string(), expected);
/// # Ok::<(), corelane::config::Findings>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    text: Option<Vec<u8>>,
    spoken: Vec<(String, String)>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<(String, String, String)>,
}

/// A configuration with nothing left open: every key has a value.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The values.
    pub config: Config,
    /// What is doubtful, but does not prevent a start.
    pub warnings: Vec<Finding>,
    pub(super) tree: Value,
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Sources {
    /// The defaults alone.
    pub fn new() -> Sources {
        Sources::default()
    }

    /// Reads this file: TOML if its name ends in `.toml`, JSON otherwise.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Sources {
        (self.file, self.text) = (Some(path.into()), None);
        self
    }

    /// Takes this for the contents of a file of this name.
    pub fn text(mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Sources {
        (self.file, self.text) = (Some(path.into()), Some(text.into()));
        self
    }

    /// Takes this for the contents of a file that was never written: each path is what a flag says, by
    /// whose name it is called. The path that says most about a value counts.
    pub(crate) fn spoken(mut self, text: impl Into<Vec<u8>>, flags: &[(&str, &str)]) -> Sources {
        self.spoken = flags.iter().map(|&(path, name)| (path.into(), name.into())).collect();
        self.text("command line", text)
    }

    /// Takes those of these environment variables that begin with `CORELANE_`.
    pub fn variables<N, T>(mut self, variables: impl IntoIterator<Item = (N, T)>) -> Sources
    where
        N: Into<OsString>,
        T: Into<OsString>,
    {
        let variables = variables.into_iter().map(|(name, text)| (name.into(), text.into()));
        self.variables.extend(variables.filter(|(name, _): &(OsString, OsString)| {
            name.to_string_lossy().starts_with(settings::PREFIX)
        }));
        self.variables.sort();
        self
    }

    /// Sets the key at `path` for the flag `name`. Items of lists are separated by commas.
    pub fn flag(
        mut self,
        name: impl Into<String>,
        path: impl Into<String>,
        text: impl Into<String>,
    ) -> Sources {
        self.flags.push((name.into(), path.into(), text.into()));
        self
    }

    /// Reads all sources and checks the outcome, with what it names in the file system.
    ///
    /// # Errors
    /// All that is wrong, in the order of the file. Whether values make sense together is not asked of
    /// those that are wrong or missing, and of what is around them.
    pub fn load(&self) -> Result<Effective, Findings> {
        let mut layers = Layers::default();
        let document = layers.file(self);
        layers.variables(self);
        layers.flags(self);
        layers.finish(document)
    }
}

impl Effective {
    /// Where the value at this path comes from; for an object, the first of its values that was given.
    pub fn origin(&self, path: &str) -> Origin {
        let below = || {
            let from = self.origins.range(path.to_owned()..);
            let mut near = from.take_while(|(known, _)| known.starts_with(path));
            near.find(|(known, _)| is_within(known, path)).map(|(_, origin)| origin.clone())
        };
        let around = || origin(&self.origins, path);
        below().or_else(around).unwrap_or(Origin::Default(self.config.environment))
    }
}

impl Effective {
    /// Something that is wrong with the value at this path, which only its use has shown.
    pub fn finding(&self, path: &str, message: impl Into<String>) -> Finding {
        Finding { origin: self.origin(path), path: path.to_owned(), message: message.into() }
    }
}

/// The origin of a value, or of the list or object that it came with.
fn origin(origins: &BTreeMap<String, Origin>, path: &str) -> Option<Origin> {
    let mut around = Some(path);
    while let Some(path) = around {
        if let Some(origin) = origins.get(path) {
            return Some(origin.clone());
        }
        around = parent(path);
    }
    None
}

#[derive(Default)]
struct Layers {
    tree: Map<String, Value>,
    origins: BTreeMap<String, Origin>,
    findings: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Layers {
    fn file(&mut self, sources: &Sources) -> Document {
        let Some(path) = &sources.file else { return Document::empty() };
        let read = match &sources.text {
            Some(text) => Document::read(path, text, &mut self.findings),
            None => {
                read_file(path).and_then(|bytes| Document::read(path, &bytes, &mut self.findings))
            }
        };
        let mut document = match read {
            Ok(document) => document,
            Err(finding) => {
                self.findings.push(finding);
                return Document::empty();
            }
        };
        document.spoken = sources.spoken.clone();
        let mut tree = std::mem::take(&mut document.tree);
        for (path, message) in examine::examine(&mut tree, document.folder()) {
            // A value that could not even be read has been complained about.
            if !self.findings.iter().any(|finding| finding.path == path) {
                self.findings.push(Finding { origin: document.origin(&path), path, message });
            }
        }
        for short in expand(&mut tree) {
            document.stand_in(short, SHORT);
        }
        self.lay(tree, &|path| document.origin(path));
        document
    }

    fn variables(&mut self, sources: &Sources) {
        let settings = settings::settings();
        for (name, text) in &sources.variables {
            let name = name.to_string_lossy().into_owned();
            let complain = |message| Finding {
                origin: Origin::Variable(name.clone()),
                path: String::new(),
                message,
            };
            match settings::by_variable(&settings, &name, &text.to_string_lossy()) {
                Ok(None) => {}
                Ok(Some(setting)) => match text.to_str() {
                    Some(text) => self.set(setting, text, &Origin::Variable(name)),
                    None => self.findings.push(complain("not UTF-8".to_owned())),
                },
                Err(message) => self.warnings.push(complain(message)),
            }
        }
    }

    fn flags(&mut self, sources: &Sources) {
        let settings = settings::settings();
        for (name, path, text) in &sources.flags {
            let origin = Origin::Flag(name.clone());
            match settings::by_path(&settings, path) {
                Ok(setting) => self.set(setting, text, &origin),
                Err(message) => {
                    self.findings.push(Finding { origin, path: path.clone(), message });
                }
            }
        }
    }

    fn set(&mut self, setting: &Setting, text: &str, origin: &Origin) {
        let mut tree = settings::tree(&setting.path, setting.value(text));
        for (path, message) in examine::examine(&mut tree, Path::new("")) {
            self.findings.push(Finding { origin: origin.clone(), path, message });
        }
        expand(&mut tree);
        self.lay(tree, &|_| origin.clone());
    }

    /// Lays a tree over what is there.
    fn lay(&mut self, tree: Value, origin: &dyn Fn(&str) -> Origin) {
        if let Value::Object(over) = tree {
            merge(&mut self.tree, over, "", origin, &mut self.origins);
        }
    }

    /// Adds the defaults, and checks the whole.
    fn finish(mut self, document: Document) -> Result<Effective, Findings> {
        let environment = self.tree.get("environment").and_then(Value::as_str);
        let environment = match environment {
            Some("development") => Environment::Development,
            _ => Environment::Production,
        };
        let undecided = precedence::settle(&mut self.tree, &mut self.origins);
        let mut tree = Value::Object(self.tree);
        let mut missing = Vec::new();
        complete(&mut tree, &Config::shape(), environment, "", &mut missing);
        let origins = self.origins;
        let place = |path: &str| match origin(&origins, path) {
            Some(Origin::File { .. }) => document.origin(path),
            Some(other) => other,
            None if path.is_empty() => document.origin(path),
            None => Origin::Default(environment),
        };
        // What is wrong in form was taken out: of what was around it, nothing more can be said; and
        // nothing of an object that lacks a key.
        let removed: Vec<String> =
            self.findings.iter().map(|finding| finding.path.clone()).collect();
        let incomplete: Vec<String> =
            missing.iter().filter_map(|(path, _)| parent(path).map(str::to_owned)).collect();
        let touches = |path: &str| {
            let of = |removed: &String| is_within(path, removed) || is_within(removed, path);
            removed.iter().any(of)
        };
        let doubtful =
            |path: &str| touches(path) || incomplete.iter().any(|object| is_within(path, object));
        let finding =
            |(path, message): (String, String)| Finding { origin: place(&path), path, message };
        let add = |found: Vec<(String, String)>, findings: &mut Vec<Finding>| {
            let known = found.into_iter().take(FINDINGS_MAX).filter(|(path, _)| !doubtful(path));
            findings.extend(known.map(&finding));
        };
        // Beside a key that is wrong, it may be the one that is missing.
        let beside = |path: &str| removed.iter().any(|removed| parent(removed) == parent(path));
        missing.retain(|(path, _)| !touches(path) && !beside(path));
        add(undecided, &mut self.findings);
        self.findings.extend(missing.into_iter().take(FINDINGS_MAX).map(&finding));
        let config = match read(&tree) {
            Ok(config) => Some(config),
            Err(finding) => {
                add(vec![finding], &mut self.findings);
                None
            }
        };
        if let Some(config) = &config {
            let preset = |path: &str| match Config::shape().section()?.key(path)?.preset.as_ref()? {
                preset if tree.get(path) == Some(preset.of(environment)) => Some(()),
                _ => None,
            };
            let is_chosen = |path: &str| origin(&origins, path).is_some() && preset(path).is_none();
            let mut found = check::check(config, &is_chosen);
            // Without a file, that it says nothing is no news.
            found.warnings.retain(|(path, _)| !path.is_empty() || document.is_file());
            add(found.errors, &mut self.findings);
            if self.findings.is_empty() {
                add(found.warnings, &mut self.warnings);
            }
        }
        match config {
            Some(config) if self.findings.is_empty() => {
                Ok(Effective { config, warnings: self.warnings, tree, origins })
            }
            _ => {
                self.findings.sort_by_key(|finding| match &finding.origin {
                    Origin::File { line, column, .. } => (0, *line, *column),
                    _ => (1, 0, 0),
                });
                Err(Findings(self.findings))
            }
        }
    }
}

impl Config {
    /// What `static_dir` is short for: the defaults of the environment with this folder.
    pub fn static_dir(&self) -> Option<StaticFiles> {
        let dir = self.static_dir.as_ref()?;
        let mut tree = serde_json::json!({ "dir": dir.write() });
        complete(&mut tree, &StaticFiles::shape(), self.environment, "", &mut Vec::new());
        StaticFiles::deserialize(&tree).ok()
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Finding> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let limit = super::FILE_BYTES_MAX as u64 + 1;
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| Finding {
        origin: Origin::File { path: path.to_owned(), line: 0, column: 0 },
        path: String::new(),
        message: format!("cannot be read: {error}"),
    })
}

/// The typed form of a whole tree, or which key does not fit.
fn read(tree: &Value) -> Result<Config, (String, String)> {
    serde_path_to_error::deserialize::<_, Config>(tree)
        .map_err(|error| (error.path().to_string(), error.inner().to_string()))
}

/// The key that is short for two time-outs.
const SHORT: &str = "connection_timeout_ms";

/// Spells out the short key within the layer that has it, so that it ranks as that layer does.
/// Returns what it stood for.
fn expand(tree: &mut Value) -> Vec<&'static str> {
    let Some(millis) = tree.get(SHORT).and_then(|value| values::Millis::deserialize(value).ok())
    else {
        return Vec::new();
    };
    let text = Value::String(super::duration::text(millis.get()));
    let Some(object) = tree.as_object_mut() else { return Vec::new() };
    let timeouts = object.entry("timeouts").or_insert_with(|| Value::Object(Map::new()));
    let Some(timeouts) = timeouts.as_object_mut() else { return Vec::new() };
    let mut stands_for = Vec::new();
    for (key, path) in [("head", "timeouts.head"), ("idle", "timeouts.idle")] {
        if !timeouts.contains_key(key) {
            timeouts.insert(key.to_owned(), text.clone());
            stands_for.push(path);
        }
    }
    stands_for
}

/// Lays `over` over `base`: objects are merged, all else replaces what is there.
fn merge(
    base: &mut Map<String, Value>,
    over: Map<String, Value>,
    path: &str,
    origin: &dyn Fn(&str) -> Origin,
    origins: &mut BTreeMap<String, Origin>,
) {
    for (key, value) in over {
        let path = key_path(path, &key);
        match value {
            Value::Object(over) if !over.is_empty() => {
                if !matches!(base.get(&key), Some(Value::Object(_))) {
                    origins.remove(&path);
                    base.insert(key.clone(), Value::Object(Map::new()));
                }
                if let Some(Value::Object(base)) = base.get_mut(&key) {
                    merge(base, over, &path, origin, origins);
                }
            }
            value => {
                let from = origins.range(path.clone()..).map(|(known, _)| known);
                let replaced: Vec<String> = from
                    .take_while(|known| known.starts_with(&path))
                    .filter(|known| is_within(known, &path))
                    .cloned()
                    .collect();
                replaced.iter().for_each(|known| drop(origins.remove(known)));
                origins.insert(path.clone(), origin(&path));
                base.insert(key, value);
            }
        }
    }
}

/// A value in the place of one that is missing, unlike any other, so that the rest can be checked.
fn placeholder(shape: &Shape, path: &str) -> Option<Value> {
    match shape {
        Shape::Leaf(leaf) => {
            let texts = [format!("/{path}"), path.to_owned(), "1/s".to_owned()];
            texts.iter().find_map(|text| (leaf.read)(&Value::String(text.clone())).ok())
        }
        Shape::List(_) => Some(Value::Array(Vec::new())),
        Shape::Section(_) | Shape::Map(_) => Some(Value::Object(Map::new())),
        Shape::Optional(_) | Shape::Toggle(_) => Some(Value::Null),
    }
}

/// Adds the defaults of all keys that are not given; `missing` gets those that have none, which stand
/// there with a placeholder then.
fn complete(
    value: &mut Value,
    shape: &Shape,
    environment: Environment,
    path: &str,
    missing: &mut Vec<(String, String)>,
) {
    match (shape, value) {
        (Shape::Optional(inner) | Shape::Toggle(inner), value) => {
            complete(value, inner, environment, path, missing);
        }
        (Shape::Section(section), Value::Object(object)) => {
            for key in &section.keys {
                let path = key_path(path, key.name);
                if !object.contains_key(key.name) {
                    match &key.preset {
                        Some(preset) => {
                            object.insert(key.name.to_owned(), preset.of(environment).clone());
                        }
                        None => {
                            let message = format!("must be given: {}", key.about);
                            missing.push((path.clone(), message));
                            if let Some(value) = placeholder(&key.shape, &path) {
                                object.insert(key.name.to_owned(), value);
                            }
                        }
                    }
                }
                if let Some(value) = object.get_mut(key.name) {
                    complete(value, &key.shape, environment, &path, missing);
                }
            }
        }
        (Shape::List(inner), Value::Array(list)) => {
            for (index, value) in list.iter_mut().enumerate() {
                complete(value, inner, environment, &index_path(path, index), missing);
            }
        }
        (Shape::Map(inner), Value::Object(map)) => {
            for (key, value) in map {
                complete(value, inner, environment, &key_path(path, key), missing);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(shape: &Shape, path: &str, count: &mut usize) {
        let inner = match shape {
            Shape::Section(section) => {
                for key in &section.keys {
                    let path = key_path(path, key.name);
                    if key.preset.is_none() {
                        assert!(placeholder(&key.shape, &path).is_some(), "{path}");
                        *count += 1;
                    }
                    required(&key.shape, &path, count);
                }
                return;
            }
            Shape::List(inner) => return required(inner, &index_path(path, 0), count),
            Shape::Map(inner) | Shape::Optional(inner) | Shape::Toggle(inner) => inner,
            Shape::Leaf(_) => return,
        };
        required(inner, path, count);
    }

    #[test]
    fn every_key_that_must_be_given_has_a_placeholder() {
        let mut count = 0;
        required(&Config::shape(), "", &mut count);
        assert!(count > 6, "{count}");
    }
}
