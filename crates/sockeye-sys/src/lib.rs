//! Every unsafe line of Sockeye: thin, safe wrappers around system calls that own their descriptors.
//!
//! What `rustix` offers safely is used from there directly; here is what it does not offer.

pub mod bpf;
pub mod calls;
pub mod descriptor;
pub mod interfaces;
pub mod memory;
pub mod net;
pub mod packet;
pub mod packetdrill;
pub mod pair;
pub mod queue;
pub mod seccomp;
pub mod signal;
pub mod tun;
pub mod usage;
