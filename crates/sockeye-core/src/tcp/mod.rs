//! TCP: one connection and all that belongs to it. `host` owns the connections; nothing here knows a link, an address table or a clock.
//!
//! The life of a segment, in reading order:
//!
//! | file | holds | specification |
//! |---|---|---|
//! | `seq` | arithmetic on sequence numbers | RFC 9293 §3.4 |
//! | `options` | what the SYNs agreed; timestamps clock | RFC 7323, 2018, 9293 §3.7.1 |
//! | `tcb` | one connection's state | RFC 9293 §3.3 |
//! | `open` | opening, actively, passively, simultaneously; initial sequence numbers | §3.5, RFC 6528 |
//! | `listen` | SYN queue, accept queue | RFC 4987 |
//! | `cookie` | opening without memory | RFC 4987 §3.6 |
//! | `fast_open` | data in the SYN: cookies of both sides | RFC 7413 |
//! | `input` | SEGMENT ARRIVES, in the RFC's order | §3.10.7 |
//! | `ack` | what an acknowledgement means to the sender | RFC 5681, 7323 |
//! | `delayed_ack` | when we acknowledge | §3.8.6.3 |
//! | `sent` | every byte sent and not acknowledged | RFC 2018, 6675 |
//! | `recovery` | episodes of loss; duplicates without SACK | RFC 5681, 6582, 3042 |
//! | `rack`, `tail_probe` | what is lost, and asking for it | RFC 8985 |
//! | `undo`, `frto` | was it lost indeed | RFC 3522, 3708, 4015, 5682 |
//! | `rtt`, `prr`, `congestion` | how long, how fast, how much | RFC 6298, 9937, 9438, 9406 |
//! | `rate`, `pacing` | how fast the path delivers; how fast bursts leave | draft-ietf-ccwg-bbr §4.1 |
//! | `ecn` | congestion told by marks | RFC 3168 §6.1, 8511 |
//! | `mtu_probe` | how long segments may be | RFC 4821, 8899 |
//! | `assembler` | bytes out of order | §3.10.7.4 |
//! | `window` | what we offer to receive | §3.8.6 |
//! | `output` | what may be sent now | §3.7, §3.8 |
//! | `record` | where no segment may reach across | send(2) |
//! | `timers` | what falls due | RFC 6298, 8985 |
//! | `urgent` | the urgent pointer, both ways | §3.8.5, RFC 6093 |
//! | `user_timeout` | how long data may wait for its acknowledgement | RFC 5482 |
//! | `close` | FIN, half close, reset | §3.6 |
//! | `time_wait` | the memory of a closed connection | §3.6.1 |
//! | `budget` | memory of all connections together, and who gives way when there is too little | RFC 4732 §3 |
//! | `limits` | answers that an attacker could ask for too often | RFC 5961 |
//! | `stats` | sums that outlive the flow, and what held the sender back | RFC 4898 |
//! | `info` | a snapshot for the curious | tcp(7) |
//! | `check` | what must always hold | |

mod ack;
mod assembler;
mod budget;
mod check;
mod close;
mod congestion;
mod cookie;
mod delayed_ack;
mod ecn;
mod fast_open;
mod frto;
mod info;
mod input;
mod limits;
mod listen;
mod mtu_probe;
mod open;
mod options;
mod output;
mod pacing;
mod prr;
mod rack;
mod rate;
mod record;
mod recovery;
mod rtt;
mod sent;
mod seq;
mod stats;
mod tail_probe;
mod tcb;
mod time_wait;
mod timers;
mod undo;
mod urgent;
mod user;
mod user_timeout;
mod window;

pub(crate) use budget::{Budget, Pressure};
pub use check::Broken;
pub(crate) use check::check;
pub(crate) use cookie::{redeem, stamp};
pub(crate) use ecn::accepts as accepts_ecn;
pub(crate) use fast_open::{
    Cache as FastOpenCache, News as FastOpenNews, Pending, enable as fast_open_enable, pending_limit,
};
pub(crate) use input::{Cx, Reply, Segment, segment_arrives};
pub(crate) use limits::Limits;
pub(crate) use listen::{HalfOpen, Listener, SynReceived};
pub(crate) use open::{SynFacts, TcpKeys, answer, connect, refuse_segment};
pub(crate) use output::next as next_packet;
pub(crate) use seq::SeqNumber;
pub(crate) use tcb::{Bits, Tcb};
pub(crate) use time_wait::{Straggler, TimeWait};
pub(crate) use timers::on_deadline;

#[cfg(test)]
mod tests;
