//! Clients that get what the others send.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use corelane_load::process;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::line::{self, LINE_BYTES, LONG_LINE_BYTES};
use super::member::{Course, IN_FLIGHT_MAX, Member, SENDERS_MAX};
use super::socket::{Deadline, OPENING_COUNT_MAX, PATIENCE, Poller, Receives, connect, has_ended};
use super::window::{Tally, Window};
use super::{SETTLE, Target, WARM_UP};
use crate::sample::{Sample, Slow};

const PAGE_BYTES: usize = 64 * 1024;
/// Long lines that each sender has in flight while the buffers of slow receivers are filled: few
/// enough that nobody else falls behind.
const FLOOD_IN_FLIGHT: usize = 4;
/// How often a line is sent until it has reached everyone who has just joined.
const GREETING_INTERVAL: Duration = Duration::from_millis(20);
/// Slow receivers that read again are done when nothing has come for so long.
const SILENCE: Duration = Duration::from_millis(500);

/// Who is in the room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomPlan {
    /// All of them. A line goes to one less.
    pub(crate) members: usize,
    /// The first of them send, at most [`SENDERS_MAX`].
    pub(crate) senders: usize,
    /// The last of them stop reading for a while.
    pub(crate) slow: usize,
    pub(crate) pace: Pace,
    /// Long lines that are sent while those do not read.
    pub(crate) flood_lines: u32,
}

impl RoomPlan {
    /// Those whom a line must reach.
    fn readers(&self) -> usize {
        self.members.saturating_sub(self.slow + 1)
    }
}

/// When lines are sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// At fixed moments, by the senders in turn, or a line from each at the same moment. Latency
    /// counts from when a line was due.
    Fixed { lines_per_second: u32, together: bool },
    /// As soon as fewer lines of a sender are on their way, counted by their arrivals.
    InFlight(usize),
}

/// All members of a room, driven by one loop.
pub(crate) struct Room {
    plan: RoomPlan,
    target: Target,
    epoch: Instant,
    poller: Poller,
    members: Vec<Member>,
    courses: Vec<Course>,
    page: Box<[u8]>,
    batch: Vec<u8>,
    tally: Tally,
    /// When something came last.
    heard_at: Instant,
}

impl Room {
    /// Opens all connections but those of slow members, and waits until lines reach every one.
    pub(crate) fn join(plan: RoomPlan, target: Target) -> anyhow::Result<Self> {
        if plan.senders > SENDERS_MAX || plan.senders < 2 || plan.readers() < plan.senders {
            bail!("a room needs 2 to {SENDERS_MAX} senders, and members who only listen");
        }
        let now = Instant::now();
        let mut room = Self {
            plan,
            target,
            epoch: now,
            poller: Poller::new()?,
            members: Vec::with_capacity(plan.members),
            courses: (0..plan.senders).map(|_| Course::default()).collect(),
            page: vec![0; PAGE_BYTES].into_boxed_slice(),
            batch: Vec::new(),
            tally: Tally::new()?,
            heard_at: now,
        };
        room.admit(plan.members - plan.slow, false)?;
        // Everyone can be heard, and the first sender hears.
        for sender in 0..plan.senders {
            room.publish(sender, 1, LINE_BYTES, room.now());
        }
        room.settle()?;
        if room.tally.faults.total() > 0 {
            bail!("the first lines did not reach everyone: {:?}", room.tally.faults);
        }
        Ok(room)
    }

    /// Warms up and measures; with slow members, once before and once while they do not read.
    pub(crate) fn run(mut self) -> anyhow::Result<Sample> {
        if self.plan.slow > 0 {
            // What a flood takes of those who read is no cost of those who do not.
            self.flood(self.plan.flood_lines / 8)?;
            self.admit(self.plan.slow, true)?;
        }
        self.keep_pace(WARM_UP)?;
        let mut sample = self.measure()?;
        if self.plan.slow > 0 {
            let mut slow = Slow {
                p50_micros_before: sample.p50_micros,
                p99_micros_before: sample.p99_micros,
                ..Slow::default()
            };
            sample = self.measure_slow(&mut slow)?;
            sample.slow = Some(slow);
        }
        sample.faults = self.tally.faults;
        Ok(sample)
    }

    fn measure(&mut self) -> anyhow::Result<Sample> {
        let window = Window::open(self.target.process, &mut self.tally)?;
        self.keep_pace(self.target.duration)?;
        let sample = window.close(&self.tally)?;
        self.settle()?;
        Ok(sample)
    }

