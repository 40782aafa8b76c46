//! Fast Open (RFC 7413), both sides, segment by segment and in a network.

use crate::target::*;
use sockeye_core::error::SocketError;
use sockeye_core::sim::{HostId, LinkConfig, Sim};
use sockeye_core::socket::{Close, Shutdown, State};
use sockeye_core::time::{MS, SECOND};
use sockeye_core::wire::tcp::FastOpen;

const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 4_000);

fn server(qlen: u32) -> (Target, ListenerId) {
    let mut target = Target::new(Settings {
        tcp_fastopen: 3,
        ..Settings::default()
    });
    let options = TcpOptions {
        fast_open: qlen,
        ..TcpOptions::default()
    };
    let listener = target.listen(16, options);
    (target, listener)
}

fn syn_with(target: &mut Target, from: SocketAddrV4, cookie: Option<FastOpen>, payload: &[u8]) -> Vec<Seen> {
    let syn = Header {
        seq: 1_000,
        flags: Flags::SYN,
        window: 65_535,
        ..Header::default()
    };
    let options = Options {
        mss: Some(1460),
        fast_open: cookie,
        ..NO_OPTIONS
    };
    target.out.clear();
    target.hit(from, SERVER, &syn, &options, payload);
    target.seen()
}

fn cookie_for(target: &mut Target, from: SocketAddrV4) -> FastOpen {
    let answer = syn_with(target, from, Some(FastOpen::default()), &[]);
    assert!(answer[0].is(SYN_ACK), "{answer:?}");
    let rst = Header {
        seq: 1_001,
        flags: Flags::RST,
        ..Header::default()
    };
    target.hit(from, SERVER, &rst, &NO_OPTIONS, &[]);
    answer[0].options.fast_open.expect("a cookie, as asked")
}

/// RFC 7413 §4.2.1 and §4.2.2, the server: a cookie on request; with it data is there before the handshake ends, and its answer leaves too.
#[test]
fn a_server_takes_data_with_a_good_cookie() {
    let (mut target, listener) = server(5);
    let cookie = cookie_for(&mut target, CLIENT);
    assert_eq!(cookie.as_slice().len(), 8);
    let seen = syn_with(&mut target, CLIENT, Some(cookie), b"GET");
    assert_eq!((seen.len(), seen[0].header.ack), (1, 1_001 + 3), "{seen:?}");
    assert!(seen[0].is(SYN_ACK));
    assert_eq!(seen[0].options.fast_open, None);
    let id = target.accept(listener);
    assert_eq!(target.host.tcp_state(id), State::SynReceived);
    assert_eq!(target.read(id), 3);
    // The answer does not wait for the handshake, but its FIN does. RFC 7413 §4.2.2 step 6.
    assert_eq!(target.write(id, 2_000), 2_000);
    target.host.tcp_shutdown(target.now, id, Shutdown::Write);
    let seen = target.seen();
    let bytes: usize = seen.iter().map(|seen| seen.payload.len()).sum();
    assert_eq!(bytes, 2_000);
    assert!(seen.iter().all(|seen| !seen.header.flags.has(Flags::FIN)));
    let first = seen[0].header.seq;
    let ack = Header {
        seq: 1_004,
        ack: first.wrapping_add(2_000),
        flags: Flags::ACK,
        window: 65_535,
        ..Header::default()
    };
    target.hit(CLIENT, SERVER, &ack, &NO_OPTIONS, &[]);
    let seen = target.seen();
    assert_eq!(target.host.tcp_state(id), State::FinWait1);
    assert!(seen.iter().any(|seen| seen.header.flags.has(Flags::FIN)), "{seen:?}");
    assert_eq!(target.host.tcp_info(target.now, id).expect("it lives").options & 32, 32);
    let counters = target.host.counters();
    assert_eq!(
        (counters.tcp_fast_open_passive, counters.tcp_fast_open_cookie_reqd),
        (1, 1)
    );
    assert_eq!(counters.tcp_passive_opens, 1);
}

