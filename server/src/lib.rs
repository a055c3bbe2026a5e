//! A high-performance server: one pinned loop per core, wired from crates that can each be used alone.
