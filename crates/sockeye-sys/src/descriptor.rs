//! Descriptors as integers, for those who speak the C interface: a number is whatever the process has there, or `EBADF`.

use rustix::net::{AddressFamily, sockopt};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// Does `f` with the descriptor that the process has under a number. The number is looked up once: whoever closes it meanwhile makes `f` fail,
/// or work on what took its place, as in C.
///
/// # Errors
/// `EBADF` when there is none.
pub fn with<R>(fd: RawFd, f: impl FnOnce(BorrowedFd<'_>) -> R) -> io::Result<R> {
    // SAFETY: fcntl(2) with F_GETFD takes no pointers, and any number.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is not -1, and was open a moment ago; calls on one that is not any more fail with EBADF.
    Ok(f(unsafe { BorrowedFd::borrow_raw(fd) }))
}

/// The kernel's name for a socket: the same for all descriptors of it, and never used again. `None` for what is no socket.
pub fn cookie(socket: impl AsFd) -> Option<u64> {
    sockopt::socket_cookie(socket).ok()
}

/// The number of a descriptor that is the caller's to close from now on.
pub fn hand_out(fd: OwnedFd) -> RawFd {
    std::os::fd::IntoRawFd::into_raw_fd(fd)
}

/// Closes a socket by its number. Only local sockets and the ends of pairs, so that nobody's files and network sockets are closed by mistake.
///
/// # Errors
/// `EBADF` when the process has no such socket there.
pub fn close(fd: RawFd) -> io::Result<()> {
    check_local(fd)?;
    // SAFETY: close(2) takes no pointers. Whose number it is, the caller says.
    number(unsafe { libc::close(fd) }).map(drop)
}

/// Makes `new` another number of the socket `old`, closing what was there: dup2(2). What was there must be a local socket or nothing.
///
/// # Errors
/// `EBADF` when `old` is no local socket, or `new` is something else than one.
pub fn dup2(old: RawFd, new: RawFd) -> io::Result<RawFd> {
    check_local(old)?;
    if with(new, |_| ()).is_ok() {
        check_local(new)?;
    }
    // SAFETY: dup2(2) takes no pointers; what it closes was checked.
    number(unsafe { libc::dup2(old, new) })
}

/// One entry of [`poll`]: a number, what to look for, and what is.
pub type Polled = (RawFd, i16, i16);

/// poll(2): how many entries have something; waits for `timeout` milliseconds, or for ever when it is negative.
///
/// # Errors
/// Those of the call. Numbers that are nothing get `POLLNVAL`.
pub fn poll(fds: &mut [Polled], timeout: i32) -> io::Result<usize> {
    let entry = |(fd, events, _): &Polled| libc::pollfd {
        fd: *fd,
        events: *events,
        revents: 0,
    };
    let mut list: Vec<libc::pollfd> = fds.iter().map(entry).collect();
    // SAFETY: the list lives through the call, with the length given.
    let found = number(unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, timeout) })?;
    for (fd, polled) in fds.iter_mut().zip(&list) {
        fd.2 = polled.revents;
    }
    Ok(found as usize)
}

/// fcntl(2) of a local socket with a command that takes a number or nothing: duplicating, descriptor flags, status flags.
///
/// # Errors
/// Those of the call; `EINVAL` for other commands, `EBADF` for what is no local socket.
pub fn fcntl(fd: RawFd, command: i32, argument: i32) -> io::Result<i32> {
    const TAKING_NUMBERS: [i32; 6] = [
        libc::F_DUPFD,
        libc::F_DUPFD_CLOEXEC,
        libc::F_GETFD,
        libc::F_SETFD,
        libc::F_GETFL,
        libc::F_SETFL,
    ];
    check_local(fd)?;
    if !TAKING_NUMBERS.contains(&command) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: these commands take a number and no pointer.
    number(unsafe { libc::fcntl(fd, command, argument) })
}

fn check_local(fd: RawFd) -> io::Result<()> {
    let family = with(fd, |fd| sockopt::socket_domain(fd))?;
    match family {
        Ok(AddressFamily::UNIX) => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EBADF)),
    }
}

fn number(result: libc::c_int) -> io::Result<RawFd> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair;
    use std::os::fd::AsRawFd;

    #[test]
    fn only_local_sockets_are_closed_by_number() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let network = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for fd in [file.as_raw_fd(), network.as_raw_fd(), -1, i32::MAX] {
            assert_eq!(close(fd).unwrap_err().raw_os_error(), Some(libc::EBADF), "{fd}");
        }
        assert!(with(file.as_raw_fd(), |_| ()).is_ok() && network.local_addr().is_ok());
    }

    #[test]
    fn copies_are_one_socket() {
        let pair = pair::make(true).unwrap();
        let ours = cookie(&pair.ours);
        let other = pair::make(true).unwrap();
        let (first, second) = (hand_out(pair.ours), hand_out(other.ours));
        assert_eq!(dup2(first, second).unwrap(), second);
        assert_eq!(with(second, |fd| cookie(fd)).unwrap(), ours);
        close(first).unwrap();
        assert_eq!(with(second, |fd| cookie(fd)).unwrap(), ours);
        close(second).unwrap();
        let stdout = io::stdout().as_raw_fd();
        assert!(dup2(stdout, first).is_err());
    }
}