/// RFC 7413 §4.2: off unless the listener asks and the host allows; a bad cookie is replaced and its data left; data without a cookie is left.
#[test]
fn a_server_leaves_data_without_a_good_cookie() {
    for (qlen, setting, wants_cookie) in [(0, 3, false), (5, 1, false), (5, 3, true), (0, 0x402, true)] {
        let mut target = Target::new(Settings {
            tcp_fastopen: setting,
            ..Settings::default()
        });
        let options = TcpOptions {
            fast_open: qlen,
            ..TcpOptions::default()
        };
        let listener = target.listen(16, options);
        let seen = syn_with(&mut target, CLIENT, Some(FastOpen::cookie(&[9; 8])), b"GET");
        assert_eq!(seen[0].header.ack, 1_001, "{qlen} {setting}");
        assert_eq!(seen[0].options.fast_open.is_some(), wants_cookie, "{qlen} {setting}");
        assert_eq!(target.host.listener_pending(listener), 0);
        // The client goes on as usual, and sends its data again.
        let ack = Header {
            seq: 1_001,
            ack: seen[0].header.seq.wrapping_add(1),
            flags: Flags::ACK,
            window: 65_535,
            ..Header::default()
        };
        target.hit(CLIENT, SERVER, &ack, &NO_OPTIONS, b"GET");
        let id = target.accept(listener);
        assert_eq!(target.read(id), 3);
    }
    // A cookie of another address is a bad one.
    let (mut target, listener) = server(5);
    let cookie = cookie_for(&mut target, CLIENT);
    let _ = syn_with(&mut target, HONEST, Some(cookie), b"GET");
    assert_eq!(target.host.listener_pending(listener), 0);
    let seen = syn_with(&mut target, SocketAddrV4::new(*CLIENT.ip(), 4_001), None, b"GET");
    assert_eq!((seen[0].header.ack, seen[0].options.fast_open), (1_001, None));
}

/// The SYN-ACK of a pending connection is lost: it goes again, with neither data nor option; a repeated SYN brings it too; nothing is taken twice.
#[test]
fn a_pending_connection_repeats_its_syn_ack() {
    let (mut target, listener) = server(5);
    let cookie = cookie_for(&mut target, CLIENT);
    let first = syn_with(&mut target, CLIENT, Some(cookie), b"GET");
    let id = target.accept(listener);
    target.pass(SECOND);
    let again = target.seen();
    assert_eq!(again.len(), 1, "{again:?}");
    assert!(again[0].is(SYN_ACK) && again[0].payload.is_empty() && again[0].options.fast_open.is_none());
    assert_eq!((again[0].header.seq, again[0].header.ack), (first[0].header.seq, 1_004));
    // RFC 7413 §4.2.2: the client's SYN goes again without data and option.
    let seen = syn_with(&mut target, CLIENT, None, &[]);
    assert!(seen[0].is(SYN_ACK), "{seen:?}");
    assert_eq!(seen[0].header.ack, 1_004);
    assert_eq!(target.read(id), 3);
    // Nobody answers: after tcp_synack_retries it is over, and told.
    target.pass(200 * SECOND);
    assert_eq!(target.host.tcp_take_error(id), Some(SocketError::TimedOut));
}

/// RFC 7413 §5.1: with valid cookies (of a captured client) a flood makes no more pending connections than the listener allows; those reset go on
/// counting; beyond, SYNs are ordinary ones, and SYN cookies take over under pressure.
#[test]
fn a_flood_with_valid_cookies_is_bounded() {
    let (mut target, listener) = server(4);
    let cookie = cookie_for(&mut target, CLIENT);
    let mut connections = Vec::new();
    for n in 0..5_000 {
        let from = SocketAddrV4::new(*CLIENT.ip(), 5_000 + n);
        let _ = syn_with(&mut target, from, Some(cookie), &[1; 1_400]);
        if n % 2 == 0 {
            let rst = Header {
                seq: 1_001 + 1_400,
                flags: Flags::RST,
                ..Header::default()
            };
            target.hit(from, SERVER, &rst, &NO_OPTIONS, &[]);
        }
        while let Some(id) = target.host.tcp_accept(target.now, listener) {
            connections.push(id);
        }
    }
    assert_eq!(connections.len(), 4);
    let counters = target.host.counters();
    assert!(counters.tcp_fast_open_listen_overflow > 10);
    let memory = target.host.memory();
    assert!(memory.total() < 4 * (512 + 1_400 + 1_500) + 64 * 72, "{memory:?}");
    for id in connections {
        let error = target.host.tcp_take_error(id);
        assert!(
            error.is_none_or(|error| error == SocketError::ConnectionReset),
            "{error:?}"
        );
        target.host.tcp_close(target.now, id, Close::Reset);
    }
    // A minute later it works again.
    target.pass(100 * SECOND);
    let _ = syn_with(&mut target, CLIENT, Some(cookie), b"GET");
    assert_eq!(target.host.listener_pending(listener), 1);
}

fn fast() -> TcpOptions {
    TcpOptions {
        fast_open_connect: true,
        ..TcpOptions::default()
    }
}

