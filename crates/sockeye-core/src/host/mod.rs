//! One Internet host: the owner of everything, and the only place that hands a packet from one layer to the next.
//!
//! Calling contract: after any `receive`, `handle_timeout` or socket call, take `poll_transmit` of every interface until it gives nothing,
//! then `poll_timeout`, then `poll_event` until `None`. Same inputs and seed, same packets, always.

use crate::buf::{Pool, Rope};
use crate::counters::Counters;
use crate::error::{BindError, ConnectError, ListenError, SendError, SocketError, WriteError};
use crate::packet::Packet;
use crate::settings::Settings;
use crate::socket::{
    BindOptions, Binding, Close, Echo, ErrorReport, Event, ListenerId, Outgoing, RawId, Readiness, Received, Refused,
    Shutdown, State, Stray, SynAnswer, SynId, TcpId, TcpInfo, TcpOptions, UdpId, UdpOptions, Unreachable,
};
use crate::time::Instant;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// What a host is made from.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// All chance and all secrets of the host follow from this.
    pub seed: u64,
    /// Accept packets for any address (a gateway): what no socket takes comes out of [`Host::poll_stray`].
    pub any_address: bool,
    /// Who carries packets to this host's own addresses.
    pub loopback: Loopback,
    /// All knobs.
    pub settings: Settings,
}

/// Who carries packets that a host sends to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// The host itself, at once.
    #[default]
    Internal,
    /// The owner: they come out of `poll_transmit(InterfaceId::LOOPBACK)` and go back in by `receive(InterfaceId::LOOPBACK)`.
    External,
}

/// An interface of a host, in the order they were added. The loopback interface always exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceId(pub(crate) u32);

impl InterfaceId {
    /// The loopback interface `lo`: 127.0.0.1/8 and ::1/128.
    pub const LOOPBACK: Self = Self(0);
}

/// What frames on a link look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Medium {
    /// Bare IP packets: TUN, memory links.
    #[default]
    Ip,
    /// Ethernet frames; neighbours are found by ARP and NDP.
    Ethernet {
        /// Our hardware address.
        address: [u8; 6],
    },
}

/// How an interface is set up.
#[derive(Clone, Debug)]
pub struct InterfaceConfig {
    /// Name shown to users: `eth0`.
    pub name: String,
    /// Frame format.
    pub medium: Medium,
    /// Largest IP packet in bytes, 1280..=65535 (68.. for IPv4 alone). RFC 8200 §5, RFC 791 §3.2.
    pub mtu: u32,
    /// The link takes super-segments and splits them itself (a memory link keeps them whole).
    pub gso: bool,
    /// Our addresses with prefix lengths. Each adds the route to its own network.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// A route: where packets to `network/prefix` go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination network.
    pub network: IpAddr,
    /// Prefix length, 0..=32 or 0..=128. The longest match wins.
    pub prefix: u8,
    /// Next hop; `None` when the destination is on the link.
    pub via: Option<IpAddr>,
    /// Which interface.
    pub interface: InterfaceId,
}

/// One Internet host (RFC 1122's word): interfaces, routes, neighbours, UDP, TCP, sockets.
#[derive(Debug)]
pub struct Host {
    pool: Pool,
    counters: Counters,
}

#[allow(clippy::todo, unused_variables, clippy::needless_pass_by_value, missing_docs)]
impl Host {
    pub fn new(config: HostConfig) -> Self {
        todo!()
    }
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
    pub fn settings(&self) -> &Settings {
        todo!()
    }

    // Interfaces and routes
    pub fn add_interface(&mut self, config: InterfaceConfig) -> InterfaceId {
        todo!()
    }
    pub fn add_address(&mut self, interface: InterfaceId, address: IpAddr, prefix: u8) {
        todo!()
    }
    pub fn add_route(&mut self, route: Route) {
        todo!()
    }
    /// True for an address of ours.
    pub fn is_local(&self, address: IpAddr) -> bool {
        todo!()
    }
    /// Packets to a loopback address and port that nobody here holds leave by `interface` instead (its far end is the machine's own loopback).
    pub fn set_loopback_fallback(&mut self, interface: Option<InterfaceId>) {
        todo!()
    }
    /// The source address that packets to `remote` would carry.
    pub fn source_address(&self, remote: IpAddr) -> Option<IpAddr> {
        todo!()
    }

