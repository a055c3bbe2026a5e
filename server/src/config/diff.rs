//! What changed from one configuration to the next, and when it takes effect.

use std::fmt;

use serde_json::{Map, Value};

use super::finding::{index_path, key_path};
use super::load::Effective;
use super::shape::{Effect, Kind, Shape};
use super::{Config, show};

/// What changed from one configuration to the next.
///
/// ```
/// use corelane::config::Sources;
/// let old = Sources::new().text("a.json", r#"{ "port": 8080 }"#).load()?;
/// let new = Sources::new().text("a.json", r#"{ "port": 80, "limits": {"max_body": "2M"} }"#).load()?;
/// let diff = old.diff(&new);
/// assert_eq!(diff.hot[0].to_string(), r#"limits.max_body: "1M" -> "2M""#);
/// assert_eq!(diff.restart[0].to_string(), "port: 8080 -> 80");
/// # Ok::<(), corelane::config::Findings>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// What takes effect on reload.
    pub hot: Vec<Change>,
    /// What takes effect when the server is started again.
    pub restart: Vec<Change>,
}

/// One key with another value. Secrets are not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which key.
    pub path: String,
    /// The value it had; `None` if there was no such part.
    pub old: Option<Value>,
    /// The value it has; `None` if there is no such part.
    pub new: Option<Value>,
}

impl Diff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.hot.is_empty() && self.restart.is_empty()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| match value {
            None => "nothing".to_owned(),
            Some(value) => value.to_string(),
        };
        write!(f, "{}: {} -> {}", self.path, text(&self.old), text(&self.new))
    }
}

impl Effective {
    /// What changes from this configuration to `new`, by key.
    pub fn diff(&self, new: &Effective) -> Diff {
        let mut diff = Diff::default();
        diff.value(&Config::shape(), Effect::Within, Some(&self.tree), Some(&new.tree), "");
        diff
    }
}

impl Diff {
    fn value(
        &mut self,
        shape: &Shape,
        effect: Effect,
        old: Option<&Value>,
        new: Option<&Value>,
        path: &str,
    ) {
        if old == new {
            return;
        }
        match (shape.inner(), old, new) {
            (Shape::Section(section), Some(Value::Object(old)), Some(Value::Object(new))) => {
                for key in &section.keys {
                    let path = key_path(path, key.name);
                    let effect = if key.effect == Effect::Within { effect } else { key.effect };
                    self.value(&key.shape, effect, old.get(key.name), new.get(key.name), &path);
                }
            }
            (Shape::List(inner), Some(Value::Array(old)), Some(Value::Array(new)))
                if inner.section().is_some() =>
            {
                for index in 0..old.len().max(new.len()) {
                    let path = index_path(path, index);
                    self.value(inner, effect, old.get(index), new.get(index), &path);
                }
            }
            (Shape::Map(inner), Some(Value::Object(old)), Some(Value::Object(new))) => {
                for name in names(old, new) {
                    let path = key_path(path, name);
                    self.value(inner, effect, old.get(name), new.get(name), &path);
                }
            }
            (_, old, new) => {
                let shown = |value: Option<&Value>| value.map(|value| show::redacted(value, shape));
                let change = Change { path: path.to_owned(), old: shown(old), new: shown(new) };
                match effect {
                    Effect::Restart => self.restart.push(change),
                    Effect::Hot | Effect::Within => self.hot.push(change),
                }
            }
        }
    }
}

/// The names in either, each once.
fn names<'m>(old: &'m Map<String, Value>, new: &'m Map<String, Value>) -> Vec<&'m String> {
    old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))).collect()
}
