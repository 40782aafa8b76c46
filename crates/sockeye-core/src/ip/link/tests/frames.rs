//! What a single frame does to a host.

use super::*;

fn frame(dst: Mac, src: Mac, ethertype: u16, payload: &[u8]) -> Bytes {
    [&dst[..], &src, &ethertype.to_be_bytes(), payload].concat().into()
}

fn arp_frame(to: Mac, message: &arp::Message) -> Bytes {
    let mut packet = Packet::default();
    arp::build(&mut packet.head, message);
    frame(to, message.sender_mac, ethernet::ARP, packet.head.as_slice())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn arp_table() {
    use arp::Operation::{Reply, Request};
    let question = arp::Message {
        operation: Request,
        sender_mac: B,
        sender: Ipv4Addr::new(10, 0, 2, 2),
        target_mac: [0; 6],
        target: Ipv4Addr::new(10, 0, 2, 15),
    };
    let reply = arp::Message {
        operation: Reply,
        target_mac: A,
        ..question
    };
    let own = Ipv4Addr::new(10, 0, 2, 15);
    // (case, message, told, answered, the sender is known afterwards)
    let cases = [
        ("question", question, Ok(()), true, true),
        (
            "probe",
            arp::Message {
                sender: Ipv4Addr::UNSPECIFIED,
                ..question
            },
            Ok(()),
            true,
            false,
        ),
        (
            "for another",
            arp::Message {
                target: Ipv4Addr::new(10, 0, 2, 3),
                ..question
            },
            Ok(()),
            false,
            false,
        ),
        ("unasked reply", reply, Ok(()), false, false),
        (
            "announcement",
            arp::Message {
                target: question.sender,
                ..question
            },
            Ok(()),
            false,
            false,
        ),
        (
            "claims our address",
            arp::Message {
                sender: own,
                ..question
            },
            Err(DropReason::Martian),
            false,
            false,
        ),
        (
            "from a group",
            arp::Message {
                sender: Ipv4Addr::new(224, 0, 0, 1),
                ..question
            },
            Err(DropReason::Martian),
            false,
            false,
        ),
        (
            "our own",
            arp::Message {
                sender_mac: A,
                ..question
            },
            Ok(()),
            false,
            false,
        ),
    ];
    for (case, message, told, answered, known) in cases {
        let mut a = Node::new(A, &["10.0.2.15"]);
        assert_eq!(a.receive(Instant::ZERO, arp_frame(A, &message)), told, "{case}");
        let frames = a.frames(Instant::ZERO);
        assert_eq!(frames.len(), usize::from(answered), "{case}");
        if let Some(frame) = frames.first() {
            let got = arp::parse(&frame[ethernet::HEADER_LEN..]).unwrap();
            assert_eq!(
                (got.operation, got.sender_mac, got.sender, got.target),
                (Reply, A, own, message.sender),
                "{case}"
            );
            assert_eq!(frame[..6], B, "{case}");
        }
        let neighbor = Neighbor {
            interface: ETH,
            address: ip("10.0.2.2"),
        };
        assert_eq!(
            a.ip.neighbors.lookup(Instant::ZERO, neighbor).is_some(),
            known,
            "{case}"
        );
    }
}

#[test]
fn frames_table() {
    let mut other = Node::new(B, &["10.0.2.2"]);
    let path = Path {
        interface: ETH,
        next_hop: ip("255.255.255.255"),
        src: ip("10.0.2.2"),
        mtu: 1_500,
        proven: 1_500,
        ceiling: 1_500,
    };
    other.send_by(Instant::ZERO, &path, ip("10.0.2.15"), 4);
    let packet = other.frames(Instant::ZERO).pop().unwrap().slice(ethernet::HEADER_LEN..);
    for (case, dst, src, ethertype, payload, want) in [
        ("for us", A, B, ethernet::IPV4, &packet[..], Ok(())),
        (
            "for another",
            B,
            B,
            ethernet::IPV4,
            &packet[..],
            Err(DropReason::NotForUs),
        ),
        (
            "unicast in a broadcast",
            ethernet::BROADCAST,
            B,
            ethernet::IPV4,
            &packet[..],
            Err(DropReason::NotForUs),
        ),
        (
            "from a group",
            A,
            ethernet::BROADCAST,
            ethernet::IPV4,
            &packet[..],
            Err(DropReason::Martian),
        ),
        (
            "wrong version",
            A,
            B,
            ethernet::IPV6,
            &packet[..],
            Err(DropReason::Malformed),
        ),
        (
            "unknown type",
            A,
            B,
            0x88cc,
            &packet[..],
            Err(DropReason::UnknownProtocol),
        ),
        ("empty", A, B, ethernet::IPV4, &packet[..0], Err(DropReason::Malformed)),
        ("cut", A, B, ethernet::IPV4, &packet[..18], Err(DropReason::Malformed)),
        (
            "ARP cut",
            A,
            B,
            ethernet::ARP,
            &packet[..18],
            Err(DropReason::Truncated),
        ),
    ] {
        let mut a = Node::new(A, &["10.0.2.15"]);
        assert_eq!(
            a.receive(Instant::ZERO, frame(dst, src, ethertype, payload)),
            want,
            "{case}"
        );
    }
    let mut a = Node::new(A, &["10.0.2.15"]);
    assert_eq!(
        a.receive(Instant::ZERO, Bytes::from_static(&[2; 13])),
        Err(DropReason::Truncated)
    );
}
