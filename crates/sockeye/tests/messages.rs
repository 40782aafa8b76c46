//! Datagrams with what is said beside them, as QUIC libraries send and receive them.

use sockeye::link::{self, Wire};
use sockeye::net::Outgoing;
use sockeye::{Host, net::UdpSocket};
use std::io::ErrorKind;
use std::time::Duration;

#[tokio::test]
async fn many_datagrams_in_one_call_with_ecn_hop_limit_and_addresses() {
    let (left, right) = link::pair();
    let one = Host::builder().address("10.0.0.1/24").address("10.0.0.3/24");
    let one = one.link(left).build().unwrap();
    let two = Host::builder().address("10.0.0.2/24").link(right).build().unwrap();
    let (here, there) = (
        one.udp_bind("0.0.0.0:7").await.unwrap(),
        two.udp_bind("[::]:7").await.unwrap(),
    );
    let message = Outgoing {
        to: Some("[::ffff:10.0.0.2]:7".parse().unwrap()),
        from: Some("10.0.0.3".parse().unwrap()),
        data: vec![9; 2_500].into(),
        segment_size: Some(1_000),
        tos: Some(1), // ECT(1), RFC 3168 §5.
        ttl: Some(5),
    };
    here.send_msg(message.clone()).await.unwrap();
    for len in [1_000, 1_000, 500] {
        let heard = there.recv_msg().await.unwrap();
        assert_eq!((heard.data.len(), heard.tos, heard.ttl), (len, 1, 5));
        // As an IPv6 socket writes addresses.
        assert_eq!(heard.from.to_string(), "[::ffff:10.0.0.3]:7");
        assert_eq!(heard.to.to_string(), "[::ffff:10.0.0.2]:7");
    }
    assert_eq!(there.try_recv_msg().unwrap_err().kind(), ErrorKind::WouldBlock);
    for (wrong, want) in [
        (
            Outgoing {
                segment_size: Some(0),
                ..message.clone()
            },
            22,
        ),
        (
            Outgoing {
                segment_size: Some(10),
                ..message.clone()
            },
            22,
        ), // 250 segments
        (
            Outgoing {
                segment_size: Some(1_500),
                ..message.clone()
            },
            90,
        ),
        (
            Outgoing {
                from: Some("10.9.9.9".parse().unwrap()),
                ..message.clone()
            },
            99,
        ),
        (Outgoing { to: None, ..message }, 89),
    ] {
        let error = here.try_send_msg(wrong).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(want), "{error}");
    }
}

/// Sends until there is no room.
fn fill(socket: &UdpSocket) {
    let message = Outgoing {
        to: Some("10.0.0.2:7".parse().unwrap()),
        data: vec![9; 1_000].into(),
        ..Outgoing::default()
    };
    let error = (0..100_000).find_map(|_| socket.try_send_msg(message.clone()).err());
    assert_eq!(error.unwrap().kind(), ErrorKind::WouldBlock);
}

fn drain(wire: &Wire) -> usize {
    std::iter::from_fn(|| wire.try_packet_out()).count()
}

#[tokio::test(start_paused = true)]
async fn a_full_link_queue_is_waited_for() {
    let (link, wire) = link::channel(1_500);
    let host = Host::builder().address("10.0.0.1/24").link(link).build().unwrap();
    let socket = host.udp_bind("0.0.0.0:7").await.unwrap();
    socket.writable().await.unwrap();
    fill(&socket);
    let early = tokio::time::timeout(Duration::from_secs(60), socket.writable()).await;
    assert!(early.is_err(), "there is no room, and it said so");
    let waiting = tokio::spawn(async move { socket.writable().await.map(|()| socket) });
    tokio::task::yield_now().await;
    assert!(drain(&wire) > 100);
    let socket = waiting.await.unwrap().unwrap();
    socket.send_to(b"more", "10.0.0.2:7").await.unwrap();
}
