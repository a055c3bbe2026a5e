#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod admission;
mod dispatch;
mod inherit;
mod listen;
mod maglev;
mod placement;
mod rate;
mod siphash;
mod targets;
mod unix;

pub use address::{Address, AddressError, AddressErrorKind};
pub use admission::{
    AcceptErrorAction, Admission, AdmissionConfig, AdmissionCounts, ByCause, Open, Overload,
    Verdict,
};
pub use dispatch::{Accepted, DispatchCounts, DispatchError, Dispatcher};
pub use inherit::{InheritError, Inherited, inherited};
pub use listen::{ListenConfig, ListenError, ListenErrorKind, Listener, Stream, bind, bind_group};
pub use placement::{HashBy, Placement, PlacementError, Placer};
pub use rate::Rate;
pub use targets::Targets;
pub use unix::SocketFile;
