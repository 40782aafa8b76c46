//! The pair that a socket of the program is one end of: making it, filling it, emptying it.
//!
//! A stream's end must not be writable before its connection is established. So its send side is filled: filler bytes lie in our receive
//! queue, and when they are read the kernel tells the program that it can write. The send buffer is as small as can be until then, so that
//! filling costs little.

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair, sockopt};
use std::os::fd::{AsFd, OwnedFd};

/// Send buffer of both ends of a connected stream, in bytes as SO_SNDBUF takes them; the kernel doubles it and has a limit of its own.
const STREAM_BUFFER: usize = 256 << 10;

/// Both ends of a new pair.
#[derive(Debug)]
pub struct Pair {
    /// The end of whoever serves it.
    pub ours: OwnedFd,
    /// The program's end.
    pub app: OwnedFd,
}

/// Makes a pair; both ends do not block.
///
/// # Errors
/// As the kernel says: no more descriptors, no memory.
pub fn make(stream: bool) -> Result<Pair, Errno> {
    // Datagrams travel on SEQPACKET: unlike DGRAM it tells us when the program closes its end.
    let kind = if stream {
        SocketType::STREAM
    } else {
        SocketType::SEQPACKET
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, app) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
    Ok(Pair { ours, app })
}

/// Gives both ends of a stream the buffers of a connected one.
pub fn widen(end: impl AsFd) {
    // Beyond the system's limit the kernel takes the limit.
    let _ = sockopt::set_socket_send_buffer_size(end, STREAM_BUFFER);
}

/// Fills the send side of `app` until it takes no more, and returns how many bytes that took. Small pieces last: a large buffer is freed,
/// and the program woken, only when the last byte of it was read.
pub fn fill(app: impl AsFd) -> usize {
    let _ = sockopt::set_socket_send_buffer_size(&app, 1);
    let mut filled = 0;
    for size in [2_048, 1] {
        let filler = [0; 2_048];
        while let Ok(n) = send(&app, &filler[..size], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            filled += n;
        }
    }
    filled
}

/// Takes exactly the filler from our end.
pub fn drain(ours: impl AsFd, mut filled: usize) {
    let mut sink = [0; 4_096];
    while filled > 0 {
        let want = filled.min(sink.len());
        match recv(&ours, &mut sink[..want], RecvFlags::DONTWAIT) {
            Ok((n, _)) if n > 0 => filled -= n,
            Err(Errno::INTR) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::Shutdown;

    fn events(fd: &OwnedFd) -> PollFlags {
        let mut fds = [PollFd::new(fd, PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        fds[0].revents()
    }

    #[test]
    fn a_filled_end_is_not_writable_until_drained() {
        let pair = make(true).unwrap();
        let filled = fill(&pair.app);
        assert!(filled > 0);
        assert_eq!(events(&pair.app), PollFlags::empty());
        let refused = send(&pair.app, b"x", SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        assert_eq!(refused.unwrap_err(), Errno::AGAIN);
        drain(&pair.ours, filled);
        widen(&pair.app);
        assert_eq!(events(&pair.app), PollFlags::OUT);
        assert_eq!(send(&pair.app, b"hello", SendFlags::DONTWAIT).unwrap(), 5);
        let mut got = [0; 16];
        assert_eq!(recv(&pair.ours, &mut got, RecvFlags::DONTWAIT).unwrap().0, 5);
        assert_eq!(&got[..5], b"hello");
    }

    #[test]
    fn closing_over_filler_looks_like_a_refused_connection() {
        let pair = make(true).unwrap();
        assert!(fill(&pair.app) > 0);
        drop(pair.ours);
        let all = PollFlags::IN | PollFlags::OUT | PollFlags::ERR | PollFlags::HUP | PollFlags::RDHUP;
        assert_eq!(events(&pair.app), all);
        assert_eq!(sockopt::socket_error(&pair.app).unwrap(), Err(Errno::CONNRESET));
    }

    #[test]
    fn a_reset_is_an_unread_byte_and_a_close() {
        let pair = make(true).unwrap();
        let _ = send(&pair.ours, b"last words", SendFlags::DONTWAIT).unwrap();
        let _ = send(&pair.app, b"!", SendFlags::DONTWAIT).unwrap();
        drop(pair.ours);
        let mut got = [0; 16];
        assert_eq!(recv(&pair.app, &mut got, RecvFlags::DONTWAIT).unwrap().0, 10);
        assert_eq!(
            recv(&pair.app, &mut got, RecvFlags::DONTWAIT).unwrap_err(),
            Errno::CONNRESET
        );
        assert_eq!(recv(&pair.app, &mut got, RecvFlags::DONTWAIT).unwrap().0, 0);
    }

    #[test]
    fn closing_with_unread_bytes_is_told_to_us_after_the_data() {
        let pair = make(true).unwrap();
        let _ = send(&pair.ours, b"never read", SendFlags::DONTWAIT).unwrap();
        let _ = send(&pair.app, b"abc", SendFlags::DONTWAIT).unwrap();
        drop(pair.app);
        assert_eq!(sockopt::socket_error(&pair.ours).unwrap(), Err(Errno::CONNRESET));
    }

    #[test]
    fn shutting_one_direction_leaves_the_other() {
        let pair = make(true).unwrap();
        rustix::net::shutdown(&pair.app, Shutdown::Write).unwrap();
        assert!(events(&pair.ours).contains(PollFlags::RDHUP));
        assert!(!events(&pair.ours).contains(PollFlags::HUP));
        assert_eq!(send(&pair.ours, b"x", SendFlags::DONTWAIT).unwrap(), 1);
    }

    #[test]
    fn datagram_pairs_keep_boundaries_and_tell_of_the_end() {
        let pair = make(false).unwrap();
        for payload in [&b"one"[..], b"", b"three"] {
            let _ = send(&pair.app, payload, SendFlags::DONTWAIT).unwrap();
        }
        let mut got = [0; 16];
        for len in [3, 0, 5] {
            assert!(!events(&pair.ours).contains(PollFlags::HUP));
            assert_eq!(recv(&pair.ours, &mut got, RecvFlags::DONTWAIT).unwrap().0, len);
        }
        drop(pair.app);
        assert!(events(&pair.ours).contains(PollFlags::HUP));
    }
}
