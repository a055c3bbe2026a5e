//! What a service manager is told: the protocol of `sd_notify(3)`, if it set `NOTIFY_SOCKET`.

use std::time::Duration;
use std::{io, thread};

use sd_notify::NotifyState;

use crate::supervisor::Pulse;

/// It serves, or serves again after [`reloading`]. `status` is for people.
pub(crate) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// It loads its configuration again; to be followed by [`ready`].
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager cannot be told of the reload"),
    }
}

/// It ends.
pub(crate) fn stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// If the service manager wants a sign of life every so often (`WATCHDOG_USEC`), gives it one twice
/// as often, each time that every lane has turned. The thread lives as long as the process.
///
/// # Errors
/// If there is no thread for it.
pub(crate) fn watch(pulse: Pulse) -> io::Result<()> {
    let Some(interval) = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    else {
        return Ok(());
    };
    let rest = interval / 2;
    thread::Builder::new().name("watchdog".into()).spawn(move || {
        loop {
            sign(&pulse, rest / 2);
            thread::sleep(rest);
        }
    })?;
    Ok(())
}

fn sign(pulse: &Pulse, within: Duration) {
    let missing = pulse.check(within);
    if missing.is_empty() {
        notify(&[NotifyState::Watchdog]);
    } else {
        tracing::error!(lanes = ?missing, "lanes do not turn: the watchdog gets no sign of life");
    }
}

/// Without a service manager, nothing happens.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told: NOTIFY_SOCKET");
    }
}
