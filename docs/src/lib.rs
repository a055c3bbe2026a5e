//! The documents of corelane as tests: every snippet compiles, and tests/tidy.rs keeps the house in order.
