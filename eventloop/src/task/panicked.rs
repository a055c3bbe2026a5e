//! A panic as an error.

use std::any::Any;
use std::fmt;

/// A task or a job panicked; the message is that of the panic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Panicked {
    message: String,
}

impl Panicked {
    /// The panic that `catch_unwind` gave this for.
    pub fn from_payload(payload: Box<dyn Any + Send>) -> Panicked {
        Panicked::new(payload)
    }

    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Panicked {
        let message = match payload.downcast::<String>() {
            Ok(message) => *message,
            Err(payload) => match payload.downcast::<&'static str>() {
                Ok(message) => (*message).to_owned(),
                Err(payload) => {
                    // Whatever it is, its destructor could panic again.
                    std::mem::forget(payload);
                    "a value that is not text".to_owned()
                }
            },
        };
        Panicked { message }
    }

    /// What the panic said.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)
    }
}

impl std::error::Error for Panicked {}
