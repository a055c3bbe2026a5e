//! Server-sent events: a response that goes on, for `EventSource` in browsers
//! ([HTML, §9.2](https://html.spec.whatwg.org/multipage/server-sent-events.html)).

use std::fmt::Write;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use corelane_eventloop::Nanos;
use serde::Serialize;

use super::channel::Writer;
use super::lane::{Lane, Stopping};
use super::request::OwnedRequest;
use super::response::Response;

/// How far events may be ahead of the client.
const AHEAD: u64 = 16 * 1024;

/// How often a comment is sent while there is no event, unless set otherwise: proxies close what is
/// silent for long.
const KEEP_ALIVE: Nanos = Nanos::from_secs(15);

/// A response of server-sent events.
///
/// ```
/// use corelane_eventloop::Nanos;
/// use corelane_http::web::testing::TestServer;
/// use corelane_http::web::{Endpoint, OwnedRequest, Response, Routes, Sse, SseEvent};
///
/// async fn countdown(request: OwnedRequest) -> Response {
///     let local = request.lane().local().clone();
///     let mut left = 3;
///     Sse::new(&request).stream(async move || {
///         local.sleep(Nanos::from_secs(1)).await;
///         left -= 1;
///         (left > 0).then(|| SseEvent::new(format!("{left} …\nsoon")).named("countdown"))
///     })
/// }
///
/// let app = Routes::new().on("GET", "/countdown", Endpoint::asynchronous(countdown)).build()?;
/// let mut server = TestServer::new(app);
/// let response = server.get("/countdown");
/// assert_eq!(response.field("Content-Type"), Some("text/event-stream"));
/// assert!(response.text().starts_with("data: 2 …\ndata: soon\nevent: countdown\n\n"));
/// # Ok::<(), corelane_http::web::RouteError>(())
/// ```
///
/// Browsers connect again when the response ends, after the time of [`SseEvent::retry`], and then send
/// the last [`SseEvent::id`] in the field `Last-Event-ID`: an application that has no more to say
/// answers that with 204. The response ends, too, when the server is asked to stop.
///
/// Each of them takes one of the lane's futures ([`App::with_futures`](super::App::with_futures)),
/// besides the connection.
pub struct Sse {
    lane: Lane,
    keep_alive: Nanos,
}

impl Sse {
    /// Events for whoever sent this request.
    pub fn new(request: &OwnedRequest) -> Sse {
        Sse { lane: request.lane().clone(), keep_alive: KEEP_ALIVE }
    }

    /// Sends a comment after so long without an event, by which proxies, and the server, see that
    /// somebody is there. Default 15 s; at least 1 ms.
    pub fn keep_alive(mut self, time: Nanos) -> Sse {
        self.keep_alive = time.max(Nanos::from_millis(1));
        self
    }

    /// The response, whose events are what `next` returns until that is `None`. It is asked for one
    /// after the other, and not before the client has taken up most of what was sent. Once the client
    /// has left, it is dropped.
    pub fn stream(self, next: impl AsyncFnMut() -> Option<SseEvent> + 'static) -> Response {
        let (writer, content) = self.lane.channel(AHEAD);
        let (lane, keep_alive) = (self.lane.clone(), self.keep_alive);
        self.lane.spawn(write(lane, writer, keep_alive, next));
        // The second field is for nginx, which would collect events before it passes them on.
        Response::bytes("text/event-stream", content)
            .with("Cache-Control", "no-store")
            .with("X-Accel-Buffering", "no")
    }
}

/// What came first.
enum Came {
    Event(Option<SseEvent>),
    Silence,
    Stop,
    Gone,
}

