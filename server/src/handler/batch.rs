//! What the connections of a lane said in one turn: written once, however many hear it.

use std::ops::Range;
use std::sync::Arc;

use corelane_eventloop::{COPY_LIMIT, Chunk, ConnId, Out};
use corelane_mempool::Shared;

use super::framing::{FrameError, Framing};
use super::topic::{Payload, Slow, To};

/// Bytes that may be said in a turn before connections are no longer read, or the high watermark if that
/// is less: what the last of them makes the handler say comes on top. A receiver that stops reading may
/// hold so much, besides what its watermark allows.
pub(super) const TURN_BYTES: usize = 64 << 10;
/// The same in messages, of which each takes some memory here and for each of its receivers, however
/// short it is.
const TURN_MESSAGES: usize = 4096;
/// The same in changes of receivers: whoever is among several hears of each.
const TURN_RUNS: usize = 512;

/// Messages of a turn, being written.
#[derive(Default)]
pub(super) struct Log {
    bytes: Vec<u8>,
    /// Long words, which stand apart.
    shared: Vec<Shared>,
    shared_bytes: usize,
    entries: Vec<Entry>,
    /// How many times the receivers changed.
    runs: usize,
}

/// One message.
struct Entry {
    to: To,
    from: Option<ConnId>,
    slow: Slow,
    /// Where in the batch's bytes it is, with what surrounds it.
    start: usize,
    end: usize,
    /// Long words stand apart: which, and before which of those bytes they come.
    apart: Option<(usize, usize)>,
}

/// Messages of a turn, done. Many hold it.
pub(super) struct Batch {
    bytes: Shared,
    shared: Vec<Shared>,
    entries: Vec<Entry>,
    runs: Vec<Run>,
}

/// Messages in a row for the same receivers.
pub(super) struct Run {
    pub(super) to: To,
    entries: Range<usize>,
    /// Their bytes in all, and where they are if none stands apart.
    len: usize,
    plain: Option<Range<usize>>,
}

/// A message as its receiver sees it.
pub(super) struct Words<'b> {
    batch: &'b Batch,
    entry: &'b Entry,
}

impl Log {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// No more should be said in this turn, in which this much may be.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.bytes.len() + self.shared_bytes >= limit
            || self.entries.len() >= TURN_MESSAGES
            || self.runs >= TURN_RUNS
    }

    /// Adds a message.
    ///
    /// # Errors
    /// If the framing has no such message.
    pub(super) fn add(
        &mut self,
        framing: Framing,
        to: To,
        from: Option<ConnId>,
        payload: Payload<'_>,
        slow: Slow,
    ) -> Result<(), FrameError> {
        let len = payload.as_slice().len();
        let head = framing.head(len)?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(head.as_slice());
        let apart = if len >= COPY_LIMIT {
            self.shared.push(payload.into_shared());
            self.shared_bytes += len;
            Some((self.shared.len() - 1, self.bytes.len()))
        } else {
            self.bytes.extend_from_slice(payload.as_slice());
            None
        };
        self.bytes.extend_from_slice(framing.tail());
        let end = self.bytes.len();
        self.runs += usize::from(self.entries.last().is_none_or(|last| last.to != to));
        self.entries.push(Entry { to, from, slow, start, end, apart });
        Ok(())
    }

    /// Ends the turn.
    pub(super) fn finish(&mut self) -> Arc<Batch> {
        let Log { bytes, shared, entries, .. } = std::mem::take(self);
        let mut runs: Vec<Run> = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let apart = entry.apart.map(|(index, _)| shared[index].len());
            let len = entry.end - entry.start + apart.unwrap_or(0);
            match runs.last_mut() {
                Some(run) if run.to == entry.to => {
                    run.entries.end = at + 1;
                    run.len += len;
                    run.plain = match (run.plain.take(), apart) {
                        (Some(range), None) => Some(range.start..entry.end),
                        _ => None,
                    };
                }
                _ => runs.push(Run {
                    to: entry.to,
                    entries: at..at + 1,
                    len,
                    plain: apart.is_none().then_some(entry.start..entry.end),
                }),
            }
        }
        // The next turn is likely to be as long.
        self.bytes.reserve(bytes.len().min(TURN_BYTES));
        Arc::new(Batch { bytes: Shared::from(bytes), shared, entries, runs })
    }
}

