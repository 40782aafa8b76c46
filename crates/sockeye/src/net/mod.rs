//! Sockets shaped like tokio's, name for name and meaning for meaning, over a [`Host`](crate::Host) instead of the kernel.
//!
//! Change `use tokio::net` to `use sockeye::net` and say which host is meant: by [`Host::enter`](crate::Host::enter),
//! [`Host::scope`](crate::Host::scope) or [`Host::make_default`](crate::Host::make_default), or with the host's own methods
//! ([`Host::tcp_connect`](crate::Host::tcp_connect), ...), which need none of these.
//!
//! Errors are those that tokio gives: same kind, same errno; [`reason`] tells more. Futures are as safe to drop as tokio's. What differs:
//!
//! - There is no descriptor, so no `from_std`, `into_std`, `as_raw_fd`; devices cannot be bound.
//! - A name is looked up among the host's own ([`HostBuilder::name`](crate::host::HostBuilder::name)), then by the name servers that it was
//!   given ([`HostBuilder::name_server`](crate::host::HostBuilder::name_server)), not by the machine's.
//! - Lingering for a time does not hold up whoever drops a stream: it is delivered in the background, as without it.
//! - A buffer size that was set is what is used and shown; Linux uses and shows twice that.
//! - [`TcpStream::read_chunk`], [`TcpStream::write_chunk`], [`TcpStream::info`], [`UdpSocket::recv_msg`], [`UdpSocket::send_msg`], `options`
//!   and `host` are more than tokio has.

mod address;
pub(crate) mod errors;
mod future;
mod tcp;
mod udp;

pub use address::{ToSocketAddrs, lookup_host};
pub use errors::{Reason, reason};
pub use sockeye_core::socket::{Outgoing, Received};
pub use tcp::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, TcpListener, TcpSocket, TcpStream, WriteHalf};
pub use udp::UdpSocket;

pub(crate) use address::{resolve, shown};
pub(crate) use tcp::{connect, listen};
pub(crate) use udp::udp_bind;
