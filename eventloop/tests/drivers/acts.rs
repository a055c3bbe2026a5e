//! A protocol put together from functions, for scenarios that need one of their own.

use corelane_eventloop::{Closed, Event, Flow, Io, Protocol, Turn};

/// `S` is what its connections share.
pub(crate) struct Acts<S> {
    pub(crate) state: S,
    pub(crate) log: Vec<String>,
    opened: usize,
    on_step: fn(&mut S, usize, Event<u64>, &mut Io<'_, u64>) -> Flow,
    pub(crate) on_mail: fn(&mut S, u64, &mut Turn<'_, u64>),
    pub(crate) on_turn: fn(&mut S, &mut Turn<'_, u64>),
}

impl<S: Default> Acts<S> {
    /// Connections are told apart by their number, from 0.
    pub(crate) fn new(on_step: fn(&mut S, usize, Event<u64>, &mut Io<'_, u64>) -> Flow) -> Acts<S> {
        Acts {
            state: S::default(),
            log: Vec::new(),
            opened: 0,
            on_step,
            on_mail: |_, _, _| {},
            on_turn: |_, _| {},
        }
    }
}

impl<S> Protocol for Acts<S> {
    type Conn = usize;
    type Mail = u64;

    fn open(&mut self, _: &mut Io<'_, u64>) -> Option<usize> {
        self.opened += 1;
        Some(self.opened - 1)
    }

    fn step(&mut self, conn: &mut usize, event: Event<u64>, io: &mut Io<'_, u64>) -> Flow {
        (self.on_step)(&mut self.state, *conn, event, io)
    }

    fn close(&mut self, conn: usize, why: Closed, _: &mut Io<'_, u64>) {
        self.log.push(format!("{conn} closed: {why}"));
    }

    fn mail(&mut self, mail: u64, turn: &mut Turn<'_, u64>) {
        (self.on_mail)(&mut self.state, mail, turn);
    }

    fn turn(&mut self, turn: &mut Turn<'_, u64>) {
        (self.on_turn)(&mut self.state, turn);
    }
}
