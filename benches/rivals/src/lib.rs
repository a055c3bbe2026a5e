//! What the rival servers share: the body they answer with and how they are told their port.

/// The body of every reply.
pub const BODY: &[u8] = b"Vrypt";

/// Any reason for which a rival gives up.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The port after `--port` on the command line.
///
/// # Errors
/// Says how to call the program when it is missing or no port.
pub fn port() -> Result<u16, Failure> {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    match (arguments.next().as_deref(), arguments.next().map(|text| text.parse())) {
        (Some("--port"), Some(Ok(port))) => Ok(port),
        _ => Err(format!("usage: {program} --port N").into()),
    }
}
