//! The kinds of single values: each says what it accepts, and what was expected instead.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::shape::{Kind, Leaf, Shape};
use super::{duration, size};

/// A single value of its own type.
pub(super) trait Single: Sized {
    const NAME: &'static str;

    fn schema() -> Value;

    fn read(value: &Value) -> Result<Self, String>;

    /// The canonical form.
    fn write(&self) -> Value;
}

/// The shape of a single value.
pub(super) fn leaf<T: Single>(path: bool, secret: bool) -> Shape {
    let read = |value: &Value| T::read(value).map(|read| read.write());
    Shape::Leaf(Leaf { name: T::NAME, schema: T::schema(), read, path, secret })
}

/// Makes a [`Single`] a [`Kind`].
macro_rules! kind {
    ($($single:ident $(<$(const $constant:ident : u64),+>)?
        $(, path = $path:literal)? $(, secret = $secret:literal)?;)*) => { $(
        impl $(<$(const $constant: u64),+>)? $crate::config::shape::Kind for $single $(<$($constant),+>)? {
            fn shape() -> $crate::config::shape::Shape {
                $crate::config::values::leaf::<Self>([$($path,)? false][0], [$($secret,)? false][0])
            }
        }

        impl<'de $($(, const $constant: u64)+)?> serde::Deserialize<'de> for $single $(<$($constant),+>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
                <Self as $crate::config::values::Single>::read(&value)
                    .map_err(<D::Error as serde::de::Error>::custom)
            }
        }
    )* };
}
pub(super) use kind;

kind! {
    Count<const MIN: u64, const MAX: u64>;
    Bytes<const MIN: u64, const MAX: u64>;
    Timeout;
    Span;
    Millis;
    Workers;
    FilePath, path = true;
}

/// What a value is, for a message about one that is wrong.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        // In quotes: to somebody who wrote `"80"`, `80` would look right.
        Value::String(text) => {
            let mut short: String = text.chars().take(40).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            format!("\"{}\"", short.escape_debug())
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The message about a value that is not what it should be.
pub(super) fn unexpected<T>(expected: &str, value: &Value) -> Result<T, String> {
    let is_quoted = match value {
        Value::String(text) => {
            expected.contains("whole number") && text.parse::<u64>().is_ok()
                || expected == "true or false" && matches!(&text[..], "true" | "false")
        }
        _ => false,
    };
    let hint = if is_quoted { "; leave the quotes away" } else { "" };
    Err(format!("expected {expected}, not {}{hint}", describe(value)))
}

/// The text of a value that must be one.
pub(super) fn text<'v>(expected: &str, value: &'v Value) -> Result<&'v str, String> {
    match value {
        Value::String(text) => Ok(text),
        other => unexpected(expected, other),
    }
}

impl Single for bool {
    const NAME: &'static str = "boolean";

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }

    fn read(value: &Value) -> Result<bool, String> {
        value.as_bool().map_or_else(|| unexpected("true or false", value), Ok)
    }

    fn write(&self) -> Value {
        json!(self)
    }
}

impl Kind for bool {
    fn shape() -> Shape {
        leaf::<bool>(false, false)
    }
}

impl Single for String {
    const NAME: &'static str = "text";

    fn schema() -> Value {
        json!({ "type": "string" })
    }

    fn read(value: &Value) -> Result<String, String> {
        text("a text", value).map(str::to_owned)
    }

    fn write(&self) -> Value {
        json!(self)
    }
}

impl Kind for String {
    fn shape() -> Shape {
        leaf::<String>(false, false)
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Count<MIN, MAX> {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> Single for Count<MIN, MAX> {
    const NAME: &'static str = "number";

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }

    fn read(value: &Value) -> Result<Self, String> {
        match value.as_u64() {
            Some(number) if (MIN..=MAX).contains(&number) => Ok(Count(number)),
            _ => unexpected(&format!("a whole number from {MIN} to {MAX}"), value),
        }
    }

    fn write(&self) -> Value {
        json!(self.0)
    }
}

/// A number of bytes from `MIN` to `MAX`: `4096`, `"64K"`, `"512M"`, `"2G"` (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Bytes<MIN, MAX> {
    /// The number of bytes.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl<const MIN: u64, const MAX: u64> Single for Bytes<MIN, MAX> {
    const NAME: &'static str = "size";

    fn schema() -> Value {
        json!({ "anyOf": [
            { "type": "integer", "minimum": MIN, "maximum": MAX },
            { "type": "string", "pattern": "^[0-9]+[KMGkmg]?$" },
        ] })
    }

    fn read(value: &Value) -> Result<Self, String> {
        let bytes = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => size::bytes(text).ok().map(|bytes| bytes as u64),
            _ => None,
        };
        let range = match (MIN, MAX) {
            (0, MAX_SIZE) => String::new(),
            (_, MAX_SIZE) => format!(", at least {}", size::text(MIN)),
            _ => format!(" from {} to {}", size::text(MIN), size::text(MAX)),
        };
        match bytes {
            Some(bytes) if (MIN..=MAX).contains(&bytes) => Ok(Bytes(bytes)),
            Some(_) => unexpected(&format!("a size{range}"), value),
            None => unexpected(&format!("a size such as 4096, \"64K\" or \"2G\"{range}"), value),
        }
    }

    fn write(&self) -> Value {
        json!(size::text(self.0))
    }
}

/// The largest size that can be asked for where nothing narrower holds: 2^53 - 1, the largest number
/// that every JSON reader keeps exactly.
pub const MAX_SIZE: u64 = (1 << 53) - 1;

