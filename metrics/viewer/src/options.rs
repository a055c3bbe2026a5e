//! The command line of the viewer, for its own program and for `corelane top`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::target::{self, Target};
use crate::ui::{INTERVAL_MAX, INTERVAL_MIN};
use crate::view::Theme;

/// Where the token is looked for if no option names one.
pub const TOKEN_VARIABLE: &str = "CORELANE_ADMIN_TOKEN";

/// The longest token.
const TOKEN_MAX: usize = 4_096;

/// Options of the viewer.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Without a terminal, and with --once, one page is printed, after two answers.\n\n\
    Examples:\n  \
    corelane serve -c site.json --admin 127.0.0.1:9080    a server that can be looked at\n  \
    corelane top                                          look at it\n  \
    corelane top unix:/run/corelane/admin.sock            through a Unix socket\n  \
    corelane top --once --json | jq .interval             one look, for a program\n\n\
    Exit code: 0 for an orderly end, 1 if there is no answer or no terminal, 2 for wrong usage."
)]
pub struct Options {
    /// The server's admin listener: HOST:PORT, http://HOST:PORT or unix:PATH
    #[arg(value_name = "ADDR", default_value = target::DEFAULT)]
    pub address: Target,

    /// How often the server is asked, such as 500ms or 2s; 100ms to 1h
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,

    /// Print one page and end
    #[arg(long)]
    pub once: bool,

    /// Print one JSON object and end
    #[arg(long)]
    pub json: bool,

    /// Send the token in this file [default: the environment variable CORELANE_ADMIN_TOKEN]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Colours; `auto` is never if NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: When,

    /// Draw with ASCII only [default: unless the locale is UTF-8]
    #[arg(long)]
    pub ascii: bool,
}

/// Whether something is done.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As the environment has it.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// Reads a time: `500ms`, `2s`, `1m`, or seconds.
fn interval(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("write a number with ms, s, m or h".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "write a number with ms, s, m or h".to_owned())?;
    match Duration::try_from_secs_f64(number * scale) {
        Ok(time) if (INTERVAL_MIN..=INTERVAL_MAX).contains(&time) => Ok(time),
        _ => Err("from 100ms to 1h".to_owned()),
    }
}

impl Options {
    /// What the terminal can show, by the options and these variables of the environment.
    pub fn theme(&self, variable: impl Fn(&str) -> Option<String>) -> Theme {
        let is_set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let color = match self.color {
            When::Always => true,
            When::Never => false,
            When::Auto => is_set("NO_COLOR").is_none(),
        };
        // The first of these that is set counts (POSIX, section 8.2).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| is_set(name));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        Theme { color, unicode: is_utf8 && !self.ascii }
    }

    /// The token to send, from the file or the environment.
    ///
    /// # Errors
    /// If the file cannot be read, or what it holds can be no token.
    pub fn token(
        &self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, String> {
        let (text, whence) = match &self.token_file {
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => (text, path.display().to_string()),
                Err(error) => return Err(format!("{}: {error}", path.display())),
            },
            None => match variable(TOKEN_VARIABLE) {
                Some(text) => (text, TOKEN_VARIABLE.to_owned()),
                None => return Ok(None),
            },
        };
        let token = text.trim();
        let is_token = !token.is_empty()
            && token.len() <= TOKEN_MAX
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        match is_token {
            true => Ok(Some(token.to_owned())),
            false => {
                Err(format!("{whence}: a token is 1 to {TOKEN_MAX} visible characters of ASCII"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Result<Options, clap::Error> {
        Cli::try_parse_from([&["x"], words].concat()).map(|cli| cli.options)
    }

    #[test]
    fn what_the_terminal_can_show() {
        for (words, environment, color, unicode) in [
            (&[][..], &[("LANG", "C.UTF-8")][..], true, true),
            (&[], &[("LANG", "de_DE.utf8"), ("LC_ALL", "C")], true, false),
            (&[], &[("LC_CTYPE", "en_US.UTF-8"), ("NO_COLOR", "1")], false, true),
            (&[], &[("NO_COLOR", "")], true, false),
            (
                &["--color", "always", "--ascii"],
                &[("LANG", "C.UTF-8"), ("NO_COLOR", "1")],
                true,
                false,
            ),
            (&["--color", "never"], &[], false, false),
        ] {
            let variable = |name: &str| {
                let found = environment.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let theme = options(words).unwrap().theme(variable);
            assert_eq!((theme.color, theme.unicode), (color, unicode), "{words:?} {environment:?}");
        }
    }

    #[test]
    fn times_have_units_and_a_range() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("2s", Some(2_000)),
            ("2", Some(2_000)),
            ("1.5s", Some(1_500)),
            ("1m", Some(60_000)),
            ("1h", Some(3_600_000)),
            ("2h", None),
            ("10ms", None),
            ("s", None),
            ("1x", None),
            ("", None),
            ("-1s", None),
            ("1e9s", None),
            ("1.2.3s", None),
        ] {
            let read = options(&["--interval", text]).ok().map(|o| o.interval.as_millis());
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn tokens_cannot_be_more_than_a_token() {
        let none = options(&[]).unwrap();
        assert_eq!(none.token(|_| None), Ok(None));
        assert_eq!(none.token(|_| Some(" abc\n".to_owned())), Ok(Some("abc".to_owned())));
        for bad in ["", "a b", "a\r\nHost: x", "ä", &"x".repeat(5_000)] {
            assert!(none.token(|_| Some(bad.to_owned())).is_err());
        }
        let missing = options(&["--token-file", "/nowhere/at/all"]).unwrap();
        assert!(missing.token(|_| None).unwrap_err().contains("/nowhere/at/all"));
    }
}
