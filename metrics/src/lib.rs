//! Counting without contention, showing without stopping: per-loop counters, exact-merge histograms, StatsD.
