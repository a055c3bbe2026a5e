//! Ends a poll on time.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::time::Nanos;

/// A timer that ends a poll: the poll's own end comes in whole milliseconds.
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    /// Registered with this token; it reports edges only.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Alarm> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let mut source = SourceFd(&timer.as_raw_fd());
        registry.register(&mut source, token, Interest::READABLE)?;
        Ok(Alarm(timer))
    }

    /// Goes off once, after this time, unless it is set anew before. Nobody reads how often it went
    /// off: each time is an edge of its own.
    pub(super) fn set(&self, after: Nanos) -> io::Result<()> {
        // Half of the range is 292 years.
        let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX / 2);
        let at = Timespec { tv_sec: seconds, tv_nsec: (after.0 % 1_000_000_000) as _ };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let time = Itimerspec { it_interval: never, it_value: at };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &time)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_goes_off_once() {
        let mut poll = mio::Poll::new().expect("a poll");
        let mut events = mio::Events::with_capacity(4);
        let alarm = Alarm::new(poll.registry(), Token(7)).expect("a timer");
        let deadline = Some(std::time::Duration::from_secs(10));
        for _ in 0..3 {
            alarm.set(Nanos::from_micros(50)).expect("it is set");
            poll.poll(&mut events, deadline).expect("a poll");
            assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(7)]);
            poll.poll(&mut events, Some(std::time::Duration::ZERO)).expect("a poll");
            assert!(events.is_empty());
        }
        // One that is set anew goes off at the new time only.
        alarm.set(Nanos::from_secs(3600)).expect("it is set");
        alarm.set(Nanos::from_micros(50)).expect("it is set");
        poll.poll(&mut events, deadline).expect("a poll");
        assert_eq!(events.iter().count(), 1);
    }
}