    // Packets and time
    /// Takes all of `batch`, as it arrived on `interface`.
    pub fn receive(&mut self, now: Instant, interface: InterfaceId, batch: &mut Vec<Packet>) {
        todo!()
    }
    /// Appends up to `max` packets that leave by `interface` to `out`.
    pub fn poll_transmit(&mut self, now: Instant, interface: InterfaceId, out: &mut VecDeque<Packet>, max: usize) {
        todo!()
    }
    /// When to call `handle_timeout` next; `None` while there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    // TCP
    pub fn tcp_bind(&mut self, local: SocketAddr, options: BindOptions) -> Result<Binding, BindError> {
        todo!()
    }
    pub fn tcp_unbind(&mut self, binding: Binding) {
        todo!()
    }
    /// Fails with the binding handed back.
    pub fn tcp_listen(
        &mut self,
        now: Instant,
        binding: Binding,
        backlog: u32,
        options: TcpOptions,
    ) -> Result<ListenerId, (Binding, ListenError)> {
        todo!()
    }
    pub fn listener_set_backlog(&mut self, id: ListenerId, backlog: u32) {
        todo!()
    }
    pub fn listener_set_options(&mut self, id: ListenerId, options: TcpOptions) {
        todo!()
    }
    /// Connections ready to accept.
    pub fn listener_pending(&self, id: ListenerId) -> usize {
        todo!()
    }
    pub fn listener_local(&self, id: ListenerId) -> Option<SocketAddr> {
        todo!()
    }
    pub fn tcp_accept(&mut self, now: Instant, id: ListenerId) -> Option<TcpId> {
        todo!()
    }
    /// Stops listening; connections not accepted yet are reset.
    pub fn listener_close(&mut self, now: Instant, id: ListenerId) {
        todo!()
    }
    /// Starts a connection. An unbound one (`None`) gets a dynamic port; `only_v6`/family follow `remote`.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        binding: Option<Binding>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> Result<TcpId, (Option<Binding>, ConnectError)> {
        todo!()
    }
    pub fn tcp_state(&self, id: TcpId) -> State {
        todo!()
    }
    pub fn tcp_readiness(&self, id: TcpId) -> Readiness {
        todo!()
    }
    /// Moves up to `max` received bytes to the end of `into`, without copying. 0 with nothing there: see readiness for why.
    pub fn tcp_read(&mut self, now: Instant, id: TcpId, max: usize, into: &mut Rope) -> usize {
        todo!()
    }
    /// Copies received bytes from offset `skip` without taking them. Returns how many.
    pub fn tcp_peek(&mut self, id: TcpId, skip: usize, buf: &mut [u8]) -> usize {
        todo!()
    }
    /// Queues as much of `data` as the send buffer takes, without copying, and leaves the rest in it. Returns how much.
    pub fn tcp_write(&mut self, now: Instant, id: TcpId, data: &mut Bytes) -> Result<usize, WriteError> {
        todo!()
    }
    pub fn tcp_shutdown(&mut self, now: Instant, id: TcpId, how: Shutdown) {
        todo!()
    }
    /// Lets go of the connection; the host finishes it on its own. `id` names nothing afterwards.
    pub fn tcp_close(&mut self, now: Instant, id: TcpId, how: Close) {
        todo!()
    }
    /// SO_ERROR: the pending error, which is then no longer pending.
    pub fn tcp_take_error(&mut self, id: TcpId) -> Option<SocketError> {
        todo!()
    }
    pub fn tcp_local(&self, id: TcpId) -> Option<SocketAddr> {
        todo!()
    }
    pub fn tcp_peer(&self, id: TcpId) -> Option<SocketAddr> {
        todo!()
    }
    pub fn tcp_options(&self, id: TcpId) -> TcpOptions {
        todo!()
    }
    pub fn tcp_set_options(&mut self, now: Instant, id: TcpId, options: TcpOptions) {
        todo!()
    }
    pub fn tcp_info(&self, now: Instant, id: TcpId) -> Option<TcpInfo> {
        todo!()
    }
    /// Every connection there is, TIME-WAIT excluded.
    pub fn tcp_ids(&self) -> impl Iterator<Item = TcpId> {
        std::iter::empty()
    }

    // UDP
    pub fn udp_bind(&mut self, local: SocketAddr, options: BindOptions) -> Result<UdpId, BindError> {
        todo!()
    }
    /// `connect`: sets (or with `None` clears) the default destination and filter, and settles the local address.
    pub fn udp_connect(&mut self, id: UdpId, remote: Option<SocketAddr>) -> Result<(), ConnectError> {
        todo!()
    }
    pub fn udp_send(&mut self, now: Instant, id: UdpId, datagram: Outgoing) -> Result<(), SendError> {
        todo!()
    }
    pub fn udp_recv(&mut self, id: UdpId) -> Option<Received> {
        todo!()
    }
    /// Datagrams and bytes waiting.
    pub fn udp_queued(&self, id: UdpId) -> (usize, usize) {
        todo!()
    }
    pub fn udp_take_error(&mut self, id: UdpId) -> Option<SocketError> {
        todo!()
    }
    pub fn udp_take_report(&mut self, id: UdpId) -> Option<ErrorReport> {
        todo!()
    }
    pub fn udp_local(&self, id: UdpId) -> Option<SocketAddr> {
        todo!()
    }
    pub fn udp_peer(&self, id: UdpId) -> Option<SocketAddr> {
        todo!()
    }
    pub fn udp_set_options(&mut self, id: UdpId, options: UdpOptions) {
        todo!()
    }
    /// Joins (`true`) or leaves a multicast group.
    pub fn udp_multicast(&mut self, id: UdpId, group: IpAddr, interface: Option<InterfaceId>, join: bool) {
        todo!()
    }
    pub fn udp_drops(&self, id: UdpId) -> u64 {
        todo!()
    }
    pub fn udp_close(&mut self, id: UdpId) {
        todo!()
    }

    // Raw IP and ICMP echo sockets
    /// A ping socket: sends echo requests, receives the replies to its identifier. Port 0 picks an identifier.
    pub fn ping_open(&mut self, local: SocketAddr) -> Result<RawId, BindError> {
        todo!()
    }
    /// A raw socket for one IP protocol.
    pub fn raw_open(&mut self, local: IpAddr, protocol: u8) -> RawId {
        todo!()
    }
    pub fn raw_connect(&mut self, id: RawId, remote: Option<IpAddr>) -> Result<(), ConnectError> {
        todo!()
    }
    pub fn raw_send(&mut self, now: Instant, id: RawId, datagram: Outgoing) -> Result<(), SendError> {
        todo!()
    }
    pub fn raw_recv(&mut self, id: RawId) -> Option<Received> {
        todo!()
    }
    pub fn raw_local(&self, id: RawId) -> Option<SocketAddr> {
        todo!()
    }
    pub fn raw_set_options(&mut self, id: RawId, options: UdpOptions) {
        todo!()
    }
    pub fn raw_close(&mut self, id: RawId) {
        todo!()
    }

    // Any-address mode
    pub fn poll_stray(&mut self) -> Option<Stray> {
        todo!()
    }
    /// `None` when the SYN is no longer there (timed out, answered), or was not accepted.
    pub fn answer_syn(&mut self, now: Instant, id: SynId, answer: SynAnswer) -> Option<TcpId> {
        todo!()
    }
    /// Sends a datagram with any source.
    pub fn send_datagram(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: Outgoing,
    ) -> Result<(), SendError> {
        todo!()
    }
    pub fn send_echo_reply(&mut self, now: Instant, echo: Echo) {
        todo!()
    }
    pub fn refuse(&mut self, now: Instant, what: Refused, why: Unreachable) {
        todo!()
    }
    /// Opens a connection with any source address (a published port: the remote client's own address).
    pub fn tcp_connect_from(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> Result<TcpId, ConnectError> {
        todo!()
    }
}