/// A client that knows a cookie of `SERVER`'s, learnt in a first connection.
fn client() -> (Target, SocketAddr) {
    let mut target = Target::new(Settings::default());
    let to = SocketAddr::from(([10, 0, 0, 7], 80));
    let id = target.host.tcp_connect(target.now, None, to, fast()).expect("a route");
    let syn = target.seen();
    assert_eq!(
        (syn.len(), syn[0].options.fast_open),
        (1, Some(FastOpen::default())),
        "a request"
    );
    answer(&mut target, &syn[0], 0, Some(FastOpen::cookie(&[5; 8])));
    assert_eq!(target.host.tcp_state(id), State::Established);
    target.host.tcp_close(target.now, id, Close::Reset);
    let _ = target.seen();
    (target, to)
}

/// The server's SYN-ACK, which takes so much of the SYN's data.
fn answer(target: &mut Target, syn: &Seen, taken: u32, cookie: Option<FastOpen>) {
    let header = Header {
        seq: 77_000,
        ack: syn.header.seq.wrapping_add(1 + taken),
        flags: SYN_ACK,
        window: 65_535,
        ..Header::default()
    };
    let options = Options {
        mss: Some(1_000),
        fast_open: cookie,
        ..NO_OPTIONS
    };
    let me = SocketAddrV4::new(VICTIM, syn.header.source);
    target.hit(syn.to, me, &header, &options, &[]);
}

/// RFC 7413 §4.2.2, the client: with a cookie the SYN waits for data and carries what the cached MSS allows; what was not taken goes at once.
#[test]
fn a_client_sends_data_in_its_syn() {
    for taken in [0, 3, 500] {
        let (mut target, to) = client();
        let id = target.host.tcp_connect(target.now, None, to, fast()).expect("a route");
        assert!(target.host.tcp_is_deferred(id));
        assert_eq!(target.seen().len(), 0, "the SYN waits");
        target.pass(5 * SECOND);
        assert!(target.host.tcp_readiness(id).writable > 0);
        assert_eq!(target.write(id, 500), 500);
        let syn = target.seen();
        assert_eq!((syn.len(), syn[0].payload.len()), (1, 500), "{syn:?}");
        assert!(syn[0].is(Flags::SYN));
        assert_eq!(syn[0].options.fast_open, Some(FastOpen::cookie(&[5; 8])));
        // More has to wait for the answer.
        assert_eq!(target.write(id, 10), 0);
        target.pass(10 * MS);
        answer(&mut target, &syn[0], taken, Some(FastOpen::cookie(&[6; 12])));
        let rest = target.seen();
        let bytes: u32 = rest.iter().map(|seen| seen.payload.len() as u32).sum();
        assert_eq!(bytes, 500 - taken, "{rest:?}");
        assert_eq!(rest[0].header.ack, 77_001);
        assert_eq!(rest[0].header.seq, syn[0].header.seq.wrapping_add(1 + taken));
        assert!(target.host.tcp_readiness(id).established);
        assert_eq!(target.write(id, 10), 10);
        // The new cookie, and the MSS that came with it, count from now on: 1000 less options.
        let _ = target.seen();
        let mut data = Bytes::from(vec![1; 5_000]);
        let _ = target
            .host
            .tcp_connect_with(target.now, None, to, TcpOptions::default(), &mut data)
            .expect("a route");
        assert!(data.is_empty());
        let syn = target.seen().remove(0);
        assert_eq!(syn.options.fast_open, Some(FastOpen::cookie(&[6; 12])));
        assert!((900..=1_000 - 36).contains(&syn.payload.len()), "{}", syn.payload.len());
    }
}

/// RFC 7413 §4.1.3.1 and §4.2.2: a SYN that is not answered goes again bare; a path that fails twice is left alone for a while.
#[test]
fn a_client_falls_back_and_backs_off() {
    let (mut target, to) = client();
    for attempt in 0..2 {
        let mut data = Bytes::from_static(b"GET");
        let id = target
            .host
            .tcp_connect_with(target.now, None, to, TcpOptions::default(), &mut data)
            .expect("a route");
        let syn = target.seen();
        assert_eq!(syn[0].payload.len(), 3, "attempt {attempt}");
        target.pass(SECOND);
        let again = target.seen();
        assert_eq!(
            (again.len(), again[0].payload.len(), again[0].options.fast_open),
            (1, 0, None)
        );
        assert!(again[0].is(Flags::SYN));
        assert_eq!(again[0].header.seq, syn[0].header.seq);
        answer(&mut target, &again[0], 0, None);
        let data = target.seen();
        assert_eq!(data[0].payload, Bytes::from_static(b"GET"));
        target.host.tcp_close(target.now, id, Close::Reset);
        let _ = target.seen();
    }
    assert_eq!(target.host.counters().tcp_fast_open_active_fail, 2);
    let id = target.host.tcp_connect(target.now, None, to, fast()).expect("a route");
    assert!(!target.host.tcp_is_deferred(id));
    assert_eq!(target.seen()[0].options.fast_open, None, "an ordinary SYN");
    target.pass(61 * SECOND);
    let id = target.host.tcp_connect(target.now, None, to, fast()).expect("a route");
    assert!(target.host.tcp_is_deferred(id), "it is tried again");
}