async fn write(
    lane: Lane,
    mut writer: Writer,
    keep_alive: Nanos,
    mut next: impl AsyncFnMut() -> Option<SseEvent>,
) {
    let mut stopping = pin!(lane.stopping());
    loop {
        let mut event = pin!(next());
        let event = loop {
            match first(&lane, &mut writer, keep_alive, event.as_mut(), stopping.as_mut()).await {
                Came::Event(event) => break event,
                Came::Stop => break None,
                Came::Gone => return,
                Came::Silence => {}
            }
            if writer.write(b":\n\n".to_vec()).await.is_err() {
                return;
            }
        };
        let Some(event) = event else { return writer.finish() };
        if writer.write(event.into_bytes()).await.is_err() {
            return;
        }
    }
}

/// Waits for what comes first. What is over is found out before another event is made.
async fn first(
    lane: &Lane,
    writer: &mut Writer,
    keep_alive: Nanos,
    mut event: Pin<&mut impl Future<Output = Option<SseEvent>>>,
    mut stopping: Pin<&mut Stopping>,
) -> Came {
    let mut silence = lane.local().sleep(keep_alive);
    let mut closed = pin!(writer.closed());
    poll_fn(|context| {
        if closed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Came::Gone);
        }
        if stopping.as_mut().poll(context).is_ready() {
            return Poll::Ready(Came::Stop);
        }
        if let Poll::Ready(event) = event.as_mut().poll(context) {
            return Poll::Ready(Came::Event(event));
        }
        Pin::new(&mut silence).poll(context).map(|()| Came::Silence)
    })
    .await
}

/// One event of an [`Sse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    lines: String,
}

impl SseEvent {
    /// An event with this data, which may have several lines. Line breaks of any kind arrive as `\n`.
    pub fn new(data: impl AsRef<str>) -> SseEvent {
        let mut event = SseEvent { lines: String::new() };
        let mut rest = data.as_ref();
        while let Some(at) = rest.find(['\r', '\n']) {
            event = event.line("data", &rest[..at]);
            let width = if rest[at..].starts_with("\r\n") { 2 } else { 1 };
            rest = &rest[at + width..];
        }
        event.line("data", rest)
    }

    /// An event with this data as JSON.
    ///
    /// # Errors
    /// If it cannot be written as JSON (a map whose keys are no strings).
    pub fn json(data: &impl Serialize) -> Result<SseEvent, serde_json::Error> {
        Ok(SseEvent::new(serde_json::to_string(data)?))
    }

    /// For listeners of this name only, instead of those of `message`.
    pub fn named(self, name: &str) -> SseEvent {
        self.line("event", &one_line(name))
    }

    /// What the client sends in `Last-Event-ID` when it connects again.
    pub fn id(self, id: &str) -> SseEvent {
        self.line("id", &one_line(id))
    }

    /// How long the client waits before it connects again, in milliseconds on the wire.
    pub fn retry(self, time: Nanos) -> SseEvent {
        self.line("retry", &time.as_millis().to_string())
    }

    fn line(mut self, field: &str, value: &str) -> SseEvent {
        // Writing to a string does not fail.
        let _ = writeln!(self.lines, "{field}: {value}");
        self
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut lines = self.lines;
        lines.push('\n');
        lines.into_bytes()
    }
}

/// Without what would end the line, and NUL, for which clients ignore an id.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_framed_line_by_line() {
        for (data, expected) in [
            ("", "data: \n\n"),
            ("one", "data: one\n\n"),
            ("one\ntwo", "data: one\ndata: two\n\n"),
            ("one\r\ntwo\rthree\n", "data: one\ndata: two\ndata: three\ndata: \n\n"),
            ("\n\nid: 7", "data: \ndata: \ndata: id: 7\n\n"),
        ] {
            assert_eq!(SseEvent::new(data).into_bytes(), expected.as_bytes(), "{data:?}");
        }
    }

    #[test]
    fn no_value_adds_a_line() {
        let event = SseEvent::new("x").named("a\r\nid: 7").id("1\0\n2").retry(Nanos::from_secs(2));
        assert_eq!(event.into_bytes(), b"data: x\nevent: aid: 7\nid: 12\nretry: 2000\n\n");
    }
}
