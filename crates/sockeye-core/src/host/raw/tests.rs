use crate::error::{BindError, ConnectError, SendError, SocketError};
use crate::host::pair::{Pair, at, datagram};
use crate::host::{Host, InterfaceId, Route};
use crate::socket::{RawId, SocketId, UdpOptions};
use crate::wire::checksum;

/// An echo request as an application writes it: identifier and checksum are not its business.
fn request(icmp_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    [&[icmp_type, 0, 0, 0, 0xff, 0xff, high, low], payload].concat()
}

fn data(host: &mut Host, id: RawId) -> Option<Vec<u8>> {
    host.raw_recv(id).map(|got| got.data.to_vec())
}

#[test]
fn ping() {
    for (any, to, ask, reply) in [
        ("0.0.0.0:0", "10.0.0.2:0", 8, 0),
        ("[::]:0", "[fd00::2]:0", 128, 129),
        ("0.0.0.0:0", "127.0.0.1:0", 8, 0),
    ] {
        let mut pair = Pair::new();
        let id = pair.a.ping_open(at(any)).unwrap();
        let other = pair.a.ping_open(at(any)).unwrap();
        let ident = pair.a.raw_local(id).unwrap().port();
        assert_ne!(ident, 0);
        pair.a
            .raw_send(pair.now, id, datagram(to, &request(ask, 7, b"payload")))
            .unwrap();
        pair.settle();
        assert_eq!(pair.a.poll_event().map(|event| event.socket), Some(SocketId::Raw(id)));
        let got = pair.a.raw_recv(id).unwrap();
        assert_eq!(got.from, at(to));
        let [ident_high, ident_low] = ident.to_be_bytes();
        assert_eq!(got.data[..2], [reply, 0]);
        assert_eq!(
            got.data[4..],
            *[&[ident_high, ident_low, 0, 7], &b"payload"[..]].concat()
        );
        if reply == 0 {
            assert_eq!(checksum::checksum(&got.data), 0, "the program sees a right checksum");
        }
        assert!(pair.a.raw_recv(other).is_none());
        assert_eq!(
            pair.a.raw_send(pair.now, id, datagram(to, &request(reply, 7, b""))),
            Err(SendError::Invalid)
        );
        assert_eq!(
            pair.a.raw_send(pair.now, id, datagram(to, b"short")),
            Err(SendError::Invalid)
        );
        pair.a.raw_close(id);
        assert!(pair.a.raw_local(id).is_none());
    }
}

#[test]
fn ping_sockets_open_and_connect() {
    let mut pair = Pair::new();
    let id = pair.a.ping_open(at("10.0.0.1:77")).unwrap();
    assert_eq!(pair.a.ping_open(at("0.0.0.0:77")), Err(BindError::AddressInUse));
    assert_eq!(pair.a.ping_open(at("10.0.0.9:78")), Err(BindError::AddressNotAvailable));
    assert_eq!(pair.a.raw_local(id), Some(at("10.0.0.1:77")));
    assert_eq!(
        pair.a.raw_connect(id, Some([192, 0, 2, 1].into())),
        Err(ConnectError::Unreachable)
    );
    assert_eq!(
        pair.a.raw_connect(id, Some("fd00::2".parse().unwrap())),
        Err(ConnectError::FamilyMismatch)
    );
    assert_eq!(
        pair.a.raw_send(pair.now, id, datagram("", &request(8, 1, b""))),
        Err(SendError::NoDestination)
    );
    pair.a.raw_connect(id, Some([10, 0, 0, 2].into())).unwrap();
    pair.a
        .raw_send(pair.now, id, datagram("", &request(8, 1, b"")))
        .unwrap();
    pair.settle();
    assert_eq!(pair.a.raw_queued(id), (1, 8));
}

