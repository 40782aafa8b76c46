//! What can be set on a UDP socket.

use super::UdpSocket;
use crate::net::errors;
use crate::net::tcp::hop_limit;
use sockeye_core::error::Errno;
use sockeye_core::socket::UdpOptions;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::PoisonError;

impl UdpSocket {
    /// All options as they are set, also those without a function of their own here.
    pub fn options(&self) -> UdpOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets all options at once; start from [`UdpSocket::options`].
    pub fn set_options(&self, options: UdpOptions) {
        self.change(|old| *old = options);
    }

    fn change(&self, change: impl FnOnce(&mut UdpOptions)) {
        let mut options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut options);
        let options = options.clone();
        self.host
            .shard()
            .look(|stack| stack.host.udp_set_options(self.id, options));
    }

    /// Whether broadcasts may be sent (`SO_BROADCAST`).
    ///
    /// # Errors
    /// None today.
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.options().broadcast)
    }

    /// Allows broadcasts to be sent.
    ///
    /// # Errors
    /// None today.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.change(|options| options.broadcast = on);
        Ok(())
    }

    /// The hop limit of what is sent, 1..=255.
    ///
    /// # Errors
    /// None today.
    pub fn ttl(&self) -> io::Result<u32> {
        let default = || self.host.shard().look(|stack| stack.host.settings().ip_default_ttl);
        Ok(self.options().ttl.unwrap_or_else(default).into())
    }

    /// Sets the hop limit, 1..=255.
    ///
    /// # Errors
    /// `InvalidInput` outside of that.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = hop_limit(ttl)?;
        self.change(|options| options.ttl = Some(ttl));
        Ok(())
    }

    /// The type of service of what is sent.
    ///
    /// # Errors
    /// None today.
    pub fn tos_v4(&self) -> io::Result<u32> {
        Ok(self.options().tos.into())
    }

    /// Sets the type of service.
    ///
    /// # Errors
    /// None today: of a larger number the low eight bits count.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        self.change(|options| options.tos = tos as u8);
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

    /// Joins a multicast group, on all links whatever `interface` says. RFC 1112 §6.
    ///
    /// # Errors
    /// `InvalidInput` for what is no multicast address.
    pub fn join_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        let _ = interface;
        self.set_group(multiaddr.into(), true)
    }

    /// Joins a multicast group, on all links whatever `interface` says. RFC 4291 §2.7.
    ///
    /// # Errors
    /// `InvalidInput` for what is no multicast address.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        let _ = interface;
        self.set_group((*multiaddr).into(), true)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// `InvalidInput` for what is no multicast address.
    pub fn leave_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        let _ = interface;
        self.set_group(multiaddr.into(), false)
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// `InvalidInput` for what is no multicast address.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        let _ = interface;
        self.set_group((*multiaddr).into(), false)
    }

    fn set_group(&self, group: IpAddr, join: bool) -> io::Result<()> {
        if !group.is_multicast() {
            return Err(errors::errno(Errno::EINVAL));
        }
        self.host
            .shard()
            .look(|stack| stack.host.udp_multicast(self.id, group, None, join));
        Ok(())
    }
}
