//! A TCP socket that is set up before it connects or listens.

use super::options::linger_code;
use super::{TcpListener, TcpStream};
use crate::Host;
use crate::net::address::shown;
use crate::net::errors;
use sockeye_core::error::Errno;
use sockeye_core::socket::{BindOptions, Binding, TcpOptions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A TCP socket that does not connect or listen yet, as tokio's of this name: options, a local address, then one or the other.
///
/// ```
/// use sockeye::{Host, net::TcpSocket};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let host = Host::builder().build()?;
/// let socket = host.tcp_socket_v4();
/// socket.set_reuseaddr(true)?;
/// socket.set_nodelay(true)?;
/// socket.bind("127.0.0.1:80".parse()?)?;
/// let listener = socket.listen(1_024)?;
/// # drop(listener);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct TcpSocket {
    host: Host,
    v6: bool,
    setup: Mutex<Setup>,
}

#[derive(Debug, Default)]
struct Setup {
    options: TcpOptions,
    bind: BindOptions,
    binding: Option<Binding>,
    linger: Option<Duration>,
}

impl TcpSocket {
    /// A socket for IPv4 on the current host.
    ///
    /// # Errors
    /// `NotFound` without a current host.
    pub fn new_v4() -> io::Result<Self> {
        Ok(Self::on(&Host::current()?, false))
    }

    /// A socket for IPv6 on the current host; listening on `[::]` it also takes IPv4.
    ///
    /// # Errors
    /// `NotFound` without a current host.
    pub fn new_v6() -> io::Result<Self> {
        Ok(Self::on(&Host::current()?, true))
    }

    pub(crate) fn on(host: &Host, v6: bool) -> Self {
        Self {
            host: host.clone(),
            v6,
            setup: Mutex::default(),
        }
    }