    /// Some stop reading, everything that may hold output for them is filled, the others are
    /// measured, and then those read again.
    fn measure_slow(&mut self, slow: &mut Slow) -> anyhow::Result<Sample> {
        let resident = |room: &Self| {
            let bytes = process::resident_bytes(room.target.process);
            bytes.map(|bytes| bytes as f64 / 1024.0).context("memory of the server")
        };
        for member in self.members.iter_mut().filter(|member| member.slow) {
            self.poller.remove(&member.socket)?;
        }
        thread::sleep(SETTLE);
        slow.resident_kibibytes = resident(self)?;
        let sent_before = self.sent();
        let flooded = self.flood(self.plan.flood_lines)?;
        let sample = self.measure()?;
        thread::sleep(SETTLE);
        let grown = resident(self)? - slow.resident_kibibytes;
        let count = self.plan.slow as f64;
        slow.grown_kibibytes_each = grown / count;
        let short_lines = self.sent() - sent_before - flooded;
        let offered = flooded * LONG_LINE_BYTES as u64 + short_lines * LINE_BYTES as u64;
        slow.offered_kibibytes_each = offered as f64 / 1024.0;
        self.read_again()?;
        let closed = self.members.iter().filter(|member| member.slow && !member.open).count();
        let courses = &self.courses;
        let left = self.members.iter().filter(|member| member.slow && member.open);
        let missed: u64 = left.map(|member| member.missed_of(courses)).sum();
        slow.closed = closed as f64;
        slow.missed_lines_each = missed as f64 / (count - slow.closed).max(1.0);
        Ok(sample)
    }

    /// Sends so many long lines, as fast as all who read take them. Says how many it were.
    fn flood(&mut self, wanted: u32) -> anyhow::Result<u64> {
        let before = self.sent();
        let wanted = u64::from(wanted);
        let deadline = Deadline::after(2 * PATIENCE);
        while self.sent() - before < wanted && !deadline.has_passed() {
            self.fill(FLOOD_IN_FLIGHT, LONG_LINE_BYTES);
            self.turn()?;
        }
        self.settle()?;
        Ok(self.sent() - before)
    }

    fn read_again(&mut self) -> anyhow::Result<()> {
        for index in 0..self.members.len() {
            let member = &self.members[index];
            if member.slow && member.open {
                self.poller.add(&member.socket, index)?;
            }
        }
        self.heard_at = Instant::now();
        let deadline = Deadline::after(PATIENCE);
        while self.heard_at.elapsed() < SILENCE && !deadline.has_passed() {
            self.turn()?;
        }
        Ok(())
    }

    /// Opens `count` connections, and waits until a line reaches every one of them.
    fn admit(&mut self, count: usize, slow: bool) -> anyhow::Result<()> {
        let receives = if slow { Receives::Little } else { Receives::Usual };
        let wanted = self.members.len() + count;
        while self.members.len() < wanted {
            for _ in 0..OPENING_COUNT_MAX.min(wanted - self.members.len()) {
                let index = self.members.len();
                let socket = connect(self.target.address, receives)
                    .with_context(|| format!("connection {}", index + 1))?;
                self.poller.add(&socket, index)?;
                self.members.push(Member::new(socket, slow, index == 0, &self.courses));
            }
            self.greet()?;
        }
        self.start_counting();
        Ok(())
    }

    /// The first member sends lines until all others have one.
    fn greet(&mut self) -> anyhow::Result<()> {
        let deadline = Deadline::after(PATIENCE);
        let mut due = Instant::now();
        loop {
            if Instant::now() >= due {
                self.publish(0, 1, LINE_BYTES, self.now());
                due += GREETING_INTERVAL;
            }
            self.turn()?;
            if self.members.iter().all(|member| member.joined) {
                return Ok(());
            }
            if deadline.has_passed() {
                let joined = self.members.iter().filter(|member| member.joined).count();
                bail!("lines reach {joined} of {} members", self.members.len());
            }
        }
    }

    /// From here on, everything that is sent must reach everyone. Greetings are on their way to
    /// those who came early: they are expected.
    fn start_counting(&mut self) {
        for (sender, course) in self.courses.iter_mut().enumerate() {
            let others = self.members.iter().enumerate().filter(|(index, _)| *index != sender);
            let readers = others.filter(|(_, member)| !member.slow);
            course.delivered = readers.map(|(_, member)| u64::from(member.next[sender])).sum();
        }
        self.tally.faults = Default::default();
    }

