//! A host without a task or a runtime: its user hands packets in, takes packets out, and tells the time.

use super::shard::{Next, Shard};
use crate::link::Wire;
use bytes::Bytes;
use sockeye_core::{Instant, Packet};
use std::io;
use std::sync::Arc;
use std::task::{Context, Waker};

/// Moves a host along by hand, without I/O and without a runtime; made by [`HostBuilder::pump`](super::HostBuilder::pump). The host's sockets
/// are the same as ever, and their futures run on any executor, or none.
///
/// Packets in, packets out, and the next deadline; this is all there is to a complete loop. Here two hosts speak with each other, and time
/// leaps to whatever happens next:
///
/// ```
/// use sockeye::Host;
/// use std::{future::Future, pin::pin, task::{Context, Waker}};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (server, mut a) = Host::builder().address("10.0.0.1/24").pump(1_500)?;
/// let (client, mut b) = Host::builder().address("10.0.0.2/24").pump(1_500)?;
/// let mut talk = pin!(async {
///     let listener = server.tcp_listen("10.0.0.1:7").await?;
///     let mut stream = client.tcp_connect("10.0.0.1:7").await?;
///     stream.write_all(b"hello").await?;
///     let mut heard = [0; 5];
///     listener.accept().await?.0.read_exact(&mut heard).await?;
///     std::io::Result::Ok(heard)
/// });
/// let mut now = sockeye_core::Instant::ZERO;
/// let heard = loop {
///     if let std::task::Poll::Ready(heard) = talk.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
///         break heard?;
///     }
///     let mut idle = true;
///     while let Some(packet) = a.packet_out() {
///         (idle, _) = (false, b.packet_in(packet));
///     }
///     while let Some(packet) = b.packet_out() {
///         (idle, _) = (false, a.packet_in(packet));
///     }
///     if idle {
///         now = [a.next_deadline(), b.next_deadline()].into_iter().flatten().min().unwrap_or(now);
///     }
///     a.advance(now);
///     b.advance(now);
/// };
/// assert_eq!(&heard, b"hello");
/// # Ok(()) }
/// ```
///
/// Dropped before the host has ended, it takes the host down: connections are reset, and sockets give errors.
#[derive(Debug)]
pub struct Pump {
    shard: Arc<Shard>,
    wire: Wire,
    batch: Vec<Packet>,
    ended: bool,
}

impl Pump {
    pub(super) const fn new(shard: Arc<Shard>, wire: Wire) -> Self {
        Self {
            shard,
            wire,
            batch: Vec::new(),
            ended: false,
        }
    }

    /// A packet for the host: the bytes of one IP packet, of any kind and from anyone. It is looked at with the next
    /// [`advance`](Self::advance) or [`packet_out`](Self::packet_out).
    ///
    /// # Errors
    /// `WouldBlock` while 256 packets wait to be looked at: drop this one, as a full queue would, or advance first.
    pub fn packet_in(&mut self, packet: impl Into<Bytes>) -> io::Result<()> {
        self.wire.packet_in(packet)
    }

    /// The next packet that the host sends, complete with checksums; `None` when there is none for now. Take them until then.
    pub fn packet_out(&mut self) -> Option<Bytes> {
        self.wire.try_packet_out().or_else(|| {
            self.drive();
            self.wire.try_packet_out()
        })
    }

    /// When to call [`advance`](Self::advance) next, if nothing else happens before; `None` when there is nothing to wait for. Ask after the
    /// last packet was taken: socket calls change it too.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.shard.look(|stack| stack.next_deadline())
    }

    /// Tells the time, looks at packets that came in, fires the timers that are due, and wakes the futures that this concerns. Time never
    /// goes backwards; an earlier `now` than before counts as that.
    pub fn advance(&mut self, now: Instant) {
        self.shard.clock().tell(now);
        self.drive();
    }

    /// True once all handles and sockets of the host were dropped and its connections have ended: there is nothing left to do.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    fn drive(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.ended {
            match self.shard.drive(&mut cx, &mut self.batch) {
                Next::Again => {}
                Next::Wait(_) => return,
                Next::Done => self.ended = true,
            }
        }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if !self.ended {
            self.shard.abort();
        }
    }
}
