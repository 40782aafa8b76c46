//! Links to the world: UDP datagrams, a TUN device and a wire of Ethernet, the latter two as root in a network of their own.

#![forbid(unsafe_code)]

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sockeye::link::{Ethernet, Tun, Udp};
use sockeye::services::Services;
use sockeye::{Host, link};
use sockeye_sys::tun::own_network;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;
use tokio::net::UdpSocket;

/// Bytes that do not repeat soon.
fn pattern(len: u32) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 21) as u8).collect()
}

/// Sends `bytes` to the echo service at 10.0.0.2 of another host, and has them back, both at once.
async fn echo(client: &Host, bytes: &[u8]) {
    let stream = client.tcp_connect("10.0.0.2:7").await.expect("a connection");
    let there = async {
        stream
            .write_chunk(Bytes::copy_from_slice(bytes))
            .await
            .expect("written");
    };
    let back = async {
        let mut back = Vec::new();
        while back.len() < bytes.len() {
            let chunk = stream.read_chunk(usize::MAX).await.expect("read");
            back.extend_from_slice(&chunk.expect("more bytes"));
        }
        assert!(back == bytes, "the bytes came back changed");
    };
    let both = async { tokio::join!(there, back) };
    tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .expect("no stall");
}

#[tokio::test]
async fn a_stream_crosses_udp_and_what_others_send_there_is_dropped() {
    for (bind, mtu) in [("127.0.0.1:0", 1_472), ("[::1]:0", 1_452)] {
        let (a, b) = (
            UdpSocket::bind(bind).await.unwrap(),
            UdpSocket::bind(bind).await.unwrap(),
        );
        let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let (left, right) = (Udp::new(a, at_b), Udp::new(b, at_a));
        assert_eq!(link::Link::caps(&left), link::Caps::ip(mtu));
        let left = Host::builder().address("10.0.0.1/24").link(left).build().unwrap();
        let right = Host::builder().address("10.0.0.2/24").link(right).build().unwrap();
        let services = Services::bind(&right, ["10.0.0.2".parse().unwrap()]).await.unwrap();
        let services = tokio::spawn(services.run());
        // A packet that would be answered, from a third.
        let stranger = UdpSocket::bind(bind).await.unwrap();
        let received = right.counters().in_receives;
        let _ = stranger.send_to(&[0x45; 60], at_b).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(right.counters().in_receives, received);
        echo(&left, &pattern(1 << 20)).await;
        assert!(right.counters().in_receives > received);
        services.abort();
    }
}

/// Runs `test` on a runtime in a network of its own, made with a script for the shell; as root, else it is skipped.
#[track_caller]
fn in_own_network(script: &'static str, test: impl Future<Output = ()> + Send) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::scope(|scope| {
        let run = || {
            let sh = |script: &str| {
                Command::new("sh")
                    .args(["-ec", script])
                    .status()
                    .is_ok_and(|status| status.success())
            };
            let made = own_network().is_ok() && sh("command -v ip curl >/dev/null; test -c /dev/net/tun") && sh(script);
            if !made {
                let _ = writeln!(std::io::stderr(), "skipped {name}: no network of its own");
                return;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(test);
        };
        let ended = std::thread::Builder::new().name(name.clone()).spawn_scoped(scope, run);
        if let Err(panic) = ended.expect("a thread").join() {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn hyper_serves_the_kernels_curl_over_tun() {
    const SCRIPT: &str =
        "ip link set lo up; ip tuntap add dev tun0 mode tun; ip addr add 10.9.0.1/24 dev tun0; ip link set tun0 up";
    in_own_network(SCRIPT, async {
        let content = pattern(3 << 20);
        for offload in [true, false] {
            let tun = Tun::options().offload(offload).open("tun0").expect("the device");
            assert_eq!(tun.offload().tcp, offload);
            let host = Host::builder().address("10.9.0.2/24").link(tun).build().unwrap();
            let listener = host.tcp_listen("10.9.0.2:80").await.unwrap();
            let body = Bytes::from(content.clone());
            let server = tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.expect("a client");
                    let body = body.clone();
                    let answer = move |_: Request<hyper::body::Incoming>| {
                        let response = Response::new(Full::new(body.clone()));
                        async move { Ok::<_, Infallible>(response) }
                    };
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                }
            });
            let mut curl = Command::new("curl");
            curl.args(["-sS", "-m", "60", "http://10.9.0.2/", "http://10.9.0.2/again"]);
            let fetched = tokio::task::spawn_blocking(move || curl.output().expect("curl runs"));
            let fetched = fetched.await.expect("no panic");
            assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
            assert!(
                fetched.stdout == content.repeat(2),
                "{} bytes, or changed",
                fetched.stdout.len()
            );
            server.abort();
            let _ = server.await;
            drop(host);
            // The host lets go of the device when its task has ended.
            while Tun::open("tun0").is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
}

#[test]
fn the_kernel_finds_a_station_of_ours_on_a_wire() {
    // The machine's end is veth0; ours is veth1, where the machine itself has nothing to say.
    const SCRIPT: &str = "ip link set lo up; ip link add veth0 type veth peer name veth1
        echo 1 >/proc/sys/net/ipv6/conf/veth1/disable_ipv6
        ip addr add 10.0.0.1/24 dev veth0; ip -6 addr add fd09::1/64 dev veth0 nodad; ip link set veth0 up; ip link set veth1 up";
    in_own_network(SCRIPT, async {
        let wrong = Ethernet::open("veth9").expect_err("there is none");
        assert!(
            wrong.to_string().contains("there is no network device veth9"),
            "{wrong}"
        );
        let address = [2, 0, 0, 0, 0, 9];
        let wire = Ethernet::with_address("veth1", address).expect("the wire");
        let host = Host::builder()
            .address("10.0.0.2/24")
            .address("fd09::2/64")
            .link(wire)
            .build()
            .unwrap();
        let services = Services::bind(&host, ["10.0.0.2".parse().unwrap()]).await.unwrap();
        let _services = tokio::spawn(services.run());
        for target in ["10.0.0.2:7", "[fd09::2]:7"] {
            let socket = tokio::net::TcpStream::connect(target);
            let socket = tokio::time::timeout(Duration::from_secs(20), socket)
                .await
                .expect("no stall")
                .expect("a connection");
            let socket = socket.into_std().expect("a socket");
            socket.set_nonblocking(false).expect("blocking");
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .expect("a timeout");
            let check = tokio::task::spawn_blocking(move || {
                let bytes = pattern(2 << 20);
                std::thread::scope(|scope| {
                    let _ = scope.spawn(|| (&socket).write_all(&bytes).expect("written"));
                    let mut back = vec![0; bytes.len()];
                    (&socket).read_exact(&mut back).expect("read");
                    assert!(back == bytes, "the bytes came back changed");
                });
            });
            check.await.expect("the echo");
        }
        let neighbours = Command::new("ip")
            .args(["neigh", "show", "10.0.0.2"])
            .output()
            .expect("ip runs");
        let shown = String::from_utf8_lossy(&neighbours.stdout).into_owned();
        assert!(shown.contains("02:00:00:00:00:09"), "{shown}");
    });
}
