//! Attacks on memory: buffers pinned, queues filled, caches blown up.

use crate::target::*;
use sockeye_core::sim::{LinkConfig, Sim};
use sockeye_core::socket::{Close, State, Stray, SynAnswer};
use sockeye_core::time::{MS, SECOND};

/// A budget that tests can fill: 1, 2 and 4 MiB.
fn tight() -> Settings {
    Settings {
        tcp_mem: [256, 512, 1_024],
        ..Settings::default()
    }
}
const SOFT: u64 = 1 << 20;
const HARD: u64 = 2 << 20;
const LIMIT: u64 = 4 << 20;

/// Unread data on many connections (a slow or dead application): the host stays within its budget, and lives.
#[test]
fn unread_queues_stay_within_the_budget() {
    let mut target = Target::new(tight());
    let listener = target.listen(4_096, TcpOptions::default());
    let (mut most, mut victims) = (0, 0);
    for n in 0..150 {
        let mut remote = Remote::open(&mut target, bot(n), Remote::OPTIONS);
        let id = target.accept(listener);
        for _ in 0..45 {
            remote.send(&mut target, &[1; 1_400]);
            most = most.max(target.host.memory().buffers);
        }
        victims += u64::from(target.host.tcp_state(id) == State::Closed);
    }
    let counters = target.host.counters();
    assert!(most > HARD, "the attack did not get anywhere: {most}");
    assert!(most <= LIMIT + 65_536, "{most} bytes of {LIMIT}");
    assert!(counters.tcp_abort_on_memory > 0);
    assert!(victims <= counters.tcp_abort_on_memory);
}

/// Above the soft mark buffers stop growing: neither ours to receive nor ours to send.
#[test]
fn pressure_ends_the_growth_of_buffers() {
    let mut grown = Vec::new();
    for mark in [u32::MAX / 2, 1] {
        let mut target = Target::new(Settings {
            tcp_mem: [mark, u32::MAX / 2, u32::MAX / 2],
            ..Settings::default()
        });
        let listener = target.listen(16, TcpOptions::default());
        let mut holder = Remote::open(&mut target, bot(1), Remote::OPTIONS);
        holder.send(&mut target, &[1; 1_400]);
        holder.send(&mut target, &[1; 1_400]);
        holder.send(&mut target, &[1; 1_400]);
        let _ = target.accept(listener);
        let mut remote = Remote::open(&mut target, bot(2), Remote::OPTIONS);
        let id = target.accept(listener);
        for _ in 0..40 {
            for _ in 0..60 {
                remote.send(&mut target, &[1; 1_400]);
            }
            target.pass(20 * MS);
            remote.clock += 20;
            let _ = remote.listen(&mut target);
            let _ = target.read(id);
        }
        grown.push(target.host.tcp_info(target.now, id).expect("it lives").rcv_ssthresh);
    }
    assert!(grown[0] > 131_072, "no growth without pressure: {grown:?}");
    assert_eq!(grown[1], 131_072, "growth under pressure");
}

/// Out-of-order bombs (SegmentSmack, CVE-2018-5390): islands are few whatever arrives, and above the hard mark there are none.
#[test]
fn out_of_order_bombs_make_few_islands() {
    let mut target = Target::new(tight());
    let listener = target.listen(4_096, TcpOptions::default());
    let mut most = 0;
    for n in 0..100 {
        let mut remote = Remote::open(&mut target, bot(n), Remote::OPTIONS);
        let _ = target.accept(listener);
        if (1..30).contains(&n) {
            // So much is held in order that emptying the queues does not help much.
            for _ in 0..45 {
                remote.send(&mut target, &[1; 1_400]);
            }
        }
        for step in 0..50 {
            remote.forge(&mut target, 2_000 + 1_300 * step, 0, Flags::ACK, &[1; 1_200]);
        }
        most = most.max(target.host.memory().buffers);
        if n == 0 {
            assert!(most < 90_000, "one connection holds {most} bytes");
            // Every second byte: the highest islands go. RFC 2018 §8.
            for step in 0..1_000 {
                remote.forge(&mut target, 2 + 2 * step, 0, Flags::ACK, &[1]);
            }
            let held = target.host.memory().buffers;
            assert!(held < 150_000, "{held} bytes held by islands of one byte");
        }
    }
    assert!(most > HARD, "the attack did not get anywhere: {most}");
    assert!(most <= HARD + 100_000, "{most} bytes of {HARD}");
    assert!(target.drops(DropReason::NoBuffer) > 1_000);
    assert_eq!(target.host.counters().tcp_abort_on_memory, 0, "nobody had to be reset");
    // Someone honest is served all the same, by cookie.
    target.serves(listener, HONEST);
    assert!(target.host.counters().syncookies_sent > 0);
    assert!(target.host.memory().buffers > SOFT);
}

