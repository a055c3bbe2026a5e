//! Options of the command line that say what keys say.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::load::Sources;
use super::settings;

/// Options by clap's name for them, and the keys they set.
pub(crate) const FLAGS: [(&str, &str); 40] = [
    ("position", "port"),
    ("port", "port"),
    ("bind", "listeners"),
    ("workers", "workers"),
    ("no_pin", "pin"),
    ("accept", "accept"),
    ("backlog", "limits.backlog"),
    ("max_connections", "limits.max_connections"),
    ("accept_rate", "limits.accept_rate"),
    ("overload", "limits.overload"),
    ("preallocate", "limits.preallocate"),
    ("max_buffer_memory", "limits.max_buffer_memory"),
    ("max_unsent", "limits.max_unsent"),
    ("busy_poll", "busy_poll"),
    ("rebalance", "rebalance"),
    ("drain_timeout", "drain_timeout"),
    ("head_timeout", "timeouts.head"),
    ("idle_timeout", "timeouts.idle"),
    ("min_rate", "limits.min_rate"),
    ("rate_grace", "timeouts.rate_grace"),
    ("max_stall", "timeouts.max_stall"),
    ("max_requests", "limits.max_requests"),
    ("max_age", "timeouts.max_age"),
    ("max_head", "limits.max_head"),
    ("max_fields", "limits.max_fields"),
    ("max_body", "limits.max_body"),
    ("lenient", "limits.lenient"),
    ("statsd", "metrics.statsd"),
    ("statsd_name", "metrics.name"),
    ("statsd_families", "metrics.families"),
    ("statsd_interval", "metrics.interval"),
    ("statsd_tag", "metrics.tags"),
    ("admin", "admin"),
    ("admin_token_file", "admin_token_file"),
    ("log_format", "logs.format"),
    ("log_level", "logs.level"),
    ("access_log", "logs.access.path"),
    ("access_log_format", "logs.access.format"),
    ("environment", "environment"),
    ("watch", "watch"),
];

impl Sources {
    /// Takes those options of a command line that were given there, and mean a key: those that
    /// `corelane fixed` has, too.
    pub fn arguments(mut self, matches: &ArgMatches) -> Sources {
        for (id, key) in FLAGS {
            let known = matches.try_contains_id(id).unwrap_or(false);
            if !known || matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let texts = matches.get_raw(id).into_iter().flatten();
            let texts: Vec<_> = texts.map(|text| text.to_string_lossy()).collect();
            self = self.flag(name(id), key, translate(id, key, &texts.join(",")));
        }
        self
    }
}

/// The key of an option, as `--max-body`.
pub(crate) fn key(option: &str) -> Option<&'static str> {
    let id = option.trim_start_matches('-').replace('-', "_");
    FLAGS.iter().find(|(known, _)| *known == id).map(|(_, key)| *key)
}

/// How a user calls an option.
fn name(id: &str) -> String {
    match id {
        "position" => "PORT".to_owned(),
        id => format!("--{}", id.replace('_', "-")),
    }
}

/// The text of an option, as its key has it.
pub(crate) fn translate(id: &str, key: &str, text: &str) -> String {
    match (id, text) {
        ("no_pin", "true") => "false".to_owned(),
        ("no_pin", _) => "true".to_owned(),
        ("statsd", "off") => String::new(),
        // Seconds may go without their unit there.
        _ if settings::is_time(key) && text.ends_with(|c: char| c.is_ascii_digit()) => {
            format!("{text}s")
        }
        _ => text.to_owned(),
    }
}
