//! Run an unmodified program on a Sockeye host, without root: its socket calls are served by seccomp user notification.
//!
//! A socket of the program is one end of a socket pair; the other end is ours. Bytes, polling, `dup`, `fork` and descriptor passing are the
//! kernel's and cost nothing extra; only calls about addresses, connections and options come here. It is a substitution, not a sandbox: a
//! program that wants to escape can. Nothing escapes by accident: what cannot be served is refused, and when the supervisor ends, the
//! program's network ends with it.

#![forbid(unsafe_code)]

mod address;
mod call;
mod calls;
mod capture;
mod config;
mod datagram;
mod filter;
mod held;
mod identity;
mod lag;
mod launch;
mod link;
mod names;
mod network;
mod outcome;
mod probe;
mod socket;
mod stream;
mod supervisor;

pub use config::{RunConfig, Target};
pub use outcome::{Outcome, SocketCounters, SpawnError};
pub use probe::{Finding, probe};
pub use supervisor::Run;
