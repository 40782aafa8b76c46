//! The core's errors as `io::Error`s of the kernel's kind and errno.

use sockeye_core::error::{BindError, ConnectError, Errno, ListenError, SendError, SocketError, WriteError};
use std::io;

/// An error with this errno, and so the kind and text that a kernel socket's would have.
pub(crate) fn errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}

macro_rules! from {
    ($($name:ident: $error:ty;)*) => {$(
        pub(crate) fn $name(error: $error) -> io::Error {
            // The errno has no room for our reason.
            tracing::debug!(%error, errno = ?error.errno(), "socket call failed");
            errno(error.errno())
        }
    )*};
}

from! {
    bind: BindError;
    listen: ListenError;
    connect: ConnectError;
    send: SendError;
    write: WriteError;
    socket: SocketError;
}

/// The host's task is gone, and with it whoever moves packets.
pub(crate) fn down() -> io::Error {
    errno(Errno::ENETDOWN)
}

/// A `try_*` function found nothing to do. tokio's has no errno either.
pub(crate) fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}
