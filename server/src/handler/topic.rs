//! Whom words are for, and what words are.

use std::borrow::Borrow;
use std::fmt;

use corelane_eventloop::ConnId;
use corelane_mempool::Shared;

/// The most bytes of a topic's name.
pub const TOPIC_BYTES_MAX: usize = 31;

/// The name of a group that connections join: up to 31 bytes, a chat room, say, or a symbol of a
/// market. Cheap to copy.
///
/// ```
/// use corelane::handler::Topic;
///
/// let room = Topic::new("lobby").expect("short enough");
/// assert_eq!(room.to_string(), "lobby");
/// assert!(Topic::new(&"x".repeat(32)).is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic {
    bytes: [u8; TOPIC_BYTES_MAX],
    len: u8,
}

impl Topic {
    /// A topic of this name; `None` if that is longer than 31 bytes.
    pub fn new(name: impl AsRef<[u8]>) -> Option<Topic> {
        let name = name.as_ref();
        let mut bytes = [0; TOPIC_BYTES_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        Some(Topic { bytes, len: name.len() as u8 })
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl From<u64> for Topic {
    fn from(number: u64) -> Topic {
        let mut bytes = [0; TOPIC_BYTES_MAX];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Topic { bytes, len: 8 }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic(\"{self}\")")
    }
}

/// Whom a message is for. A connection that publishes to many is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Every connection, on every lane.
    All,
    /// Those that joined this topic, on every lane.
    Topic(Topic),
    /// One connection, also the one that says it.
    Conn(ConnId),
}

impl From<ConnId> for To {
    fn from(conn: ConnId) -> To {
        To::Conn(conn)
    }
}

impl From<Topic> for To {
    fn from(topic: Topic) -> To {
        To::Topic(topic)
    }
}

/// What becomes of a message whose receiver does not keep up: more waits for it than the
/// [high watermark](corelane_eventloop::LaneConfig::high) allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Slow {
    /// It is dropped for this receiver, and counted.
    #[default]
    Drop,
    /// The receiver is disconnected, and counted: for protocols that make no sense with gaps. Its
    /// [`on_disconnect`](super::EventHandler::on_disconnect) hears [`Closed::Aborted`](corelane_eventloop::Closed).
    Disconnect,
    /// It is kept all the same, and the sender is not read until the receiver has caught up, at most for
    /// [`HOLD_TIME`](super::HOLD_TIME); beyond that time, or four times the watermark, it is dropped.
    Hold,
}

/// The bytes of a message.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Copied when they are used.
    Borrowed(&'a [u8]),
    /// Part of the program.
    Static(&'static [u8]),
    /// Many hold them: never copied from 1 KiB on.
    Shared(Shared),
    /// Handed over: shared without a copy from 1 KiB on.
    Owned(Vec<u8>),
}

impl Payload<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Static(bytes) => bytes,
            Payload::Shared(bytes) => bytes,
            Payload::Owned(bytes) => bytes.borrow(),
        }
    }

    /// The same, for as long as one likes. Copies what is borrowed.
    pub fn into_shared(self) -> Shared {
        match self {
            Payload::Borrowed(bytes) => Shared::from(bytes.to_vec()),
            Payload::Static(bytes) => Shared::from_static(bytes),
            Payload::Shared(bytes) => bytes,
            Payload::Owned(bytes) => Shared::from(bytes),
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Payload<'a> {
        Payload::Borrowed(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Payload<'a> {
    fn from(bytes: &'a [u8; N]) -> Payload<'a> {
        Payload::Borrowed(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Payload<'a> {
        Payload::Borrowed(text.as_bytes())
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Payload::Owned(bytes)
    }
}

impl From<String> for Payload<'_> {
    fn from(text: String) -> Self {
        Payload::Owned(text.into_bytes())
    }
}

impl From<Shared> for Payload<'_> {
    fn from(bytes: Shared) -> Self {
        Payload::Shared(bytes)
    }
}
