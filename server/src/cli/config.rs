//! `corelane config`, and the options of every command that reads a configuration.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;
use crate::config::{self, Effective, Findings, Sources};

/// Where the configuration comes from.
#[derive(clap::Args, Debug)]
pub(super) struct ConfigArgs {
    /// Configuration file: TOML if its name ends in .toml, else JSON
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    /// Set one key, such as `limits.max_body=64K`, repeatable; wins over variables and the file
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

/// Reads `key=value`.
fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected a setting such as `port=8080`")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl ConfigArgs {
    /// The file, the process's environment, and these flags.
    pub(super) fn sources(&self) -> Sources {
        let mut sources = Sources::new().variables(std::env::vars_os());
        if let Some(file) = &self.file {
            sources = sources.file(file);
        }
        for (key, value) in &self.set {
            sources = sources.flag("--set", key, value);
        }
        sources
    }

    /// Reads the configuration, and prints its warnings.
    pub(super) fn load(&self) -> Result<Effective, Failure> {
        let loaded = self.sources().load().map_err(refused)?;
        for warning in &loaded.warnings {
            super::say(&format!("warning: {warning}"));
        }
        Ok(loaded)
    }
}

/// All that is wrong with a configuration, a line for each.
pub(super) fn refused(findings: Findings) -> Failure {
    let lines = findings.0.iter().map(|finding| format!("error: {finding}"));
    Failure::Config(lines.collect::<Vec<_>>().join("\n"))
}

/// Options of `corelane config`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Print every key with the value that is in force, without secrets.
    Show(ShowArgs),
    /// Print the JSON Schema of configuration files.
    Schema,
}

#[derive(clap::Args, Debug)]
#[command(
    after_help = "Flags win over CORELANE_* variables, these over the file, and that over the \
    defaults of the environment (development or production).\n\n\
    Examples:\n  corelane config show -c site.json --origin --format toml\n  \
    CORELANE_PORT=80 corelane config show --origin"
)]
struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Say where each value comes from
    #[arg(long)]
    origin: bool,

    /// How to print it
    #[arg(long, value_enum, default_value = "json")]
    format: Format,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Format {
    Json,
    Toml,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Schema => print(&config::json_schema_text()),
        Command::Show(args) => {
            let loaded = args.config.load()?;
            print(&match args.format {
                Format::Json => loaded.to_json(args.origin),
                Format::Toml => loaded.to_toml(args.origin),
            });
        }
    }
    Ok(())
}

/// Prints what a command was asked for. Whoever closed the pipe wants no more of it.
pub(super) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;
    use crate::config::flags::{FLAGS, translate};

    /// The options of `corelane serve`.
    fn options() -> clap::Command {
        let mut program = Cli::command();
        program.build();
        program.find_subcommand("serve").unwrap().clone()
    }

    #[test]
    fn every_option_of_a_server_has_its_key() {
        let options = options();
        let ids: Vec<&str> = options.get_arguments().map(|o| o.get_id().as_str()).collect();
        for id in &ids {
            let known = FLAGS.iter().any(|(flag, _)| flag == id);
            let own = ["config", "help", "version"].contains(id);
            assert!(known || own, "--{id} has no key: add it to config/flags.rs");
        }
        for (flag, _) in FLAGS {
            assert!(ids.contains(&flag), "there is no --{flag}");
        }
    }

    #[test]
    fn options_and_keys_have_the_same_defaults() {
        let defaults = Sources::new().load().unwrap();
        let mut compared = 0;
        for (id, key) in FLAGS {
            let options = options();
            let option = options.get_arguments().find(|option| option.get_id() == id).unwrap();
            let [default] = option.get_default_values() else { continue };
            if !option.get_action().takes_values() {
                continue;
            }
            let text = translate(id, key, default.to_str().unwrap());
            let loaded = Sources::new().flag(id, key, text).load().unwrap();
            let diff = defaults.diff(&loaded);
            assert!(diff.is_empty(), "the default of --{id} differs from that of {key}: {diff:?}");
            compared += 1;
        }
        assert!(compared > 15, "{compared}");
    }

    #[test]
    fn options_that_were_given_win() {
        let matches = options().get_matches_from([
            "serve",
            "3000",
            "--no-pin",
            "--lenient",
            "--statsd",
            "off",
            "--idle-timeout",
            "7",
            "--statsd-tag",
            "a:b",
            "--statsd-tag",
            "c:d",
        ]);
        let loaded = Sources::new()
            .text("a.json", r#"{ "port": 80, "timeouts": { "idle": "1s", "head": "2s" } }"#)
            .arguments(&matches)
            .load()
            .unwrap();
        let config = &loaded.config;
        assert_eq!((config.port.get(), config.pin, config.limits.lenient), (3000, false, true));
        assert_eq!(
            (config.timeouts.idle.get().as_secs(), config.timeouts.head.get().as_secs()),
            (7, 2)
        );
        assert!(config.metrics.statsd.is_none());
        assert_eq!(config.metrics.tags[1].pair(), ("c", "d"));
        assert_eq!(loaded.origin("port").to_string(), "PORT");
        assert_eq!(loaded.origin("timeouts.idle").to_string(), "--idle-timeout");
        assert_eq!(loaded.origin("limits.max_body").to_string(), "default in production");
    }
}
