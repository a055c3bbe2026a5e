//! What one writes to have a protocol of one's own.

use corelane_eventloop::Closed;

use super::context::{Action, Context};
use super::framing::{FrameError, Framing};

/// A protocol of messages: one type says how bytes become messages and what is done about each. Loops,
/// buffers, back-pressure, deadlines, the end of the server, metrics and the simulator come with it.
///
/// `self` is what the connections of a lane share; each lane has its own. Nothing here may block: what
/// takes long is done elsewhere, and comes back by a [`Handle`](super::Handle).
///
/// The order of things: `on_connection`; messages, timers and `on_drained` as they happen; `on_end` when
/// the peer has sent its last byte; `on_disconnect`, exactly once, however it ended, unless the lane died.
///
/// ```
/// use corelane::handler::{Action, Context, EventHandler, Framing};
///
/// /// Tells each line to everyone else.
/// struct Chat;
///
/// impl EventHandler for Chat {
///     type Conn = ();
///     fn framing(&self) -> Framing {
///         Framing::lines(4096)
///     }
///     fn on_connection(&mut self, _: &mut Context<'_>) -> Option<()> {
///         Some(())
///     }
///     fn on_message<'m>(&mut self, _: &mut (), line: &'m [u8], _: &mut Context<'_>) -> Action<'m> {
///         Action::broadcast(line)
///     }
/// }
/// ```
pub trait EventHandler {
    /// What is kept for one connection.
    type Conn;

    /// How bytes become messages. Asked once per lane.
    fn framing(&self) -> Framing;

    /// Admits a connection, or refuses it with `None`: it is then closed, without what was said to it.
    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<Self::Conn>;

    /// How long the first message of `input` is, if it is whole. Asked only under [`Framing::Custom`],
    /// with input of at least one byte, again when there is more. By default all there is, is a message.
    ///
    /// # Errors
    /// If the input begins with no message: the connection is refused.
    fn is_data_complete(
        &mut self,
        conn: &mut Self::Conn,
        input: &[u8],
    ) -> Result<Option<usize>, FrameError> {
        let _ = conn;
        Ok(Some(input.len()))
    }

    /// A message has arrived whole.
    fn on_message<'m>(
        &mut self,
        conn: &mut Self::Conn,
        message: &'m [u8],
        cx: &mut Context<'_>,
    ) -> Action<'m>;

    /// Input was no message, or too long. Whatever is done about it, the connection is closed; by default
    /// without a word.
    fn on_refused(
        &mut self,
        conn: &mut Self::Conn,
        error: FrameError,
        cx: &mut Context<'_>,
    ) -> Action<'static> {
        let _ = (conn, error, cx);
        Action::Close
    }

    /// The deadline set with [`Context::wake_in`] has passed.
    fn on_timer(&mut self, conn: &mut Self::Conn, cx: &mut Context<'_>) -> Action<'static> {
        let _ = (conn, cx);
        Action::Nothing
    }

    /// More had waited to be sent than the high watermark allows, and now less waits than the low one.
    fn on_drained(&mut self, conn: &mut Self::Conn, cx: &mut Context<'_>) -> Action<'static> {
        let _ = (conn, cx);
        Action::Nothing
    }

    /// The peer has sent its last message, and may still read. By default closes. What it has sent of a
    /// message that is not whole is dropped, and counted with the refused.
    fn on_end(&mut self, conn: &mut Self::Conn, cx: &mut Context<'_>) -> Action<'static> {
        let _ = (conn, cx);
        Action::Close
    }

    /// The server is asked to stop. By default closes; [`Action::Close`] here waits for an answer that is
    /// to come ([`Action::Later`]). What does not close by the end of the drain time is cut.
    fn on_stopping(&mut self, conn: &mut Self::Conn, cx: &mut Context<'_>) -> Action<'static> {
        let _ = (conn, cx);
        Action::Close
    }

    /// The connection is gone. It can still speak to others.
    fn on_disconnect(&mut self, conn: Self::Conn, why: Closed, cx: &mut Context<'_>) {
        let _ = (conn, why, cx);
    }
}
