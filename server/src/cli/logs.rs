//! Options of every command about what it logs.

use clap::ValueEnum;

use super::Failure;
use crate::logs::{LogConfig, LogError, LogFormat, Logs};

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Log")]
pub(super) struct LogArgs {
    /// How events are written to standard error; `auto` is text on a terminal, else JSON
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "auto")]
    log_format: Format,

    /// What is logged: off, error, warn, info, debug or trace, or levels by target such as
    /// `warn,corelane_http=debug` [default: RUST_LOG, or info]
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Format {
    Auto,
    Text,
    Json,
}

impl LogArgs {
    pub(super) fn start(&self) -> Result<Logs, Failure> {
        let config = LogConfig {
            format: match self.log_format {
                Format::Auto => LogFormat::Auto,
                Format::Text => LogFormat::Text,
                Format::Json => LogFormat::Json,
            },
            filter: self.log_level.clone(),
        };
        Logs::start(&config).map_err(|error| match error {
            LogError::Filter(error) => Failure::Usage(format!("--log-level: {error}")),
            error => Failure::Run(anyhow::Error::msg(error.to_string())),
        })
    }
}