impl Batch {
    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        let apart: usize = self.shared.iter().map(|words| words.len()).sum();
        let entries = size_of_val(&*self.entries) + size_of_val(&*self.runs);
        self.bytes.len() + apart + entries
    }

    /// The messages of a run.
    pub(super) fn words<'b>(&'b self, run: &Run) -> impl Iterator<Item = Words<'b>> + use<'b> {
        self.entries[run.entries.clone()].iter().map(|entry| Words { batch: self, entry })
    }

    /// Whether somebody says something in this run.
    pub(super) fn speaks(&self, run: &Run, who: ConnId) -> bool {
        self.entries[run.entries.clone()].iter().any(|entry| entry.from == Some(who))
    }

    /// Writes a whole run.
    pub(super) fn write(&self, run: &Run, out: &mut Out<'_>) {
        match &run.plain {
            Some(range) => self.piece(range.clone(), out),
            None => self.words(run).for_each(|words| words.write(out)),
        }
    }

    fn piece(&self, range: Range<usize>, out: &mut Out<'_>) {
        // Who has not taken what came before may hold what it is given for long: it gets a copy, which
        // counts as its own.
        if range.len() < COPY_LIMIT || !out.is_empty() {
            out.put(&self.bytes[range]);
        } else {
            out.push(Chunk::Shared(self.bytes.slice(range)));
        }
    }
}

impl Run {
    /// How many messages.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Their bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Words<'_> {
    pub(super) fn from(&self) -> Option<ConnId> {
        self.entry.from
    }

    pub(super) fn slow(&self) -> Slow {
        self.entry.slow
    }

    pub(super) fn len(&self) -> usize {
        let apart = self.entry.apart.map_or(0, |(index, _)| self.batch.shared[index].len());
        self.entry.end - self.entry.start + apart
    }

    pub(super) fn write(&self, out: &mut Out<'_>) {
        let Entry { start, end, apart, .. } = *self.entry;
        match apart {
            None => self.batch.piece(start..end, out),
            Some((index, before)) => {
                self.batch.piece(start..before, out);
                out.push(Chunk::Shared(self.batch.shared[index].clone()));
                self.batch.piece(before..end, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_no_bytes_fill_a_turn_too() {
        let mut log = Log::default();
        for _ in 0..100_000 {
            log.add(Framing::Raw, To::All, None, b"".into(), Slow::Drop).unwrap();
        }
        assert!(log.is_full(TURN_BYTES), "100,000 messages");
    }

    #[test]
    fn long_messages_fill_a_turn_as_short_ones_do() {
        for len in [64, COPY_LIMIT, 8 * COPY_LIMIT] {
            let mut log = Log::default();
            let mut said = 0;
            while !log.is_full(TURN_BYTES) {
                log.add(Framing::Raw, To::All, None, vec![b'x'; len].into(), Slow::Drop).unwrap();
                said += len;
            }
            assert!((TURN_BYTES..TURN_BYTES + len).contains(&said), "{said} of {len} each");
        }
    }

    #[test]
    fn messages_to_ever_others_fill_a_turn_sooner() {
        let mut log = Log::default();
        let mut say = |topic: u64| {
            let to = To::Topic(topic.into());
            log.add(Framing::Raw, to, None, b"".into(), Slow::Drop).unwrap();
            log.is_full(TURN_BYTES)
        };
        assert!((0..1000).all(|_| !say(0)), "to the same");
        assert!((0..TURN_RUNS as u64 - 1).any(|n| say(n % 2 + 1)), "to two in turn");
        assert_eq!(log.finish().runs().len(), TURN_RUNS);
    }
}
