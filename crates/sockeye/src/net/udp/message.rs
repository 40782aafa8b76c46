//! Datagrams with what is said about them beside their bytes: ECN and hop limit, the address they came to, and many in one call.

use super::{UdpSocket, receive};
use crate::host::{Stack, Want};
use crate::net::address::shown;
use crate::net::errors;
use sockeye_core::Instant;
use sockeye_core::error::SendError;
use sockeye_core::socket::{Outgoing, Received, UdpId};
use std::io;
use std::task::{Context, Poll};

/// Sends one message; its bytes are shared, so that a later try finds them again.
fn send(stack: &mut Stack, now: Instant, id: UdpId, message: &Outgoing) -> Poll<io::Result<()>> {
    match stack.host.udp_send(now, id, message.clone()) {
        Ok(()) => Poll::Ready(Ok(())),
        Err(SendError::WouldBlock) => Poll::Pending,
        Err(error) => Poll::Ready(Err(errors::send(error))),
    }
}

impl UdpSocket {
    /// Receives the next datagram whole, without a copy, with its addresses, ECN bits and hop limit; waits for one. It is what `recvmsg` tells
    /// with `IP_PKTINFO`, `IP_RECVTOS` and `IP_RECVTTL`, and what a QUIC library wants.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv`].
    ///
    /// # Cancel safety
    /// A dropped future has taken no datagram.
    ///
    /// ```
    /// use sockeye::{Host, net::Outgoing};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = Host::builder().build()?;
    /// let (here, there) = (host.udp_bind("127.0.0.1:0").await?, host.udp_bind("0.0.0.0:53").await?);
    /// // Three datagrams in one call, marked "ECN capable", RFC 3168 §5.
    /// let to = Some("127.0.0.1:53".parse()?);
    /// here.send_msg(Outgoing { to, data: "onetwothree".into(), segment_size: Some(4), tos: Some(2), ..Outgoing::default() }).await?;
    /// let heard = there.recv_msg().await?;
    /// assert_eq!((&heard.data[..], heard.tos, heard.to.to_string()), (&b"onet"[..], 2, "127.0.0.1:53".into()));
    /// # Ok(()) }
    /// ```
    pub async fn recv_msg(&self) -> io::Result<Received> {
        let id = self.id;
        let received = self.wait(Want::READ, |stack, _| receive(stack, id, false)).await?;
        Ok(self.as_seen(received))
    }

    /// As [`UdpSocket::recv_msg`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_msg`].
    pub fn poll_recv_msg(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        let received = self.poll_now(cx, Want::READ, |stack, _| receive(stack, self.id, false));
        received.map_ok(|received| self.as_seen(received))
    }

    /// As [`UdpSocket::recv_msg`], without waiting.
    ///
    /// # Errors
    /// Those of [`UdpSocket::recv_msg`], and `WouldBlock` when there is no datagram.
    pub fn try_recv_msg(&self) -> io::Result<Received> {
        let received = self.host.shard().attempt(|stack, _| receive(stack, self.id, false))?;
        Ok(self.as_seen(received))
    }

    /// Sends a datagram, or with `segment_size` up to 128 of that size each (`UDP_SEGMENT`), without a copy; source address, ECN bits and hop
    /// limit may be given. Waits for room in the link's queue.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`]; `InvalidInput` for a segment size of 0 or more than 128 segments, `EMSGSIZE` for segments that are
    /// longer than a packet, `AddrNotAvailable` for a source that is not the host's.
    ///
    /// # Cancel safety
    /// A dropped future has sent nothing.
    pub async fn send_msg(&self, message: Outgoing) -> io::Result<()> {
        let (id, message) = (self.id, plain(message));
        self.wait(Want::WRITE, |stack, now| send(stack, now, id, &message))
            .await
    }

    /// As [`UdpSocket::send_msg`], without waiting. After `WouldBlock`, [`UdpSocket::writable`] and [`UdpSocket::poll_send_ready`] wait for
    /// room.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_msg`], and `WouldBlock` when there is no room.
    pub fn try_send_msg(&self, message: Outgoing) -> io::Result<()> {
        let message = plain(message);
        self.host
            .shard()
            .attempt(|stack, now| send(stack, now, self.id, &message))
    }

    /// With the addresses as this socket's family writes them.
    fn as_seen(&self, received: Received) -> Received {
        Received {
            from: shown(received.from, self.v6),
            to: shown(received.to, self.v6),
            ..received
        }
    }
}

/// With IPv4 addresses as such.
fn plain(mut message: Outgoing) -> Outgoing {
    if let Some(to) = &mut message.to {
        to.set_ip(to.ip().to_canonical());
    }
    message.from = message.from.map(|from| from.to_canonical());
    message
}
