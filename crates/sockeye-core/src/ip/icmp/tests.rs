use super::*;
use crate::host::{HostConfig, InterfaceConfig, Medium};
use crate::keys::Keys;
use crate::socket::Unreachable::{Host, Port, TooBig};
use std::collections::VecDeque;

const ETH: InterfaceId = InterfaceId(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn layer(any_address: bool) -> Ip {
    let config = HostConfig {
        any_address,
        ..HostConfig::default()
    };
    let mut layer = Ip::new(&config, &Keys::new(1, "icmp"));
    let addresses = vec![(ip("10.0.2.2"), 24), (ip("fd00::2"), 64)];
    let eth = InterfaceConfig {
        name: "eth0".into(),
        medium: Medium::Ip,
        mtu: 1_500,
        gso: false,
        addresses,
    };
    assert_eq!(layer.add_interface(eth), ETH);
    layer
}

/// A datagram as it arrived, with the first byte of its payload.
fn about(layer: &mut Ip, src: &str, dst: &str, protocol: u8, first: u8, interface: InterfaceId) -> Datagram {
    let (src, dst) = (ip(src), ip(dst));
    let mut packet = Packet::default();
    packet.head.prepend(8).copy_from_slice(&[first, 0, 0, 0, 0, 8, 0, 0]);
    let header = Header {
        src,
        dst,
        protocol,
        ttl: 64,
        tos: 0,
        dont_fragment: false,
    };
    assert!(layer.prepend(&header, &mut packet));
    Datagram {
        packet,
        src,
        dst,
        protocol,
        ttl: 64,
        tos: 0,
        interface,
    }
}

fn sent(layer: &mut Ip, interface: InterfaceId) -> Vec<Packet> {
    let mut out = VecDeque::new();
    layer.poll_transmit(Instant::ZERO, interface, &mut out, usize::MAX);
    out.into()
}

/// RFC 1122 §3.2.2, RFC 4443 §2.4 (e): about what an error may be sent.
#[test]
fn errors_about_what_table() {
    for (case, src, dst, protocol, first, why, want) in [
        ("a datagram", "10.0.2.15", "10.0.2.2", 17, 0, Port, true),
        (
            "an unknown protocol",
            "10.0.2.15",
            "10.0.2.2",
            200,
            0,
            Unreachable::Protocol,
            true,
        ),
        ("an echo request", "10.0.2.15", "10.0.2.2", 1, 8, Host, true),
        ("unreachable", "10.0.2.15", "10.0.2.2", 1, 3, Host, false),
        ("source quench", "10.0.2.15", "10.0.2.2", 1, 4, Host, false),
        ("redirect", "10.0.2.15", "10.0.2.2", 1, 5, Host, false),
        ("time exceeded", "10.0.2.15", "10.0.2.2", 1, 11, Host, false),
        ("parameter problem", "10.0.2.15", "10.0.2.2", 1, 12, Host, false),
        ("to all", "10.0.2.15", "255.255.255.255", 17, 0, Port, false),
        ("to all on the network", "10.0.2.15", "10.0.2.255", 17, 0, Port, false),
        ("to a group", "10.0.2.15", "224.0.0.1", 17, 0, Port, false),
        ("from nobody", "0.0.0.0", "10.0.2.2", 17, 0, Port, false),
        ("from all", "255.255.255.255", "10.0.2.2", 17, 0, Port, false),
        ("from a group", "224.0.0.1", "10.0.2.2", 17, 0, Port, false),
        ("from class E", "250.0.0.1", "10.0.2.2", 17, 0, Port, false),
        ("an IPv6 datagram", "fd00::15", "fd00::2", 17, 0, Port, true),
        ("an IPv6 echo request", "fd00::15", "fd00::2", 58, 128, Host, true),
        ("an ICMPv6 error", "fd00::15", "fd00::2", 58, 1, Host, false),
        ("an unknown ICMPv6 error", "fd00::15", "fd00::2", 58, 100, Host, false),
        ("an IPv6 redirect", "fd00::15", "fd00::2", 58, 137, Host, false),
        ("to an IPv6 group", "fd00::15", "ff02::1", 17, 0, Port, false),
        (
            "too long for a group's path",
            "fd00::15",
            "ff02::1",
            17,
            0,
            TooBig(1_400),
            true,
        ),
        ("from nobody, IPv6", "::", "fd00::2", 17, 0, Port, false),
        ("from an IPv6 group", "ff02::1", "fd00::2", 17, 0, Port, false),
    ] {
        let (mut layer, mut counters) = (layer(false), Counters::default());
        let about = about(&mut layer, src, dst, protocol, first, ETH);
        layer.unreachable(Instant::ZERO, &about, why, &mut counters);
        let sent = sent(&mut layer, ETH);
        assert_eq!(sent.len(), usize::from(want), "{case}");
        assert_eq!(counters.icmp_out_msgs, u64::from(want), "{case}");
    }
}

/// RFC 4443 §2.4 (f), RFC 1812 §4.3.2.8.
#[test]
fn errors_are_rationed() {
    let (mut layer, mut counters) = (layer(false), Counters::default());
    let about = about(&mut layer, "10.0.2.15", "10.0.2.2", 17, 0, ETH);
    for _ in 0..5_000 {
        layer.unreachable(Instant::ZERO, &about, Port, &mut counters);
    }
    assert!(counters.icmp_out_msgs <= 1_000);
    assert_eq!(counters.drops(DropReason::RateLimited), 5_000 - counters.icmp_out_msgs);
}

/// A link whose far end is somebody's loopback gets the errors about what came from there.
#[test]
fn the_way_back() {
    for (src, dst, arrived, leaves) in [
        ("10.0.2.15", "10.0.2.2", ETH, ETH),
        ("127.0.0.1", "127.0.0.1", ETH, ETH),
        ("::1", "::1", ETH, ETH),
        ("127.0.0.1", "127.0.0.1", InterfaceId(u32::MAX), ETH),
        ("127.0.0.1", "127.0.0.1", InterfaceId::LOOPBACK, InterfaceId::LOOPBACK),
        ("10.0.2.2", "10.0.2.2", InterfaceId::LOOPBACK, InterfaceId::LOOPBACK),
    ] {
        let (mut layer, mut counters) = (layer(true), Counters::default());
        let about = about(&mut layer, src, dst, 17, 0, arrived);
        layer.unreachable(Instant::ZERO, &about, Port, &mut counters);
        assert_eq!(sent(&mut layer, leaves).len(), 1, "{src} by {arrived:?}");
    }
}
