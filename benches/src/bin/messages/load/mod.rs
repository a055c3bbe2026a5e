//! The load generator: a process of its own, on a core of its own.

pub(crate) mod echo;
#[cfg(test)]
mod fake;
mod line;
mod member;
pub(crate) mod room;
mod socket;
mod window;

use std::net::SocketAddr;
use std::time::Duration;

use corelane_benches::launch;

use crate::load::echo::Echo;
use crate::load::room::Room;
use crate::sample::Sample;
use crate::workload::{Clients, Workload};

/// Traffic before each window: enough to fill caches and to reach the steady state.
const WARM_UP: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 300 });
/// Given to a server to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(300);

/// Drives one server and prints what was counted, as JSON.
#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    #[arg(long, value_enum)]
    workload: Workload,
    #[arg(long)]
    address: SocketAddr,
    /// The server's process
    #[arg(long)]
    watch: u32,
    /// How long a window is open
    #[arg(long)]
    milliseconds: u32,
}

/// Whom to drive, and how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) process: u32,
    pub(crate) duration: Duration,
}

impl Load {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        launch::raise_descriptors()?;
        let duration = Duration::from_millis(self.milliseconds.into());
        let target = Target { address: self.address, process: self.watch, duration };
        let sample = drive(self.workload.clients(), target)?;
        println!("{}", serde_json::to_string(&sample)?);
        Ok(())
    }
}

fn drive(clients: Clients, target: Target) -> anyhow::Result<Sample> {
    match clients {
        Clients::Echo(plan) => Echo::connect(plan, target)?.run(),
        Clients::Idle(count) => echo::idle(count, target),
        Clients::Room(plan) => Room::join(plan, target)?.run(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use corelane_benches::launch::Guard;

    use super::echo::EchoPlan;
    use super::fake::{self, Misdeed};
    use super::room::{Pace, RoomPlan};
    use super::*;
    use crate::peer::Service;
    use crate::sample::Faults;

    const ECHO: EchoPlan = EchoPlan { connections: 3, depth: 4 };
    const ROOM: RoomPlan =
        RoomPlan { members: 5, senders: 2, slow: 0, pace: Pace::InFlight(4), flood_lines: 8 };

    /// What a server of that kind is found guilty of.
    fn faults(clients: Clients, misdeed: Misdeed) -> Faults {
        let service = match clients {
            Clients::Room(_) => Service::Broadcast,
            Clients::Echo(_) | Clients::Idle(_) => Service::Echo,
        };
        let sample = drive(clients, fake::start(service, misdeed)).unwrap();
        assert!(sample.p50_micros <= sample.p99_micros, "{sample:?}");
        sample.faults
    }

    #[test]
    fn each_misdeed_of_a_server_is_found() {
        let none = Faults::default();
        for (clients, misdeed, expected) in [
            (Clients::Echo(ECHO), Misdeed::Nothing, none),
            (Clients::Echo(ECHO), Misdeed::Drops, Faults { lost: 1, ..none }),
            (Clients::Echo(ECHO), Misdeed::Repeats, Faults { disordered: 1, ..none }),
            (Clients::Echo(ECHO), Misdeed::Alters, Faults { wrong: 1, ..none }),
            (Clients::Room(ROOM), Misdeed::Nothing, none),
            (Clients::Room(ROOM), Misdeed::Drops, Faults { lost: 1, ..none }),
            (Clients::Room(ROOM), Misdeed::Repeats, Faults { disordered: 1, ..none }),
            // The line that was altered is missing, too.
            (Clients::Room(ROOM), Misdeed::Alters, Faults { wrong: 1, lost: 1, ..none }),
            (Clients::Room(ROOM), Misdeed::Returns, Faults { wrong: 1, ..none }),
        ] {
            assert_eq!(faults(clients, misdeed), expected, "{clients:?} {misdeed:?}");
        }
    }

    #[test]
    fn a_receiver_that_is_closed_ends_the_measurement() {
        let target = fake::start(Service::Broadcast, Misdeed::Closes);
        let error = drive(Clients::Room(ROOM), target).unwrap_err();
        assert!(error.to_string().contains("closed member 4"), "{error:#}");
    }

    #[test]
    fn lines_at_a_fixed_pace_are_not_more_than_were_due() {
        let pace = Pace::Fixed { lines_per_second: 400, together: true };
        let room = RoomPlan { pace, slow: 1, ..ROOM };
        let target = fake::start(Service::Broadcast, Misdeed::Nothing);
        let sample = drive(Clients::Room(room), target).unwrap();
        assert_eq!(sample.faults, Faults::default());
        // 40 lines to three who read; fewer if the machine was too busy, but never more.
        let messages = sample.messages_per_second.unwrap() * 0.1;
        assert!((0.0..=121.0).contains(&messages), "{messages}");
        let slow = sample.slow.unwrap();
        assert_eq!((slow.closed, slow.missed_lines_each), (0.0, 0.0));
        assert!((8.0..=10.5).contains(&slow.offered_kibibytes_each), "{slow:?}");
    }

    #[test]
    fn idle_connections_stay_open() {
        let target = fake::start(Service::Echo, Misdeed::Nothing);
        let sample = drive(Clients::Idle(10), target).unwrap();
        assert_eq!(sample.faults, Faults::default());
        assert!(sample.idle_kibibytes.is_some());
    }

    /// The programs that no compiler looks at, as far as their interpreters are installed.
    #[test]
    fn scripts_echo_and_broadcast() {
        let scripts = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rivals/scripts");
        for (interpreter, name) in
            [("node", "wire.mjs"), ("python3", "wire_asyncio.py"), ("python3", "wire_selectors.py")]
        {
            for (option, clients) in
                [("--echo", Clients::Echo(ECHO)), ("--broadcast", Clients::Room(ROOM))]
            {
                let mut command = Command::new(interpreter);
                command.arg(scripts.join(name)).args([option, "--port", "0"]);
                let Ok(child) = command.stdout(Stdio::piped()).spawn() else {
                    println!("{name} is not tried: {interpreter} is not installed");
                    continue;
                };
                let mut guard = Guard(child);
                let mut port = String::new();
                BufReader::new(guard.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
                let address = format!("127.0.0.1:{}", port.trim()).parse().unwrap();
                let duration = Duration::from_millis(20);
                let target = Target { address, process: guard.0.id(), duration };
                // Without an answer this would be an error.
                let sample = drive(clients, target).unwrap();
                assert_eq!(sample.faults, Faults::default(), "{name} {option}");
            }
        }
    }
}
