//! `corelane explain`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use corelane_acceptor::Address;

use super::{Failure, duration};
use crate::apps::admin::Token;
use crate::config::address;
use crate::explain::{self, Admin, Plan, Question};
use crate::url::Url;

/// Options of `corelane explain`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Makes one connection, which the server traces because its admin pages were asked \
    to, sends the request, and shows each step of its journey: acceptor, loop, parser, router, \
    middleware, handler, output, kernel.\n  \
    since   time since the poll that brought the first byte of the request\n  \
    took    time since the step before: what this step took, or how long it waited\n\n\
    The server has to be started with --admin. Noted are sizes, counts, and names that the configuration \
    or the program chose: no value of a field, nothing of a body. Other connections are not traced; \
    while one is, its loop is a little slower.\n\n\
    Examples:\n  corelane explain http://127.0.0.1:8080/\n  \
    corelane explain http://127.0.0.1:8080/ --repeat 2\n  \
    corelane explain http://127.0.0.1:8080/items --method POST --body '{\"name\":\"x\"}' --header \
    'Content-Type: application/json'\n\n\
    Exit code: 0 if there is a trace, 1 if not, 2 for wrong usage."
)]
pub(super) struct Args {
    /// What to ask for, as `http://HOST[:PORT][/PATH]`
    #[arg(value_name = "URL", value_parser = explain::url)]
    url: Url,

    /// Where the admin pages of that server are: `HOST:PORT`, `PORT` on this machine, or `unix:PATH`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9080", value_parser = admin)]
    admin: Address,

    /// File with the token that opens the admin pages; or the variable CORELANE_ADMIN_TOKEN has it
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,

    /// Method of the request
    #[arg(long, value_name = "NAME", default_value = "GET", value_parser = method)]
    method: String,

    /// Header field of the request, repeatable
    #[arg(long, value_name = "K: V", value_parser = header)]
    header: Vec<(String, String)>,

    /// Body of the request
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "body_file"
    )]
    body: String,

    /// Body of the request, from a file
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,

    /// Requests on the connection, one after another: those behind the first find it warm
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=20))]
    repeat: u16,

    /// How long to wait for a connection, and for each piece of an answer
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::timeout)]
    wait: Duration,

    /// Print one JSON object: what the server noted, and what the client saw
    #[arg(long)]
    json: bool,
}

/// Reads where admin pages are; those of this machine if only a port is given.
fn admin(text: &str) -> Result<Address, String> {
    let text = if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        &format!("127.0.0.1:{text}")
    } else {
        text
    };
    address::parse(text, 9080).map_err(|error| error.to_string())
}

/// Reads a method: a token (RFC 9110 §9.1).
fn method(text: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !text.is_empty() && text.bytes().all(token) {
        true => Ok(text.to_owned()),
        false => Err("expected a method such as POST".to_owned()),
    }
}

/// Reads `Name: value`. What the server thinks of it is for the server to say.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or("expected a field such as `Accept: text/html`")?;
    if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err("control characters would end the field".to_owned());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// The token of the admin pages, if there is one.
fn token(file: Option<&PathBuf>) -> Result<Option<String>, Failure> {
    let (origin, text) = match file {
        Some(path) => {
            let origin = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::Usage(format!("--admin-token-file: {origin}: {error}"))
            })?;
            (origin, text)
        }
        None => match std::env::var("CORELANE_ADMIN_TOKEN") {
            Ok(text) => ("CORELANE_ADMIN_TOKEN".to_owned(), text),
            Err(_) => return Ok(None),
        },
    };
    let text = text.trim();
    match text.parse::<Token>() {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(error) => Err(Failure::Usage(format!("--admin-token-file: {origin}: {error}"))),
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let body = match &args.body_file {
        Some(path) => super::listen::read_file("--body-file", path)?,
        None => args.body.into_bytes(),
    };
    let plan = Plan {
        url: args.url,
        question: Question { method: args.method, fields: args.header, body },
        admin: Admin { address: args.admin, token: token(args.admin_token_file.as_ref())? },
        repeat: args.repeat,
        wait: args.wait,
    };
    let explanation = plan.explain().map_err(|why| Failure::Run(anyhow::Error::msg(why)))?;
    let text = match args.json {
        true => format!("{:#}\n", explanation.json()),
        false => explanation.text(),
    };
    // Whoever closed the pipe wants no more of it.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    Ok(())
}
