use super::*;
use crate::Interface;
use crate::host::BuildError;
use crate::link;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// A client whose every packet goes to the host that speaks for all.
fn client_and_proxy() -> (Host, Host) {
    let (inside, outside) = link::pair();
    let client = Host::builder()
        .address("10.0.0.2/24")
        .address("fd00::2/64")
        .link(inside)
        .route("0.0.0.0/0", "10.0.0.1")
        .route("::/0", "fd00::1");
    let proxy = Host::builder()
        .any_address(true)
        .address("10.0.0.1/24")
        .address("fd00::1/64");
    (
        client.seed(1).build().unwrap(),
        proxy.link(outside).seed(2).build().unwrap(),
    )
}

#[tokio::test(start_paused = true)]
async fn both_ends_are_known_before_the_decision_and_bytes_pass_after_it() {
    let (client, proxy) = client_and_proxy();
    for to in ["192.0.2.80:443", "[2001:db8::80]:443"] {
        let (stream, accepted) = tokio::join!(client.tcp_connect(to), async {
            let attempt = proxy.accept_any().await?;
            assert_eq!(attempt.local_addr(), to.parse().unwrap());
            assert!(
                client
                    .shard()
                    .look(|stack| stack.host.is_local(attempt.peer_addr().ip()))
            );
            attempt.accept().await
        });
        let (mut here, mut there) = (stream.unwrap(), accepted.unwrap());
        assert_eq!(there.local_addr().unwrap(), to.parse().unwrap());
        assert_eq!(there.peer_addr().unwrap(), here.local_addr().unwrap());
        here.write_all(b"to whom it may concern").await.unwrap();
        here.shutdown().await.unwrap();
        let mut got = String::new();
        there.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "to whom it may concern");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_is_a_reset_unreachable_is_icmp_and_ignored_is_silence() {
    let (client, proxy) = client_and_proxy();
    let decide = async |decision: fn(Attempt)| {
        let (stream, ()) = tokio::join!(
            timeout(Duration::from_secs(40), client.tcp_connect("192.0.2.80:443")),
            async { decision(proxy.accept_any().await.unwrap()) }
        );
        stream.map(|stream| stream.unwrap_err().kind())
    };
    assert_eq!(decide(Attempt::refuse).await, Ok(ErrorKind::ConnectionRefused));
    assert_eq!(decide(drop).await, Ok(ErrorKind::ConnectionRefused));
    // Silence lasts through the client's repetitions, and those are not told of again.
    assert!(decide(Attempt::ignore).await.is_err());
    assert_eq!(proxy.try_accept_any().unwrap_err().kind(), ErrorKind::WouldBlock);
    let prohibited = decide(|attempt| attempt.unreachable(Unreachable::Prohibited)).await;
    assert_eq!(prohibited, Ok(ErrorKind::HostUnreachable));
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_its_own_comes_first() {
    let (client, proxy) = client_and_proxy();
    let listener = proxy.tcp_listen("10.0.0.1:80").await.unwrap();
    let (stream, accepted) = tokio::join!(client.tcp_connect("10.0.0.1:80"), listener.accept());
    assert_eq!(accepted.unwrap().1, stream.unwrap().local_addr().unwrap());
    assert_eq!(proxy.try_accept_any().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_comes_too_late_is_an_error() {
    let (client, proxy) = client_and_proxy();
    let connecting = tokio::spawn(async move { client.tcp_connect("192.0.2.80:443").await });
    let attempt = proxy.accept_any().await.unwrap();
    connecting.abort();
    tokio::time::sleep(Duration::from_secs(80)).await;
    let late = attempt.accept().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test(start_paused = true)]
async fn datagrams_are_refused_until_asked_for_then_answered_from_where_they_went() {
    let (client, proxy) = client_and_proxy();
    let socket = client.udp_bind("0.0.0.0:0").await.unwrap();
    socket.connect("198.51.100.53:53").await.unwrap();
    socket.send(b"anyone?").await.unwrap();
    let refused = timeout(Duration::from_secs(1), socket.recv(&mut [0; 64]))
        .await
        .unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);

    assert_eq!(proxy.try_recv_any().unwrap_err().kind(), ErrorKind::WouldBlock);
    socket.send(b"anyone?").await.unwrap();
    let datagram = proxy.recv_any().await.unwrap();
    assert_eq!(datagram.local, "198.51.100.53:53".parse().unwrap());
    assert_eq!(&datagram.data[..], b"anyone?");
    proxy.send_any(datagram.local, datagram.remote, &b"me"[..]).unwrap();
    let mut buf = [0; 64];
    assert_eq!(socket.recv(&mut buf).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_does_not_grow_without_end() {
    let (client, proxy) = client_and_proxy();
    let _ = proxy.try_recv_any();
    let socket = client.udp_bind("0.0.0.0:0").await.unwrap();
    let mut dials = tokio::task::JoinSet::new();
    for n in 0..(WAITING + 100) {
        socket.send_to(&[0; 1_400], "198.51.100.53:53").await.unwrap();
        let client = client.clone();
        let to = (std::net::Ipv4Addr::from(0xc000_0200 + n as u32), 80);
        dials.spawn(async move { client.tcp_connect(to).await.unwrap_err().kind() });
        tokio::task::yield_now().await;
    }
    // The oldest were refused to make room.
    for _ in 0..100 {
        assert_eq!(dials.join_next().await.unwrap().unwrap(), ErrorKind::ConnectionRefused);
    }
    proxy.shard().look(|stack| {
        let strays = stack.strays.as_ref().unwrap();
        assert_eq!(strays.attempts.len(), WAITING);
        assert!(strays.bytes <= WAITING_BYTES && strays.bytes > WAITING_BYTES - 1_400);
    });
    while proxy.try_recv_any().is_ok() {}
    proxy
        .shard()
        .look(|stack| assert_eq!(stack.strays.as_ref().unwrap().bytes, 0));
}

#[tokio::test(start_paused = true)]
async fn futures_dropped_while_they_wait_leave_nothing() {
    let (_client, proxy) = client_and_proxy();
    let soon = Duration::from_millis(1);
    for _ in 0..3 {
        let both = async { tokio::join!(proxy.accept_any(), proxy.recv_any()) };
        assert!(timeout(soon, both).await.is_err());
    }
    let left = proxy.shard().look(|stack| {
        let strays = stack.strays.as_ref().unwrap();
        (strays.wait_attempts.count(), strays.wait_datagrams.count())
    });
    assert_eq!(left, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_host_for_its_own_addresses_says_that_it_is_one() {
    let host = Host::builder().build().unwrap();
    for error in [
        host.accept_any().await.unwrap_err(),
        host.try_accept_any().unwrap_err(),
        host.recv_any().await.unwrap_err(),
        host.send_any("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap(), &b""[..])
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

/// One host with two links takes from one side and sees who asks on the other; each answer leaves where its route says.
#[tokio::test(start_paused = true)]
async fn one_host_with_several_links_answers_each_by_its_own() {
    let ((a, left), (b, right)) = (link::pair(), link::pair());
    let one = Host::builder()
        .address("10.1.0.2/24")
        .link(a)
        .route("0.0.0.0/0", "10.1.0.1");
    let two = Host::builder()
        .address("10.2.0.2/24")
        .link(b)
        .route("0.0.0.0/0", "10.2.0.1");
    let (one, two) = (one.build().unwrap(), two.build().unwrap());
    let middle = Host::builder()
        .any_address(true)
        .interface(Interface::new(left).address("10.1.0.1/24"))
        .interface(Interface::new(right).address("10.2.0.1/24").on_link("172.16.0.0/12"))
        .build()
        .unwrap();
    for client in [&one, &two] {
        let (stream, accepted) = tokio::join!(client.tcp_connect("192.0.2.80:443"), async {
            middle.accept_any().await?.accept().await
        });
        assert_eq!(
            stream.unwrap().local_addr().unwrap(),
            accepted.unwrap().peer_addr().unwrap()
        );
    }
    // The host's own connections leave by the link that has the network.
    let listener = two.tcp_listen("0.0.0.0:80").await.unwrap();
    let (stream, accepted) = tokio::join!(middle.tcp_connect("10.2.0.2:80"), listener.accept());
    assert_eq!(stream.unwrap().local_addr().unwrap(), accepted.unwrap().1);
    let source = middle
        .shard()
        .look(|stack| stack.host.source_address([172, 16, 9, 9].into()));
    assert_eq!(source, Some([10, 2, 0, 1].into()));
}

#[tokio::test]
async fn what_is_wrong_with_a_description_is_told() {
    let (link, _wire) = link::channel(1_500);
    let wrong = Host::builder().interface(Interface::new(link).on_link("everything"));
    assert_eq!(wrong.build().unwrap_err(), BuildError::Address("everything".to_owned()));
    for bytes in [0, (1 << 20) - 1, u64::MAX] {
        let error = Host::builder().max_memory(bytes).build().unwrap_err();
        assert_eq!(error, BuildError::Memory(bytes));
        assert!(error.to_string().contains("1048576"), "{error}");
    }
    let host = Host::builder().max_memory(8 << 20).build().unwrap();
    let marks = host.shard().look(|stack| stack.host.settings().tcp_mem);
    assert_eq!(marks, [1_024, 1_536, 2_048]);
}

/// A budget holds however much its peers send.
#[tokio::test(start_paused = true)]
async fn connections_that_hold_too_much_are_reset() {
    let (left, right) = link::pair();
    let server = Host::builder().address("10.0.0.1/24").link(left).max_memory(1 << 20);
    let (server, client) = (
        server.build().unwrap(),
        Host::builder().address("10.0.0.2/24").link(right).build().unwrap(),
    );
    let listener = server.tcp_listen("0.0.0.0:80").await.unwrap();
    let mut senders = tokio::task::JoinSet::new();
    let mut kept = Vec::new();
    for _ in 0..32 {
        let (stream, accepted) = tokio::join!(client.tcp_connect("10.0.0.1:80"), listener.accept());
        kept.push(accepted.unwrap());
        let mut stream = stream.unwrap();
        senders.spawn(async move { stream.write_all(&vec![0; 4 << 20]).await });
        assert!(
            server.memory().buffers <= (1 << 20) + (256 << 10),
            "{:?}",
            server.memory()
        );
    }
    let most = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(
                server.memory().buffers <= (1 << 20) + (256 << 10),
                "{:?}",
                server.memory()
            );
        }
    };
    assert!(timeout(Duration::from_secs(5), most).await.is_err());
}
