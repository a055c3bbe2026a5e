//! A lean load generator for HTTP/1.1 servers.
