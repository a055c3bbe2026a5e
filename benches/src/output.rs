//! What a program prints when it ends.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::launch::Guard;

/// The JSON that `command` prints until it ends, which must be within `limit`.
///
/// # Errors
/// When it cannot be started, does not end, or prints none; with what it said instead.
pub fn json(command: &mut Command, limit: Duration) -> anyhow::Result<Value> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut guard = Guard(child.context("cannot start the load generator")?);
    let stdout = guard.0.stdout.take();
    // Read aside, so that neither a full pipe nor a client that hangs holds this up for ever.
    let reader = std::thread::spawn(move || all(stdout));
    guard.wait(limit).context("the load generator")?;
    let output = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    serde_json::from_str(&output)
        .map_err(|_| all(guard.0.stderr.take()).unwrap_or_default())
        .map_err(|said| anyhow::anyhow!("the load generator gave no report: {}", said.trim()))
}

/// All that comes from a pipe until its end.
///
/// # Errors
/// When there is no pipe, or it cannot be read.
pub fn all(stream: Option<impl Read>) -> anyhow::Result<String> {
    let mut text = String::new();
    stream.context("a pipe")?.read_to_string(&mut text)?;
    Ok(text)
}
