//! Attacks on opening: floods of SYNs, guesses at numbers and ports, tables filled on purpose.

use crate::target::*;
use sockeye_core::time::{MS, SECOND};
use std::collections::BTreeSet;

/// SYN flood (RFC 4987): a hundred thousand SYNs cost so many small records and no more; everybody who answers gets in, with all that was agreed.
#[test]
fn a_syn_flood_is_survived() {
    let mut target = Target::new(Settings {
        tcp_max_syn_backlog: 256,
        ..Settings::default()
    });
    let listener = target.listen(128, TcpOptions::default());
    let syn = Header {
        seq: 1,
        flags: Flags::SYN,
        window: 65_535,
        ..Header::default()
    };
    let mut most = 0;
    for n in 0..100_000 {
        target.hit(bot(n), SERVER, &syn, &Remote::OPTIONS, &[]);
        target.out.clear();
        most = most.max(target.host.memory().total());
    }
    assert!(most <= 256 * 72, "{most} bytes for half-open connections");
    assert!(target.host.counters().syncookies_sent >= 99_000);
    // RFC 4987 §3.6: scale, SACK and timestamps come back with the cookie.
    let mut remote = Remote::open(&mut target, HONEST, Remote::OPTIONS);
    let id = target.accept(listener);
    remote.window = 2;
    remote.acknowledge(&mut target);
    let info = target.host.tcp_info(target.now, id).expect("it lives");
    assert_eq!((info.snd_wscale, info.options & 7), (7, 7));
    assert_eq!(info.snd_wnd, 2 << 7);
    target.serves(listener, SocketAddrV4::new(*HONEST.ip(), 6_000));
    // The flood over, records go and memory with them.
    target.pass(200 * SECOND);
    assert_eq!(target.host.memory().half_open, 0);
}

/// What a cookie cannot carry is not agreed either: without timestamps neither scale nor SACK nor ECN; with them a scale beyond 14 is 14
/// (RFC 7323 §2.3).
#[test]
fn cookies_promise_what_they_remember() {
    let mut target = Target::new(Settings::default());
    let listener = target.listen(16, TcpOptions::default());
    let flags = Flags::SYN.and(Flags::ECE).and(Flags::CWR);
    let syn = |target: &mut Target, from, options: &Options| {
        let header = Header {
            seq: 1_000,
            flags,
            window: 65_535,
            ..Header::default()
        };
        target.hit(from, SERVER, &header, options, &[]);
        target.seen().pop().expect("an answer")
    };
    for n in 0..100 {
        let _ = syn(&mut target, bot(n), &Remote::OPTIONS);
    }
    let mut bare = Remote::OPTIONS;
    bare.timestamps = None;
    let answer = syn(&mut target, HONEST, &bare);
    assert!(answer.is(SYN_ACK), "{answer:?}");
    let Options {
        window_scale,
        sack_permitted,
        timestamps,
        ..
    } = answer.options;
    assert_eq!((window_scale, sack_permitted, timestamps), (None, false, None));
    let mut wide = Remote::OPTIONS;
    wide.window_scale = Some(200);
    let remote = Remote::open(&mut target, HONEST, wide);
    let id = target.accept(listener);
    let info = target.host.tcp_info(target.now, id).expect("it lives");
    assert_eq!((info.snd_wscale, info.snd_wnd), (14, u32::from(remote.window) << 14));
}

