//! Response bodies that a future writes while they are sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use corelane_eventloop::ConnId;

use super::lane::Lane;
use crate::content::{Content, Produce, Produced, Sink};

struct Pipe {
    pieces: VecDeque<Content>,
    bytes: u64,
    most: u64,
    end: Option<Produced>,
    /// The connection, once it has asked for the first piece.
    conn: Option<ConnId>,
    reader_gone: bool,
    waker: Option<Waker>,
}

/// Writes the content of a response while it is sent. Dropping it without [`finish`](Writer::finish)
/// closes the connection, so that the client does not take what it has for the whole.
pub struct Writer {
    pipe: Rc<RefCell<Pipe>>,
    lane: Lane,
}

/// The client is gone, or the response was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody receives what is written")]
pub struct ClientGone;

struct Reader {
    pipe: Rc<RefCell<Pipe>>,
}

impl Lane {
    /// Content that a future writes, which may be ahead of the client by about so many bytes: put the
    /// one into a response, give the other to [`Lane::spawn`].
    pub fn channel(&self, ahead: u64) -> (Writer, Content) {
        let pipe = Rc::new(RefCell::new(Pipe {
            pieces: VecDeque::new(),
            bytes: 0,
            most: ahead.max(1),
            end: None,
            conn: None,
            reader_gone: false,
            waker: None,
        }));
        let reader = Reader { pipe: pipe.clone() };
        (Writer { pipe, lane: self.clone() }, Content::Stream(Box::new(reader)))
    }
}

impl Writer {
    /// Writes a piece, as soon as there is room for it.
    ///
    /// # Errors
    /// [`ClientGone`] if nobody will receive it.
    pub async fn write(&mut self, piece: impl Into<Content>) -> Result<(), ClientGone> {
        let mut piece = Some(piece.into());
        poll_fn(|context| {
            let mut pipe = self.pipe.borrow_mut();
            if pipe.reader_gone {
                return Poll::Ready(Err(ClientGone));
            }
            if pipe.bytes >= pipe.most {
                pipe.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            if let Some(piece) = piece.take().filter(|piece| !piece.is_empty()) {
                pipe.bytes += piece.len().unwrap_or(0);
                pipe.pieces.push_back(piece);
                self.tell(&pipe);
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Waits until nobody receives what is written any more, for a writer that waits for other things.
    pub async fn closed(&mut self) {
        poll_fn(|context| {
            let mut pipe = self.pipe.borrow_mut();
            if pipe.reader_gone {
                return Poll::Ready(());
            }
            pipe.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Ends the content: all of it was written.
    pub fn finish(self) {
        self.end(Produced::End);
    }

    fn end(&self, how: Produced) {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.end.is_none() {
            pipe.end = Some(how);
            self.tell(&pipe);
        }
    }

    fn tell(&self, pipe: &Pipe) {
        if let Some(conn) = pipe.conn {
            self.lane.pull(conn);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end(Produced::Failed);
    }
}

impl Produce for Reader {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        let mut pipe = self.pipe.borrow_mut();
        pipe.conn = Some(sink.conn());
        let Some(piece) = pipe.pieces.pop_front() else {
            return pipe.end.unwrap_or(Produced::Wait);
        };
        pipe.bytes -= piece.len().unwrap_or(0);
        let waker = pipe.waker.take();
        drop(pipe);
        sink.push(piece);
        if let Some(waker) = waker {
            waker.wake();
        }
        Produced::More
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.reader_gone = true;
        pipe.pieces.clear();
        let waker = pipe.waker.take();
        drop(pipe);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
