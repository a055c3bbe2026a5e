//! Middleware in applications, through the whole stack, in the simulator.

mod cors;
mod fields;
mod rig;
