//! Fragments on their way out and in: RFC 791 §3.2, RFC 8200 §4.5. Whether to fragment at all is for `output` to decide, what to keep and
//! believe of what arrives for `reassembly`.

use super::reassembly::{Expired, Fragment, Whole};
use super::{Datagram, Ip, shape};
use crate::counters::{Counters, DropReason};
use crate::gso::{self, Slices};
use crate::host::InterfaceId;
use crate::packet::{Csum, Head, Packet};
use crate::time::Instant;
use crate::wire::icmp::Message;
use crate::wire::ipv6::Stop;
use crate::wire::layout::transport_len;
use crate::wire::{icmp, ipv4, ipv6, protocol};
use bytes::{Bytes, BytesMut};

impl Ip {
    /// Takes an IPv4 fragment, and gives the packet that it completes.
    pub(super) fn on_fragment_v4(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        header: &ipv4::Header,
        packet: &Packet,
        counters: &mut Counters,
    ) -> Result<Option<Packet>, DropReason> {
        let len = usize::from(header.header_len);
        let (src, dst, protocol) = (header.src.into(), header.dst.into(), header.protocol);
        let fragment = Fragment {
            whole: Whole {
                src,
                dst,
                id: header.id.into(),
                protocol,
            },
            offset: header.offset.into(),
            more: header.more_fragments,
            header: &packet.head.as_slice()[..len],
            protocol,
            tos: header.tos,
            interface,
        };
        let told = self
            .reassembly
            .on_fragment(now, &fragment, copy_behind(packet, len), counters);
        self.report_expired(now, counters);
        told
    }

    /// Takes an IPv6 fragment, and gives the packet that it completes, with what stood before the Fragment header taken out.
    pub(super) fn on_fragment_v6(
        &mut self,
        now: Instant,
        datagram: &Datagram,
        chain: &ipv6::Chain,
        counters: &mut Counters,
    ) -> Result<Option<Packet>, DropReason> {
        let Some((fields, at)) = chain.fragment else {
            return Err(DropReason::BadFragment);
        };
        let payload = copy_behind(&datagram.packet, ipv6::HEADER_LEN + chain.len);
        // RFC 8200 §4.5: what is wrong with a fragment is told to its sender, pointing at the field.
        let problem = if fields.more && !payload.len().is_multiple_of(8) {
            Some((0, 4))
        } else if usize::from(fields.offset) + payload.len() > 0xffff {
            Some((0, (ipv6::HEADER_LEN + at + 2) as u32))
        } else if fields.offset == 0 && !holds_headers(fields.next_header, &payload) {
            Some((3, 0))
        } else {
            None
        };
        if let Some((code, pointer)) = problem {
            self.parameter_problem(now, datagram, code, pointer, false, counters);
            return Err(DropReason::BadFragment);
        }
        let fragment = Fragment {
            whole: Whole {
                src: datagram.src,
                dst: datagram.dst,
                id: fields.id,
                protocol: 0,
            },
            offset: fields.offset.into(),
            more: fields.more,
            header: &datagram.packet.head.as_slice()[..ipv6::HEADER_LEN],
            protocol: fields.next_header,
            tos: datagram.tos,
            interface: datagram.interface,
        };
        let told = self.reassembly.on_fragment(now, &fragment, payload, counters);
        self.report_expired(now, counters);
        told
    }

    /// Tells the senders of datagrams that did not become whole in time. RFC 1122 §3.3.2, RFC 8200 §4.5.
    pub(super) fn report_expired(&mut self, now: Instant, counters: &mut Counters) {
        while let Some(Expired {
            mut packet,
            whole,
            protocol,
            interface,
        }) = self.reassembly.poll_expired()
        {
            let l4 = packet.head.len();
            packet.meta.l4 = l4 as u8;
            let _ = shape::pull(&mut packet, l4 + icmp::HEADER_LEN);
            let Whole { src, dst, .. } = whole;
            let about = Datagram {
                packet,
                src,
                dst,
                protocol,
                ttl: 0,
                tos: 0,
                interface,
            };
            self.report(now, &about, Message::ReassemblyTimeout, false, counters);
        }
    }
}

/// Everything behind the first `n` bytes, copied: a fragment that waits must not hold on to a larger buffer.
fn copy_behind(packet: &Packet, n: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(packet.total_len().saturating_sub(n));
    let mut skip = n;
    for slice in std::iter::once(packet.head.as_slice()).chain(packet.body.iter().map(|slice| &slice[..])) {
        let skipped = skip.min(slice.len());
        bytes.extend_from_slice(&slice[skipped..]);
        skip -= skipped;
    }
    bytes.freeze()
}

/// A first fragment must hold all headers up to the transport's. RFC 7112 §5, RFC 8200 §4.5.
fn holds_headers(next_header: u8, payload: &[u8]) -> bool {
    match ipv6::walk(next_header, payload) {
        Ok(chain) => {
            transport_len(chain.protocol, &payload[chain.len..]).is_some_and(|len| chain.len + len <= payload.len())
        }
        Err(stop) => stop != Stop::Drop(DropReason::Truncated),
    }
}

