//! Bytes to headers and back. No state, and no judgement beyond what makes a header readable.

pub mod arp;
pub mod checksum;
pub mod ecn;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod layout;
pub mod ndp;
pub mod protocol;
pub mod tcp;
pub mod udp;

pub use layout::packet_from_bytes;