/// Tiny segments that arrive in large buffers: what is kept is at most four times what they carry, measured by the pool that lent the buffers.
#[test]
fn tiny_segments_do_not_pin_large_buffers() {
    let mut target = Target::new(Settings::default());
    let listener = target.listen(4_096, TcpOptions::default());
    let pool = sockeye_core::buf::Pool::new(1 << 20);
    let mut kept = 0;
    for n in 0..50 {
        let mut remote = Remote::open(&mut target, bot(n), Remote::OPTIONS);
        for size in [1_usize, 10, 100, 500, 1_000, 1_400, 5_000, 20_000] {
            // A piece of a 64 KiB buffer whose other pieces never come; in order and out of order.
            let whole = pool.copy_from_slice(&vec![7; 60_000]);
            for (out_of_order, piece) in [(30_000, whole.slice(100..100 + size)), (0, whole.slice(..size))] {
                let header = Header {
                    source: remote.at.port(),
                    destination: 80,
                    seq: remote.seq.wrapping_add(out_of_order),
                    ack: remote.ack,
                    flags: Flags::ACK,
                    window: 1_024,
                    urgent: 0,
                };
                let mut packet = Packet::default();
                build(&mut packet.head, &header, &remote.options());
                let bytes = ip(
                    *remote.at.ip(),
                    VICTIM,
                    6,
                    0,
                    0,
                    &[packet.head.as_slice(), &piece].concat(),
                );
                let mut packet = packet_from_bytes(Bytes::from(bytes), Medium::Ip);
                packet.body.clear();
                packet.body.push(piece);
                packet.meta.csum = Csum::Verified;
                packet.meta.pins = whole.len() as u32;
                target.host.receive(target.now, target.link, &mut vec![packet]);
            }
            target.take();
            remote.seq = remote.seq.wrapping_add(size as u32);
            kept += size;
        }
    }
    // 20,000 bytes of 60,000 are worth keeping as they are; everything else was copied.
    let large = 50 * (64 << 10);
    assert!(pool.outstanding() <= large, "{} bytes pinned", pool.outstanding());
    assert!(
        pool.outstanding() <= 4 * kept,
        "{} bytes pinned by {kept}",
        pool.outstanding()
    );
    assert!(target.host.memory().buffers as usize <= 4 * kept);
    let _ = listener;
}

/// A single byte on each of very many connections costs little more than the connection.
#[test]
fn a_byte_on_every_connection_is_cheap() {
    let mut target = Target::new(Settings::default());
    let listener = target.listen(4_096, TcpOptions::default());
    for n in 0..1_000 {
        let mut remote = Remote::open(&mut target, bot(n), Remote::OPTIONS);
        let _ = target.accept(listener);
        remote.send(&mut target, &[1]);
    }
    // The flow state goes when the connection has been quiet.
    target.pass(10 * SECOND);
    let each = target.host.memory().buffers / 1_000;
    assert!(each <= 128, "{each} bytes beside each record");
}

