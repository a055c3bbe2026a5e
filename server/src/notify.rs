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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    use rustix::time::{ClockId, clock_gettime};

    /// Set in the process that plays the service: a test cannot change its own environment.
    const CHILD: &str = "CORELANE_NOTIFY_CHILD";

    fn monotonic_usec() -> i64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    }

    #[test]
    fn a_reload_is_told_with_its_time() {
        if std::env::var_os(CHILD).is_some() {
            reloading();
            return ready("serving again");
        }
        let path = std::env::temp_dir().join(format!("corelane-notify-{}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        let before = monotonic_usec();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "notify::tests::a_reload_is_told_with_its_time"])
            .env(CHILD, "1")
            .env("NOTIFY_SOCKET", &path)
            .output();
        std::fs::remove_file(&path).unwrap();
        assert!(child.unwrap().status.success());
        let next = || {
            let mut page = [0; 4096];
            let n = socket.recv(&mut page).unwrap();
            String::from_utf8(page[..n].to_vec()).unwrap()
        };
        socket.set_nonblocking(true).unwrap();
        let told = next();
        let time = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!((before..=monotonic_usec()).contains(&time.parse().unwrap()), "{told}");
        assert_eq!(next(), "READY=1\nSTATUS=serving again\n");
    }
}
