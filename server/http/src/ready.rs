//! Answers that many requests get, rendered once.

use std::cell::RefCell;

use corelane_eventloop::Chunk;
use corelane_mempool::Shared;
use corelane_parser::http1::encode::Connection;
use corelane_parser::http1::{FieldBlock, Prerendered};

use crate::content::Content;
use crate::reply::{BEHIND_HEAD, Replied, Reply};

/// A 200 whose heads wait in memory, so that an answer is one copy of the head and one lookup. The date
/// in them is set by the first answer of each second.
pub(crate) struct Ready {
    heads: RefCell<Prerendered>,
    content: Rest,
    len: u64,
}

/// What goes behind the head.
enum Rest {
    /// It stands behind the heads.
    There,
    Shared(Shared),
    File(corelane_eventloop::File),
}

impl Ready {
    /// An answer with these fields and this content: bytes, or a whole file. `None` of other content, and
    /// if the fields are too long to be kept three times.
    pub(crate) fn new(fields: &FieldBlock, content: Content) -> Option<Ready> {
        let (rest, len) = match content {
            Content::Shared(bytes) if bytes.len() < BEHIND_HEAD => {
                let heads = Prerendered::of_block(200, fields, &bytes, bytes.len() as u64).ok()?;
                let len = bytes.len() as u64;
                return Some(Ready { heads: RefCell::new(heads), content: Rest::There, len });
            }
            Content::Shared(bytes) => {
                let len = bytes.len() as u64;
                (Rest::Shared(bytes), len)
            }
            Content::File { file, offset: 0, len } => (Rest::File(file), len),
            _ => return None,
        };
        let heads = Prerendered::of_block(200, fields, &[], len).ok()?;
        Some(Ready { heads: RefCell::new(heads), content: rest, len })
    }

    /// The length of its content.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Memory that it takes besides shared content, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.heads.borrow().bytes()
    }
}

impl Reply<'_> {
    /// Answers with what is ready.
    #[inline]
    pub(crate) fn ready(mut self, ready: &Ready) -> Replied {
        let mut heads = ready.heads.borrow_mut();
        if !heads.has_date(self.date) {
            heads.set_date(self.date);
        }
        let replied = self.replied(200);
        match &ready.content {
            Rest::There if self.connection == Connection::Implied && !self.head_only => {
                self.out.put(heads.response());
                return replied;
            }
            _ => self.out.put(heads.head(self.connection)),
        }
        if self.head_only {
            return replied;
        }
        match &ready.content {
            Rest::There => self.out.put(heads.body()),
            Rest::Shared(bytes) => self.out.push(Chunk::Shared(bytes.clone())),
            Rest::File(file) => {
                self.out.push(Chunk::File { file: file.clone(), offset: 0, len: ready.len });
            }
        }
        replied
    }
}
