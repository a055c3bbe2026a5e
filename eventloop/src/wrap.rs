//! A protocol inside a protocol: what TLS, compression or a tunnel needs to host another engine.

use corelane_mempool::Buf;

use crate::io::Io;
use crate::out::{Chunk, Mark, Out, OutQueue};
use crate::protocol::{Closed, Event, Flow, Protocol};
use crate::relief::{enlarge_for_input, lend_for_input};

/// A hosted connection: the inner protocol's state, its own input tail and its own output.
///
/// The outer protocol decodes what it receives, gives it to [`Hosted::step`], and encodes what the
/// inner one has put out. Gates and marks pass through: a gate holds back the outer bytes at the same
/// place, and the inner protocol hears [`Event::Sent`] when the outer bytes have left.
///
/// ```
/// use corelane_eventloop::{Chunk, Closed, Event, Flow, Hosted, Io, Mark, Protocol};
///
/// /// Flips every bit on the way in and out of the protocol it hosts.
/// struct Flip<P>(P);
///
/// impl<P: Protocol> Protocol for Flip<P> {
///     type Conn = Hosted<P::Conn>;
///     type Mail = P::Mail;
///     fn open(&mut self, io: &mut Io<'_, P::Mail>) -> Option<Self::Conn> {
///         Hosted::open(&mut self.0, io)
///     }
///     fn step(
///         &mut self,
///         conn: &mut Self::Conn,
///         event: Event<P::Mail>,
///         io: &mut Io<'_, P::Mail>,
///     ) -> Flow {
///         let plain: Vec<u8> = io.input().iter().map(|byte| !byte).collect();
///         io.consume(plain.len());
///         conn.step(&mut self.0, event, &plain, io, |bytes, out| {
///             out.put(&bytes.iter().map(|byte| !byte).collect::<Vec<_>>());
///         })
///     }
///     fn close(&mut self, conn: Self::Conn, why: Closed, io: &mut Io<'_, P::Mail>) {
///         conn.close(&mut self.0, why, io);
///     }
/// }
/// ```
pub struct Hosted<C> {
    conn: C,
    out: OutQueue,
    /// Decoded input the inner protocol has not consumed.
    tail: Option<Buf>,
    /// The inner protocol paused: it is stepped with input again only after it asked for it.
    paused: bool,
    /// The tail holds input that it should be stepped with though nothing new came in.
    unread: bool,
    /// The inner protocol was full and the outer output is not: it must be told, since the lane, which
    /// sees only the latter, will not.
    drained: bool,
    /// The inner position that has passed through, and the outer mark set behind it.
    passed: Option<(u64, Mark)>,
}

impl<C> Hosted<C> {
    /// Asks the inner protocol whether it wants the connection.
    pub fn open<P: Protocol<Conn = C>>(
        inner: &mut P,
        io: &mut Io<'_, P::Mail>,
    ) -> Option<Hosted<C>> {
        let mut out = OutQueue::new();
        let conn = inner.open(&mut io.host(&[], &mut out))?;
        Some(Hosted {
            conn,
            out,
            tail: None,
            paused: false,
            unread: false,
            drained: false,
            passed: None,
        })
    }

    /// The inner protocol's state.
    pub fn conn(&self) -> &C {
        &self.conn
    }

