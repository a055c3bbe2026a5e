#![doc = include_str!("../README.md")]

pub mod absences;
pub mod arrows;
pub mod documents;
pub mod finding;
pub mod layout;
pub mod leftovers;
pub mod links;
pub mod manifest;
pub mod markdown;
pub mod path;
pub mod sizes;
pub mod source;
pub mod tree;
pub mod words;

/// Every document that shows Rust, as a doc test. `documents::snippets_compiled` fails for a
/// document with a Rust fence that is missing here.
#[cfg(doctest)]
mod snippets {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../CONTRIBUTING.md")]
    mod contributing {}
    #[doc = include_str!("../ARCHITECTURE.md")]
    mod architecture {}
    #[doc = include_str!("../book/one-request.md")]
    mod one_request {}
    #[doc = include_str!("../book/own-protocol.md")]
    mod own_protocol {}
    #[doc = include_str!("../BENCHMARKING.md")]
    mod benchmarking {}
    #[doc = include_str!("../LEXICON.md")]
    mod lexicon {}
    #[doc = include_str!("../TESTING.md")]
    mod testing {}
}
