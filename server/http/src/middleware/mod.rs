//! Middleware for [`web`](crate::web) applications.