/// The longest time that can be asked for.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

fn time(value: &Value) -> Result<Duration, String> {
    let expected = "a time with its unit, such as \"10s\", \"500ms\" or \"2m\"";
    let text = text(expected, value)?;
    if !text.ends_with(|last: char| last.is_ascii_alphabetic()) {
        return unexpected(expected, value);
    }
    let span = duration::parse(text).map_err(|why| format!("{}: {why}", describe(value)))?;
    if span > LONGEST {
        return unexpected("a time of at most 8784h", value);
    }
    // Whole microseconds, so that the canonical text is all there is to it.
    Ok(Duration::from_micros(span.as_micros() as u64))
}

fn time_schema() -> Value {
    json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(us|ms|s|m|h)$" })
}

/// A time that must not be zero: `"10s"`, `"500ms"`, `"2m"`, `"1h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(Duration);

impl Timeout {
    /// The time.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Single for Timeout {
    const NAME: &'static str = "time, not zero";

    fn schema() -> Value {
        time_schema()
    }

    fn read(value: &Value) -> Result<Timeout, String> {
        match time(value)? {
            Duration::ZERO => {
                Err("a time-out of zero would let nothing happen; use 1ms or more".into())
            }
            span => Ok(Timeout(span)),
        }
    }

    fn write(&self) -> Value {
        json!(duration::text(self.0))
    }
}

/// A time that may be zero: `"10s"`, `"500ms"`, `"0s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(Duration);

impl Span {
    /// The time.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Single for Span {
    const NAME: &'static str = "time";

    fn schema() -> Value {
        time_schema()
    }

    fn read(value: &Value) -> Result<Span, String> {
        time(value).map(Span)
    }

    fn write(&self) -> Value {
        json!(duration::text(self.0))
    }
}

/// A time in whole milliseconds, not zero: `30000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(u64);

impl Millis {
    /// The time.
    pub fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl Single for Millis {
    const NAME: &'static str = "milliseconds";

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": LONGEST.as_millis() as u64 })
    }

    fn read(value: &Value) -> Result<Millis, String> {
        let longest = LONGEST.as_millis() as u64;
        match value.as_u64() {
            Some(millis) if (1..=longest).contains(&millis) => Ok(Millis(millis)),
            _ => unexpected(&format!("milliseconds, a whole number from 1 to {longest}"), value),
        }
    }

    fn write(&self) -> Value {
        json!(self.0)
    }
}

/// How many loops: `"auto"` or 0 for one per core, or a number up to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers(Option<usize>);

impl Workers {
    /// The number; `None` for one per core.
    pub fn get(self) -> Option<usize> {
        self.0
    }
}

impl Single for Workers {
    const NAME: &'static str = "number or `auto`";

    fn schema() -> Value {
        json!({ "anyOf": [
            { "const": "auto" },
            { "type": "integer", "minimum": 0, "maximum": 1024 },
        ] })
    }

    fn read(value: &Value) -> Result<Workers, String> {
        match (value.as_str(), value.as_u64()) {
            (Some("auto"), _) | (_, Some(0)) => Ok(Workers(None)),
            (_, Some(workers @ 1..=1024)) => Ok(Workers(Some(workers as usize))),
            _ => unexpected("\"auto\" or a whole number from 0 (one per core) to 1024", value),
        }
    }

    fn write(&self) -> Value {
        self.0.map_or(json!("auto"), |workers| json!(workers))
    }
}

/// A path of the file system. Relative ones in a file are relative to that file, others to the working
/// folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath(PathBuf);

impl FilePath {
    /// The path.
    pub fn get(&self) -> &Path {
        &self.0
    }
}

impl Single for FilePath {
    const NAME: &'static str = "path";

    fn schema() -> Value {
        json!({ "type": "string", "minLength": 1 })
    }

    fn read(value: &Value) -> Result<FilePath, String> {
        match text("a path", value)? {
            "" => unexpected("a path", value),
            text if text.contains('\0') => unexpected("a path without NUL", value),
            text => Ok(FilePath(text.into())),
        }
    }

    fn write(&self) -> Value {
        json!(self.0.to_string_lossy())
    }
}

/// Declares a choice between words.
macro_rules! choice {
    ($(
        $(#[doc = $about:literal])+
        $choice:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal),+ $(,)? }
    )*) => { $(
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $choice { $($(#[doc = $doc])+ $variant),+ }

        impl $crate::config::values::Single for $choice {
            const NAME: &'static str = concat!("one of" $(, " `", $word, "`")+);

            fn schema() -> serde_json::Value {
                serde_json::json!({ "enum": [$($word),+] })
            }

            fn read(value: &serde_json::Value) -> Result<$choice, String> {
                match value.as_str() {
                    $(Some($word) => Ok($choice::$variant),)+
                    _ => $crate::config::values::no_choice(&[$($word),+], value),
                }
            }

            fn write(&self) -> serde_json::Value {
                match self { $($choice::$variant => serde_json::json!($word)),+ }
            }
        }

        $crate::config::values::kind!($choice;);
    )* };
}
pub(super) use choice;

/// The message about a word that is not one of these.
pub(super) fn no_choice<T>(words: &[&str], value: &Value) -> Result<T, String> {
    let list = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    let guess =
        value.as_str().and_then(|text| super::suggest::closest(text, words.iter().copied()));
    let hint = guess.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
    Err(format!("expected one of {list}, not {}{hint}", describe(value)))
}
