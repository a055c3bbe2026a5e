//! Single settings from outside of the file: environment variables, and `KEY=VALUE`.

use serde_json::{Map, Value};

use super::Config;
use super::finding::key_path;
use super::shape::{Kind, Section, Shape};
use super::suggest::closest;

/// What the names of environment variables begin with.
pub const PREFIX: &str = "CORELANE_";

/// Variables of this name's family that are not the server's: they steer tests.
const FOREIGN: [&str; 4] =
    ["CORELANE_BLESS", "CORELANE_CI_PORT", "CORELANE_SEED", "CORELANE_SEEDS"];

/// A key that one text can set: all but those within lists, and objects with the user's own keys.
#[derive(Debug)]
pub struct Setting {
    /// Its path, such as `limits.max_body`.
    pub path: String,
    /// Its environment variable, such as `CORELANE_LIMITS_MAX_BODY`.
    pub variable: String,
    shape: Shape,
}

/// All keys that one text can set.
pub fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Shape::Section(root) = Config::shape() {
        collect(root, "", &mut settings);
    }
    settings
}

fn collect(section: &'static Section, above: &str, settings: &mut Vec<Setting>) {
    for key in section.keys.iter().filter(|key| !key.name.starts_with('$')) {
        let path = key_path(above, key.name);
        let variable = format!("{PREFIX}{}", path.to_ascii_uppercase().replace('.', "_"));
        if let Some(shape) = settable(&key.shape) {
            settings.push(Setting { path: path.clone(), variable, shape });
        }
        if let Some(section) = key.shape.section() {
            collect(section, &path, settings);
        }
    }
}

/// The shape again, if one text can say it. (Shapes hold no state: what differs is only the box.)
fn settable(shape: &Shape) -> Option<Shape> {
    match shape {
        Shape::Leaf(leaf) => Some(Shape::Leaf(leaf.clone())),
        Shape::Optional(inner) => settable(inner).map(|inner| Shape::Optional(Box::new(inner))),
        Shape::Toggle(inner) => match &**inner {
            Shape::Section(section) => Some(Shape::Toggle(Box::new(Shape::Section(section)))),
            inner => settable(inner).map(|inner| Shape::Toggle(Box::new(inner))),
        },
        Shape::List(inner) => match &**inner {
            Shape::Leaf(leaf) => Some(Shape::List(Box::new(Shape::Leaf(leaf.clone())))),
            _ => None,
        },
        Shape::Section(_) | Shape::Map(_) => None,
    }
}

impl Setting {
    /// The value that a text means: items of a list are separated by commas, nothing means `null`
    /// where that is possible. A text that means none is left as it is, to be complained about.
    pub(super) fn value(&self, text: &str) -> Value {
        value(&self.shape, text)
    }
}

fn value(shape: &Shape, text: &str) -> Value {
    match shape {
        Shape::Leaf(leaf) => {
            let as_text = Value::String(text.to_owned());
            let plain = serde_json::from_str::<Value>(text).ok();
            let plain = plain.filter(|plain| plain.is_number() || plain.is_boolean());
            match plain {
                Some(plain) if (leaf.read)(&as_text).is_err() => plain,
                _ => as_text,
            }
        }
        Shape::Optional(_) if text.is_empty() => Value::Null,
        Shape::Optional(inner) => value(inner, text),
        Shape::Toggle(inner) => match text {
            "" => Value::Null,
            "false" | "off" => Value::Bool(false),
            "true" | "on" => Value::Bool(true),
            _ => value(inner, text),
        },
        Shape::List(_) if text.trim().is_empty() => Value::Array(Vec::new()),
        Shape::List(inner) => text.split(',').map(|item| value(inner, item.trim())).collect(),
        Shape::Section(_) | Shape::Map(_) => Value::String(text.to_owned()),
    }
}

/// The setting with this path, or what to say if there is none.
pub(super) fn by_path<'s>(settings: &'s [Setting], path: &str) -> Result<&'s Setting, String> {
    settings.iter().find(|setting| setting.path == path).ok_or_else(|| {
        let paths = settings.iter().map(|setting| setting.path.as_str());
        let known = closest(path, paths.clone())
            .or_else(|| paths.clone().find(|known| known.rsplit('.').next() == Some(path)));
        match known {
            Some(known) => format!("no key that can be set like this; did you mean `{known}`?"),
            None => "no key that can be set like this; lists of objects are set in a file".into(),
        }
    })
}

/// The setting of an environment variable: `Ok(None)` if the variable is none of ours, and what to
/// say if it looks like one and is not.
pub(super) fn by_variable<'s>(
    settings: &'s [Setting],
    name: &str,
    text: &str,
) -> Result<Option<&'s Setting>, String> {
    if !name.starts_with(PREFIX) || FOREIGN.contains(&name) {
        return Ok(None);
    }
    // Kubernetes sets NAME_PORT=tcp://… and more for a service called NAME.
    if text.starts_with("tcp://") || text.starts_with("udp://") {
        return Err(
            "passed over: it looks like a service link of Kubernetes; switch those off by \
                    `enableServiceLinks: false`"
                .to_owned(),
        );
    }
    if let Some(setting) = settings.iter().find(|setting| setting.variable == name) {
        return Ok(Some(setting));
    }
    // Without the prefix, which is like itself in all of them.
    let names = settings.iter().filter_map(|setting| setting.variable.strip_prefix(PREFIX));
    Err(match closest(name.strip_prefix(PREFIX).unwrap_or(name), names) {
        Some(meant) => format!("unknown variable, passed over; did you mean `{PREFIX}{meant}`?"),
        None => "unknown variable, passed over; `corelane config show --origin` lists the keys, \
                 whose variables are `CORELANE_` and the key in capitals"
            .to_owned(),
    })
}

/// Whether the key at this path is a time.
pub(super) fn is_time(path: &str) -> bool {
    let settings = settings();
    let found = settings.iter().find(|setting| setting.path == path);
    found.is_some_and(|setting| match setting.shape.inner() {
        Shape::Leaf(leaf) => leaf.name.starts_with("time"),
        _ => false,
    })
}

/// A tree that holds this value at this path only.
pub(super) fn tree(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, key| {
        let mut object = Map::new();
        object.insert(key.to_owned(), inner);
        Value::Object(object)
    })
}