    /// Steps the inner protocol with `event`, given newly decoded input, and encodes its output.
    /// Returns what the inner protocol wants, for the outer one to return.
    ///
    /// Pass every event on, with the input that was decoded for it (none, if it brought none).
    pub fn step<P: Protocol<Conn = C>>(
        &mut self,
        inner: &mut P,
        event: Event<P::Mail>,
        plain: &[u8],
        io: &mut Io<'_, P::Mail>,
        mut encode: impl FnMut(&[u8], &mut Out<'_>),
    ) -> Flow {
        let event = match event {
            Event::Bytes if plain.is_empty() && self.drained => Event::Drained,
            Event::Sent(mark) => match self.passed.take_if(|(_, outer)| *outer <= mark) {
                Some((inner, _)) => Event::Sent(Mark(inner)),
                None => return if self.paused { Flow::Pause } else { Flow::Read },
            },
            other => other,
        };
        if matches!(event, Event::Drained) {
            self.drained = false;
        }
        let mut rest = plain;
        if (self.tail.is_some() || self.paused) && !self.append(rest, io) {
            return Flow::Abort;
        }
        if self.tail.is_some() || self.paused {
            rest = &[];
        }
        if self.paused && matches!(event, Event::Bytes) {
            return Flow::Pause;
        }
        let flow = self.drive(inner, event, &mut rest, io);
        if !self.append(rest, io) {
            return Flow::Abort;
        }
        let high = io.services.limits.high;
        let was_full = self.out.exceeds(high) || (self.unread && flow == Flow::Read);
        self.pass_output(io, &mut encode);
        self.paused = flow == Flow::Pause;
        self.drained |= was_full && !io.is_full();
        match flow {
            Flow::Read | Flow::Pause if self.drained => Flow::Yield,
            flow => flow,
        }
    }

    /// Tells the inner protocol that its connection is gone.
    pub fn close<P: Protocol<Conn = C>>(
        mut self,
        inner: &mut P,
        why: Closed,
        io: &mut Io<'_, P::Mail>,
    ) {
        inner.close(self.conn, why, &mut io.host(&[], &mut self.out));
        while let Some(chunk) = hosted_out(&mut self.out, io).pop() {
            if let Chunk::Buf(buf) = chunk {
                io.out().pool.deallocate(buf);
            }
        }
        if let Some(tail) = self.tail.take() {
            io.out().pool.deallocate(tail);
        }
    }

    /// Steps the inner protocol as a lane would: again while it consumes input and wants more.
    fn drive<P: Protocol<Conn = C>>(
        &mut self,
        inner: &mut P,
        event: Event<P::Mail>,
        rest: &mut &[u8],
        io: &mut Io<'_, P::Mail>,
    ) -> Flow {
        let mut event = event;
        loop {
            if matches!(event, Event::Bytes) {
                self.unread = false;
            }
            let input = self.tail.as_ref().map_or(*rest, |tail| tail.as_slice());
            let mut hosted = io.host(input, &mut self.out);
            let flow = inner.step(&mut self.conn, event, &mut hosted);
            let consumed = hosted.consumed();
            let left = input.len() - consumed;
            match &mut self.tail {
                Some(tail) => tail.consume(consumed),
                None => *rest = &rest[consumed..],
            }
            if let Some(empty) = self.tail.take_if(|tail| tail.is_empty()) {
                io.out().pool.deallocate(empty);
            }
            self.unread |= left > 0 && (consumed > 0 || flow != Flow::Read);
            let high = io.services.limits.high;
            let full = self.out.pending() + io.pending() > high || self.out.exceeds(high);
            if flow != Flow::Read || !self.unread || full {
                return flow;
            }
            event = Event::Bytes;
        }
    }

    /// Moves the inner output to the outer one, in order.
    fn pass_output<M>(&mut self, io: &mut Io<'_, M>, encode: &mut impl FnMut(&[u8], &mut Out<'_>)) {
        while let Some(chunk) = hosted_out(&mut self.out, io).pop() {
            match chunk {
                Chunk::Buf(buf) => {
                    encode(buf.as_slice(), &mut io.out());
                    io.out().pool.deallocate(buf);
                }
                Chunk::Static(bytes) => encode(bytes, &mut io.out()),
                Chunk::Shared(bytes) => encode(&bytes, &mut io.out()),
                Chunk::Gate(level) => io.out().push(Chunk::Gate(level)),
                Chunk::File { file, offset, len } => pass_file(io, &file, offset, len, encode),
            }
        }
        if let Some(why) = self.out.broken() {
            io.out().queue.break_off(why);
        }
        if let Some(inner) = self.out.reached() {
            self.passed = Some((inner.0, io.out().mark()));
        }
    }

    /// Keeps what the inner protocol left, within the limits that hold for a lane's own connections.
    fn append<M>(&mut self, bytes: &[u8], io: &mut Io<'_, M>) -> bool {
        if bytes.is_empty() {
            return true;
        }
        if self.tail.as_ref().is_some_and(|tail| tail.len() > io.services.limits.input) {
            io.out().queue.break_off(Closed::InputOverflow);
            return false;
        }
        let pool = &mut io.services.pool;
        let tail = match self.tail.take() {
            None => lend_for_input(pool, bytes.len()),
            Some(mut tail) if tail.spare_len() < bytes.len() => {
                tail.compact();
                let wanted = tail.len() + bytes.len();
                enlarge_for_input(pool, tail, wanted).ok()
            }
            tail => tail,
        };
        let Some(mut tail) = tail else {
            io.out().queue.break_off(Closed::OutOfMemory);
            return false;
        };
        tail.extend(bytes);
        self.tail = Some(tail);
        true
    }
}

/// Reads a file range piece by piece, since it has to be encoded.
fn pass_file<M>(
    io: &mut Io<'_, M>,
    file: &crate::File,
    mut offset: u64,
    mut len: u64,
    encode: &mut impl FnMut(&[u8], &mut Out<'_>),
) {
    let mut page = [0; 4096];
    while len > 0 {
        let room = page.len().min(usize::try_from(len).unwrap_or(usize::MAX));
        match io.files().read(file, offset, &mut page[..room]) {
            Ok(n) if n > 0 => {
                encode(&page[..n], &mut io.out());
                offset += n as u64;
                len -= n as u64;
            }
            // Shorter than promised: the framing can no longer be kept.
            _ => {
                io.out().queue.break_off(Closed::FileTruncated);
                return;
            }
        }
    }
}

fn hosted_out<'b, M>(queue: &'b mut OutQueue, io: &'b mut Io<'_, M>) -> Out<'b> {
    Out::new(queue, &mut io.services.pool, &mut io.services.stash)
}
