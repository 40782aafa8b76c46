//! A host that answers for any address: who wants to connect where, and the datagrams sent to others, each for its user to decide on.
//!
//! What nobody here holds is sorted by kind whenever the stack ran (`sort`), and kept until somebody asks. Nothing grows without end: what finds
//! its queue full is refused, as at a host that has no such port.

use super::{Host, Stack, WhoWaits};
use crate::net::{TcpStream, errors};
use bytes::Bytes;
use sockeye_core::Instant;
use sockeye_core::error::Errno;
use sockeye_core::socket::{Outgoing, Refused, Stray, SynAnswer, SynId, TcpOptions, Unreachable};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

/// Attempts that wait for somebody to ask, and datagrams.
const WAITING: usize = 1_024;
/// Payload bytes of datagrams that wait.
const WAITING_BYTES: usize = 1 << 20;

/// What arrived for others and was not asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Strays {
    attempts: VecDeque<(SynId, SocketAddr, SocketAddr)>,
    datagrams: VecDeque<Datagram>,
    bytes: usize,
    /// Somebody asked for datagrams once: until then they are refused.
    wants_datagrams: bool,
    wait_attempts: WhoWaits,
    wait_datagrams: WhoWaits,
}

impl Strays {
    /// Sorts what arrived for nobody, refuses what is too much, and takes those who wait for the rest.
    pub(super) fn sort(&mut self, host: &mut sockeye_core::Host, now: Instant, woken: &mut Vec<Waker>) {
        while let Some(stray) = host.poll_stray() {
            match stray {
                Stray::Syn { id, local, remote } => {
                    self.attempts.push_back((id, local, remote));
                    if self.attempts.len() > WAITING
                        && let Some((oldest, ..)) = self.attempts.pop_front()
                    {
                        host.answer_syn(now, oldest, SynAnswer::Refuse);
                    }
                    self.wait_attempts.take(woken);
                }
                Stray::Datagram {
                    local, remote, data, ..
                } => {
                    let full = self.datagrams.len() >= WAITING || self.bytes + data.len() > WAITING_BYTES;
                    if full || !self.wants_datagrams {
                        let len = data.len();
                        host.refuse(now, Refused::Datagram { local, remote, len }, Unreachable::Port);
                        continue;
                    }
                    self.bytes += data.len();
                    self.datagrams.push_back(Datagram { local, remote, data });
                    self.wait_datagrams.take(woken);
                }
                // Nobody is there to be pinged but us, and our own addresses answer by themselves.
                Stray::Echo { echo, .. } => {
                    let (local, remote) = (echo.local, echo.remote);
                    let (ident, sequence) = (echo.ident, echo.sequence);
                    let what = Refused::Echo {
                        local,
                        remote,
                        ident,
                        sequence,
                    };
                    host.refuse(now, what, Unreachable::Host);
                }
            }
        }
    }

    /// Everyone who waits, for a host that has ended.
    pub(super) fn take_all(&mut self, woken: &mut Vec<Waker>) {
        self.wait_attempts.take(woken);
        self.wait_datagrams.take(woken);
    }
}

/// A datagram to an address that this host speaks for; see [`Host::recv_any`].
#[derive(Clone, PartialEq, Eq)]
pub struct Datagram {
    /// Where it was sent to.
    pub local: SocketAddr,
    /// Who sent it.
    pub remote: SocketAddr,
    /// Its payload.
    pub data: Bytes,
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { local, remote, data } = self;
        write!(f, "Datagram({remote} > {local}, {} bytes)", data.len())
    }
}

/// Somebody who wants to connect, to whatever address; see [`Host::accept_any`]. Nothing was answered yet.
///
/// Dropped without a decision it is refused. A decision that takes longer than 75 seconds comes too late.
#[derive(Debug)]
#[must_use = "dropped without a decision it is refused"]
pub struct Attempt {
    host: Host,
    id: Option<SynId>,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Attempt {
    /// Where to: the address and port that the client believes to connect to.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Who: the client's address and port.
    pub const fn peer_addr(&self) -> SocketAddr {
        self.remote
    }

    /// Accepts, and waits until the connection is established.
    ///
    /// # Errors
    /// `ConnectionAborted` when the client has gone meanwhile, or waited too long; `NetworkDown` when the host's runtime has ended.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub async fn accept(self) -> io::Result<TcpStream> {
        self.accept_with(TcpOptions::default()).await
    }

    /// As [`Attempt::accept`], with options from the first segment on.
    ///
    /// # Errors
    /// Those of [`Attempt::accept`].
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub async fn accept_with(mut self, options: TcpOptions) -> io::Result<TcpStream> {
        let answered = self.answer(SynAnswer::Accept(options));
        let id = answered.ok_or_else(|| errors::errno(Errno::ECONNABORTED))?;
        let stream = TcpStream::new(self.host.clone(), id, self.local.is_ipv6());
        stream.established().await?;
        Ok(stream)
    }

    /// Refuses: RST, as where nobody listens.
    pub fn refuse(mut self) {
        let _ = self.answer(SynAnswer::Refuse);
    }

    /// Says by ICMP that the address cannot be reached, and why.
    pub fn unreachable(mut self, why: Unreachable) {
        let _ = self.answer(SynAnswer::Unreachable(why));
    }

    /// Says nothing, as a firewall that drops: neither now nor when the client asks again within 75 seconds.
    pub fn ignore(mut self) {
        let _ = self.answer(SynAnswer::Ignore);
    }

    fn answer(&mut self, answer: SynAnswer) -> Option<sockeye_core::socket::TcpId> {
        let id = self.id.take()?;
        self.host
            .shard()
            .call(|stack, now| stack.host.answer_syn(now, id, answer))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let _ = self.answer(SynAnswer::Refuse);
    }
}

