//! Clients that get back what they send.

use std::thread;
use std::time::Instant;

use anyhow::{Context, bail};
use corelane_load::process;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::line::{self, Cutter, LINE_BYTES, SENDER_COUNT_MAX};
use super::socket::{Deadline, OPENING_COUNT_MAX, PATIENCE, Poller, Receives, connect, has_ended};
use super::window::{Tally, Window};
use super::{SETTLE, Target, WARM_UP};
use crate::sample::Sample;

/// Messages in flight on a connection at most.
pub(crate) const DEPTH_MAX: usize = 16;
const PAGE_BYTES: usize = 64 * 1024;
/// Messages of the first connection, before memory is read: what they set up is no cost of others.
const FIRST_MESSAGES: u32 = 100;

/// How many clients, and how many messages each has in flight, at most [`DEPTH_MAX`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct EchoPlan {
    pub(crate) connections: usize,
    pub(crate) depth: usize,
}

/// Clients in a closed loop: a message is sent when one has come back.
pub(crate) struct Echo {
    depth: usize,
    target: Target,
    epoch: Instant,
    poller: Poller,
    links: Vec<Link>,
    page: Box<[u8]>,
    batch: Vec<u8>,
    tally: Tally,
    /// Whether messages that have come back are followed by others.
    goes_on: bool,
    in_flight: u64,
}

/// One connection.
struct Link {
    socket: OwnedFd,
    cutter: Cutter,
    /// Messages so far.
    sent: u32,
    received: u32,
    sent_at: [u64; DEPTH_MAX],
    open: bool,
}

impl Link {
    fn new(socket: OwnedFd) -> Self {
        let (sent, received, sent_at) = (0, 0, [0; DEPTH_MAX]);
        Self { socket, cutter: Cutter::default(), sent, received, sent_at, open: true }
    }
}

/// What message `count` of a connection says, so that no other's can be taken for it: a sender, and
/// a sequence number.
fn identity(index: usize, count: u32) -> (usize, u32) {
    let group = (index / SENDER_COUNT_MAX) as u32;
    (index % SENDER_COUNT_MAX, group << 24 | count & 0x00FF_FFFF)
}

impl Echo {
    /// Opens all connections; each has had one message back.
    pub(crate) fn connect(plan: EchoPlan, target: Target) -> anyhow::Result<Self> {
        let mut echo = Self {
            depth: plan.depth.clamp(1, DEPTH_MAX),
            target,
            epoch: Instant::now(),
            poller: Poller::new()?,
            links: Vec::with_capacity(plan.connections),
            page: vec![0; PAGE_BYTES].into_boxed_slice(),
            batch: Vec::with_capacity(DEPTH_MAX * LINE_BYTES),
            tally: Tally::new()?,
            goes_on: false,
            in_flight: 0,
        };
        while echo.links.len() < plan.connections {
            let opening = OPENING_COUNT_MAX.min(plan.connections - echo.links.len());
            for _ in 0..opening {
                echo.open()?;
            }
            echo.settle();
            if echo.in_flight > 0 {
                bail!("{} of {} connections answer", echo.answering(), echo.links.len());
            }
        }
        Ok(echo)
    }

    /// Warms up, measures, and waits for what is in flight.
    pub(crate) fn run(mut self) -> anyhow::Result<Sample> {
        self.goes_on = true;
        for index in 0..self.links.len() {
            self.send(index, self.depth);
        }
        self.turn_until(Deadline::after(WARM_UP))?;
        let window = Window::open(self.target.process, &mut self.tally)?;
        self.turn_until(Deadline::after(self.target.duration))?;
        let mut sample = window.close(&self.tally)?;
        self.goes_on = false;
        self.settle();
        self.tally.faults.lost += self.in_flight;
        sample.faults = self.tally.faults;
        Ok(sample)
    }

    fn open(&mut self) -> anyhow::Result<()> {
        let index = self.links.len();
        let socket = connect(self.target.address, Receives::Usual)
            .with_context(|| format!("connection {}", index + 1))?;
        self.poller.add(&socket, index)?;
        self.links.push(Link::new(socket));
        self.send(index, 1);
        Ok(())
    }

