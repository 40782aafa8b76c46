//! IP over UDP between two machines: one datagram is one packet.

use super::{Caps, Link};
use sockeye_core::buf::Pool;
use sockeye_core::{Instant, Packet};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// The longest datagram.
const LONGEST: usize = 1 << 16;

/// A link to a host on another machine, through UDP datagrams of the machine's own network, one packet in each.
///
/// Datagrams that come from elsewhere than the other end's address are dropped. Nothing is encrypted, and addresses can be forged: it is for
/// networks that you trust, or under something that protects it.
///
/// ```
/// use sockeye::{Host, link::Udp};
/// use tokio::{io::AsyncReadExt, net::UdpSocket};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // On two machines in earnest, each with the other's address.
/// let (a, b) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
/// let (at_a, at_b) = (a.local_addr()?, b.local_addr()?);
/// let left = Host::builder().address("10.0.0.1/24").link(Udp::new(a, at_b)).build()?;
/// let right = Host::builder().address("10.0.0.2/24").link(Udp::new(b, at_a)).build()?;
///
/// let listener = right.tcp_listen("10.0.0.2:13").await?;
/// let mut stream = left.tcp_connect("10.0.0.2:13").await?;
/// listener.accept().await?.0.write_chunk("noon".into()).await?;
/// let mut heard = [0; 4];
/// stream.read_exact(&mut heard).await?;
/// assert_eq!(&heard, b"noon");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    peer: SocketAddr,
    caps: Caps,
    incoming: Box<[u8]>,
    outgoing: Vec<u8>,
    pool: Pool,
}

impl Udp {
    /// A link over `socket` to the same at `peer`. Packets are as long as an Ethernet on the way carries in one piece: 1472 bytes over IPv4 and
    /// 1452 over IPv6 (RFC 768, RFC 791, RFC 8200); [`Udp::mtu`] changes that.
    pub fn new(socket: UdpSocket, peer: SocketAddr) -> Self {
        let peer = plain(peer);
        let headers = if peer.is_ipv4() { 28 } else { 48 };
        Self {
            socket,
            peer,
            caps: Caps::ip(1_500 - headers),
            incoming: vec![0; LONGEST].into(),
            outgoing: Vec::new(),
            pool: Pool::default(),
        }
    }

    /// Sets the longest packet, in bytes. One datagram carries at most 65,507, and what the way does not carry is fragmented or lost.
    #[must_use]
    pub const fn mtu(mut self, mtu: u32) -> Self {
        self.caps.mtu = mtu;
        self
    }
}

/// An address without the disguise of IPv4 on a socket for both.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Link for Udp {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        _now: Instant,
        batch: &mut Vec<Packet>,
        max: usize,
    ) -> Poll<io::Result<()>> {
        let before = batch.len();
        while batch.len() < before + max {
            let mut buffer = ReadBuf::new(&mut self.incoming);
            match self.socket.poll_recv_from(cx, &mut buffer) {
                Poll::Ready(Ok(from)) if plain(from) == self.peer => {
                    batch.push(super::packet(self.pool.copy_from_slice(buffer.filled())));
                }
                Poll::Ready(Ok(from)) => tracing::debug!(%from, "a datagram that is not from the other end"),
                // What became of an earlier datagram of ours: the other end may not be up yet.
                Poll::Ready(Err(error)) => tracing::debug!(%error, "the other end cannot be reached"),
                Poll::Pending if batch.len() > before => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, _now: Instant, batch: &mut VecDeque<Packet>) -> Poll<io::Result<()>> {
        let mut to = self.peer;
        if let (IpAddr::V4(v4), Ok(SocketAddr::V6(_))) = (to.ip(), self.socket.local_addr()) {
            to.set_ip(v4.to_ipv6_mapped().into());
        }
        while let Some(packet) = batch.front() {
            self.outgoing.clear();
            self.outgoing.extend_from_slice(packet.head.as_slice());
            packet
                .body
                .iter()
                .for_each(|slice| self.outgoing.extend_from_slice(slice));
            if let Err(error) = ready!(self.socket.poll_send_to(cx, &self.outgoing, to)) {
                tracing::debug!(%error, "a packet was lost");
            }
            batch.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}
