use super::*;
use crate::link::{self, Impaired, Link};
use sockeye_core::counters::DropReason;
use sockeye_core::netem::{Loss, Netem};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Hosts 10.0.0.1 and 10.0.0.2 on a link in memory; the first as bad as asked for.
fn two(netem: &Netem) -> (Host, Host) {
    let (left, right) = link::pair();
    let left = Impaired::new(left, netem, netem, 1);
    let one = |link: Box<dyn Link>, address: &str, seed| Host::builder().address(address).link(link).seed(seed).build();
    (
        one(Box::new(left), "10.0.0.1/24", 1).unwrap(),
        one(Box::new(right), "10.0.0.2/24", 2).unwrap(),
    )
}

fn bad() -> Netem {
    Netem {
        loss: Loss::Random(0.02),
        delay: Duration::from_millis(10),
        ..Netem::NONE
    }
}

async fn connected(server: &Host, client: &Host) -> (TcpStream, TcpStream) {
    let listener = server.tcp_listen("0.0.0.0:80").await.unwrap();
    let (here, there) = tokio::join!(client.tcp_connect("10.0.0.1:80"), listener.accept());
    (there.unwrap().0, here.unwrap())
}

/// The driver is gone.
async fn ended(shard: &std::sync::Weak<Shard>) {
    while shard.strong_count() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_arrive_whole_over_a_bad_link() {
    let (server, client) = two(&bad());
    let (mut there, mut here) = connected(&server, &client).await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        here.write_all(&copy).await.unwrap();
        here.shutdown().await.unwrap();
        here
    });
    let mut got = Vec::new();
    there.read_to_end(&mut got).await.unwrap();
    assert!(got == sent, "{} of {} bytes, or others", got.len(), sent.len());
    let here = writing.await.unwrap();
    assert!(here.info().unwrap().total_retrans > 0, "the link was not bad");
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_delivers_and_ends_the_driver() {
    let (server, client) = two(&bad());
    let (mut there, mut here) = connected(&server, &client).await;
    let (server_shard, client_shard) = (
        Arc::downgrade(&server.handle.shard),
        Arc::downgrade(&client.handle.shard),
    );
    here.write_all(&[7; 10_000]).await.unwrap();
    drop((here, client));
    let mut got = Vec::new();
    there.read_to_end(&mut got).await.unwrap();
    assert_eq!(got.len(), 10_000);
    drop((there, server));
    ended(&client_shard).await;
    ended(&server_shard).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_goes_with_unread_bytes_resets() {
    let (server, client) = two(&Netem::NONE);
    let (there, mut here) = connected(&server, &client).await;
    here.write_all(b"never read").await.unwrap();
    there.readable().await.unwrap();
    drop((there, server));
    let error = here.read(&mut [0; 8]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn dropped_futures_leave_nothing() {
    let (server, client) = two(&Netem::NONE);
    let (there, here) = connected(&server, &client).await;
    let udp = server.udp_bind("0.0.0.0:9").await.unwrap();
    let listener = server.tcp_listen("0.0.0.0:81").await.unwrap();
    let soon = Duration::from_millis(1);
    let mut buf = [0; 8];
    let (mut other, mut third) = (buf, buf);
    for _ in 0..3 {
        let all = async {
            tokio::join!(
                there.readable(),
                there.peek(&mut buf),
                there.read_chunk(1),
                here.peek(&mut other),
                async { listener.accept().await.map(drop) },
                udp.recv(&mut third)
            )
        };
        assert!(tokio::time::timeout(soon, all).await.is_err());
        let nowhere = client.tcp_connect("10.0.0.77:1");
        assert!(tokio::time::timeout(soon, nowhere).await.is_err());
    }
    for host in [&server, &client] {
        host.shard().look(|stack| {
            assert_eq!(stack.waiters.count(), 0);
            assert_eq!(stack.host.tcp_ids().count(), 1);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_stuck_reader_stops_its_writer_and_nobody_else() {
    let (server, client) = two(&Netem::NONE);
    let (mut there, mut here) = connected(&server, &client).await;
    let writing = tokio::spawn(async move {
        here.write_all(&vec![1; 32 << 20]).await.unwrap();
        here.shutdown().await.unwrap();
    });
    let listener = server.tcp_listen("0.0.0.0:81").await.unwrap();
    for _ in 0..10 {
        let (other, accepted) = tokio::join!(client.tcp_connect("10.0.0.1:81"), listener.accept());
        other.unwrap().write_all(b"passes").await.unwrap();
        let mut got = [0; 6];
        accepted.unwrap().0.read_exact(&mut got).await.unwrap();
    }
    assert!(!writing.is_finished());
    let mut total = 0;
    let mut buf = vec![0; 100_000];
    loop {
        match there.read(&mut buf).await.unwrap() {
            0 => break,
            n => total += n,
        }
    }
    assert_eq!(total, 32 << 20);
    writing.await.unwrap();
}

#[test]
fn an_aborted_runtime_leaves_nobody_waiting() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    };
    let (doomed, lasting) = (runtime(), runtime());
    let (left, right) = link::pair();
    let build = |link, address| Host::builder().address(address).link(link).build().unwrap();
    let server = doomed.block_on(async { build(left, "10.0.0.1/24") });
    let client = lasting.block_on(async { build(right, "10.0.0.2/24") });
    let (there, mut here) = lasting.block_on(connected(&server, &client));
    let waiting = lasting.spawn(async move { there.peek(&mut [0; 1]).await });
    while server.shard().look(|stack| stack.waiters.count()) == 0 {
        std::thread::yield_now();
    }
    drop(doomed);
    let error = lasting.block_on(waiting).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
    let error = lasting.block_on(here.read(&mut [0; 1])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = lasting.block_on(server.tcp_connect("10.0.0.2:1")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
}

#[tokio::test]
async fn wrong_descriptions_are_told_as_values() {
    let wire = || link::channel(1_500).0;
    let builder = || Host::builder().link(wire()).address("10.0.0.1/24");
    for (built, want) in [
        (Host::builder().address("10.0.0.1/24"), BuildError::NoLink),
        (builder().link(wire()), BuildError::WhichLink),
        (builder().address("10.0.0.1"), BuildError::Address("10.0.0.1".into())),
        (
            builder().address("10.0.0.1/33"),
            BuildError::Address("10.0.0.1/33".into()),
        ),
        (
            builder().route("0.0.0.0/0", "10.0.1.1"),
            BuildError::Router("10.0.1.1".parse().unwrap()),
        ),
        (
            builder().route("::/0", "10.0.0.2"),
            BuildError::Route("::/0".into(), "10.0.0.2".into()),
        ),
        (Host::builder().link(link::channel(67).0), BuildError::Mtu(67)),
        (
            Host::builder().link(link::channel(1_279).0).address("fd00::1/64"),
            BuildError::Mtu(1_279),
        ),
    ] {
        assert_eq!(built.build().unwrap_err(), want, "{want}");
    }
    let wrong = builder().sysctl("net.ipv4.tcp_sac", "0").build().unwrap_err();
    assert!(wrong.to_string().contains("tcp_sack"), "{wrong}");
    assert_eq!(io::Error::from(wrong).kind(), ErrorKind::InvalidInput);
}

#[test]
fn without_a_runtime_there_is_no_host() {
    assert_eq!(Host::builder().build().unwrap_err(), BuildError::NoRuntime);
}

#[tokio::test(start_paused = true)]
async fn routes_lead_to_their_routers() {
    let ((left, near), (right, far)) = (link::channel(1_500), link::channel(1_500));
    let host = Host::builder()
        .interface(Interface::new(left).address("10.1.0.1/24"))
        .interface(Interface::new(right).address("10.2.0.1/24").address("fd00::1/64"))
        .route("0.0.0.0/0", "10.2.0.254")
        .build()
        .unwrap();
    let udp = host.udp_bind("0.0.0.0:9").await.unwrap();
    udp.send_to(b"near", "10.1.0.9:9").await.unwrap();
    udp.send_to(b"far", "192.0.2.1:9").await.unwrap();
    assert!(near.packet_out().await.unwrap().ends_with(b"near"));
    assert!(far.packet_out().await.unwrap().ends_with(b"far"));
    assert!(near.try_packet_out().is_none() && far.try_packet_out().is_none());
    let six = host.udp_bind("[::]:10").await.unwrap();
    let error = six.send_to(b"no route", "[2001:db8::1]:9").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkUnreachable);
}

/// A link that is broken from the start.
struct Broken;

impl Link for Broken {
    fn caps(&self) -> link::Caps {
        link::Caps::ip(1_500)
    }

    fn poll_recv(
        &mut self,
        _: &mut std::task::Context<'_>,
        _: sockeye_core::Instant,
        _: &mut Vec<sockeye_core::Packet>,
        _: usize,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
    }

    fn poll_send(
        &mut self,
        _: &mut std::task::Context<'_>,
        _: sockeye_core::Instant,
        _: &mut std::collections::VecDeque<sockeye_core::Packet>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_is_a_cable_that_was_pulled() {
    let host = Host::builder().address("10.0.0.1/24").link(Broken).build().unwrap();
    let udp = host.udp_bind("0.0.0.0:9").await.unwrap();
    for _ in 0..10_000 {
        udp.send_to(b"lost", "10.0.0.9:9").await.unwrap();
    }
    let error = host.tcp_connect("10.0.0.9:80").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    udp.send_to(b"to ourselves", "127.0.0.1:9").await.unwrap();
    assert_eq!(udp.recv(&mut [0; 64]).await.unwrap(), 12);
}

#[test]
fn everything_goes_between_threads() {
    fn goes<T: Send + Sync + Unpin + 'static>() {}
    goes::<Host>();
    goes::<Pump>();
    goes::<TcpListener>();
    goes::<TcpSocket>();
    goes::<TcpStream>();
    goes::<crate::net::OwnedReadHalf>();
    goes::<crate::net::OwnedWriteHalf>();
    goes::<UdpSocket>();
    goes::<link::Wire>();
}

#[tokio::test]
async fn the_default_host_is_used_where_none_was_entered_and_not_kept_alive() {
    let host = Host::builder().build().unwrap();
    host.make_default();
    let socket = tokio::spawn(UdpSocket::bind("127.0.0.1:0")).await.unwrap().unwrap();
    assert!(host.is(Some(socket.host())));
    let shard = Arc::downgrade(&host.handle.shard);
    drop((socket, host));
    ended(&shard).await;
    assert_eq!(Host::current().unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn hosts_are_entered_in_a_nest() {
    let (outer, inner) = (Host::builder().build().unwrap(), Host::builder().build().unwrap());
    let at = |host: &Host| Arc::as_ptr(&host.handle);
    let _outer = outer.enter();
    assert_eq!(at(&Host::current().unwrap()), at(&outer));
    let seen = inner.scope(async { at(&Host::current().unwrap()) }).await;
    assert_eq!(seen, at(&inner));
    assert_eq!(at(&Host::current().unwrap()), at(&outer));
}

/// Two hosts by hand, their packets carried back and forth, in virtual time; `spoil` says which packets are lost.
fn by_hand<T>(talk: impl AsyncFnOnce(&Host, &Host) -> T, mut spoil: impl FnMut() -> bool) -> T {
    let (server, mut a) = Host::builder().address("10.0.0.1/24").seed(1).pump(1_500).unwrap();
    let (client, mut b) = Host::builder().address("10.0.0.2/24").seed(2).pump(1_500).unwrap();
    let mut now = sockeye_core::Instant::ZERO;
    let mut talk = std::pin::pin!(talk(&server, &client));
    loop {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(told) = talk.as_mut().poll(&mut cx) {
            return told;
        }
        let mut idle = true;
        for _ in 0..2 {
            while let Some(packet) = a.packet_out() {
                idle = false;
                if !spoil() {
                    b.packet_in(packet).unwrap();
                }
            }
            std::mem::swap(&mut a, &mut b);
        }
        if idle {
            let next = [a.next_deadline(), b.next_deadline()].into_iter().flatten().min();
            now = next.expect("nothing will ever happen again");
        }
        a.advance(now);
        b.advance(now);
    }
}

#[test]
fn a_pumped_host_needs_no_runtime_and_time_leaps() {
    let mut packets = 0;
    let talk = async |server: &Host, client: &Host| {
        let (mut there, mut here) = connected(server, client).await;
        let send = async {
            here.write_all(&[3; 300_000]).await.unwrap();
            here.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(there.read_to_end(&mut got), send);
        read.unwrap()
    };
    let got = by_hand(talk, || {
        packets += 1;
        packets % 50 == 0
    });
    assert_eq!(got, 300_000);
    assert!(packets > 50, "nothing was lost");
}

#[test]
fn a_pumped_host_ends_with_its_last_handle() {
    let (host, mut pump) = Host::builder().address("10.0.0.1/24").pump(1_500).unwrap();
    pump.advance(sockeye_core::Instant::ZERO);
    assert!(!pump.has_ended());
    drop(host);
    pump.advance(sockeye_core::Instant::ZERO);
    assert!(pump.has_ended());
}

#[test]
fn a_dropped_pump_leaves_nobody_waiting() {
    let (host, pump) = Host::builder().address("10.0.0.1/24").pump(1_500).unwrap();
    let mut connecting = std::pin::pin!(host.tcp_connect("10.0.0.2:80"));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(connecting.as_mut().poll(&mut cx).is_pending());
    drop(pump);
    let std::task::Poll::Ready(Err(error)) = connecting.as_mut().poll(&mut cx) else {
        panic!("it waits for ever");
    };
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let run = || {
        let mut sizes = Vec::new();
        let (host, mut pump) = Host::builder().address("10.0.0.1/24").seed(9).pump(1_500).unwrap();
        let mut connecting = std::pin::pin!(host.tcp_connect("10.0.0.2:80"));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while connecting.as_mut().poll(&mut cx).is_pending() {
            while let Some(packet) = pump.packet_out() {
                sizes.push(packet);
            }
            let next = pump.next_deadline().unwrap();
            pump.advance(next);
        }
        sizes
    };
    let one = run();
    assert!(one.len() > 3);
    assert_eq!(one, run());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_use_one_host_and_no_packet_is_stranded() {
    let (server, client) = two(&Netem::NONE);
    let listener = server.tcp_listen("0.0.0.0:80").await.unwrap();
    let serving = tokio::spawn(async move {
        for _ in 0..32 {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            }));
        }
    });
    let mut clients = Vec::new();
    for n in 0..32_u8 {
        let mut stream = client.tcp_connect("10.0.0.1:80").await.unwrap();
        clients.push(tokio::spawn(async move {
            let mut buf = [0; 100];
            for _ in 0..100 {
                stream.write_all(&[n; 100]).await.unwrap();
                stream.read_exact(&mut buf).await.unwrap();
                assert_eq!(buf, [n; 100]);
            }
            let (mut read, mut write) = stream.split();
            let data = vec![n; 200_000];
            let mut got = Vec::new();
            let (wrote, read) = tokio::join!(
                async {
                    write.write_all(&data).await?;
                    write.shutdown().await
                },
                read.read_to_end(&mut got)
            );
            wrote.unwrap();
            assert_eq!((read.unwrap(), got == data), (200_000, true));
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    serving.await.unwrap();
    for host in [&client, &server] {
        // An old timestamp would mean that packets were overtaken, or time went backwards, between two threads.
        let counters = host.counters();
        assert_eq!(
            (counters.drops(DropReason::Paws), counters.tcp_ofo_queue),
            (0, 0),
            "{counters:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_datagram_is_stranded_or_overtaken_between_threads() {
    let (server, client) = two(&Netem::NONE);
    let mut talks = Vec::new();
    for n in 0..8_u16 {
        let echo = server.udp_bind(("0.0.0.0", 1_000 + n)).await.unwrap();
        let speak = client.udp_bind("0.0.0.0:0").await.unwrap();
        speak.connect(("10.0.0.1", 1_000 + n)).await.unwrap();
        drop(tokio::spawn(async move {
            let mut buf = [0; 4];
            while let Ok((n, from)) = echo.recv_from(&mut buf).await {
                echo.send_to(&buf[..n], from).await.unwrap();
            }
        }));
        talks.push(tokio::spawn(async move {
            let mut buf = [0; 4];
            // Nobody repeats a datagram: one that is left behind is waited for in vain.
            for burst in 0..200_u32 {
                for n in 0..16 {
                    speak.send(&(burst * 16 + n).to_be_bytes()).await.unwrap();
                }
                for n in 0..16 {
                    assert_eq!(speak.recv(&mut buf).await.unwrap(), 4);
                    assert_eq!(u32::from_be_bytes(buf), burst * 16 + n);
                }
            }
        }));
    }
    for talk in talks {
        let in_time = tokio::time::timeout(Duration::from_secs(60), talk).await;
        in_time.expect("a datagram was left behind").unwrap();
    }
}

#[test]
fn anything_may_come_from_a_link() {
    let (host, mut pump) = Host::builder()
        .address("10.0.0.1/24")
        .address("fd00::1/64")
        .seed(3)
        .pump(1_500)
        .unwrap();
    let mut listening = std::pin::pin!(host.tcp_listen("[::]:80"));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Ok(_listener)) = listening.as_mut().poll(&mut cx) else {
        panic!("it does not listen");
    };
    let mut random = 1_u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u8
    };
    for round in 0..20_000_u64 {
        let len = usize::from(next()) % 96;
        let mut packet: Vec<u8> = (0..len).map(|_| next()).collect();
        if let (Some(first), true) = (packet.first_mut(), round % 2 == 0) {
            *first = if round % 4 == 0 { 0x45 } else { 0x60 };
        }
        pump.packet_in(packet).unwrap();
        pump.advance(sockeye_core::Instant::from_millis(round));
        while pump.packet_out().is_some() {}
    }
    let counters = host.counters();
    let dropped: u64 = DropReason::ALL.iter().map(|reason| counters.drops(*reason)).sum();
    assert_eq!(counters.in_receives, 20_000);
    assert!(dropped > 10_000, "{counters:?}");
    // And it goes on as if nothing had been.
    let mut to_itself = std::pin::pin!(host.tcp_connect("[::1]:80"));
    let connected = (0..3).any(|_| matches!(to_itself.as_mut().poll(&mut cx), std::task::Poll::Ready(Ok(_))));
    assert!(connected);
}
