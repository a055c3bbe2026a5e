//! HTTP/1.1 (RFC 9112) and HTTP/1.0 messages: requests in, responses out, and the reverse as far
//! as a client needs it.
//!
//! | module | what |
//! |---|---|
//! | [`machine`] | head, body, next head: the state of one connection's input |
//! | [`head`] | request heads, zero-copy |
//! | [`scan`] | where a head ends, found in linear time however it arrives |
//! | [`target`], [`host`], [`method`] | the parts of a head |
//! | [`body`], [`chunked`] | message bodies, by length and by chunks |
//! | [`limits`] | what a peer may send |
//! | [`FieldBlock`], [`encode`], [`prerendered`], [`status`], [`date`] | responses out |
//! | [`response`] | response heads in |

mod block;
pub mod body;
pub mod chunked;
pub mod date;
pub mod encode;
mod fault;
pub(crate) mod framing;
pub mod head;
pub mod host;
pub mod limits;
pub mod machine;
pub mod method;
pub mod prerendered;
mod read;
pub mod response;
pub mod scan;
pub mod status;
pub mod target;

pub use block::FieldBlock;
pub use body::{Body, BodyKind, BodyStep};
pub use date::{DateCache, HttpDate};
pub use head::{Field, FieldSlots, Fields, Head, HeadParser, Progress, Version};
pub use limits::Limits;
pub use machine::{Phase, RequestMachine};
pub use method::Method;
pub use prerendered::Prerendered;
pub use target::TargetForm;