    fn setup(&self) -> MutexGuard<'_, Setup> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a local address; port 0 gets a free one.
    ///
    /// # Errors
    /// `AddrInUse` when another socket has the port, `AddrNotAvailable` for an address that is not the host's, `InvalidInput` when bound
    /// already. An address of the other family gives the kernel's errno: `EAFNOSUPPORT` on a socket for IPv4, `EINVAL` on one for IPv6.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        let mut setup = self.setup();
        if addr.is_ipv6() != self.v6 {
            return Err(errors::errno(if self.v6 { Errno::EINVAL } else { Errno::EAFNOSUPPORT }));
        }
        if setup.binding.is_some() {
            return Err(errors::errno(Errno::EINVAL));
        }
        let bind = setup.bind;
        let bound = self.host.shard().look(|stack| stack.host.tcp_bind(addr, bind));
        setup.binding = Some(bound.map_err(errors::bind)?);
        Ok(())
    }

    /// Connects to an address.
    ///
    /// # Errors
    /// Those of [`TcpStream::connect`]; `EAFNOSUPPORT` for an address of the other family.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    pub async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        if addr.is_ipv6() != self.v6 {
            return Err(errors::errno(Errno::EAFNOSUPPORT));
        }
        let (binding, options, linger) = {
            let mut setup = self.setup();
            (setup.binding.take(), setup.options.clone(), setup.linger)
        };
        let stream = TcpStream::open(&self.host, binding, addr, options).await?;
        stream.set_linger_code(linger_code(linger));
        Ok(stream)
    }

    /// Listens, with room for `backlog` connections that wait to be accepted. A socket that is not bound gets a free port.
    ///
    /// # Errors
    /// `AddrInUse` when another socket listens there.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        let (binding, bind, options) = {
            let mut setup = self.setup();
            (setup.binding.take(), setup.bind, setup.options.clone())
        };
        let binding = match binding {
            Some(binding) => binding,
            None => self
                .host
                .shard()
                .look(|stack| stack.host.tcp_bind(self.unspecified(), bind))
                .map_err(errors::bind)?,
        };
        TcpListener::start(&self.host, binding, self.v6, backlog, options)
    }

    fn unspecified(&self) -> SocketAddr {
        if self.v6 {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        }
    }

    /// The address it is bound to; unspecified, port 0, while it is not.
    ///
    /// # Errors
    /// None today.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let setup = self.setup();
        let local = setup
            .binding
            .as_ref()
            .map_or_else(|| self.unspecified(), Binding::local);
        Ok(shown(local, self.v6))
    }

    /// The pending error: never one, before it connects.
    ///
    /// # Errors
    /// None today.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    /// All options as they are set, also those without a function of their own here.
    pub fn options(&self) -> TcpOptions {
        self.setup().options.clone()
    }

    /// Sets all options at once; start from [`TcpSocket::options`].
    pub fn set_options(&self, options: TcpOptions) {
        self.setup().options = options;
    }

    /// Whether an idle connection is probed (`SO_KEEPALIVE`).
    ///
    /// # Errors
    /// None today.
    pub fn keepalive(&self) -> io::Result<bool> {
        Ok(self.setup().options.keepalive)
    }

    /// Probes an idle connection; when, [`TcpSocket::set_options`] and the host's `tcp_keepalive_time` say.
    ///
    /// # Errors
    /// None today.
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        self.setup().options.keepalive = keepalive;
        Ok(())
    }

    /// Whether small segments leave at once (`TCP_NODELAY`).
    ///
    /// # Errors
    /// None today.
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.setup().options.nodelay)
    }

    /// Lets small segments leave at once: no Nagle (RFC 9293 §3.7.4).
    ///
    /// # Errors
    /// None today.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.setup().options.nodelay = nodelay;
        Ok(())
    }

    /// Whether an address that was used a moment ago can be had (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// None today.
    pub fn reuseaddr(&self) -> io::Result<bool> {
        Ok(self.setup().bind.reuse_address)
    }

    /// Lets [`TcpSocket::bind`] have an address that connections in TIME-WAIT still use.
    ///
    /// # Errors
    /// None today.
    pub fn set_reuseaddr(&self, reuseaddr: bool) -> io::Result<()> {
        self.setup().bind.reuse_address = reuseaddr;
        Ok(())
    }

    /// Whether several sockets may listen on one port (`SO_REUSEPORT`).
    ///
    /// # Errors
    /// None today.
    pub fn reuseport(&self) -> io::Result<bool> {
        Ok(self.setup().bind.reuse_port)
    }

    /// Lets several sockets listen on one port; connections are spread over them.
    ///
    /// # Errors
    /// None today.
    pub fn set_reuseport(&self, reuseport: bool) -> io::Result<()> {
        self.setup().bind.reuse_port = reuseport;
        Ok(())
    }

    /// Bytes that may be sent and not acknowledged: what was set, else where the host begins.
    ///
    /// # Errors
    /// None today.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        let set = self.setup().options.send_buffer;
        Ok(set.unwrap_or_else(|| self.host.shard().look(|stack| stack.host.settings().tcp_wmem[1])))
    }

    /// Sets the send buffer in bytes, at most the host's `wmem_max`; without it the host finds a size.
    ///
    /// # Errors
    /// None today.
    pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
        let most = self.host.shard().look(|stack| stack.host.settings().wmem_max);
        self.setup().options.send_buffer = Some(size.min(most));
        Ok(())
    }

    /// Bytes that may be received and not read: what was set, else where the host begins.
    ///
    /// # Errors
    /// None today.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        let set = self.setup().options.recv_buffer;
        Ok(set.unwrap_or_else(|| self.host.shard().look(|stack| stack.host.settings().tcp_rmem[1])))
    }

    /// Sets the receive buffer in bytes, at most the host's `rmem_max`; without it the host finds a size.
    ///
    /// # Errors
    /// None today.
    pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
        let most = self.host.shard().look(|stack| stack.host.settings().rmem_max);
        self.setup().options.recv_buffer = Some(size.min(most));
        Ok(())
    }

    /// How long a close is said to linger (`SO_LINGER`).
    ///
    /// # Errors
    /// None today.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        Ok(self.setup().linger)
    }

    /// Sets `SO_LINGER` for the stream to be; see [`TcpStream::set_linger`].
    ///
    /// # Errors
    /// None today.
    pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
        self.setup().linger = time.map(|time| Duration::from_secs(time.as_secs()));
        Ok(())
    }

    /// Resets the connection when its stream is dropped.
    ///
    /// # Errors
    /// None today.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }

    /// The type of service of what is sent.
    ///
    /// # Errors
    /// None today.
    pub fn tos_v4(&self) -> io::Result<u32> {
        Ok(self.setup().options.tos.into())
    }

    /// Sets the type of service; its ECN bits are the host's.
    ///
    /// # Errors
    /// None today: of a larger number the low eight bits count.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        self.setup().options.tos = tos as u8 & !3;
        Ok(())
    }

    /// The traffic class of what is sent: one with the type of service here.
    ///
    /// # Errors
    /// None today.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        self.tos_v4()
    }

    /// Sets the traffic class: one with the type of service here.
    ///
    /// # Errors
    /// None today: of a larger number the low eight bits count.
    pub fn set_tclass_v6(&self, tclass: u32) -> io::Result<()> {
        self.set_tos_v4(tclass)
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        let setup = self.setup.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(binding) = setup.binding.take() {
            self.host.shard().look(|stack| stack.host.tcp_unbind(binding));
        }
    }
}
