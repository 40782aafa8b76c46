use crate::error::{SendError, SocketError};
use crate::host::pair::{Pair, at, datagram};
use crate::host::{HostConfig, Route};
use crate::socket::{
    Close, Echo, Outgoing, Refused, State, Stray, SynAnswer, SynId, TcpOptions, UdpOptions, Unreachable,
};
use crate::time::SECOND;
use bytes::Bytes;

/// `b` is a gateway: all that `a` does not know goes there.
fn gateway() -> Pair {
    let config = HostConfig {
        any_address: true,
        ..HostConfig::default()
    };
    let mut pair = Pair::with(HostConfig::default(), config);
    let link = pair.link;
    for (any, via) in [("0.0.0.0:0", "10.0.0.2:0"), ("[::]:0", "[fd00::2]:0")] {
        pair.a.add_route(Route {
            network: at(any).ip(),
            prefix: 0,
            via: Some(at(via).ip()),
            interface: link,
        });
    }
    pair
}

fn bytes(data: &'static [u8]) -> Outgoing {
    Outgoing {
        data: Bytes::from_static(data),
        ..Outgoing::default()
    }
}

fn syn(pair: &mut Pair) -> Option<SynId> {
    match pair.b.poll_stray() {
        Some(Stray::Syn { id, .. }) => Some(id),
        None => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn datagrams_for_anyone_are_answered_as_anyone() {
    for (any, to) in [("0.0.0.0:4000", "192.0.2.7:53"), ("[::]:4000", "[2001:db8::7]:53")] {
        let mut pair = gateway();
        let client = pair.a.udp_bind(at(any), Default::default()).unwrap();
        pair.a.udp_connect(client, Some(at(to))).unwrap();
        let marked = Outgoing {
            ttl: Some(17),
            tos: Some(0x20),
            ..datagram("", b"question")
        };
        pair.a.udp_send(pair.now, client, marked).unwrap();
        pair.settle();
        let Some(Stray::Datagram {
            local,
            remote,
            data,
            ttl,
            tos,
        }) = pair.b.poll_stray()
        else {
            panic!("no datagram");
        };
        assert_eq!((local, Some(remote)), (at(to), pair.a.udp_local(client)));
        assert_eq!((&data[..], ttl, tos), (&b"question"[..], 17, 0x20));
        assert!(pair.b.poll_stray().is_none());
        pair.b.send_datagram(pair.now, local, remote, bytes(b"answer")).unwrap();
        pair.settle();
        let got = pair.a.udp_recv(client).unwrap();
        assert_eq!((got.from, &got.data[..]), (at(to), &b"answer"[..]));
        let zero = pair.b.send_datagram(pair.now, local, at("10.0.0.1:0"), bytes(b""));
        assert_eq!(zero, Err(SendError::Invalid));
    }
}

#[test]
fn a_refused_stray_is_an_error_at_its_sender() {
    for (any, to) in [("0.0.0.0:4000", "192.0.2.7:53"), ("[::]:4000", "[2001:db8::7]:53")] {
        for (why, want) in [
            (Unreachable::Port, SocketError::ConnectionRefused),
            (Unreachable::Host, SocketError::HostUnreachable),
            (Unreachable::Network, SocketError::NetworkUnreachable),
            (Unreachable::Prohibited, SocketError::Prohibited),
        ] {
            let mut pair = gateway();
            let client = pair.a.udp_bind(at(any), Default::default()).unwrap();
            let recverr = UdpOptions {
                recverr: true,
                ..UdpOptions::default()
            };
            pair.a.udp_set_options(client, recverr);
            pair.a.udp_connect(client, Some(at(to))).unwrap();
            pair.a.udp_send(pair.now, client, datagram("", b"question")).unwrap();
            pair.settle();
            let Some(Stray::Datagram {
                local, remote, data, ..
            }) = pair.b.poll_stray()
            else {
                panic!("no datagram");
            };
            let len = data.len();
            pair.b.refuse(pair.now, Refused::Datagram { local, remote, len }, why);
            pair.settle();
            assert_eq!(pair.a.udp_take_error(client), Some(want), "{to} {why:?}");
        }
    }
}

/// As on Linux 6.18 with a router of a smaller MTU on the way: the error is told once, and from then on datagrams go in fragments.
#[test]
fn a_datagram_too_big_for_the_path_is_fragmented_the_next_time() {
    for (any, to) in [("0.0.0.0:4000", "192.0.2.7:53"), ("[::]:4000", "[2001:db8::7]:53")] {
        let mut pair = gateway();
        let client = pair.a.udp_bind(at(any), Default::default()).unwrap();
        pair.a.udp_connect(client, Some(at(to))).unwrap();
        let mut told = Vec::new();
        for round in 0..3 {
            told.push(pair.a.udp_send(pair.now, client, datagram("", &[7; 1_400])));
            pair.settle();
            while let Some(stray) = pair.b.poll_stray() {
                let Stray::Datagram {
                    local, remote, data, ..
                } = stray
                else {
                    panic!("{stray:?}");
                };
                assert_eq!(data.len(), 1_400);
                if round == 0 {
                    let len = data.len();
                    let what = Refused::Datagram { local, remote, len };
                    pair.b.refuse(pair.now, what, Unreachable::TooBig(1_280));
                    pair.settle();
                } else {
                    let largest = pair.seen.iter().rev().take(2).map(crate::Packet::total_len).max();
                    assert!(largest.unwrap() <= 1_280, "{to}");
                }
            }
        }
        assert_eq!(told, [Ok(()), Err(SendError::MessageTooLong), Ok(())], "{to}");
    }
}

#[test]
fn echo_requests_for_anyone() {
    for (any, to, ask) in [("0.0.0.0:0", "192.0.2.7:0", 8), ("[::]:0", "[2001:db8::7]:0", 128)] {
        let mut pair = gateway();
        let id = pair.a.ping_open(at(any)).unwrap();
        pair.a.raw_connect(id, Some(at(to).ip())).unwrap();
        let ping = [&[ask, 0, 0, 0, 0, 0, 0, 9], &b"payload"[..]].concat();
        pair.a.raw_send(pair.now, id, datagram("", &ping)).unwrap();
        pair.settle();
        let Some(Stray::Echo { echo, .. }) = pair.b.poll_stray() else {
            panic!("no echo");
        };
        assert_eq!(
            (echo.local, echo.sequence, &echo.data[..]),
            (at(to).ip(), 9, &b"payload"[..])
        );
        let Echo {
            local,
            remote,
            ident,
            sequence,
            ..
        } = echo;
        pair.b.send_echo_reply(pair.now, echo);
        pair.settle();
        let got = pair.a.raw_recv(id).unwrap();
        assert_eq!((got.from.ip(), &got.data[6..]), (local, &b"\x00\x09payload"[..]));
        pair.b.refuse(
            pair.now,
            Refused::Echo {
                local,
                remote,
                ident,
                sequence,
            },
            Unreachable::Prohibited,
        );
        pair.settle();
        assert_eq!(pair.a.raw_take_error(id), Some(SocketError::Prohibited), "{to}");
    }
}

#[test]
fn a_held_syn_is_accepted() {
    for to in ["192.0.2.7:80", "[2001:db8::7]:80"] {
        let mut pair = gateway();
        let client = pair
            .a
            .tcp_connect(pair.now, None, at(to), TcpOptions::default())
            .unwrap();
        pair.settle();
        assert_eq!(pair.a.tcp_state(client), State::SynSent);
        let held = syn(&mut pair).unwrap();
        // Retransmissions are absorbed while the owner thinks.
        for _ in 0..5 {
            pair.pass(SECOND);
        }
        assert_eq!(syn(&mut pair), None);
        let server = pair
            .b
            .answer_syn(pair.now, held, SynAnswer::Accept(TcpOptions::default()))
            .unwrap();
        pair.settle();
        assert_eq!(pair.a.tcp_state(client), State::Established);
        assert_eq!(pair.b.tcp_state(server), State::Established);
        assert_eq!(pair.b.tcp_local(server), Some(at(to)));
        assert!(
            pair.b.answer_syn(pair.now, held, SynAnswer::Refuse).is_none(),
            "answered already"
        );
        pair.b.tcp_close(pair.now, server, Close::Reset);
        pair.settle();
        assert_eq!(pair.a.tcp_take_error(client), Some(SocketError::ConnectionReset));
        assert_eq!(pair.b.demux.flows(), 0);
    }
}

#[test]
fn a_held_syn_is_refused() {
    for (answer, want) in [
        (SynAnswer::Refuse, Some(SocketError::ConnectionRefused)),
        (
            SynAnswer::Unreachable(Unreachable::Host),
            Some(SocketError::HostUnreachable),
        ),
        (
            SynAnswer::Unreachable(Unreachable::Network),
            Some(SocketError::NetworkUnreachable),
        ),
        (
            SynAnswer::Unreachable(Unreachable::Prohibited),
            Some(SocketError::Prohibited),
        ),
        (SynAnswer::Ignore, None),
    ] {
        for to in ["192.0.2.7:80", "[2001:db8::7]:80"] {
            let mut pair = gateway();
            let client = pair
                .a
                .tcp_connect(pair.now, None, at(to), TcpOptions::default())
                .unwrap();
            pair.settle();
            let held = syn(&mut pair).unwrap();
            assert!(pair.b.answer_syn(pair.now, held, answer.clone()).is_none());
            pair.settle();
            assert_eq!(pair.a.tcp_take_error(client), want, "{answer:?} {to}");
            let ignored = matches!(answer, SynAnswer::Ignore);
            for _ in 0..8 {
                pair.pass(SECOND);
                if ignored {
                    assert_eq!(syn(&mut pair), None, "absorbed");
                }
            }
        }
    }
}

#[test]
fn a_held_syn_expires() {
    let mut pair = gateway();
    let client = pair
        .a
        .tcp_connect(pair.now, None, at("192.0.2.7:80"), TcpOptions::default())
        .unwrap();
    pair.settle();
    let held = syn(&mut pair).unwrap();
    pair.a.tcp_close(pair.now, client, Close::Reset);
    pair.settle();
    let _ = syn(&mut pair);
    pair.pass(SECOND * 76);
    assert!(pair.b.answer_syn(pair.now, held, SynAnswer::Refuse).is_none());
    assert_eq!(pair.b.demux.flows(), 0);
}
