//! The content of an answer, and answers that are made while they are sent.

use std::collections::VecDeque;
use std::fmt;

use corelane_eventloop::{Chunk, ConnId, File, Files, Nanos, Out};
use corelane_mempool::Shared;
use corelane_parser::http1::FieldBlock;
use corelane_parser::http1::encode::{self, EncodeError};

/// What an answer has behind its head.
#[derive(Default)]
pub enum Content {
    /// Nothing.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes that many answers have, sent from where they are.
    Shared(Shared),
    /// A range of a file, sent by the kernel. A file that turns out shorter closes the connection.
    File {
        /// The open file.
        file: File,
        /// Where the range begins.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// Several pieces, one after the other.
    Parts(Vec<Content>),
    /// What is made while it is sent, in chunks (RFC 9112 §7.1); to an HTTP/1.0 client until the
    /// connection closes.
    Stream(Box<dyn Produce>),
}

impl Content {
    /// Bytes of the program text.
    pub const fn from_static(bytes: &'static [u8]) -> Content {
        Content::Shared(Shared::from_static(bytes))
    }

    /// The length in bytes, if it is known before it is sent. A stream among parts makes it unknown.
    pub fn len(&self) -> Option<u64> {
        match self {
            Content::Empty => Some(0),
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::Shared(bytes) => Some(bytes.len() as u64),
            Content::File { len, .. } => Some(*len),
            Content::Parts(parts) => parts.iter().map(Content::len).sum(),
            Content::Stream(_) => None,
        }
    }

    /// True if it is known to have no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Puts all of it into the output. A stream among parts is left out.
    pub(crate) fn put(self, out: &mut Out<'_>) {
        match self {
            Content::Empty | Content::Stream(_) => {}
            Content::Bytes(bytes) if bytes.len() < corelane_eventloop::COPY_LIMIT => {
                out.put(&bytes);
            }
            Content::Bytes(bytes) => out.push(Chunk::Shared(Shared::from(bytes))),
            Content::Shared(bytes) => out.push(Chunk::Shared(bytes)),
            Content::File { file, offset, len } => out.push(Chunk::File { file, offset, len }),
            Content::Parts(parts) => parts.into_iter().for_each(|part| part.put(out)),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            Some(len) => write!(f, "{len} bytes"),
            None => f.write_str("stream"),
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content::Bytes(bytes)
    }
}

impl From<Shared> for Content {
    fn from(bytes: Shared) -> Content {
        Content::Shared(bytes)
    }
}

/// Makes the content of an answer while it is sent: asked for the next piece whenever the connection
/// can take one, so a slow reader holds back the making, not the memory.
///
/// ```
/// use corelane_http::{Produce, Produced, Sink};
///
/// /// Counts down.
/// struct Countdown(u32);
///
/// impl Produce for Countdown {
///     fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
///         sink.put(format!("{}\n", self.0).as_bytes());
///         match self.0.checked_sub(1) {
///             Some(next) => {
///                 self.0 = next;
///                 Produced::More
///             }
///             None => Produced::End,
///         }
///     }
/// }
/// ```
pub trait Produce {
    /// Puts the next piece into the sink: up to about 16 KiB, so that others have their turn.
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced;
}

/// How the making of an answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Produced {
    /// There is more: ask again as soon as the connection can take it. Nothing may have been put for
    /// a few times in a row; [`Wait`](Produced::Wait) is for when that can last.
    More,
    /// There is more, but this piece took long to make: others have their turn first.
    Yield,
    /// There will be more: ask again when [`Turn::pull`](crate::Wakes::pull) names the connection.
    Wait,
    /// That was all.
    End,
    /// It cannot be completed. The connection is closed, so that the client does not take what it
    /// has for the whole.
    Failed,
}

/// How the end of a streamed answer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamFraming {
    /// By the last chunk.
    Chunked,
    /// By the end of the connection (HTTP/1.0).
    UntilClose,
}

/// Where a streamed answer is put.
pub struct Sink<'a> {
    pub(crate) to: To<'a>,
    pub(crate) files: &'a mut (dyn Files + Send),
    pub(crate) now: Nanos,
    pub(crate) conn: ConnId,
    pub(crate) stopping: bool,
    pub(crate) trailers: FieldBlock,
    pub(crate) bytes: u64,
}

/// What a sink does with what is put into it.
pub(crate) enum To<'a> {
    /// Sends it.
    Out(Out<'a>, StreamFraming),
    /// Keeps it, for content that is made from other content.
    #[cfg_attr(not(feature = "compress"), expect(dead_code, reason = "compression uses it"))]
    Aside(&'a mut VecDeque<Content>),
}

impl Sink<'_> {
    /// Adds bytes, by copying them.
    pub fn put(&mut self, bytes: &[u8]) {
        if let To::Aside(pieces) = &mut self.to {
            return match pieces.back_mut() {
                Some(Content::Bytes(last)) => last.extend_from_slice(bytes),
                _ => pieces.push_back(Content::Bytes(bytes.to_vec())),
            };
        }
        self.framed(bytes.len() as u64, |out| out.put(bytes));
    }

    /// Adds content of known length; what is large is sent from where it is. A stream is ignored.
    pub fn push(&mut self, content: Content) {
        let Some(len) = content.len() else { return };
        match &mut self.to {
            To::Aside(pieces) => pieces.push_back(content),
            To::Out(..) => self.framed(len, |out| content.put(out)),
        }
    }

    /// Adds a trailer field, sent behind the last chunk. Clients may ignore it, and those of HTTP/1.0
    /// do not get it (RFC 9110 §6.5).
    ///
    /// # Errors
    /// If it is malformed, or a field that framing depends on.
    pub fn trailer(&mut self, name: &str, value: &[u8]) -> Result<(), EncodeError> {
        self.trailers.add(name, value)
    }

    /// The files the driver gives access to.
    pub fn files(&mut self) -> &mut (dyn Files + Send) {
        self.files
    }

    /// The lane's clock.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// True once the server was asked to stop: content without an end of its own should come to one.
    pub fn stopping(&self) -> bool {
        self.stopping
    }

    /// The connection that the answer goes to, to be named when a producer that waits can go on.
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// A sink with the same surroundings that keeps what is put into it.
    #[cfg(feature = "compress")]
    pub(crate) fn aside<'a>(&'a mut self, pieces: &'a mut VecDeque<Content>) -> Sink<'a> {
        Sink {
            to: To::Aside(pieces),
            files: &mut *self.files,
            now: self.now,
            conn: self.conn,
            stopping: self.stopping,
            trailers: FieldBlock::new(),
            bytes: 0,
        }
    }

    fn framed(&mut self, len: u64, put: impl FnOnce(&mut Out<'_>)) {
        // A chunk of no bytes would end the body.
        let Some(bytes) = std::num::NonZeroU64::new(len) else { return };
        self.bytes += len;
        match &mut self.to {
            To::Aside(_) => {}
            To::Out(out, StreamFraming::UntilClose) => put(out),
            To::Out(out, StreamFraming::Chunked) => {
                let (header, bytes) = encode::chunk_header(bytes);
                out.put(&header[..bytes]);
                put(out);
                out.put(encode::CHUNK_END);
            }
        }
    }

    /// Ends the content.
    pub(crate) fn end(&mut self) {
        if let To::Out(out, StreamFraming::Chunked) = &mut self.to {
            out.put(b"0\r\n");
            out.put(self.trailers.as_bytes());
            out.put(b"\r\n");
        }
    }
}
