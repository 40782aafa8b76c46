//! A gateway among tokio's tasks: between a link and the kernel's sockets, woken by either and by time.

use super::Gateway;
use crate::link::Link;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockeye_core::{Instant, Packet, gso};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

/// Packets of one turn.
const BATCH: usize = 64;

impl Gateway {
    /// Serves `link` until it fails: packets that arrive there are the program's. The link's MTU is to be that of the gateway's configuration,
    /// or more. Drop the future, or abort its task, to end the gateway.
    ///
    /// ```
    /// use sockeye::gateway::{Decision, Gateway, GatewayConfig, Request};
    /// use sockeye::{Host, link};
    /// use std::{io::Write, os::unix::net::UnixStream};
    /// use tokio::io::AsyncReadExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (inside, outside) = link::pair();
    /// let mut gateway = Gateway::new(GatewayConfig::default())?;
    /// gateway.set_policy(|request: &Request<'_>| match request.outside.port() {
    ///     443 => Decision::Allow,
    ///     80 => match UnixStream::pair() {
    ///         Ok((mut mine, its)) => {
    ///             let _ = mine.write_all(b"I am whom you wanted");
    ///             Decision::Handle(its)
    ///         }
    ///         Err(_) => Decision::Drop,
    ///     },
    ///     _ => Decision::Refuse,
    /// });
    /// tokio::spawn(gateway.run(outside));
    /// let program = Host::builder().address("10.0.2.15/24").route("0.0.0.0/0", "10.0.2.2").link(inside).build()?;
    /// let mut heard = String::new();
    /// program.tcp_connect("192.0.2.1:80").await?.read_to_string(&mut heard).await?;
    /// assert_eq!(heard, "I am whom you wanted");
    /// assert!(program.tcp_connect("192.0.2.1:25").await.is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The link's, and `InvalidInput` when its MTU is smaller than the gateway's.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn run(self, link: impl Link) -> io::Result<()> {
        let (caps, mtu) = (link.caps(), self.ground.config.mtu);
        if caps.mtu < mtu {
            let text = format!(
                "a gateway with an MTU of {mtu} needs a link with that, not {}",
                caps.mtu
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // A descriptor of its own for the same poller: it stays open as long as it is watched.
        let fd = rustix::io::dup(&self)?;
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; the descriptor is owned and never changes"
        )]
        let io = AsyncFd::new(fd)?;
        let start = tokio::time::Instant::now();
        let mut running = Running {
            gateway: self,
            link,
            io,
            start,
            sleep: Box::pin(tokio::time::sleep_until(start)),
            batch: Vec::new(),
            out: VecDeque::new(),
        };
        poll_fn(|cx| running.poll(cx)).await
    }
}

struct Running<L> {
    gateway: Gateway,
    link: L,
    io: AsyncFd<OwnedFd>,
    /// The gateway's time zero.
    start: tokio::time::Instant,
    sleep: Pin<Box<Sleep>>,
    batch: Vec<Packet>,
    /// On their way to the link.
    out: VecDeque<Packet>,
}

impl<L: Link> Running<L> {
    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let arrived = self.take_in(cx)?;
        let served = self.serve(cx)?;
        let now = self.now();
        if self.gateway.poll_timeout().is_some_and(|at| at <= now) {
            self.gateway.handle_timeout(now);
        }
        let sent = self.send_off(cx)?;
        if arrived || served || sent {
            // More may be there: after others had their turn.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let deadlines = [self.gateway.poll_timeout(), self.link.deadline()];
        if let Some(at) = deadlines.into_iter().flatten().min() {
            self.sleep.as_mut().reset(self.start + at.since(Instant::ZERO));
            ready!(self.sleep.as_mut().poll(cx));
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Packets of the program. True when there were any.
    fn take_in(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let now = self.now();
        match self.link.poll_recv(cx, now, &mut self.batch, BATCH) {
            Poll::Ready(result) => result?,
            Poll::Pending => return Ok(false),
        }
        self.gateway.receive(now, &mut self.batch);
        Ok(true)
    }

    /// The kernel's sockets. True when some were ready.
    fn serve(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Poll::Ready(guard) = self.io.poll_read_ready(cx) else {
            return Ok(false);
        };
        let mut guard = guard?;
        let now = Instant::ZERO + self.start.elapsed();
        self.gateway.handle_io(now);
        let mut fds = [PollFd::new(&self.gateway, PollFlags::IN)];
        if poll(&mut fds, Some(&Timespec::default()))? == 0 {
            guard.clear_ready();
        }
        Ok(true)
    }

    /// Packets for the program. True when the link took some.
    fn send_off(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let (now, caps) = (self.now(), self.link.caps());
        if self.out.is_empty() {
            self.gateway.poll_transmit(now, &mut self.out, BATCH);
            if !caps.gso {
                let whole = std::mem::take(&mut self.out);
                let mtu = self.gateway.ground.config.mtu;
                whole
                    .into_iter()
                    .for_each(|packet| gso::segment(packet, mtu, &mut self.out));
            }
            if !caps.checksum {
                self.out.iter_mut().for_each(gso::finish);
            }
        }
        let before = self.out.len();
        match self.link.poll_send(cx, now, &mut self.out) {
            Poll::Ready(result) => result?,
            Poll::Pending => {}
        }
        Ok(self.out.len() < before)
    }
}
