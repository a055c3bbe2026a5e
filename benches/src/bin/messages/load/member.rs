//! One member of a room: what it has heard, and what it should have.

use rustix::fd::OwnedFd;

use super::line::{self, Cutter};
use super::window::Tally;

/// Members that send at most.
pub(crate) const SENDERS_MAX: usize = 8;
/// Lines of one sender that may be on their way to anyone.
pub(crate) const IN_FLIGHT_MAX: usize = 4096;

/// One connection.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) socket: OwnedFd,
    pub(crate) cutter: Cutter,
    /// What it has to send and could not.
    pub(crate) unsent: Vec<u8>,
    /// The next line of each sender.
    pub(crate) next: [u32; SENDERS_MAX],
    /// A first line has reached it.
    pub(crate) joined: bool,
    /// It may miss lines, and is in nobody's figures.
    pub(crate) slow: bool,
    /// Lines between those that it has heard.
    missed: u64,
    pub(crate) open: bool,
}

/// What one sender has sent.
#[derive(Debug)]
pub(crate) struct Course {
    /// Lines so far.
    pub(crate) sent: u32,
    /// Receivers that these have reached, or that have noticed that they missed one: a line counts
    /// as often as it has receivers.
    pub(crate) delivered: u64,
    /// When each of the last lines was due.
    sent_at: Box<[u64]>,
}

impl Default for Course {
    fn default() -> Self {
        Self { sent: 0, delivered: 0, sent_at: vec![0; IN_FLIGHT_MAX].into() }
    }
}

impl Course {
    /// Counts a line that is sent and was due at that time.
    pub(crate) fn send(&mut self, due: u64) {
        self.sent_at[self.sent as usize % IN_FLIGHT_MAX] = due;
        self.sent += 1;
    }

    /// Lines that have not reached all of so many readers.
    pub(crate) fn in_flight(&self, readers: u64) -> usize {
        let whole = self.delivered / readers;
        u64::from(self.sent).saturating_sub(whole) as usize
    }

    /// How often lines have still to arrive at one of so many readers.
    pub(crate) fn undelivered(&self, readers: u64) -> u64 {
        (u64::from(self.sent) * readers).saturating_sub(self.delivered)
    }
}

impl Member {
    /// One that comes now: what was sent before is not for it.
    pub(crate) fn new(socket: OwnedFd, slow: bool, joined: bool, courses: &[Course]) -> Self {
        let (missed, open) = (0, true);
        let mut next = [0; SENDERS_MAX];
        for (next, course) in next.iter_mut().zip(courses) {
            *next = course.sent;
        }
        let (cutter, unsent) = (Cutter::default(), Vec::new());
        Self { socket, cutter, unsent, next, joined, slow, missed, open }
    }

    /// Takes a line in: member `own` hears everyone but itself, in order, without gaps.
    pub(crate) fn hear(
        &mut self,
        own: usize,
        line: &[u8],
        now: u64,
        courses: &mut [Course],
        tally: &mut Tally,
    ) {
        let known = |&(sender, sequence): &(usize, u32)| {
            sender != own && courses.get(sender).is_some_and(|course| sequence < course.sent)
        };
        let Some((sender, sequence)) = line::read(line).filter(known) else {
            tally.faults.wrong += 1;
            return;
        };
        if !self.joined {
            // Only one sends yet.
            self.joined = true;
            self.next[sender] = sequence + 1;
            return;
        }
        let expected = self.next[sender];
        if sequence < expected {
            tally.faults.disordered += 1;
            return;
        }
        self.next[sender] = sequence + 1;
        let gap = u64::from(sequence - expected);
        if self.slow {
            self.missed += gap;
            return;
        }
        let course = &mut courses[sender];
        course.delivered += gap + 1;
        tally.faults.lost += gap;
        tally.score(now.saturating_sub(course.sent_at[sequence as usize % IN_FLIGHT_MAX]));
    }

    /// Lines that have not come, of all that were sent.
    pub(crate) fn missed_of(&self, courses: &[Course]) -> u64 {
        let behind = courses.iter().zip(self.next).map(|(course, next)| course.sent - next);
        self.missed + behind.map(u64::from).sum::<u64>()
    }

    /// Expects no line any more that has been sent.
    pub(crate) fn give_up(&mut self, courses: &[Course]) {
        for (next, course) in self.next.iter_mut().zip(courses) {
            *next = course.sent;
        }
    }
}
