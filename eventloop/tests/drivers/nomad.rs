//! A line protocol whose connections move, and write each other numbered letters.
//!
//! All lanes of a run share a [`Book`] of what happened, as only lanes in one thread can. It knows every
//! id that a connection has had. Each letter carries how many its sender has posted to that very id
//! before, so whoever gets it can tell whether one was lost, doubled, or overtaken.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use corelane_eventloop::{Closed, ConnId, Event, Flow, Io, LaneId, Luggage, Nanos, Protocol, Turn};

/// Who posts: a lane, or a connection by number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Sender {
    Lane(LaneId),
    Conn(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter {
    from: Sender,
    /// The connection it is for, and the id that it was posted to.
    number: usize,
    to: ConnId,
    /// How many went from there to that id before.
    before: u64,
}

/// What became of one connection.
#[derive(Default, Debug)]
pub(crate) struct Life {
    pub(crate) ids: Vec<ConnId>,
    pub(crate) closed: Option<Closed>,
    pub(crate) closed_on: Option<LaneId>,
    /// Deadlines set and not fired yet.
    pub(crate) alarms: u32,
}

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) lives: Vec<Life>,
    /// Letters taken by a queue, and delivered, by sender and id.
    pub(crate) posted: HashMap<(Sender, ConnId), u64>,
    pub(crate) taken: HashMap<(Sender, ConnId), u64>,
    /// The least number that the next letter may have.
    next: HashMap<(Sender, ConnId), u64>,
    /// Letters that each lane is to post in its next turn, to the id of that place.
    pub(crate) errands: Vec<(LaneId, usize, usize)>,
    /// What `arrive` and `depart` are to do instead of what they should.
    pub(crate) mischief: Mischief,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    #[default]
    None,
    Refuse,
    PanicInArrive,
    PanicInDepart,
}

impl Book {
    /// A letter to the `place`th id of a connection, counting back from the first if there are fewer.
    fn letter(&self, from: Sender, number: usize, place: usize) -> Option<Letter> {
        let life = self.lives.get(number).filter(|life| life.closed.is_none())?;
        let to = life.ids[place % life.ids.len()];
        let before = self.posted.get(&(from, to)).copied().unwrap_or_default();
        Some(Letter { from, number, to, before })
    }

    fn count(&mut self, letter: &Letter) {
        self.posted.insert((letter.from, letter.to), letter.before + 1);
    }

    /// Letters to a connection that were posted, and not delivered.
    pub(crate) fn missing(&self, number: usize) -> u64 {
        let ids = &self.lives[number].ids;
        let to = |letters: &HashMap<(Sender, ConnId), u64>| -> u64 {
            letters.iter().filter(|((_, to), _)| ids.contains(to)).map(|(_, count)| count).sum()
        };
        to(&self.posted) - to(&self.taken)
    }
}

pub(crate) struct Nomad {
    book: Rc<RefCell<Book>>,
}

/// Plain data: it travels as it is.
pub(crate) struct NomadConn {
    number: usize,
    alarm: Option<Nanos>,
    stays: bool,
    received: u64,
    sent: u64,
}

impl Nomad {
    pub(crate) fn new(book: &Rc<RefCell<Book>>) -> Nomad {
        Nomad { book: book.clone() }
    }

    fn execute(&mut self, line: &str, conn: &mut NomadConn, io: &mut Io<'_, Letter>) {
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let mut number = || words.next().map_or(0, |word| word.parse().expect("a number"));
        match word {
            "where" => {
                let lane = io.id().lane;
                io.out().put(format!("{lane}\n").as_bytes());
            }
            "say" => io.out().put(format!("{line}\n").as_bytes()),
            "alarm" => {
                let at = io.now() + Nanos::from_millis(number() as u64);
                self.book.borrow_mut().lives[conn.number].alarms += u32::from(conn.alarm.is_none());
                conn.alarm = Some(at);
                io.deadline(at);
            }
            "stay" => conn.stays = true,
            "go" => conn.stays = false,
            // To the place-th id of a connection, so many letters.
            "tell" => {
                let (to, place, count) = (number(), number(), number());
                let book = &mut *self.book.borrow_mut();
                for _ in 0..count {
                    let letter = book.letter(Sender::Conn(conn.number), to, place);
                    if let Some(letter) = letter
                        && io.post(letter.to, letter).is_ok()
                    {
                        book.count(&letter);
                    }
                }
            }
            other => panic!("unknown command {other:?}"),
        }
    }
}

