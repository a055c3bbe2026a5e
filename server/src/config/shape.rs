//! What a configuration may hold, as data: one description from which the checks, the defaults, the
//! names of environment variables, the JSON Schema and the table in `docs/CONFIGURATION.md` come.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Environment;

/// A type that can stand in a configuration.
pub trait Kind: DeserializeOwned {
    /// What it accepts.
    fn shape() -> Shape;
}

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    /// One value without parts.
    Leaf(Leaf),
    /// An object whose keys are known.
    Section(&'static Section),
    /// A list of such values.
    List(Box<Shape>),
    /// An object whose keys are the user's.
    Map(Box<Shape>),
    /// Such a value, or `null` for none.
    Optional(Box<Shape>),
    /// Such a value; `false` for off, `true` for on with its defaults, `null` for inherited.
    Toggle(Box<Shape>),
}

/// A value without parts.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// What it is called in the documentation: `size`, `time`.
    pub name: &'static str,
    /// Its JSON Schema.
    pub schema: Value,
    /// Brings a value into its one canonical form, or says what was expected.
    pub read: fn(&Value) -> Result<Value, String>,
    /// A path of the file system: relative ones are relative to the configuration file.
    pub path: bool,
    /// Not to be shown.
    pub secret: bool,
}

/// An object whose keys are known.
#[derive(Debug)]
pub struct Section {
    /// The name of its type.
    pub name: &'static str,
    /// What it is about.
    pub about: String,
    /// Its keys, in the order of the documentation.
    pub keys: Vec<Key>,
}

/// One key of a section.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// What it does.
    pub about: String,
    /// What it accepts.
    pub shape: Shape,
    /// Its default; `None` if it must be given.
    pub preset: Option<Preset>,
    /// When a change of it takes effect.
    pub effect: Effect,
}

/// The default of a key.
#[derive(Debug)]
pub struct Preset {
    /// In production.
    pub production: Value,
    /// In development.
    pub development: Value,
}

impl Preset {
    /// The default in this environment.
    pub fn of(&self, environment: Environment) -> &Value {
        match environment {
            Environment::Development => &self.development,
            Environment::Production => &self.production,
        }
    }
}

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// On reload.
    Hot,
    /// When the server is started again.
    Restart,
    /// The keys within say it themselves.
    Within,
}

impl Section {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Shape {
    /// The section within, where values are optional or can be switched off.
    pub fn section(&self) -> Option<&'static Section> {
        match self {
            Shape::Section(section) => Some(section),
            Shape::Optional(inner) | Shape::Toggle(inner) => inner.section(),
            _ => None,
        }
    }

    /// The leaf, list or map that a value of this shape is, if it is not switched off.
    pub fn inner(&self) -> &Shape {
        match self {
            Shape::Optional(inner) | Shape::Toggle(inner) => inner.inner(),
            shape => shape,
        }
    }
}

impl<T: Kind> Kind for Option<T> {
    fn shape() -> Shape {
        Shape::Optional(Box::new(T::shape()))
    }
}

impl<T: Kind> Kind for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }
}

impl<T: Kind> Kind for BTreeMap<String, T> {
    fn shape() -> Shape {
        Shape::Map(Box::new(T::shape()))
    }
}

/// The text of doc comments, whose lines begin with a space.
pub(super) fn about(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ").trim().to_owned()
}

/// Declares a section: a struct, and its description. Each key is
/// `name [as "file name"]: Type [= default [, development default]] => effect;`,
/// with the defaults as JSON. Without a default a key must be given.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident { $(
            $(#[doc = $doc:literal])+
            $field:ident $(as $name:literal)? : $kind:ty
                $(= $production:tt $(, development $development:tt)?)? => $effect:ident;
        )* }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $section {
            $(
                $(#[doc = $doc])+
                $(#[serde(rename = $name)])?
                pub $field: $kind,
            )*
        }

        impl $crate::config::shape::Kind for $section {
            fn shape() -> $crate::config::shape::Shape {
                use $crate::config::shape::{self, Effect, Key, Kind, Section, Shape};
                static SECTION: std::sync::LazyLock<Section> = std::sync::LazyLock::new(|| Section {
                    name: stringify!($section),
                    about: shape::about(&[$($about),+]),
                    keys: vec![$(Key {
                        name: [$($name,)? stringify!($field)][0],
                        about: shape::about(&[$($doc),+]),
                        shape: <$kind as Kind>::shape(),
                        preset: section!(@preset $($production $(, $development)?)?),
                        effect: Effect::$effect,
                    }),*],
                });
                Shape::Section(&SECTION)
            }
        }
    };
    (@preset) => { None };
    (@preset $both:tt) => { section!(@preset $both, $both) };
    (@preset $production:tt, $development:tt) => {
        Some($crate::config::shape::Preset {
            production: serde_json::json!($production),
            development: serde_json::json!($development),
        })
    };
}
pub(super) use section;
