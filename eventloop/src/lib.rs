//! One pinned loop per core that steps protocols written as state machines, under a real or a simulated network.