impl Protocol for Nomad {
    type Conn = NomadConn;
    type Mail = Letter;

    fn open(&mut self, io: &mut Io<'_, Letter>) -> Option<NomadConn> {
        let mut book = self.book.borrow_mut();
        book.lives.push(Life { ids: vec![io.id()], ..Life::default() });
        let number = book.lives.len() - 1;
        Some(NomadConn { number, alarm: None, stays: false, received: 0, sent: 0 })
    }

    fn step(
        &mut self,
        conn: &mut NomadConn,
        event: Event<Letter>,
        io: &mut Io<'_, Letter>,
    ) -> Flow {
        match event {
            Event::Eof | Event::Stopping | Event::Shed => return Flow::Finish,
            Event::Timer => {
                let at = conn.alarm.take().expect("a deadline was set");
                assert!(io.now() >= at, "a deadline came early");
                self.book.borrow_mut().lives[conn.number].alarms -= 1;
            }
            Event::Mail(letter) => {
                assert_eq!(letter.number, conn.number, "a letter for another");
                let mut book = self.book.borrow_mut();
                let way = (letter.from, letter.to);
                let next = book.next.insert(way, letter.before + 1).unwrap_or_default();
                assert!(letter.before >= next, "doubled or out of order: {letter:?}");
                *book.taken.entry(way).or_default() += 1;
            }
            Event::Bytes => {
                if let Some(end) = io.input().iter().position(|byte| *byte == b'\n') {
                    let line = String::from_utf8_lossy(&io.input()[..end]).into_owned();
                    io.consume(end + 1);
                    self.execute(&line, conn, io);
                }
            }
            _ => {}
        }
        conn.received = io.received();
        conn.sent = io.sent() + io.pending();
        Flow::Read
    }

    fn close(&mut self, conn: NomadConn, why: Closed, io: &mut Io<'_, Letter>) {
        let life = &mut self.book.borrow_mut().lives[conn.number];
        assert_eq!(life.closed.replace(why), None, "closed twice");
        life.closed_on = Some(io.id().lane);
    }

    fn depart(&mut self, conn: NomadConn, id: ConnId) -> Result<Luggage, NomadConn> {
        let book = self.book.borrow();
        assert_eq!(book.lives[conn.number].ids.last(), Some(&id));
        if book.mischief == Mischief::PanicInDepart {
            panic!("told to, in depart");
        }
        if conn.stays { Err(conn) } else { Ok(Box::new(conn)) }
    }

    fn arrive(&mut self, luggage: Luggage, io: &mut Io<'_, Letter>) -> Option<NomadConn> {
        let conn = *luggage.downcast::<NomadConn>().ok()?;
        let mut book = self.book.borrow_mut();
        match book.mischief {
            Mischief::Refuse => return None,
            Mischief::PanicInArrive => panic!("told to, in arrive"),
            _ => {}
        }
        assert_eq!((io.received(), io.sent()), (conn.received, conn.sent));
        book.lives[conn.number].ids.push(io.id());
        Some(conn)
    }

    fn turn(&mut self, turn: &mut Turn<'_, Letter>) {
        let book = &mut *self.book.borrow_mut();
        let errands = std::mem::take(&mut book.errands);
        for (lane, number, place) in errands {
            if lane != turn.lane() {
                book.errands.push((lane, number, place));
                continue;
            }
            let letter = book.letter(Sender::Lane(lane), number, place);
            if let Some(letter) = letter
                && turn.post(letter.to, letter).is_ok()
            {
                book.count(&letter);
            }
        }
    }
}