/// Zero-window holders (sockstress, netkill): the application writes a page and closes, the remote shuts its window for ever. They are probed, they
/// are few (`tcp_max_orphans`), they are the first to go when memory is short, and in the end they go by themselves.
#[test]
fn zero_window_holders_go_first_and_go_in_the_end() {
    let mut target = Target::new(tight());
    let listener = target.listen(4_096, TcpOptions::default());
    let mut most = 0;
    for n in 0..300 {
        let mut remote = Remote::open(&mut target, bot(n), Remote::OPTIONS);
        let id = target.accept(listener);
        remote.window = 0;
        remote.send(&mut target, b"GET / HTTP/1.0\r\n\r\n");
        let _ = target.read(id);
        let _ = target.write(id, 60_000);
        target.host.tcp_close(target.now, id, Close::Graceful);
        target.take();
        most = most.max(target.host.memory().buffers);
    }
    assert!(most > HARD, "the attack did not get anywhere: {most}");
    assert!(most <= LIMIT + 65_536, "{most} bytes of {LIMIT}");
    assert!(target.host.counters().tcp_abort_on_memory > 0);
    // Those who talk to an application that is there stay, while orphans go.
    let mut honest = Remote::open(&mut target, HONEST, Remote::OPTIONS);
    let id = target.accept(listener);
    for n in 0..100 {
        let mut remote = Remote::open(&mut target, bot(1_000 + n), Remote::OPTIONS);
        let id = target.accept(listener);
        remote.window = 0;
        remote.acknowledge(&mut target);
        let _ = target.write(id, 60_000);
        target.host.tcp_close(target.now, id, Close::Graceful);
        target.take();
    }
    honest.send(&mut target, b"still there?");
    assert_eq!(target.read(id), 12);
    // tcp_orphan_retries: nobody who does not even answer is kept for long.
    target.pass(600 * SECOND);
    let ids: Vec<TcpId> = target.host.tcp_ids().collect();
    assert_eq!(ids, [id], "orphans are left");
    assert!(target.host.memory().buffers < 1_000);
}

/// Slow readers of our data: a remote that takes a byte now and then holds no more than the window it offered deserves.
#[test]
fn slow_readers_hold_little_of_ours() {
    let mut target = Target::new(Settings::default());
    let listener = target.listen(16, TcpOptions::default());
    let mut remote = Remote::open(&mut target, bot(1), Remote::OPTIONS);
    let id = target.accept(listener);
    let mut written = 0;
    for _ in 0..500 {
        written += target.write(id, 1 << 20);
        let _ = remote.listen(&mut target);
        // One byte at a time, and never more than that on offer.
        remote.window = 1;
        remote.acknowledge(&mut target);
        target.pass(100 * MS);
    }
    let held = target.host.memory().buffers;
    assert!(written >= 65_536, "{written}");
    assert!(held < 300_000, "{held} bytes held for a remote that hardly reads");
}

/// Fragments of datagrams that never become whole (FragmentSmack, CVE-2018-5391): so many bytes, so many pieces, and the rest of the host works.
#[test]
fn fragments_take_what_they_are_allowed() {
    let mut target = Target::new(Settings {
        ipfrag_high_thresh: 256 << 10,
        ..Settings::default()
    });
    let listener = target.listen(16, TcpOptions::default());
    let pool = sockeye_core::buf::Pool::new(1 << 20);
    for n in 0..20_000_u32 {
        let offset = 1 + (n % 97) * 3;
        let fragment = 0x2000 | (offset as u16);
        let bytes = ip(*bot(n).ip(), VICTIM, 17, (n % 3_000) as u16, fragment, &[9; 16]);
        let mut packet = packet_from_bytes(pool.copy_from_slice(&bytes), Medium::Ip);
        packet.meta.csum = Csum::Verified;
        target.host.receive(target.now, target.link, &mut vec![packet]);
    }
    assert!(pool.outstanding() <= 256 << 10, "{} bytes pinned", pool.outstanding());
    assert!(target.drops(DropReason::ReassemblyTimeout) + target.drops(DropReason::FragmentMemory) > 0);
    target.serves(listener, HONEST);
    target.pass(120 * SECOND);
    assert_eq!(target.other.iter().filter(|(protocol, _)| *protocol == 17).count(), 0);
}

