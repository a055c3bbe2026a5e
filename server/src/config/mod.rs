//! The configuration of the `corelane` program: what it may say, reading it, checking it.
//!
//! [`Sources`] takes a file (JSON, or TOML by its ending), environment variables and flags, and makes
//! of them one [`Effective`] configuration, in which every key has a value and an [`Origin`]; or says
//! all that is wrong, with line and column. `docs/CONFIGURATION.md` describes every key.
//!
//! All of it grows from one description: the sections in `keys.rs`, `site.rs` and `middleware.rs`
//! declare each key once, with its type, default, documentation and effect (see [`shape`]).

pub mod address;
mod check;
mod check_site;
mod diff;
mod document;
pub(crate) mod duration;
mod examine;
mod finding;
pub(crate) mod flags;
mod json;
mod json_schema;
mod keys;
mod load;
mod middleware;
mod precedence;
mod settings;
pub mod shape;
mod show;
mod site;
pub(crate) mod size;
mod suggest;
mod toml;
mod values;

#[cfg(test)]
mod page;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

pub use diff::{Change, Diff};
pub use document::FILE_BYTES_MAX;
pub use finding::{Finding, Findings, Origin};
pub use json_schema::{json_schema, json_schema_text};
pub use keys::{
    Accept, AccessLog, AdminToken, Config, Environment, Families, Limits, Listener, LogFilter,
    LogFormat, LogPath, Logs, Metrics, Overload, StatsdTarget, Tag, Timeouts,
};
pub use load::{Effective, Sources};
pub use middleware::{
    BasicAuth, Compression, Cors, Frame, HeaderRules, Middleware, Origin as CorsOrigin,
    PasswordHash, Rate, RateKey, RateLimit, RequestId, SecurityHeaders, Toggle,
};
pub use settings::{PREFIX, Setting, settings};
pub use show::{Entry, REDACTED};
pub use site::{
    CacheRule, Encoding, FileName, FixedResponse, Glob, Host, HostName, Listing, Redirect,
    RedirectStatus, RedirectTarget, Route, RoutePath, StaticFiles, Symlinks, parameters,
};
pub use values::{Bytes, Count, FilePath, MAX_SIZE, Millis, Span, Timeout, Workers};
