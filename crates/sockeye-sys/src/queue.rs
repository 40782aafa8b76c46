//! How much lies in the queues of a socket: SIOCINQ and SIOCOUTQ. unix(7).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes in the receive queue.
///
/// # Errors
/// As the kernel says.
pub fn received(socket: impl AsFd) -> io::Result<usize> {
    ask(socket, libc::FIONREAD)
}

/// Memory charged for what was sent and not yet received; for socket pairs this counts the kernel's buffers, not the payload.
///
/// # Errors
/// As the kernel says.
pub fn unreceived(socket: impl AsFd) -> io::Result<usize> {
    ask(socket, libc::TIOCOUTQ)
}

fn ask(socket: impl AsFd, request: libc::Ioctl) -> io::Result<usize> {
    let mut value: libc::c_int = 0;
    // SAFETY: both requests write one int.
    let got = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), request, &raw mut value) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value.max(0) as usize)
}
