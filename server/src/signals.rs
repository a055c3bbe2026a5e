//! Stopping by signals.

use std::io;

use corelane_eventloop::Nanos;
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};

use crate::supervisor::Stopper;

/// The first SIGTERM, SIGINT or SIGQUIT stops the server, another one cuts its connections.
pub(crate) fn stop(stopper: Stopper, drain: Nanos) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGQUIT])?;
    let obey = move || {
        for (nth, _) in signals.forever().enumerate() {
            match nth {
                0 => stopper.stop(drain),
                _ => stopper.cut(),
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(obey)?;
    Ok(())
}
