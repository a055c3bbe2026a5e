//! Who gets in, and where they go: listeners, admission and placement of connections.
