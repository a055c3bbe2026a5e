//! What the servers without HTTP share: what they do with bytes, and how they are told to.

use crate::Failure;

/// A receiver that has more than this unsent misses what comes meanwhile.
pub const UNSENT_BYTES_MAX: usize = 64 * 1024;
/// A line may be this long, its end included; who sends a longer one is closed.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What is done with what arrives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Service {
    /// Every byte goes back.
    Echo,
    /// Every line goes to everyone else.
    Broadcast,
}

/// The command line.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where to listen on 127.0.0.1.
    pub port: u16,
    /// What to do.
    pub service: Service,
    /// Gather the lines that wait for a receiver into one write.
    pub gather: bool,
}

impl Options {
    /// Reads `--echo|--broadcast [--gather] --port N`.
    ///
    /// # Errors
    /// Says how to call the program when something is missing or not known.
    pub fn read() -> Result<Self, Failure> {
        let mut words = std::env::args();
        let program = words.next().unwrap_or_default();
        let usage = || format!("usage: {program} --echo|--broadcast [--gather] --port N");
        let (mut port, mut service, mut gather) = (None, None, false);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--echo" => service = Some(Service::Echo),
                "--broadcast" => service = Some(Service::Broadcast),
                "--gather" => gather = true,
                "--port" => port = Some(words.next().ok_or_else(usage)?.parse()?),
                _ => return Err(usage().into()),
            }
        }
        Ok(Self { port: port.ok_or_else(usage)?, service: service.ok_or_else(usage)?, gather })
    }
}
