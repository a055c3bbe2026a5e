//! Whoever sees every response.

use std::cell::Cell;
use std::rc::Rc;

use corelane_eventloop::Nanos;
use corelane_parser::http1::Method;

use super::request::Request;
use super::response::Response;
use crate::content::{Content, Produce, Produced, Sink};
use crate::reply::{self, MALFORMED};

/// Sees every response of an application, for logs.
pub trait Observe {
    /// A response is about to be sent, at this time of the lane's clock. `bytes` is the length of its
    /// content, if known.
    fn answered(&mut self, request: &Request<'_>, status: u16, bytes: Option<u64>, now: Nanos);

    /// A response begins whose content is made while it is sent. What this returns is told how that
    /// ended; without it, the response is [`answered`](Observe::answered) now.
    fn begun(&mut self, request: &Request<'_>, status: u16, now: Nanos) -> Option<Ended> {
        let _ = (request, status, now);
        None
    }

    /// A turn of the lane ends.
    fn flush(&mut self) {}
}

/// Told how a streamed response ended: how many bytes of content were made, which is what was sent but
/// for what a client that leaves does not take any more, whether that was all, and when. Called once.
pub type Ended = Box<dyn FnOnce(u64, bool, Nanos)>;

/// One observer in the place of another.
impl Observe for Box<dyn Observe> {
    fn answered(&mut self, request: &Request<'_>, status: u16, bytes: Option<u64>, now: Nanos) {
        (**self).answered(request, status, bytes, now);
    }

    fn begun(&mut self, request: &Request<'_>, status: u16, now: Nanos) -> Option<Ended> {
        (**self).begun(request, status, now)
    }

    fn flush(&mut self) {
        (**self).flush();
    }
}

/// Tells the observer of a response. The clock is for streams, and somebody else's to move.
pub(crate) fn observe(
    observer: &mut Option<Box<dyn Observe>>,
    clock: &Rc<Cell<Nanos>>,
    request: &Request<'_>,
    response: &mut Response,
    now: Nanos,
) {
    let Some(observer) = observer else { return };
    let status = response.status;
    if response.malformed || reply::refuses(status, &response.content) {
        return observer.answered(request, 500, Some(MALFORMED.len() as u64), now);
    }
    if !matches!(request.method(), Method::Head)
        && matches!(response.content, Content::Stream(_))
        && let Some(ended) = observer.begun(request, status, now)
    {
        if let Content::Stream(inner) = std::mem::take(&mut response.content) {
            clock.set(now);
            let watched = Watched { inner, bytes: 0, clock: clock.clone(), ended: Some(ended) };
            response.content = Content::Stream(Box::new(watched));
        }
        return;
    }
    observer.answered(request, status, response.content.len(), now);
}

/// A stream whose end is told.
struct Watched {
    inner: Box<dyn Produce>,
    bytes: u64,
    clock: Rc<Cell<Nanos>>,
    ended: Option<Ended>,
}

impl Produce for Watched {
    fn produce(&mut self, sink: &mut Sink<'_>) -> Produced {
        let before = sink.bytes;
        let produced = self.inner.produce(sink);
        self.bytes += sink.bytes - before;
        self.clock.set(sink.now());
        if produced == Produced::End
            && let Some(ended) = self.ended.take()
        {
            ended(self.bytes, true, sink.now());
        }
        produced
    }
}

/// It failed, or its client is gone.
impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended(self.bytes, false, self.clock.get());
        }
    }
}