    fn answering(&self) -> usize {
        self.links.iter().filter(|link| link.open && link.received == link.sent).count()
    }

    fn turn_until(&mut self, deadline: Deadline) -> anyhow::Result<()> {
        while !deadline.has_passed() {
            self.turn()?;
        }
        Ok(())
    }

    /// Waits until everything has come back, but not for ever.
    fn settle(&mut self) {
        let deadline = Deadline::after(PATIENCE);
        while self.in_flight > 0 && !deadline.has_passed() {
            if self.turn().is_err() {
                return;
            }
        }
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        for at in 0..self.poller.look()? {
            let (index, flags) = self.poller.found(at);
            if self.links[index].open && !self.receive(index, has_ended(flags)) {
                self.links[index].open = false;
                self.tally.faults.closed += 1;
            }
        }
        Ok(())
    }

    /// Counts what has come, and sends as much again. False when the connection is over.
    fn receive(&mut self, index: usize, ended: bool) -> bool {
        loop {
            let link = &mut self.links[index];
            let received = match recv(&link.socket, &mut *self.page, RecvFlags::empty()) {
                Ok((0, _)) => return false,
                Ok((received, _)) => received,
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => continue,
                Err(_) => return false,
            };
            let now = self.epoch.elapsed().as_nanos() as u64;
            self.tally.receives += 1;
            let Link { cutter, received: count, sent, sent_at, .. } = link;
            let before = *count;
            cutter.feed(&self.page[..received], |line| {
                let (tag, expected) = identity(index, *count);
                let known = line::read(line).filter(|(sender, _)| *sender == tag);
                let ahead = known.map(|(_, sequence)| sequence.wrapping_sub(expected));
                match ahead {
                    Some(gap) if gap < *sent - *count => {
                        *count += gap;
                        self.tally.faults.lost += u64::from(gap);
                        self.tally.score(now - sent_at[*count as usize % DEPTH_MAX]);
                        *count += 1;
                    }
                    Some(_) => self.tally.faults.disordered += 1,
                    None => {
                        self.tally.faults.wrong += 1;
                        *count = (*count + 1).min(*sent);
                    }
                }
            });
            let back = *count - before;
            self.in_flight -= u64::from(back);
            if self.goes_on && back > 0 && !self.send(index, back as usize) {
                return false;
            }
            if received < self.page.len() && !ended {
                return true;
            }
        }
    }

    /// Sends `count` messages. False when the socket does not take them, which is never full.
    fn send(&mut self, index: usize, count: usize) -> bool {
        let now = self.epoch.elapsed().as_nanos() as u64;
        let link = &mut self.links[index];
        self.batch.resize(count * LINE_BYTES, 0);
        for line in self.batch.chunks_exact_mut(LINE_BYTES) {
            let (sender, sequence) = identity(index, link.sent);
            line::write(line, sender, sequence);
            link.sent_at[link.sent as usize % DEPTH_MAX] = now;
            link.sent += 1;
        }
        self.in_flight += count as u64;
        send(&link.socket, &self.batch, SendFlags::NOSIGNAL) == Ok(self.batch.len())
    }
}

/// Opens `count` connections with one message each, and reads what they cost the server.
pub(crate) fn idle(count: usize, target: Target) -> anyhow::Result<Sample> {
    let resident = || process::resident_bytes(target.process).context("memory of the server");
    let mut first = Echo::connect(EchoPlan { connections: 1, depth: 1 }, target)?;
    for _ in 0..FIRST_MESSAGES {
        first.send(0, 1);
        first.settle();
    }
    thread::sleep(SETTLE);
    let before = resident()?;
    let all = Echo::connect(EchoPlan { connections: count, depth: 1 }, target)?;
    thread::sleep(SETTLE);
    let bytes = resident()?.saturating_sub(before);
    let mut sample = Sample { faults: all.tally.faults, ..Sample::default() };
    let closed = |link: &&Link| {
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        recv(&link.socket, &mut [0; 1], look).err() != Some(Errno::AGAIN)
    };
    sample.faults.closed += all.links.iter().filter(closed).count() as u64;
    sample.idle_kibibytes = Some(bytes as f64 / 1024.0 / count as f64);
    Ok(sample)
}
