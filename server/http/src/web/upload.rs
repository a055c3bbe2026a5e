//! Request bodies that are read as they arrive.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use corelane_eventloop::{ConnId, Nanos};

use super::lane::Lane;
use crate::handler::{Intake, Ticket};

/// So much of a body waits for its handler before the client is read no further.
const HIGH: usize = 64 * 1024;

#[derive(Default)]
struct Pipe {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    total: u64,
    /// When the handler last asked for more.
    asked: Nanos,
    end: Option<End>,
    held: bool,
    reader_gone: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Gone,
}

/// The protocol's end.
pub(crate) struct Feed {
    pipe: Rc<RefCell<Pipe>>,
    lane: Lane,
    pub(crate) ticket: Ticket,
}

/// The body of a request, read by an `async` handler as it arrives. While 64 KiB of it wait, the
/// client is not read. What the handler leaves of it is read and dropped.
pub struct BodyReader {
    pipe: Rc<RefCell<Pipe>>,
    lane: Lane,
    conn: ConnId,
}

/// How fast a handler works off a body.
pub(crate) struct Pace {
    pipe: Rc<RefCell<Pipe>>,
    lane: Lane,
}

impl Pace {
    /// What is left of the time that a handler has for each piece of a body, and behind the last one:
    /// all of it while it waits for the client, whom the protocol's least rate is for.
    pub(crate) fn left(&self, time: Nanos) -> Nanos {
        let (pipe, now) = (self.pipe.borrow(), self.lane.local().now());
        let waits = pipe.pieces.is_empty() && pipe.end.is_none() && !pipe.reader_gone;
        if waits { time } else { (pipe.asked + time).since(now) }
    }
}

/// The client left before the body was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client left before the body was whole")]
pub struct BodyCut;

pub(crate) fn pipe(lane: &Lane, conn: ConnId, ticket: Ticket) -> (Feed, BodyReader) {
    let pipe = Rc::new(RefCell::new(Pipe::default()));
    let feed = Feed { pipe: pipe.clone(), lane: lane.clone(), ticket };
    (feed, BodyReader { pipe, lane: lane.clone(), conn })
}

impl Feed {
    pub(crate) fn put(&mut self, data: &[u8]) -> Intake {
        let mut pipe = self.pipe.borrow_mut();
        pipe.total += data.len() as u64;
        if pipe.reader_gone {
            return Intake::More;
        }
        if data.is_empty() {
            return if pipe.held { Intake::Hold } else { Intake::More };
        }
        pipe.bytes += data.len();
        match pipe.pieces.back_mut() {
            Some(last) if last.len() + data.len() <= HIGH / 4 => last.extend_from_slice(data),
            _ => pipe.pieces.push_back(data.to_vec()),
        }
        pipe.held = pipe.bytes >= HIGH;
        let intake = if pipe.held { Intake::Hold } else { Intake::More };
        wake(pipe);
        intake
    }

    pub(crate) fn total(&self) -> u64 {
        self.pipe.borrow().total
    }

    /// No more will come: the body is whole, or the rest of it is not wanted.
    pub(crate) fn finish(self, whole: bool) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.end = Some(if whole { End::Whole } else { End::Gone });
        wake(pipe);
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.end.is_none() {
            pipe.end = Some(End::Gone);
            self.lane.0.gone.borrow_mut().push(self.ticket);
            wake(pipe);
        }
    }
}

fn wake(mut pipe: std::cell::RefMut<'_, Pipe>) {
    let waker = pipe.waker.take();
    // Whoever is woken may look at the pipe.
    drop(pipe);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl BodyReader {
    pub(crate) fn pace(&self) -> Pace {
        Pace { pipe: self.pipe.clone(), lane: self.lane.clone() }
    }

    /// The next piece of the body, of whatever size it came in; `None` at its end.
    ///
    /// # Errors
    /// [`BodyCut`] if the client left first. The handler's answer reaches nobody then.
    pub async fn read(&mut self) -> Result<Option<Vec<u8>>, BodyCut> {
        poll_fn(|context| {
            let mut pipe = self.pipe.borrow_mut();
            pipe.asked = self.lane.local().now();
            if let Some(piece) = pipe.pieces.pop_front() {
                pipe.bytes -= piece.len();
                if pipe.held && pipe.bytes <= HIGH / 2 {
                    pipe.held = false;
                    self.lane.pull(self.conn);
                }
                return Poll::Ready(Ok(Some(piece)));
            }
            match pipe.end {
                Some(End::Whole) => Poll::Ready(Ok(None)),
                Some(End::Gone) => Poll::Ready(Err(BodyCut)),
                None => {
                    pipe.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The whole body, if it has at most so many bytes; `None` if it has more.
    ///
    /// # Errors
    /// As [`BodyReader::read`].
    pub async fn collect(&mut self, most: usize) -> Result<Option<Vec<u8>>, BodyCut> {
        let mut body = Vec::new();
        while let Some(piece) = self.read().await? {
            if body.len() + piece.len() > most {
                return Ok(None);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Some(body))
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.reader_gone = true;
        pipe.pieces.clear();
        pipe.bytes = 0;
        if std::mem::take(&mut pipe.held) {
            self.lane.pull(self.conn);
        }
    }
}
