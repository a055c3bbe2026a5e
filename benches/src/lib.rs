//! Benchmarks of every corelane crate beside its best-known rival.
