//! The first look at what somebody wrote: unknown keys and values that are none, all of them at once.

use std::path::Path;

use serde_json::{Map, Value};

use super::Config;
use super::finding::{FINDINGS_MAX, index_path, key_path};
use super::shape::{Kind, Leaf, Section, Shape};
use super::suggest::closest;
use super::values::unexpected;

/// Brings what `tree` holds into canonical form, with relative paths beneath `folder`, and takes out
/// what cannot be read, which is returned: each with its path and what is wrong.
pub(super) fn examine(tree: &mut Value, folder: &Path) -> Vec<(String, String)> {
    let mut look = Look { folder, findings: Vec::new() };
    if !look.value(tree, &Config::shape(), "") {
        *tree = Value::Object(Map::new());
    }
    look.findings
}

struct Look<'f> {
    folder: &'f Path,
    findings: Vec<(String, String)>,
}

impl Look<'_> {
    /// Whether the value can stay.
    fn value(&mut self, value: &mut Value, shape: &Shape, path: &str) -> bool {
        match shape {
            Shape::Leaf(leaf) => match (leaf.read)(value) {
                Ok(canonical) => {
                    *value = self.rooted(leaf, canonical);
                    true
                }
                Err(message) => self.complain(path, message),
            },
            Shape::Optional(_) if value.is_null() => true,
            Shape::Optional(inner) => self.value(value, inner, path),
            Shape::Toggle(inner) => match value {
                Value::Null | Value::Bool(false) => true,
                Value::Bool(true) => match enabled(inner) {
                    Ok(()) => {
                        *value = Value::Object(Map::new());
                        true
                    }
                    Err(message) => self.complain(path, message),
                },
                _ => self.value(value, inner, path),
            },
            Shape::Section(section) => self.section(value, section, path),
            Shape::List(inner) => {
                let Value::Array(list) = value else { return self.mismatch("a list", value, path) };
                // Taking out one element would move the others: the whole list goes.
                list.iter_mut().enumerate().fold(true, |good, (index, element)| {
                    self.value(element, inner, &index_path(path, index)) && good
                })
            }
            Shape::Map(inner) => {
                let Value::Object(map) = value else {
                    return self.mismatch("an object", value, path);
                };
                map.retain(|key, value| self.value(value, inner, &key_path(path, key)));
                true
            }
        }
    }

    fn section(&mut self, value: &mut Value, section: &Section, path: &str) -> bool {
        let Value::Object(object) = value else {
            let first = section.keys.first().map_or("", |key| key.name);
            return self.mismatch(&format!("an object with keys such as `{first}`"), value, path);
        };
        object.retain(|name, value| {
            let path = key_path(path, name);
            match section.key(name) {
                Some(key) => self.value(value, &key.shape, &path),
                None => self.complain(&path, unknown(name, section)),
            }
        });
        true
    }

    /// A relative path, beneath the folder.
    fn rooted(&self, leaf: &Leaf, canonical: Value) -> Value {
        match &canonical {
            Value::String(text) if leaf.path && !matches!(text.as_str(), "stdout" | "stderr") => {
                let path = self.folder.join(text);
                let path = std::path::absolute(&path).unwrap_or(path);
                path.to_str().map_or(canonical.clone(), |text| Value::String(text.to_owned()))
            }
            _ => canonical,
        }
    }

    fn mismatch(&mut self, expected: &str, value: &Value, path: &str) -> bool {
        let message = unexpected::<()>(expected, value).err().unwrap_or_default();
        self.complain(path, message)
    }

    fn complain(&mut self, path: &str, message: String) -> bool {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push((path.to_owned(), message));
        }
        false
    }
}

/// Whether `true` says all there is to say.
fn enabled(inner: &Shape) -> Result<(), String> {
    let Some(section) = inner.section() else {
        return Err("expected a value, or false for off, not `true`".to_owned());
    };
    match section.keys.iter().find(|key| key.preset.is_none()) {
        None => Ok(()),
        Some(key) => Err(format!("expected an object with at least `{}`, not `true`", key.name)),
    }
}

/// What to say about an unknown key.
fn unknown(name: &str, section: &Section) -> String {
    let known = section.keys.iter().map(|key| key.name);
    if let Some(meant) = closest(name, known.clone()) {
        return format!("unknown key; did you mean `{meant}`?");
    }
    match name {
        "tls" | "ssl" | "https" => {
            return "TLS is not served yet; put something that ends TLS before this server".into();
        }
        "proxy" | "proxy_pass" | "reverse_proxy" | "upstream" => {
            return "unknown key: this server answers itself and passes nothing on".into();
        }
        _ => {}
    }
    if let Some(meant) = elsewhere(name) {
        return format!("unknown key here; did you mean `{meant}`?");
    }
    let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
    format!("unknown key; known here are {}", known.join(", "))
}

/// A key of this name in another section.
fn elsewhere(name: &str) -> Option<String> {
    let Shape::Section(root) = Config::shape() else { return None };
    if let Some(key) = root.key(name) {
        return Some(format!("{} at the top", key.name));
    }
    let mut paths = Vec::new();
    keys_within(root, "", &mut paths);
    paths.into_iter().find(|path| path.rsplit('.').next() == Some(name))
}

/// The paths of all keys, where lists are written `routes[]`.
pub(super) fn keys_within(section: &Section, path: &str, paths: &mut Vec<String>) {
    for key in &section.keys {
        let path = key_path(path, key.name);
        paths.push(path.clone());
        match key.shape.inner() {
            Shape::Section(section) => keys_within(section, &path, paths),
            Shape::List(inner) => {
                if let Some(section) = inner.section() {
                    keys_within(section, &format!("{path}[]"), paths);
                }
            }
            _ => {}
        }
    }
}