/// Connections opened and closed as fast as it goes: what is remembered of them has its limit (`tcp_max_tw_buckets`), the oldest goes first.
#[test]
fn time_wait_has_its_limit() {
    let mut target = Target::new(Settings {
        tcp_max_tw_buckets: 100,
        ..Settings::default()
    });
    let listener = target.listen(16, TcpOptions::default());
    let mut most = 0;
    for n in 0..1_000 {
        let mut remote = Remote::open(&mut target, bot(n), Remote::OPTIONS);
        let id = target.accept(listener);
        target.host.tcp_close(target.now, id, Close::Graceful);
        target.take();
        let _ = remote.listen(&mut target);
        remote.forge(&mut target, 0, 0, Flags::FIN.and(Flags::ACK), &[]);
        most = most.max(target.host.memory().time_wait);
        assert_eq!(target.host.memory().connections, 0);
    }
    assert!((100 * 64..=100 * 80).contains(&most), "{most} bytes");
    target.pass(61 * SECOND);
    assert_eq!(target.host.memory().total(), 0);
}

/// A gateway short of memory takes no new connections, rather than asking its owner about them; those it has go on.
#[test]
fn a_gateway_short_of_memory_takes_no_more() {
    let mut target = Target::new(Settings::default());
    target.host = Host::new(HostConfig {
        seed: 7,
        any_address: true,
        settings: Settings {
            tcp_mem: [16, 32, 1_024],
            ..Settings::default()
        },
        ..HostConfig::default()
    });
    target.link = target.host.add_interface(InterfaceConfig {
        name: "eth0".to_owned(),
        medium: Medium::Ip,
        mtu: 1500,
        gso: false,
        addresses: vec![(VICTIM.into(), 8)],
    });
    let mut held = 0;
    for n in 0..50 {
        let syn = Header {
            seq: 1_000,
            flags: Flags::SYN,
            window: 65_535,
            ..Header::default()
        };
        let far = SocketAddrV4::new(Ipv4Addr::new(10, 99, 0, 1), 443);
        target.hit(bot(n), far, &syn, &Remote::OPTIONS, &[]);
        let Some(Stray::Syn { id, .. }) = target.host.poll_stray() else {
            continue;
        };
        held += 1;
        let options = TcpOptions::default();
        let _ = target.host.answer_syn(target.now, id, SynAnswer::Accept(options));
        let answer = target.seen().pop().expect("a SYN-ACK");
        let data = Header {
            seq: 1_001,
            ack: answer.header.seq.wrapping_add(1),
            flags: Flags::ACK,
            window: 1_000,
            ..Header::default()
        };
        for n in 0..10 {
            let header = Header {
                seq: data.seq + n * 1_400,
                ..data
            };
            target.hit(bot(held - 1), far, &header, &NO_OPTIONS, &[1; 1_400]);
        }
    }
    assert!((5..20).contains(&held), "{held} connections");
    assert!(target.drops(DropReason::NoBuffer) >= 30);
    assert!(target.host.memory().buffers > 32 * 4_096);
}

/// Short of memory little is kept out of order, and what was reported by SACK is given up again (RFC 2018 §8). Transfers go on, on links that lose and
/// reorder, whichever side is short.
#[test]
fn transfers_go_on_without_room_for_disorder() {
    let short = || HostConfig {
        settings: Settings {
            tcp_mem: [4, 8, 1 << 16],
            ..Settings::default()
        },
        ..HostConfig::default()
    };
    for (seed, line) in [
        (1, "delay 10ms loss 2%"),
        (2, "delay 10ms loss 5%"),
        (3, "delay 10ms jitter 8ms"),
        (4, "delay 10ms reorder 10% loss 1%"),
    ] {
        for sides in 1..4 {
            let mut sim = Sim::new(seed);
            let config = |bit| {
                if sides & bit != 0 {
                    short()
                } else {
                    HostConfig::default()
                }
            };
            let (a, b) = (sim.host_with("a", config(1)), sim.host_with("b", config(2)));
            let _ = sim.connect(a, b, &LinkConfig::both(line.parse().expect("a good line")));
            let told = sim.transfer(a, b, 1 << 20);
            assert!(told.is_ok(), "{line}, sides {sides}: {told:?}");
            assert!(sim.broken().is_empty(), "{:?}", sim.broken());
        }
    }
}
