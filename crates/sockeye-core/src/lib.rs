//! An Internet host as a plain struct: IP, UDP, TCP, ports and sockets, with neither clock nor I/O, neither threads nor unsafe code.
//!
//! A packet walks a straight line, and only [`Host`] hands it from one room to the next:
//!
//! ```text
//! in:  Link -> Host::receive -> gro -> ip::input -> demux -> tcp::input | udp -> rope -> reader
//! out: writer -> rope -> tcp::output | udp -> ip::output -> gso -> Host::poll_transmit -> Link
//! ```
//!
//! Layers return values; they never call the next layer and never import a sibling. Time and chance are handed in: the same inputs and
//! seed give the same packets, always.

#![forbid(unsafe_code)]

pub mod bsd;
pub mod buf;
pub mod counters;
mod demux;
pub mod error;
pub mod gro;
pub mod gso;
pub mod host;
mod inbox;
mod ip;
pub mod keys;
pub mod netem;
pub mod packet;
pub mod pcap;
mod port;
mod raw;
pub mod script;
pub mod settings;
pub mod sim;
mod slab;
pub mod socket;
mod stray;
mod table;
mod tcp;
pub mod time;
mod tuple;
mod udp;
mod wheel;
pub mod wire;

pub use host::{Host, HostConfig};
pub use packet::Packet;
pub use tcp::Broken;
pub use time::Instant;