/// Cuts a packet, whose head starts with an IP header without options or extensions, into fragments of at most `mtu` bytes, and hands each
/// to `each`. `id` marks those of one IPv6 datagram; an IPv4 header has its own. False, with nothing done, when the link is too narrow or
/// the head starts with no IP header.
pub(super) fn split(mut packet: Packet, mtu: usize, id: u32, mut each: impl FnMut(Packet)) -> bool {
    let Some((fixed, overhead)) = lengths(&packet) else {
        return false;
    };
    let room = mtu.saturating_sub(overhead) & !7;
    if room == 0 {
        return false;
    }
    // The checksum covers the datagram, so it has to be there before the datagram is cut.
    gso::finish(&mut packet);
    let (header, transport) = packet.head.as_slice().split_at(fixed);
    let header = Head::from_slice(header);
    let total = transport.len() + packet.meta.len as usize;
    let mut body = std::mem::take(&mut packet.body);
    if !transport.is_empty() {
        body.insert(0, Bytes::copy_from_slice(transport));
    }
    let mut body = Slices::new(body);
    let mut offset = 0;
    while offset < total {
        let len = room.min(total - offset);
        let mut fragment = Packet {
            body: body.take(len),
            ..Packet::default()
        };
        fragment.meta = packet.meta;
        fragment.meta.csum = Csum::Full;
        fragment.meta.len = len as u32;
        let more = offset + len < total;
        fragment.head = fragment_header(header.as_slice(), offset as u16, more, len, id);
        fragment.meta.l4 = fragment.head.len() as u8;
        each(fragment);
        offset += len;
    }
    true
}

/// Length of the IP header, and of all headers of a fragment.
fn lengths(packet: &Packet) -> Option<(usize, usize)> {
    let (fixed, overhead) = match packet.head.as_slice().first()? >> 4 {
        4 => (ipv4::HEADER_LEN, ipv4::HEADER_LEN),
        6 => (ipv6::HEADER_LEN, ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN),
        _ => return None,
    };
    (packet.head.len() >= fixed).then_some((fixed, overhead))
}

fn fragment_header(whole: &[u8], offset: u16, more: bool, len: usize, id: u32) -> Head {
    let mut head = Head::for_output();
    if let Ok(header) = ipv4::parse(whole) {
        let total_len = (ipv4::HEADER_LEN + len) as u16;
        let header = ipv4::Header {
            total_len,
            offset,
            more_fragments: more,
            dont_fragment: false,
            ..header
        };
        ipv4::build(&mut head, &header);
    } else if let Ok(header) = ipv6::parse(whole) {
        let fragment = ipv6::Fragment {
            next_header: header.next_header,
            offset,
            more,
            id,
        };
        ipv6::build_fragment(&mut head, &fragment);
        let payload_len = (ipv6::FRAGMENT_LEN + len) as u16;
        ipv6::build(
            &mut head,
            &ipv6::Header {
                payload_len,
                next_header: protocol::FRAGMENT,
                ..header
            },
        );
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, below};
    use crate::wire::udp;

    fn datagram(v6: bool, payload: &[u8]) -> Packet {
        let mut packet = Packet::default();
        for part in payload.chunks(1_000) {
            packet.push_payload(Bytes::copy_from_slice(part));
        }
        udp::build(&mut packet.head, 1, 2, payload.len());
        let len = packet.total_len();
        packet.meta.csum = Csum::Partial;
        if v6 {
            let header = ipv6::Header {
                traffic_class: 1,
                flow_label: 2,
                payload_len: len as u16,
                next_header: protocol::UDP,
                hop_limit: 64,
                src: [1; 16].into(),
                dst: [2; 16].into(),
            };
            ipv6::build(&mut packet.head, &header);
        } else {
            let header = ipv4::Header {
                header_len: 20,
                tos: 1,
                total_len: (20 + len) as u16,
                id: 7,
                dont_fragment: false,
                more_fragments: false,
                offset: 0,
                ttl: 64,
                protocol: protocol::UDP,
                src: [1; 4].into(),
                dst: [2; 4].into(),
            };
            ipv4::build(&mut packet.head, &header);
        }
        packet
    }

    #[test]
    fn no_byte_is_lost_and_none_is_twice() {
        let mut rng = Keys::new(1, "fragment").stream("test");
        for n in 0..500 {
            let v6 = n % 2 == 0;
            let payload: Vec<u8> = (0..below(&mut rng, 9_000)).map(|n| n as u8).collect();
            let packet = datagram(v6, &payload);
            let mut finished = packet.clone();
            gso::finish(&mut finished);
            let (mtu, header) = (68 + below(&mut rng, 2_000) as usize, if v6 { 40 } else { 20 });
            let mut got = Vec::new();
            assert!(split(packet, mtu, 99, |fragment| {
                let bytes = fragment.to_vec();
                assert!(bytes.len() <= mtu);
                assert_eq!(bytes.len(), fragment.total_len());
                let (offset, more, start) = if v6 {
                    let chain = ipv6::walk(bytes[6], &bytes[40..]).unwrap();
                    let fields = chain.fragment.map(|(fragment, _)| fragment);
                    assert!(fields.is_none_or(|fields| fields.id == 99 && fields.next_header == protocol::UDP));
                    assert_eq!(usize::from(ipv6::parse(&bytes).unwrap().payload_len), bytes.len() - 40);
                    fields.map_or((0, false, 48), |fields| (fields.offset, fields.more, 48))
                } else {
                    let fields = ipv4::parse(&bytes).unwrap();
                    assert!(ipv4::verify(&bytes[..20]) && fields.id == 7 && fields.tos == 1);
                    assert_eq!(usize::from(fields.total_len), bytes.len());
                    (fields.offset, fields.more_fragments, 20)
                };
                assert_eq!(usize::from(offset), got.len());
                got.extend_from_slice(&bytes[start..]);
                assert_eq!(more, got.len() < payload.len() + 8);
            }));
            assert_eq!(got, finished.to_vec()[header..]);
        }
    }

    #[test]
    fn too_narrow() {
        assert!(!split(datagram(false, &[0; 100]), 27, 1, |_| panic!()));
        assert!(!split(datagram(true, &[0; 100]), 55, 1, |_| panic!()));
        assert!(!split(Packet::default(), 1_500, 1, |_| panic!()));
    }
}