/// A cookie is nothing that can be guessed, kept for long or used by another: one in 2^24 by chance, two minutes, one pair of addresses.
#[test]
fn cookies_are_not_forged() {
    let mut target = Target::new(Settings {
        tcp_max_syn_backlog: 16,
        ..Settings::default()
    });
    let listener = target.listen(4_096, TcpOptions::default());
    let syn = Header {
        seq: 1,
        flags: Flags::SYN,
        window: 65_535,
        ..Header::default()
    };
    for n in 0..100 {
        target.hit(bot(n), SERVER, &syn, &NO_OPTIONS, &[]);
    }
    target.out.clear();
    target.hit(HONEST, SERVER, &syn, &NO_OPTIONS, &[]);
    let cookie = target.out.pop_front().expect("an answer").header.seq;
    let answer = |ack: u32| Header {
        seq: 2,
        ack,
        flags: Flags::ACK,
        window: 100,
        ..Header::default()
    };
    let good = cookie.wrapping_add(1);
    let other = SocketAddrV4::new(*HONEST.ip(), HONEST.port() + 1);
    target.hit(other, SERVER, &answer(good), &NO_OPTIONS, &[]);
    for n in 0..50_000_u32 {
        target.hit(
            HONEST,
            SERVER,
            &answer(good ^ (1 + n).wrapping_mul(2_654_435)),
            &NO_OPTIONS,
            &[],
        );
    }
    assert_eq!(target.host.listener_pending(listener), 0, "a forged cookie was taken");
    let mut late = Target::new(Settings::default());
    std::mem::swap(&mut late, &mut target);
    late.pass(130 * SECOND);
    late.hit(HONEST, SERVER, &answer(good), &NO_OPTIONS, &[]);
    assert_eq!(late.host.listener_pending(listener), 0, "an old cookie was taken");
    // The true one, in time.
    late.hit(HONEST, SERVER, &syn, &NO_OPTIONS, &[]);
    let now = late.seen().pop().expect("an answer").header.seq.wrapping_add(1);
    late.pass(60 * SECOND);
    late.hit(HONEST, SERVER, &answer(now), &NO_OPTIONS, &[]);
    assert_eq!(late.host.listener_pending(listener), 1);
}

/// The accept queue is full: what answers waits as a small record, and nothing grows.
#[test]
fn a_full_accept_queue_holds_small_records() {
    let mut target = Target::new(Settings::default());
    let listener = target.listen(8, TcpOptions::default());
    for n in 0..2_000 {
        let syn = Header {
            seq: 1_000,
            flags: Flags::SYN,
            window: 65_535,
            ..Header::default()
        };
        target.out.clear();
        target.hit(bot(n), SERVER, &syn, &Remote::OPTIONS, &[]);
        if let Some(answer) = target.out.pop_front() {
            let ack = Header {
                seq: 1_001,
                ack: answer.header.seq.wrapping_add(1),
                flags: Flags::ACK,
                window: 100,
                ..Header::default()
            };
            target.hit(bot(n), SERVER, &ack, &NO_OPTIONS, &[]);
        }
    }
    assert_eq!(target.host.listener_pending(listener), 9);
    assert!(target.drops(DropReason::ListenQueueFull) >= 1_900);
    let memory = target.host.memory();
    assert!(memory.total() <= 9 * 512 + 64 * 72, "{memory:?}");
}

/// RFC 6528 §3: initial sequence numbers of neighbouring connections have nothing to do with each other, and the same pair's grow with time.
#[test]
fn sequence_numbers_are_not_guessed() {
    let mut target = Target::new(Settings::default());
    let _ = target.listen(4_096, TcpOptions::default());
    let isn = |target: &mut Target, from: SocketAddrV4| {
        let syn = Header {
            flags: Flags::SYN,
            window: 1,
            ..Header::default()
        };
        let rst = Header {
            seq: 1,
            flags: Flags::RST,
            ..Header::default()
        };
        target.hit(from, SERVER, &syn, &NO_OPTIONS, &[]);
        let isn = target.seen().pop().expect("an answer").header.seq;
        target.hit(from, SERVER, &rst, &NO_OPTIONS, &[]);
        isn
    };
    let all: Vec<u32> = (0..4_096).map(|n| isn(&mut target, bot(n))).collect();
    spread("initial sequence numbers", &all);
    let steps: Vec<u32> = all.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    spread("steps between neighbours", &steps);
    // The clock of 4 microseconds: 250,000 a second.
    let first = isn(&mut target, bot(1));
    target.pass(SECOND);
    assert_eq!(isn(&mut target, bot(1)).wrapping_sub(first), 250_000);
    // RFC 7323 §7.1: the clock of timestamps says nothing of other connections either.
    let stamps: Vec<u32> = (0..512)
        .map(|n| {
            let syn = Header {
                flags: Flags::SYN,
                window: 1,
                ..Header::default()
            };
            target.hit(bot(10_000 + n), SERVER, &syn, &Remote::OPTIONS, &[]);
            target
                .seen()
                .pop()
                .and_then(|seen| seen.options.timestamps)
                .expect("agreed")
                .value
        })
        .collect();
    spread("timestamps", &stamps);
}

