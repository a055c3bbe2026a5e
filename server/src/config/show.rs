//! A configuration as text, without its secrets.

use serde_json::{Map, Value, json};

use super::Config;
use super::finding::{Origin, key_path};
use super::load::Effective;
use super::shape::{Kind, Shape};

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// One key with its value and where that comes from. Lists and the user's own objects are one entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Which key.
    pub path: String,
    /// Its value, without secrets.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

impl Effective {
    /// All values as one tree, without secrets.
    pub fn redacted(&self) -> Value {
        redacted(&self.tree, &Config::shape())
    }

    /// All values in the order of the documentation, each with its origin.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        self.collect(&self.tree, &Config::shape(), "", &mut entries);
        entries
    }

    fn collect(&self, value: &Value, shape: &Shape, path: &str, entries: &mut Vec<Entry>) {
        match (shape.section(), value) {
            (Some(section), Value::Object(object)) => {
                for key in &section.keys {
                    if let Some(value) = object.get(key.name) {
                        self.collect(value, &key.shape, &key_path(path, key.name), entries);
                    }
                }
            }
            _ => entries.push(Entry {
                path: path.to_owned(),
                value: redacted(value, shape),
                origin: self.origin(path),
            }),
        }
    }

    /// All values as JSON: one that could be loaded, but for secrets. With `origins`, two objects:
    /// `values`, and `origins` by path.
    pub fn to_json(&self, origins: bool) -> String {
        let value = if origins {
            let entries = self.entries().into_iter();
            let origins = entries.map(|entry| (entry.path, json!(entry.origin.to_string())));
            json!({ "values": self.redacted(), "origins": origins.collect::<Map<_, _>>() })
        } else {
            self.redacted()
        };
        format!("{value:#}\n")
    }

    /// All values as TOML: one that could be loaded, but for secrets. Keys without a value are left
    /// out, since TOML has no `null`. With `origins`, one line for each key, with a comment.
    pub fn to_toml(&self, origins: bool) -> String {
        if !origins {
            return toml::to_string_pretty(&without_null(self.redacted())).unwrap_or_default();
        }
        let mut text = String::new();
        for Entry { path, value, origin } in self.entries() {
            let path = if path.starts_with('$') { format!("\"{path}\"") } else { path };
            let line = match value {
                Value::Null => format!("# {path} has no value"),
                value => format!("{path} = {}", inline(value)),
            };
            text.push_str(&format!("{line}  # {origin}\n"));
        }
        text
    }
}

fn inline(value: Value) -> String {
    toml::Value::try_from(without_null(value)).map(|value| value.to_string()).unwrap_or_default()
}

/// The value without its secrets.
pub(super) fn redacted(value: &Value, shape: &Shape) -> Value {
    match (shape.inner(), value) {
        (_, Value::Null | Value::Bool(_)) => value.clone(),
        (Shape::Leaf(leaf), _) if leaf.secret => json!(REDACTED),
        (Shape::List(inner), Value::Array(list)) => {
            list.iter().map(|value| redacted(value, inner)).collect()
        }
        (Shape::Map(inner), Value::Object(map)) => {
            let map = map.iter().map(|(key, value)| (key.clone(), redacted(value, inner)));
            Value::Object(map.collect())
        }
        (Shape::Section(section), Value::Object(object)) => {
            // In the order of the documentation, if the map keeps one.
            let keys = section.keys.iter().filter_map(|key| Some((key, object.get(key.name)?)));
            let object =
                keys.map(|(key, value)| (key.name.to_owned(), redacted(value, &key.shape)));
            Value::Object(object.collect())
        }
        _ => value.clone(),
    }
}

fn without_null(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_null(value))).collect())
        }
        Value::Array(list) => list.into_iter().map(without_null).collect(),
        value => value,
    }
}
