//! The queues of a socket: how much lies in them (SIOCINQ, SIOCOUTQ), and looking without taking (SO_PEEK_OFF). unix(7), socket(7).

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

/// From now on, each look at the queue (`MSG_PEEK`) begins where the last one ended (`SO_PEEK_OFF`); what is taken out of it counts back.
///
/// # Errors
/// `EOPNOTSUPP` for sockets that have no such thing.
pub fn look_on(socket: impl AsFd) -> io::Result<()> {
    let front: libc::c_int = 0;
    // SAFETY: the kernel reads one int.
    let got = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEEK_OFF,
            (&raw const front).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if got < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
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
