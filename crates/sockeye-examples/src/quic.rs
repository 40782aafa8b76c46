//! quinn runs on any UDP socket that implements its trait; this is ours, with ECN, the address a datagram came to, and many datagrams in one
//! call.

use bytes::Bytes;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, ServerConfig, TokioRuntime, UdpPoller};
use sockeye::net::{Outgoing, UdpSocket};
use std::future::Future;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A UDP socket for [`Endpoint::new_with_abstract_socket`].
#[derive(Debug)]
pub struct Quic(UdpSocket);

impl Quic {
    /// A QUIC endpoint on `socket`; without `server` it only connects. Its time is tokio's.
    ///
    /// # Errors
    /// Those of the socket's address.
    pub fn endpoint(socket: UdpSocket, server: Option<ServerConfig>) -> io::Result<Endpoint> {
        let mut options = socket.options();
        options.dont_fragment = true; // RFC 9000 §14: a QUIC endpoint looks for the path MTU itself.
        socket.set_options(options);
        let (config, socket) = (EndpointConfig::default(), Arc::new(Self(socket)));
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))
    }
}

impl AsyncUdpSocket for Quic {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller {
            socket: self,
            room: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let message = Outgoing {
            to: Some(transmit.destination),
            from: transmit.src_ip,
            data: Bytes::copy_from_slice(transmit.contents),
            segment_size: transmit.segment_size.and_then(|size| u16::try_from(size).ok()),
            tos: Some(transmit.ecn.map_or(0, |ecn| ecn as u8)),
            ttl: None,
        };
        match self.0.try_send_msg(message) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            _ => Ok(()), // QUIC takes what could not be sent for lost: a probe of the path MTU, or a route that is gone for now.
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut message = ready!(self.0.poll_recv_msg(cx))?;
        let most = bufs.len().min(meta.len());
        for (n, (buf, meta)) in bufs.iter_mut().zip(meta).enumerate() {
            let len = message.data.len().min(buf.len());
            buf[..len].copy_from_slice(&message.data[..len]);
            *meta = RecvMeta {
                addr: message.from,
                len,
                stride: len,
                ecn: EcnCodepoint::from_bits(message.tos),
                dst_ip: Some(message.to.ip()),
            };
            if n + 1 == most {
                break;
            }
            match self.0.try_recv_msg() {
                Ok(next) => message = next,
                Err(_) => return Poll::Ready(Ok(n + 1)), // An error comes again with the next call, or is over.
            }
        }
        Poll::Ready(Ok(most))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        64
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// Waits for room to send, apart from others who wait for it.
struct Poller {
    socket: Arc<Quic>,
    room: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = Arc::clone(&self.socket);
        let room = self
            .room
            .get_or_insert_with(|| Box::pin(async move { socket.0.writable().await }));
        let result = ready!(room.as_mut().poll(cx));
        self.room = None;
        Poll::Ready(result)
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}
