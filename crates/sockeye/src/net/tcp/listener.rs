//! Listening sockets.

use super::TcpStream;
use crate::Host;
use crate::host::{Stack, Want};
use crate::net::address::{resolve, shown};
use crate::net::future::Wait;
use crate::net::{ToSocketAddrs, errors};
use sockeye_core::error::Errno;
use sockeye_core::socket::{BindOptions, Binding, ListenerId, SocketId, TcpId, TcpOptions};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

/// Connections that may wait to be accepted, where nothing else is said: tokio's number.
const BACKLOG: u32 = 1_024;

/// A TCP socket that listens, as tokio's of this name.
///
/// Connections are made while nobody accepts, up to the backlog. Dropping the listener resets those that were not accepted.
#[derive(Debug)]
pub struct TcpListener {
    host: Host,
    id: ListenerId,
    v6: bool,
    /// What connections inherit.
    options: Mutex<TcpOptions>,
}

/// Listens on the first of the addresses that can be had.
pub(crate) async fn listen(host: &Host, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut last = None;
    for address in resolve(host, &addr).await? {
        let options = BindOptions {
            reuse_address: true,
            ..BindOptions::default()
        };
        let bound = host.shard().look(|stack| stack.host.tcp_bind(address, options));
        let listener = bound
            .map_err(errors::bind)
            .and_then(|binding| TcpListener::start(host, binding, address.is_ipv6(), BACKLOG, TcpOptions::default()));
        match listener {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| errors::errno(Errno::EINVAL)))
}

impl TcpListener {
    /// Listens on the current host, on the first of the addresses that can be had. Port 0 gets a free one. An address that was used a moment
    /// ago can be had (`SO_REUSEADDR`), and `[::]` listens for IPv4 too.
    ///
    /// # Errors
    /// `AddrInUse` when another socket has the port, `AddrNotAvailable` for an address that is not the host's, `NotFound` without a current
    /// host or for a name that it does not know.
    ///
    /// ```
    /// use sockeye::{Host, net::TcpListener};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let host = Host::builder().build()?;
    /// let listener = host.scope(TcpListener::bind("[::]:443")).await?;
    /// assert_eq!(listener.local_addr()?.port(), 443);
    /// # Ok(()) }
    /// ```
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        listen(&Host::current()?, addr).await
    }

    pub(crate) fn start(
        host: &Host,
        binding: Binding,
        v6: bool,
        backlog: u32,
        options: TcpOptions,
    ) -> io::Result<Self> {
        let listening = host.shard().call(|stack, now| {
            stack
                .host
                .tcp_listen(now, binding, backlog, options.clone())
                .map_err(|(binding, error)| {
                    stack.host.tcp_unbind(binding);
                    error
                })
        });
        Ok(Self {
            host: host.clone(),
            id: listening.map_err(errors::listen)?,
            v6,
            options: Mutex::new(options),
        })
    }

    /// Takes the connection that has waited longest; waits for one.
    ///
    /// # Errors
    /// `NetworkDown` when the host's runtime has ended.
    ///
    /// # Cancel safety
    /// A dropped future has taken no connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let id = self.id;
        let accepted = Wait::new(
            &self.host,
            SocketId::Listener(id),
            Want::READ,
            |stack: &mut Stack, now| take(stack, now, id),
        )
        .await?;
        Ok(self.stream(accepted))
    }

    /// As [`TcpListener::accept`], for your own `poll` functions. Only the task that asked last is woken.
    ///
    /// # Errors
    /// Those of [`TcpListener::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let turn = ready!(tokio::task::coop::poll_proceed(cx));
        let socket = SocketId::Listener(self.id);
        let accepted = ready!(
            self.host
                .shard()
                .poll(cx, socket, Want::READ, |stack, now| take(stack, now, self.id))
        )?;
        turn.made_progress();
        Poll::Ready(Ok(self.stream(accepted)))
    }

    /// The host it belongs to.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let local = self.host.shard().look(|stack| stack.host.listener_local(self.id));
        local
            .map(|local| shown(local, self.v6))
            .ok_or_else(|| errors::errno(Errno::EBADF))
    }

    /// The hop limit of its packets and those of what it accepts, 1..=255.
    ///
    /// # Errors
    /// None today.
    pub fn ttl(&self) -> io::Result<u32> {
        let set = self.options.lock().unwrap_or_else(PoisonError::into_inner).ttl;
        let default = || self.host.shard().look(|stack| stack.host.settings().ip_default_ttl);
        Ok(set.unwrap_or_else(default).into())
    }

    /// Sets the hop limit, 1..=255, for what is accepted from now on.
    ///
    /// # Errors
    /// `InvalidInput` outside of that.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = super::options::hop_limit(ttl)?;
        let mut options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        options.ttl = Some(ttl);
        let options = options.clone();
        self.host
            .shard()
            .look(|stack| stack.host.listener_set_options(self.id, options));
        Ok(())
    }

    /// What connections inherit from now on.
    pub(crate) fn set_options(&self, options: TcpOptions) {
        options.clone_into(&mut self.options.lock().unwrap_or_else(PoisonError::into_inner));
        self.host
            .shard()
            .look(|stack| stack.host.listener_set_options(self.id, options));
    }

    fn stream(&self, id: TcpId) -> (TcpStream, SocketAddr) {
        let stream = TcpStream::new(self.host.clone(), id, self.v6);
        let peer = stream.peer_or_unspecified();
        (stream, peer)
    }
}

fn take(stack: &mut Stack, now: sockeye_core::Instant, id: ListenerId) -> Poll<io::Result<TcpId>> {
    stack
        .host
        .tcp_accept(now, id)
        .map_or(Poll::Pending, |accepted| Poll::Ready(Ok(accepted)))
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let mut waited = Vec::new();
        self.host.shard().call(|stack, now| {
            stack.waiters.close(SocketId::Listener(self.id), &mut waited);
            stack.host.listener_close(now, self.id);
        });
        drop(waited);
    }
}
