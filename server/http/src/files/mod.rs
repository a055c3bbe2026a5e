//! Static files: a directory served over HTTP.
