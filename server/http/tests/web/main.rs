//! Web applications through the whole stack, on a simulated network in virtual time.

mod chance;
mod chaos;
mod handlers;
mod later;
mod rig;
mod stream;
mod upload;