impl Host {
    /// Waits for the next who wants to connect to an address or port that nobody here holds, on a host built with
    /// [`any_address`](super::HostBuilder::any_address): for transparent proxies, gateways, sandboxes. Nothing was answered yet: both ends'
    /// addresses are known before you decide. Where a listener of this host has the address and port, the connection is the listener's.
    ///
    /// # Errors
    /// `Unsupported` on a host that does not speak for any address; `NetworkDown` when the host's runtime has ended.
    ///
    /// # Cancel safety
    /// A dropped future has taken nobody.
    ///
    /// ```
    /// use sockeye::{Host, link};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (inside, outside) = link::pair();
    /// let proxy = Host::builder().any_address(true).address("10.0.0.1/24").link(outside).build()?;
    /// let client = Host::builder().address("10.0.0.2/24").link(inside).route("0.0.0.0/0", "10.0.0.1").build()?;
    /// let (stream, accepted) = tokio::join!(client.tcp_connect("192.0.2.80:443"), async {
    ///     let attempt = proxy.accept_any().await?;
    ///     assert_eq!(attempt.local_addr(), "192.0.2.80:443".parse().unwrap());
    ///     attempt.accept().await
    /// });
    /// assert_eq!(stream?.local_addr()?, accepted?.peer_addr()?);
    /// # Ok(()) }
    /// ```
    pub async fn accept_any(&self) -> io::Result<Attempt> {
        let mut wait = Waits::new(self, |strays| &mut strays.wait_attempts);
        poll_fn(|cx| wait.poll(cx, |strays| strays.attempts.pop_front()))
            .await
            .map(|attempt| self.attempt(attempt))
    }

    /// As [`Host::accept_any`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nobody wants to connect; `Unsupported` on a host that does not speak for any address.
    pub fn try_accept_any(&self) -> io::Result<Attempt> {
        let attempt = self
            .shard()
            .attempt(|stack, _| poll(stack, |strays| strays.attempts.pop_front()));
        attempt.map(|attempt| self.attempt(attempt))
    }

    fn attempt(&self, (id, local, remote): (SynId, SocketAddr, SocketAddr)) -> Attempt {
        Attempt {
            host: self.clone(),
            id: Some(id),
            local,
            remote,
        }
    }

    /// Waits for the next UDP datagram to an address or port that nobody here holds, on a host built with
    /// [`any_address`](super::HostBuilder::any_address). Until this is called for the first time such datagrams are refused, with ICMP's
    /// "port unreachable"; from then on 1,024 of them wait to be asked for, 1 MiB at most.
    ///
    /// # Errors
    /// Those of [`Host::accept_any`].
    ///
    /// # Cancel safety
    /// A dropped future has taken no datagram.
    pub async fn recv_any(&self) -> io::Result<Datagram> {
        let mut wait = Waits::new(self, |strays| &mut strays.wait_datagrams);
        poll_fn(|cx| wait.poll(cx, Strays::next_datagram)).await
    }

    /// As [`Host::recv_any`], without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `Unsupported` on a host that does not speak for any address.
    pub fn try_recv_any(&self) -> io::Result<Datagram> {
        self.shard().attempt(|stack, _| poll(stack, Strays::next_datagram))
    }

    /// Sends a UDP datagram from any address, on a host built with [`any_address`](super::HostBuilder::any_address): the answer to one of
    /// [`Host::recv_any`] goes from its `local` to its `remote`.
    ///
    /// # Errors
    /// `Unsupported` on a host that does not speak for any address, `NetworkUnreachable` without a route, `EMSGSIZE` for a datagram too
    /// long, `WouldBlock` while the link's queue is full.
    pub fn send_any(&self, local: SocketAddr, remote: SocketAddr, data: impl Into<Bytes>) -> io::Result<()> {
        let datagram = Outgoing {
            data: data.into(),
            ..Outgoing::default()
        };
        self.shard().call(|stack, now| {
            stack.strays.as_ref().ok_or_else(unsupported)?;
            let sent = stack.host.send_datagram(now, local, remote, datagram);
            sent.map_err(errors::send)
        })
    }
}

impl Strays {
    fn next_datagram(&mut self) -> Option<Datagram> {
        self.wants_datagrams = true;
        let datagram = self.datagrams.pop_front()?;
        self.bytes -= datagram.data.len();
        Some(datagram)
    }
}

fn poll<R>(stack: &mut Stack, take: impl FnOnce(&mut Strays) -> Option<R>) -> Poll<io::Result<R>> {
    match &mut stack.strays {
        Some(strays) => take(strays).map_or(Poll::Pending, |taken| Poll::Ready(Ok(taken))),
        None => Poll::Ready(Err(unsupported())),
    }
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this host speaks for its own addresses only; HostBuilder::any_address makes one that speaks for all",
    )
}

/// A future that waits for a stray, and leaves nothing behind.
struct Waits<'a> {
    host: &'a Host,
    place: fn(&mut Strays) -> &mut WhoWaits,
    key: Option<u64>,
}

impl<'a> Waits<'a> {
    fn new(host: &'a Host, place: fn(&mut Strays) -> &mut WhoWaits) -> Self {
        Self { host, place, key: None }
    }

    fn poll<R>(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&mut Strays) -> Option<R>) -> Poll<io::Result<R>> {
        let (place, key) = (self.place, &mut self.key);
        self.host.shard().poll_with(
            |stack, _| poll(stack, take),
            |stack| {
                let strays = stack.strays.as_mut()?;
                place(strays).register(key, cx.waker())
            },
        )
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let place = self.place;
        let waker = self
            .host
            .shard()
            .look(|stack| place(stack.strays.as_mut()?).forget(key));
        drop(waker);
    }
}

#[cfg(test)]
mod tests;
