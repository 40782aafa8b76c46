//! Features of the core, tested as its users see it: through [`sockeye_core::Host`] in a simulated network. One module a theme.
//!
//! `SOCKEYE_SEED=7` runs one seed again, `SOCKEYE_PCAP=file` with it writes what was on the wire; `SOCKEYE_TRANSFERS=10000` and
//! `SOCKEYE_FUZZ=10000000` run that many instead of the few that fit a coffee break.

mod attacks;
mod captures;
mod counters;
mod determinism;
mod ecn;
mod edges;
mod fast_open;
mod fuzz;
mod goodput;
mod ip;
mod matrix;
mod pacing;
mod path_mtu;
mod progress;
mod queues;
mod reordering;
mod scripts;
mod support;
mod sysctl;
mod target;
mod tcp;
mod tcp_info;
mod tidy;
mod transfers;
mod urgent;
mod wire;
