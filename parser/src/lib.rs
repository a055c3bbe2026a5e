//! HTTP/1.1 on plain slices: a streaming request state machine and a response encoder, no allocation, no I/O.
