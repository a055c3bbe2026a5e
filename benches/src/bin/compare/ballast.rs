//! A neighbour that keeps the server's core busy.

use anyhow::Context;

use corelane_benches::launch::{self, Guard};

/// Runs on `core` until it is dropped, without touching memory.
///
/// Where the client is the dearer side, as with new connections, the server would sleep between
/// any two requests and its figure would be the price of waking up. Beside ballast it is served
/// its share of the core in one piece and finds several requests waiting, as under full load.
pub(crate) fn ballast(core: usize) -> anyhow::Result<Guard> {
    let program = std::env::current_exe().context("own path")?;
    let mut command = launch::command(core, &program)?;
    Ok(Guard(command.arg("spin").spawn().context("cannot start the ballast")?))
}

/// What the ballast does: nothing, until it is ended.
pub(crate) fn spin() -> ! {
    // No `spin_loop` hint, which a hypervisor may take as a wish to be descheduled.
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
