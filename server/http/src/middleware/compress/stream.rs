//! Content that is compressed while it is sent.

use std::collections::VecDeque;
use std::io;

use corelane_parser::http1::FieldBlock;

use super::coder::Lease;
use crate::content::{Content, Produce, Produced, Sink};

/// How much is taken in at a time, before others have their turn: well below a millisecond's work.
const PIECE: usize = 16 * 1024;

/// Compresses other content.
pub(super) struct Compressed {
    lease: Lease,
    /// What is still to be taken in.
    pieces: VecDeque<Content>,
    /// How much of the first of these was.
    taken: usize,
    /// What makes more of them.
    source: Option<Box<dyn Produce>>,
    trailers: FieldBlock,
    /// How much was taken in since others had their turn.
    worked: usize,
    /// Something was taken in that the client may not see yet.
    unflushed: bool,
    out: Vec<u8>,
}

/// The content cannot be completed.
struct Broken;

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        tracing::debug!(%error, "a response could not be compressed");
        Broken
    }
}

impl Compressed {
    pub(super) fn new(lease: Lease, content: Content) -> Compressed {
        let (pieces, source) = match content {
            Content::Stream(source) => (VecDeque::new(), Some(source)),
            content => (VecDeque::from([content]), None),
        };
        Compressed {
            lease,
            pieces,
            taken: 0,
            worked: 0,
            source,
            trailers: FieldBlock::new(),
            unflushed: false,
            out: Vec::new(),
        }
    }

    fn advance(&mut self, sink: &mut Sink<'_>) -> Result<Produced, Broken> {
        let mut asked = Produced::More;
        if self.pieces.is_empty() {
            asked = self.ask(sink);
        }
        self.take_in(sink)?;
        let next = match asked {
            Produced::Failed => return Err(Broken),
            Produced::Wait if self.pieces.is_empty() => {
                if std::mem::take(&mut self.unflushed) {
                    self.lease.flush(&mut self.out)?;
                }
                Produced::Wait
            }
            _ if self.pieces.is_empty() && self.source.is_none() => {
                self.lease.finish(&mut self.out)?;
                Produced::End
            }
            Produced::Yield => Produced::Yield,
            _ if self.worked >= PIECE => Produced::Yield,
            _ => Produced::More,
        };
        if next != Produced::More {
            self.worked = 0;
        }
        sink.put(&self.out);
        self.out.clear();
        if next == Produced::End {
            sink.trailers.append(&self.trailers);
        }
        Ok(next)
    }

    /// Asks for more to take in.
    fn ask(&mut self, sink: &mut Sink<'_>) -> Produced {
        let Some(source) = &mut self.source else { return Produced::End };
        let mut aside = sink.aside(&mut self.pieces);
        let produced = source.produce(&mut aside);
        self.trailers.append(&aside.trailers);
        if produced == Produced::End {
            self.source = None;
        }
        produced
    }

    /// Takes in the next piece.
    fn take_in(&mut self, sink: &mut Sink<'_>) -> Result<(), Broken> {
        let mut budget = PIECE;
        while budget > 0
            && let Some(front) = self.pieces.pop_front()
        {
            let rest = match front {
                Content::Empty | Content::Stream(_) => None,
                Content::Bytes(bytes) => {
                    self.take_bytes(&bytes, &mut budget)?.then_some(Content::Bytes(bytes))
                }
                Content::Shared(bytes) => {
                    self.take_bytes(&bytes, &mut budget)?.then_some(Content::Shared(bytes))
                }
                Content::File { len: 0, .. } => None,
                Content::File { file, offset, len } => {
                    let most = len.min(budget as u64) as usize;
                    let mut room = [0; PIECE];
                    let read = sink.files().read(&file, offset, &mut room[..most])?;
                    if read == 0 {
                        // Shorter than it was.
                        return Err(Broken);
                    }
                    self.lease.write(&room[..read], &mut self.out)?;
                    budget -= read;
                    let (offset, len) = (offset + read as u64, len - read as u64);
                    Some(Content::File { file, offset, len })
                }
                Content::Parts(parts) => {
                    parts.into_iter().rev().for_each(|part| self.pieces.push_front(part));
                    None
                }
            };
            if let Some(rest) = rest {
                self.pieces.push_front(rest);
            }
        }
        self.unflushed |= budget < PIECE;
        self.worked += PIECE - budget;
        Ok(())
    }

    /// Takes in bytes from where it was left off; true if some remain.
    fn take_bytes(&mut self, bytes: &[u8], budget: &mut usize) -> Result<bool, Broken> {
        let rest = bytes.get(self.taken..).unwrap_or_default();
        let take = rest.len().min(*budget);
        self.lease.write(&rest[..take], &mut self.out)?;
        *budget -= take;
        let remains = take < rest.len();
        self.taken = if remains { self.taken + take } else { 0 };
        Ok(remains)
    }
}

impl Produce for Compressed {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        self.advance(sink).unwrap_or(Produced::Failed)
    }
}