    /// Lines that have been sent.
    fn sent(&self) -> u64 {
        self.courses.iter().map(|course| u64::from(course.sent)).sum()
    }

    fn readers(&self) -> u64 {
        self.plan.readers() as u64
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Sends at the plan's pace.
    fn keep_pace(&mut self, duration: Duration) -> anyhow::Result<()> {
        let started = self.now();
        let ends = started + duration.as_nanos() as u64;
        let mut lines = 0;
        loop {
            let now = self.now();
            if now >= ends {
                return Ok(());
            }
            match self.plan.pace {
                Pace::InFlight(count) => self.fill(count, LINE_BYTES),
                Pace::Fixed { lines_per_second, together } => {
                    let burst = if together { self.plan.senders as u64 } else { 1 };
                    let nanos = lines / burst * burst * 1_000_000_000;
                    let due = started + nanos / u64::from(lines_per_second);
                    if now >= due {
                        let sender = lines as usize % self.plan.senders;
                        if self.courses[sender].in_flight(self.readers()) < IN_FLIGHT_MAX {
                            self.publish(sender, 1, LINE_BYTES, due);
                        } else {
                            self.tally.faults.unsent += 1;
                        }
                        lines += 1;
                    }
                }
            }
            self.turn()?;
        }
    }

    /// Brings every sender to `count` lines in flight.
    fn fill(&mut self, count: usize, length: usize) {
        let readers = self.readers();
        for sender in 0..self.plan.senders {
            let missing = count.saturating_sub(self.courses[sender].in_flight(readers));
            if missing > 0 {
                self.publish(sender, missing, length, self.now());
            }
        }
    }

    /// Sends `count` lines that were `due` at that time, in one piece.
    fn publish(&mut self, sender: usize, count: usize, length: usize, due: u64) {
        let course = &mut self.courses[sender];
        self.batch.resize(count * length, 0);
        for line in self.batch.chunks_exact_mut(length) {
            line::write(line, sender, course.sent);
            course.send(due);
        }
        let member = &mut self.members[sender];
        member.unsent.extend_from_slice(&self.batch);
        flush(member);
    }

    /// Waits until everything has reached everyone, but not for ever; what has not is lost.
    fn settle(&mut self) -> anyhow::Result<()> {
        let deadline = Deadline::after(PATIENCE);
        let readers = self.readers();
        let due = |room: &Self| -> u64 {
            room.courses.iter().map(|course| course.undelivered(readers)).sum()
        };
        while due(self) > 0 {
            if deadline.has_passed() {
                self.tally.faults.lost += due(self);
                for course in &mut self.courses {
                    course.delivered = u64::from(course.sent) * readers;
                }
                for member in self.members.iter_mut().filter(|member| !member.slow) {
                    member.give_up(&self.courses);
                }
                return Ok(());
            }
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        for at in 0..self.poller.look()? {
            let (index, flags) = self.poller.found(at);
            let member = &mut self.members[index];
            if !member.open {
                continue;
            }
            flush(member);
            if self.receive(index, has_ended(flags)) {
                continue;
            }
            let member = &mut self.members[index];
            member.open = false;
            if !member.slow {
                bail!("the server closed member {index}, which keeps up");
            }
        }
        Ok(())
    }

    /// Counts what has come. False when the connection is over.
    fn receive(&mut self, index: usize, ended: bool) -> bool {
        loop {
            let member = &mut self.members[index];
            let received = match recv(&member.socket, &mut *self.page, RecvFlags::empty()) {
                Ok((0, _)) => return false,
                Ok((received, _)) => received,
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => continue,
                Err(_) => return false,
            };
            let heard_at = Instant::now();
            self.heard_at = heard_at;
            let now = (heard_at - self.epoch).as_nanos() as u64;
            self.tally.receives += u64::from(!member.slow);
            let mut cutter = std::mem::take(&mut member.cutter);
            cutter.feed(&self.page[..received], |line| {
                member.hear(index, line, now, &mut self.courses, &mut self.tally);
            });
            member.cutter = cutter;
            if received < self.page.len() && !ended {
                return true;
            }
        }
    }
}

/// Sends what waits, as far as it goes.
fn flush(member: &mut Member) {
    while !member.unsent.is_empty() {
        match send(&member.socket, &member.unsent, SendFlags::NOSIGNAL) {
            Ok(sent) => drop(member.unsent.drain(..sent)),
            // Another event tells when there is room, or that the connection is over.
            Err(_) => return,
        }
    }
}