#[test]
fn raw_sockets_see_headers_over_ipv4_only() {
    for (any, to, protocol, header) in [("0.0.0.0", "10.0.0.2:0", 253, 20), ("::", "[fd00::2]:0", 253, 0)] {
        let mut pair = Pair::new();
        let sender = pair.a.raw_open(any.parse().unwrap(), protocol);
        let taker = pair.b.raw_open(any.parse().unwrap(), protocol);
        let other = pair.b.raw_open(any.parse().unwrap(), protocol + 1);
        let payload: Vec<u8> = (0..200).collect();
        let options = UdpOptions {
            ttl: Some(3),
            ..UdpOptions::default()
        };
        pair.a.raw_set_options(sender, options);
        pair.a.raw_send(pair.now, sender, datagram(to, &payload)).unwrap();
        pair.settle();
        let got = pair.b.raw_recv(taker).unwrap();
        assert_eq!(got.data[header..], payload, "{to}");
        assert_eq!(got.ttl, 3);
        if header != 0 {
            assert_eq!((got.data[0], got.data[8], got.data[9]), (0x45, 3, protocol));
            assert_eq!(checksum::checksum(&got.data[..header]), 0);
        }
        assert!(data(&mut pair.b, other).is_none());
        // Nobody speaks this one: the sender is told.
        pair.b.raw_close(taker);
        let recverr = UdpOptions {
            recverr: true,
            ..UdpOptions::default()
        };
        pair.a.raw_set_options(sender, recverr);
        pair.a.raw_send(pair.now, sender, datagram(to, &payload)).unwrap();
        pair.settle();
        assert_eq!(
            pair.a.raw_take_error(sender),
            Some(SocketError::ProtocolUnreachable),
            "{to}"
        );
        assert!(pair.a.raw_take_report(sender).is_some());
    }
}

#[test]
fn raw_icmp_beside_the_host_s_own() {
    let mut pair = Pair::new();
    let v4 = pair.a.raw_open([0, 0, 0, 0].into(), 1);
    let mut message = request(8, 1, b"by hand");
    let sum = checksum::checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    pair.a.raw_send(pair.now, v4, datagram("10.0.0.2:0", &message)).unwrap();
    pair.settle();
    let got = data(&mut pair.a, v4).unwrap();
    assert_eq!(
        (got[20], &got[24..28], &got[28..]),
        (0, &[0xff, 0xff, 0, 1][..], &b"by hand"[..])
    );

    // Over IPv6 the host fills in the checksum (RFC 3542 §3.1): without it nobody would answer.
    let v6 = pair.a.raw_open("::".parse().unwrap(), 58);
    pair.a
        .raw_send(pair.now, v6, datagram("[fd00::2]:0", &request(128, 1, b"by hand")))
        .unwrap();
    pair.settle();
    let got = data(&mut pair.a, v6).unwrap();
    assert_eq!(
        (got[0], &got[4..8], &got[8..]),
        (129, &[0xff, 0xff, 0, 1][..], &b"by hand"[..])
    );
}

/// What `traceroute` does: probes over UDP, answers over a raw ICMP socket that quotes them.
#[test]
fn raw_icmp_sees_errors_that_quote() {
    let mut pair = Pair::new();
    pair.a.add_route(Route {
        network: [0, 0, 0, 0].into(),
        prefix: 0,
        via: Some([10, 0, 0, 2].into()),
        interface: pair.link,
    });
    let icmp = pair.a.raw_open([0, 0, 0, 0].into(), 1);
    let probe = pair.a.udp_bind(at("0.0.0.0:4000"), Default::default()).unwrap();
    pair.a
        .udp_send(pair.now, probe, datagram("10.0.0.2:33434", b"probe"))
        .unwrap();
    pair.settle();
    let got = pair.a.raw_recv(icmp).unwrap();
    assert_eq!(got.from, at("10.0.0.2:0"));
    let message = &got.data[20..];
    assert_eq!(message[..2], [3, 3], "port unreachable");
    assert_eq!((message[8], message[8 + 9]), (0x45, 17));
    assert_eq!(
        message[8 + 16..8 + 24],
        [10, 0, 0, 2, 0x0f, 0xa0, 0x82, 0x9a],
        "destination and ports"
    );
    assert_ne!(pair.link, InterfaceId::LOOPBACK);
}
