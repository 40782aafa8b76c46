//! The core's errors as `io::Error`s of the kernel's kind and errno.

use sockeye_core::error::{BindError, ConnectError, Errno, ListenError, SendError, SocketError, WriteError};
use std::cell::Cell;
use std::fmt;
use std::io;

/// An error with this errno, and so the kind and text that a kernel socket's would have.
pub(crate) fn errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}

thread_local! {
    static LAST: Cell<Option<Reason>> = const { Cell::new(None) };
}

/// Why a call failed, in more words than its errno has: "no free port left" and "address already in use" are both `EADDRINUSE`.
///
/// See [`reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A local address could not be had.
    Bind(BindError),
    /// Listening failed.
    Listen(ListenError),
    /// Connecting could not begin.
    Connect(ConnectError),
    /// A datagram was not sent.
    Send(SendError),
    /// Bytes were not queued.
    Write(WriteError),
    /// Something happened to the socket before: a reset, a refusal, an ICMP error.
    Socket(SocketError),
}

/// Why the last call that failed on this thread did, when `error` is what it gave.
///
/// The errors of this crate's sockets are made as the kernel's are, of an errno alone: programs written for tokio or `std` ask for
/// `raw_os_error` and `kind`, and get what they know. Such an error has no room for more, so the reason is kept beside it, as C keeps its
/// `errno`: ask before the next call, and in a task before the next `await`. Errors for which there is no errno have their reason in their text.
///
/// ```
/// use sockeye::net::{self, Reason, TcpListener};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = sockeye::Host::builder().build()?;
/// let error = host.scope(TcpListener::bind("192.0.2.1:80")).await.unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::AddrNotAvailable);
/// let reason = net::reason(&error).ok_or("no reason")?;
/// assert!(matches!(reason, Reason::Bind(_)));
/// assert_eq!(reason.to_string(), "address is not one of this host's");
/// # Ok(()) }
/// ```
pub fn reason(error: &io::Error) -> Option<Reason> {
    let last = LAST.try_with(Cell::get).ok().flatten()?;
    (error.raw_os_error() == Some(last.errno() as i32)).then_some(last)
}

impl std::error::Error for Reason {}

macro_rules! from {
    ($($name:ident: $variant:ident($error:ty);)*) => {
        $(
            pub(crate) fn $name(error: $error) -> io::Error {
                tracing::debug!(%error, errno = ?error.errno(), "socket call failed");
                // A thread that ends may have lost the place for it already.
                let _ = LAST.try_with(|last| last.set(Some(Reason::$variant(error))));
                errno(error.errno())
            }
        )*

        impl Reason {
            const fn errno(self) -> Errno {
                match self {
                    $(Self::$variant(error) => error.errno(),)*
                }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(error) => error.fmt(f),)*
                }
            }
        }
    };
}

from! {
    bind: Bind(BindError);
    listen: Listen(ListenError);
    connect: Connect(ConnectError);
    send: Send(SendError);
    write: Write(WriteError);
    socket: Socket(SocketError);
}

/// The host's task is gone, and with it whoever moves packets.
pub(crate) fn down() -> io::Error {
    errno(Errno::ENETDOWN)
}

/// A `try_*` function found nothing to do. tokio's has no errno either.
pub(crate) fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Host;
    use crate::link;

    #[tokio::test(start_paused = true)]
    async fn a_reason_belongs_to_its_error() {
        let (left, right) = link::pair();
        let host = Host::builder().address("10.0.0.1/24").link(left).build().unwrap();
        let other = Host::builder().address("10.0.0.2/24").link(right).build().unwrap();
        let refused = host.tcp_connect("10.0.0.2:80").await.unwrap_err();
        assert_eq!(reason(&refused), Some(Reason::Socket(SocketError::ConnectionRefused)));
        let nowhere = host.tcp_connect("192.0.2.1:80").await.unwrap_err();
        assert_eq!(reason(&nowhere), Some(Reason::Connect(ConnectError::Unreachable)));
        assert_eq!(
            reason(&nowhere).map(|reason| reason.to_string()).as_deref(),
            Some("no route to the remote address")
        );
        // Not of the last call, and not of ours.
        assert_eq!(reason(&refused), None);
        assert_eq!(reason(&io::Error::other("else")), None);
        let _first = other.udp_bind("10.0.0.2:53").await.unwrap();
        let taken = other.udp_bind("10.0.0.2:53").await.unwrap_err();
        assert_eq!(reason(&taken), Some(Reason::Bind(BindError::AddressInUse)));
        let elsewhere = std::thread::spawn(move || reason(&taken));
        assert_eq!(elsewhere.join().unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn two_reasons_of_one_errno_are_told_apart() {
        let host = Host::builder()
            .sysctl("net.ipv4.ip_local_port_range", "50000 50000")
            .build()
            .unwrap();
        let _first = host.udp_bind("127.0.0.1:0").await.unwrap();
        let full = host.udp_bind("127.0.0.1:0").await.unwrap_err();
        let taken = host.udp_bind("127.0.0.1:50000").await.unwrap_err();
        assert_eq!(full.raw_os_error(), taken.raw_os_error());
        assert_eq!(reason(&taken), Some(Reason::Bind(BindError::AddressInUse)));
        let _ = host.udp_bind("127.0.0.1:0").await.unwrap_err();
        assert_eq!(reason(&full), Some(Reason::Bind(BindError::PortsExhausted)));
    }
}