fn network(seed: u64, line: &str) -> (Sim, HostId, HostId) {
    let mut sim = Sim::new(seed);
    let a = sim.host("a");
    let config = HostConfig {
        settings: Settings {
            tcp_fastopen: 3,
            ..Settings::default()
        },
        ..HostConfig::default()
    };
    let b = sim.host_with("b", config);
    let _ = sim.connect(a, b, &LinkConfig::both(line.parse().expect("a good line")));
    (sim, a, b)
}

/// What it is for: request and answer in one round trip instead of two. And on bad networks every byte arrives once, whatever is lost.
#[test]
fn a_round_trip_is_saved_and_nothing_is_lost() {
    for (line, seeds) in [
        ("delay 50ms", 1),
        ("delay 50ms loss 10%", 100),
        ("delay 50ms jitter 40ms duplicate 20%", 20),
    ] {
        for seed in 0..seeds {
            let (mut sim, a, b) = network(seed, line);
            let link = sim.link_between(a, b).expect("they are linked");
            let to = SocketAddr::new(sim.address(b, link, seed % 2 == 1), 80);
            let listener = sim.on(b, |host, now| {
                let options = TcpOptions {
                    fast_open: 16,
                    ..TcpOptions::default()
                };
                let binding = host.tcp_bind(to, BindOptions::default()).expect("free");
                host.tcp_listen(now, binding, 16, options).expect("nobody else listens")
            });
            let mut times = Vec::new();
            for _ in 0..4 {
                let start = sim.now();
                exchange(&mut sim, a, b, listener, to);
                times.push(sim.now().since(start));
            }
            if seeds == 1 {
                assert_eq!(times, [200 * MS, 100 * MS, 100 * MS, 100 * MS]);
                assert_eq!(sim.look(a).counters().tcp_fast_open_active, 3);
            }
        }
    }
}

/// 600 bytes there, 3000 back, and an end.
fn exchange(sim: &mut Sim, a: HostId, b: HostId, listener: ListenerId, to: SocketAddr) {
    let mut request = Bytes::from((0..600).map(|n| n as u8).collect::<Vec<_>>());
    let id = sim
        .on(a, |host, now| {
            host.tcp_connect_with(now, None, to, TcpOptions::default(), &mut request)
        })
        .expect("a route");
    let mut got = [Vec::new(), Vec::new()];
    let mut peer: Option<TcpId> = None;
    let mut answered = 0;
    let done = sim.run_while(600 * SECOND, |sim| {
        if !request.is_empty() {
            let _ = sim.on(a, |host, now| host.tcp_write(now, id, &mut request));
        }
        if peer.is_none() {
            peer = sim.on(b, |host, now| host.tcp_accept(now, listener));
        }
        if let Some(peer) = peer {
            read(sim, b, peer, &mut got[1]);
            if got[1].len() == 600 && answered < 3_000 {
                let mut more = Bytes::from((answered..3_000).map(|n| n as u8).collect::<Vec<_>>());
                answered += sim.on(b, |host, now| host.tcp_write(now, peer, &mut more)).unwrap_or(0);
            }
        }
        read(sim, a, id, &mut got[0]);
        got[0].len() >= 3_000
    });
    let states = [(a, Some(id)), (b, peer)].map(|(host, id)| id.map(|id| sim.look(host).tcp_readiness(id)));
    assert!(
        done,
        "{states:?} {} stuck: {} of 3000, {} of 600",
        sim.seed(),
        got[0].len(),
        got[1].len()
    );
    assert!(
        got.iter()
            .all(|got| got.iter().enumerate().all(|(n, byte)| *byte == n as u8))
    );
    assert_eq!(got.map(|got| got.len()), [3_000, 600]);
    for (host, id) in [(a, Some(id)), (b, peer)] {
        sim.on(host, |host, now| {
            host.tcp_close(now, id.expect("it was there"), Close::Graceful);
        });
    }
}

fn read(sim: &mut Sim, host: HostId, id: TcpId, into: &mut Vec<u8>) {
    let mut rope = Rope::new();
    let n = sim.on(host, |host, now| host.tcp_read(now, id, usize::MAX, &mut rope));
    let from = into.len();
    into.resize(from + n, 0);
    let _ = rope.read(&mut into[from..]);
}
