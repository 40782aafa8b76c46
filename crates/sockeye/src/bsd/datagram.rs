//! UDP sockets. One datagram at a time lies in the pair, so that the descriptor is readable and whoever reads it without us gets it; what is
//! known beside its payload is kept here until `recvfrom` asks.

use super::sock::{Sock, events};
use crate::net;
use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use sockeye_core::socket::{Outgoing, Received};
use sockeye_sys::queue;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

/// Datagrams that the program wrote without us, sent in one turn.
const BUDGET: usize = 16;
/// Longer than any datagram.
const LONGEST: usize = 1 << 16;

#[derive(Debug, Default)]
pub(super) struct Datagram {
    /// Once it is bound.
    pub(super) socket: Option<Arc<net::UdpSocket>>,
    /// Of the datagram in the pair.
    meta: Option<Meta>,
}

/// What is known of a datagram in the pair, beside its payload.
#[derive(Clone, Debug)]
pub(super) enum Meta {
    Arrived(Received),
    /// It is none: an error, shown as an empty one to those who do not ask us.
    Failed(i32),
}

impl Datagram {
    pub(super) fn look(&mut self, sock: &Sock, end: &OwnedFd) {
        self.pass_on(sock, end);
        self.refill(sock, end);
    }

    /// Puts the next datagram into the pair, when it is empty.
    pub(super) fn refill(&mut self, sock: &Sock, end: &OwnedFd) {
        let Some(socket) = &self.socket else { return };
        if !matches!(queue::unreceived(end), Ok(0)) {
            return;
        }
        self.meta = None;
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match socket.poll_received(&mut sock.context()) {
            Poll::Pending => {}
            Poll::Ready(Ok(received)) => {
                if send(end, &received.data, flags).is_ok() {
                    let data = Bytes::new();
                    self.meta = Some(Meta::Arrived(Received { data, ..received }));
                }
            }
            Poll::Ready(Err(error)) => {
                if send(end, &[], flags).is_ok() {
                    self.meta = Some(Meta::Failed(super::sock::number(&error)));
                }
            }
        }
    }

    /// What is known of the datagram that was just taken, or looked at.
    pub(super) fn meta(&mut self, peek: bool) -> Option<Meta> {
        if peek { self.meta.clone() } else { self.meta.take() }
    }

    /// Sends what was written to the descriptor without us, on a connected socket.
    fn pass_on(&mut self, sock: &Sock, end: &OwnedFd) {
        let mut buf = Vec::new();
        for _ in 0..BUDGET {
            let ends = events(end);
            if !ends.contains(PollFlags::IN) {
                return;
            }
            buf.resize(LONGEST, 0);
            match recv(end, &mut buf[..], RecvFlags::DONTWAIT) {
                Ok((0, _)) if ends.contains(PollFlags::RDHUP) => return,
                Ok((n, _)) => {
                    let data = Bytes::copy_from_slice(&buf[..n]);
                    let datagram = Outgoing {
                        data,
                        ..Outgoing::default()
                    };
                    if let Some(socket) = &self.socket {
                        // As a network would: what cannot be sent now is lost, and an error is told to the next call.
                        let sent = crate::blocking::block_until(socket.send_msg(datagram), Some(Instant::now()));
                        if let Some(Err(error)) = sent {
                            tracing::debug!(%error, "datagram not sent");
                        }
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
        sock.again();
    }
}

/// The error that a failed one stands for.
pub(super) fn outcome(meta: Option<Meta>) -> io::Result<Option<Received>> {
    match meta {
        None => Ok(None),
        Some(Meta::Arrived(received)) => Ok(Some(received)),
        Some(Meta::Failed(error)) => Err(io::Error::from_raw_os_error(error)),
    }
}
