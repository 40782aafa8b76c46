//! Sockeye as a library that Google's [packetdrill](https://github.com/google/packetdrill) loads in place of a kernel, to play its scripts against it.
//!
//! # Use
//! ```sh
//! cargo build --release -p sockeye-packetdrill
//! packetdrill --so_filename=$PWD/target/release/libsockeye_packetdrill.so SCRIPT.pkt
//! ```
//! packetdrill itself is built from its sources; no root, no TUN device and no network are needed then. Time is virtual: a script of minutes takes
//! milliseconds, and the same run comes out the same each time.
//!
//! # Flags
//! `--so_flags="..."` and, before it, the environment variable `SOCKEYE_SYSCTL` take settings as `name=value`, separated by blanks, commas or
//! semicolons (a setting of several numbers is written with blanks or commas between them: `net.ipv4.tcp_rmem=4096 131072 6291456`). Environment
//! variables with the name of a sysctl count, too, and are read first.
//!
//! | flag | meaning | without it |
//! |---|---|---|
//! | `local=ADDRESS` | an address of the host, IPv4 or IPv6; may be repeated | 192.168.0.1 and fd3d:a0b:17d6::1 |
//! | `mtu=BYTES` | of the one link, 1280 to 65535 | 1500 |
//! | `seed=NUMBER` | what ports and initial sequence numbers follow from | 0 |
//! | `net.ipv4.tcp_*=VALUE` and other sysctls | the setting of that name: `sockeye sysctl` lists them all | what that list says, but no pacing (`tcp_pacing_ss_ratio` and `tcp_pacing_ca_ratio` are 0) and no probing of the path (`tcp_mtu_probing` is 0) |
//!
//! What is not known is told on standard error and passed over, since scripts set sysctls that only a kernel has. The kernel's own tests
//! (tools/testing/selftests/net/packetdrill) want what their `defaults.sh` sets in a kernel:
//!
//! ```sh
//! packetdrill --so_filename=... --local_ip=192.168.0.1 --remote_ip=192.0.2.1 --so_flags="net.ipv4.tcp_rmem=4096 540000 15728640 \
//!     net.ipv4.tcp_wmem=4096 262144 4194304 net.ipv4.tcp_syn_retries=5 net.ipv4.tcp_slow_start_after_idle=0 net.ipv4.tcp_early_retrans=4 \
//!     net.ipv4.tcp_ecn=0 net.ipv4.tcp_fastopen=3" tcp_basic_server.pkt
//! ```
//!
//! # What packetdrill finds
//! - A host with one link, bare IP, that reaches every remote without neighbours. Every address that packetdrill sends packets to or binds is the
//!   host's (`--local_ip` need not be told). `mtu=1520` goes with packetdrill's `--mtu=1520`.
//! - Sockets of both families and of TCP, UDP, ICMP echo and raw IP, with the calls, options and errno of Linux; pipes, `splice`, `epoll`.
//! - A clock that stands still but for one microsecond at each reading, that `usleep` moves on, and that `netdev_receive` moves to the next timer
//!   of the host while nothing has left. When nothing leaves within three virtual hours it fails with ETIMEDOUT; asked for the third time it gives a
//!   packet of no bytes, for packetdrill would ask for ever, but ends a script at a packet that it cannot read.
//! - A call that waits on the second thread is looked at again at every packet, timer and call, at the instant it happens; time does not go on before
//!   its thread has read the clock.
//!
//! # Limits
//! - Timestamping, zero-copy: the calls fail as on a kernel without them.
//! - packetdrill's `%{ ... }%` code asks the kernel, not the library, for TCP_INFO, and so cannot be used with any library.

#![forbid(unsafe_code)]

mod flags;
mod machine;
mod stack;

pub use machine::Machine;

sockeye_sys::export_packetdrill_stack!(Machine);
