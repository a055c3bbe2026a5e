//! One answer, and the ways to give it.

use corelane_eventloop::{Chunk, Out};
use corelane_mempool::Shared;
use corelane_parser::http1::encode::{Connection, EncodeError, ResponseHead};
use corelane_parser::http1::{HttpDate, Prerendered};

/// The chance to answer one request, used up by answering.
///
/// The protocol decides about the connection, leaves the body out of answers to HEAD, and writes Date
/// and framing; a handler cannot get those wrong.
pub struct Reply<'a> {
    pub(crate) out: Out<'a>,
    pub(crate) connection: Connection,
    pub(crate) head_only: bool,
    pub(crate) date: &'a HttpDate,
}

/// Proof that a request was answered.
#[derive(Clone, Copy, Debug)]
#[must_use = "a handler returns it, to show that it has answered"]
pub struct Replied {
    pub(crate) status: u16,
    pub(crate) malformed: bool,
}

/// Room for what a head has besides the handler's fields: status line, Date, framing, connection.
const HEAD_ROOM: usize = 256;

impl<'a> Reply<'a> {
    /// Answers with a response rendered in advance: one copy. Its date is the caller's to keep
    /// ([`Handler::date`](crate::Handler::date)); `status` is what is counted.
    ///
    /// Heads whose body is elsewhere ([`Prerendered::without_body`]) make the answer a 500.
    #[inline]
    pub fn prerendered(mut self, response: &Prerendered, status: u16) -> Replied {
        if response.body().len() as u64 != response.content_bytes() {
            return self.malformed();
        }
        if self.connection == Connection::Implied && !self.head_only {
            self.out.put(response.response());
        } else {
            self.out.put(response.head(self.connection));
            if !self.head_only {
                self.out.put(response.body());
            }
        }
        Replied { status, malformed: false }
    }

    /// Answers with heads rendered in advance ([`Prerendered::without_body`]) and a body that many
    /// answers share: it is sent from where it is.
    ///
    /// A body of another length than the heads announce makes the answer a 500.
    pub fn shared(mut self, heads: &Prerendered, status: u16, body: &Shared) -> Replied {
        if body.len() as u64 != heads.content_bytes() {
            return self.malformed();
        }
        self.out.put(heads.head(self.connection));
        if !self.head_only {
            self.out.push(Chunk::Shared(body.clone()));
        }
        Replied { status, malformed: false }
    }

    /// Answers with these fields and this body. Date, Content-Length and Connection are added.
    ///
    /// A field that is malformed, or belongs to the protocol, makes the answer a 500, which is
    /// counted: nothing of what the handler wrote is sent then.
    pub fn send(mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) -> Replied {
        if self.write(status, fields, body).is_ok() {
            return Replied { status, malformed: false };
        }
        self.malformed()
    }

    /// Answers for a handler that got its answer wrong.
    #[cold]
    fn malformed(mut self) -> Replied {
        let sorry = "the handler's answer was malformed\n";
        // Cannot fail: every part of it is right.
        let _ = self.write(500, &[("Content-Type", "text/plain")], sorry.as_bytes());
        Replied { status: 500, malformed: true }
    }

    fn write(
        &mut self,
        status: u16,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), EncodeError> {
        // Informational answers are not final ones, and the protocol's to give.
        if status < 200 {
            return Err(EncodeError::Status);
        }
        // No more than is needed: pages that are left half empty are memory that a client who does
        // not read can take.
        let lines = fields.iter().map(|(name, value)| name.len() + value.len() + 4);
        let room = self.out.room(HEAD_ROOM + lines.sum::<usize>());
        if room.is_empty() {
            // The budget refused: the lane closes the connection after this step.
            return Ok(());
        }
        let mut head = ResponseHead::new(room, status);
        head.date(self.date);
        for (name, value) in fields {
            head.field(name, value.as_bytes());
        }
        if status != 204 && (status != 304 || !body.is_empty()) {
            head.length(body.len() as u64);
        }
        if matches!(status, 204 | 205) && !body.is_empty() {
            return Err(EncodeError::BodyForbidden);
        }
        let bytes = head.connection(self.connection).finish()?;
        self.out.commit(bytes);
        if !self.head_only && status != 304 {
            self.out.put(body);
        }
        Ok(())
    }
}
