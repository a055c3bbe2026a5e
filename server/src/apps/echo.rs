//! A server that sends back every byte.

use corelane_eventloop::Nanos;

use crate::handler::{Action, Context, EventHandler, Framing};

/// Sends back every byte (RFC 862, on any port). Who does not take what comes back is not read on.
///
/// ```
/// use corelane::apps::echo::Echo;
/// use corelane::handler::EventServer;
/// use std::io::{Read, Write};
///
/// let server = EventServer::new("127.0.0.1:0", Echo::default)?.start()?;
/// let mut client = std::net::TcpStream::connect(server.addresses()[0].tcp().unwrap())?;
/// client.write_all(b"hello")?;
/// let mut answer = [0; 5];
/// client.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"hello");
/// server.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Echo {
    idle_time: Option<Nanos>,
}

impl Echo {
    /// Closes connections on which nothing came for so long, while nothing waited to be taken. By default
    /// they may be idle for ever.
    pub fn idle_time(mut self, time: Option<Nanos>) -> Echo {
        self.idle_time = time;
        self
    }

    fn put_off(&self, cx: &mut Context<'_>) {
        if let Some(time) = self.idle_time {
            cx.wake_in(time);
        }
    }
}

impl EventHandler for Echo {
    type Conn = ();

    fn framing(&self) -> Framing {
        Framing::Raw
    }

    fn on_connection(&mut self, cx: &mut Context<'_>) -> Option<()> {
        self.put_off(cx);
        Some(())
    }

    fn on_message<'m>(
        &mut self,
        _conn: &mut (),
        bytes: &'m [u8],
        cx: &mut Context<'_>,
    ) -> Action<'m> {
        self.put_off(cx);
        Action::reply(bytes)
    }

    fn on_timer(&mut self, _conn: &mut (), cx: &mut Context<'_>) -> Action<'static> {
        if cx.pending() == 0 {
            return Action::Close;
        }
        self.put_off(cx);
        Action::Nothing
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::handler::testing::{Simulator, Sockets, Stage};

    fn sends_back_every_byte(stage: &mut dyn Stage) {
        let client = stage.connect();
        let bytes: Vec<u8> =
            (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        stage.send(client, &bytes);
        stage.expect(client, &bytes);
        stage.send(client, b"\0end");
        stage.finish(client);
        stage.expect(client, b"\0end");
        stage.expect_end(client);
    }

    #[test]
    fn every_byte_comes_back() {
        sends_back_every_byte(&mut Simulator::new(Echo::default));
        sends_back_every_byte(&mut Sockets::new(Echo::default).unwrap());
    }

    #[test]
    fn idle_connections_end_only_where_there_is_a_limit() {
        let mut stage = Simulator::new(|| Echo::default().idle_time(Some(Nanos::from_secs(10))));
        let (silent, client) = (stage.connect(), stage.connect());
        stage.pass(Duration::from_secs(6));
        stage.send(client, b"1");
        stage.expect(client, b"1");
        stage.pass(Duration::from_secs(6));
        stage.expect_end(silent);
        stage.send(client, b"2");
        stage.expect(client, b"2");
        stage.expect_end(client);

        let mut stage = Simulator::new(Echo::default);
        let client = stage.connect();
        stage.pass(Duration::from_secs(600));
        stage.send(client, b"1");
        stage.expect(client, b"1");
    }
}