/// Numbers look like chance: no bit is biased (six sigma), none comes twice more often than chance would have it.
fn spread(what: &str, numbers: &[u32]) {
    let n = numbers.len() as f64;
    for bit in 0..32 {
        let ones = numbers.iter().filter(|number| **number >> bit & 1 == 1).count() as f64;
        let sigma = (ones - n / 2.0).abs() / (n / 4.0).sqrt();
        assert!(sigma < 6.0, "{what}: bit {bit} is set in {ones} of {n}");
    }
    let distinct: BTreeSet<_> = numbers.iter().collect();
    assert!(
        distinct.len() + 8 > numbers.len(),
        "{what}: {} distinct",
        distinct.len()
    );
}

/// RFC 6056 §3.3.4: the ports we choose are no row that can be guessed, though none comes back soon.
#[test]
fn ports_are_not_guessed() {
    let mut target = Target::new(Settings::default());
    let mut ports = Vec::new();
    for n in 0..2_000_u32 {
        let to = SocketAddrV4::new(Ipv4Addr::from(0x0a20_0000 + n % 4), 443);
        let id = target
            .host
            .tcp_connect(target.now, None, to.into(), TcpOptions::default())
            .expect("ports are left");
        ports.push(v4(target.host.tcp_local(id)).port());
        target
            .host
            .tcp_close(target.now, id, sockeye_core::socket::Close::Reset);
        let _ = target.seen();
        target.pass(MS);
    }
    let steps: Vec<i32> = ports
        .windows(2)
        .map(|pair| i32::from(pair[1]) - i32::from(pair[0]))
        .collect();
    let same_step = steps.iter().filter(|step| step.abs() <= 2).count();
    assert!(same_step < 40, "{same_step} of 2000 ports follow the one before");
    let distinct: BTreeSet<_> = ports.iter().collect();
    assert!(distinct.len() > 1_500, "{} distinct ports", distinct.len());
    let low = ports.iter().filter(|port| **port < 57_344).count();
    assert!((800..1_200).contains(&low), "{low} of 2000 in the lower half");
}

/// Hash flooding: whoever does not know the key gains nothing by choosing addresses and ports, so probes stay short.
#[test]
fn chosen_addresses_do_not_fill_one_slot() {
    let mut target = Target::new(Settings {
        tcp_max_syn_backlog: 100_000,
        ..Settings::default()
    });
    let _ = target.listen(100_000, TcpOptions::default());
    let syn = Header {
        flags: Flags::SYN,
        window: 1,
        ..Header::default()
    };
    // Patterns that collide in hashes by addition, exclusive or, and low bits.
    for n in 0..12_000_u32 {
        let (from, port) = match n % 3 {
            0 => (0x0a10_0000 + n, 40_000 - n as u16),
            1 => (0x0a20_0000 ^ n, 0x4000 ^ n as u16),
            _ => (0x0a30_0000 | n << 8, 1_024),
        };
        target.hit(SocketAddrV4::new(from.into(), port), SERVER, &syn, &NO_OPTIONS, &[]);
        target.out.clear();
    }
    let longest = target.host.longest_probe();
    assert!(longest <= 64, "a lookup looks at {longest} slots");
}
