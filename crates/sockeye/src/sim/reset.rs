//! RST segments that neither end sent.

use super::world::World;
use bytes::Bytes;
use sockeye_core::Packet;
use sockeye_core::packet::Csum;
use sockeye_core::wire::tcp::{self, Flags};
use sockeye_core::wire::{ipv4, ipv6, protocol};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Waker;

/// Tells every connection that `end` has with `other` that it was reset by that one. Returns how many were told.
pub(super) fn reset(world: &Rc<World>, end: usize, other: usize) -> usize {
    let machines = world.machines.borrow();
    let Some(host) = machines[end].host.clone() else {
        return 0;
    };
    let theirs = machines[other].addresses();
    drop(machines);
    let segments: Vec<Packet> = host.shard().look(|stack| {
        let ids = stack.host.tcp_ids();
        let segment = |id| {
            let (local, peer) = (stack.host.tcp_local(id)?, stack.host.tcp_peer(id)?);
            let seq = stack.host.tcp_rcv_nxt(id)?;
            theirs.contains(&peer.ip()).then(|| rst(peer, local, seq))?
        };
        ids.filter_map(segment).collect()
    });
    let mut woken = Vec::new();
    let told = segments.len();
    for segment in segments {
        world.fabric().forge(world.now(), end, segment, &mut woken);
    }
    woken.into_iter().for_each(Waker::wake);
    told
}

/// A RST that its receiver believes: its sequence number is the next expected. RFC 5961 §3.2.
fn rst(from: SocketAddr, to: SocketAddr, seq: u32) -> Option<Packet> {
    let mut packet = Packet::with_payload(Bytes::new());
    let header = tcp::Header {
        source: from.port(),
        destination: to.port(),
        seq,
        flags: Flags::RST,
        ..tcp::Header::default()
    };
    tcp::build(&mut packet.head, &header, &tcp::Options::default());
    let len = packet.total_len() as u16;
    match (from.ip(), to.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => ipv4::build(
            &mut packet.head,
            &ipv4::Header {
                header_len: ipv4::HEADER_LEN as u8,
                tos: 0,
                total_len: ipv4::HEADER_LEN as u16 + len,
                id: 0,
                dont_fragment: true,
                more_fragments: false,
                offset: 0,
                ttl: 64,
                protocol: protocol::TCP,
                src,
                dst,
            },
        ),
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6::build(
            &mut packet.head,
            &ipv6::Header {
                traffic_class: 0,
                flow_label: 0,
                payload_len: len,
                next_header: protocol::TCP,
                hop_limit: 64,
                src,
                dst,
            },
        ),
        _ => return None,
    }
    packet.meta.l4 = (packet.head.len() - usize::from(len)) as u8;
    packet.meta.csum = Csum::Partial;
    Some(packet)
}
