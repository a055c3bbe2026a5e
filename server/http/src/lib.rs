//! The HTTP/1.1 protocol for corelane-eventloop: framing, keep-alive, pipelining, deadlines.
