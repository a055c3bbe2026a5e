//! A protocol around another: every byte is inverted on the way in and out.

use corelane_eventloop::{Closed, Event, Flow, Hosted, Io, Protocol, Turn};

#[derive(Default)]
pub(crate) struct Flip<P>(pub(crate) P);

pub(crate) fn flipped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

impl<P: Protocol> Protocol for Flip<P> {
    type Conn = Hosted<P::Conn>;
    type Mail = P::Mail;

    fn open(&mut self, io: &mut Io<'_, P::Mail>) -> Option<Self::Conn> {
        Hosted::open(&mut self.0, io)
    }

    fn step(
        &mut self,
        conn: &mut Self::Conn,
        event: Event<P::Mail>,
        io: &mut Io<'_, P::Mail>,
    ) -> Flow {
        let plain = flipped(io.input());
        io.consume(plain.len());
        conn.step(&mut self.0, event, &plain, io, |bytes, out| out.put(&flipped(bytes)))
    }

    fn close(&mut self, conn: Self::Conn, why: Closed, io: &mut Io<'_, P::Mail>) {
        conn.close(&mut self.0, why, io);
    }

    fn mail(&mut self, mail: P::Mail, turn: &mut Turn<'_, P::Mail>) {
        self.0.mail(mail, turn);
    }

    fn turn(&mut self, turn: &mut Turn<'_, P::Mail>) {
        self.0.turn(turn);
    }
}
