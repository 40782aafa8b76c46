//! Attacks by who cannot see the connection, only guess: RST, SYN and data out of the blue, ICMP errors, side channels, endless exchanges.

use crate::target::*;
use sockeye_core::error::SocketError;
use sockeye_core::socket::{Close, State};
use sockeye_core::time::{MS, SECOND};

const FIN_ACK: Flags = Flags::FIN.and(Flags::ACK);
const RST_ACK: Flags = Flags::RST.and(Flags::ACK);

fn connected(settings: Settings) -> (Target, TcpId, Remote) {
    let mut target = Target::new(settings);
    let listener = target.listen(64, TcpOptions::default());
    let remote = Remote::open(&mut target, bot(1), Remote::OPTIONS);
    let id = target.accept(listener);
    (target, id, remote)
}

/// RFC 5961 §3.2, §4.2, §5.2: RST, SYN and data of someone who guessed the window but not the number change nothing, and are answered by a few
/// challenges at most.
#[test]
fn blind_segments_change_nothing() {
    let (mut target, id, remote) = connected(Settings::default());
    for n in 0..2_000_u32 {
        let guess = 1 + n * 30;
        remote.forge(&mut target, guess, 0, Flags::RST, &[]);
        remote.forge(&mut target, guess, 0x4000_0000, Flags::SYN, &[]);
        remote.forge(&mut target, guess, 0, SYN_ACK, &[]);
        // Data in the window whose acknowledgment is beyond what was sent, or older than any window.
        remote.forge(&mut target, guess, 1_000, Flags::ACK, &[0xbb; 10]);
        remote.forge(&mut target, guess, 0x9000_0000, Flags::ACK, &[0xbb; 10]);
    }
    assert_eq!(target.host.tcp_state(id), State::Established);
    let answers = target.seen();
    assert!(answers.len() <= 1, "{} answers within no time", answers.len());
    assert!(answers.iter().all(|seen| seen.is(Flags::ACK)), "{answers:?}");
    assert!(target.drops(DropReason::RateLimited) >= 6_000);
    assert!(target.drops(DropReason::BadAck) >= 4_000);
    // Nothing of it was kept.
    let mut remote = remote;
    remote.send(&mut target, b"real");
    assert_eq!(target.host.tcp_readiness(id).readable, 4);
    // The true number ends it. RFC 5961 §3.2.
    remote.forge(&mut target, 0, 0, Flags::RST, &[]);
    assert_eq!(target.host.tcp_take_error(id), Some(SocketError::ConnectionReset));
}

/// CVE-2016-5696: the host's ration of challenges is no clock that an attacker could read: how many are left after one's own 1000 differs
/// from second to second, whether or not another connection was challenged.
#[test]
fn counting_challenges_tells_nothing() {
    let counts = |probe: bool| {
        let mut target = Target::new(Settings {
            tcp_challenge_ack_limit: 100,
            tcp_invalid_ratelimit: Duration::ZERO,
            ..Settings::default()
        });
        let listener = target.listen(64, TcpOptions::default());
        let remote = Remote::open(&mut target, bot(1), Remote::OPTIONS);
        let other = Remote::open(&mut target, bot(2), Remote::OPTIONS);
        let _ = (target.accept(listener), target.accept(listener));
        let mut counts = Vec::new();
        for _ in 0..40 {
            target.pass(SECOND);
            let _ = target.seen();
            if probe {
                other.forge(&mut target, 77, 0, Flags::RST, &[]);
            }
            for _ in 0..300 {
                remote.forge(&mut target, 77, 0, Flags::RST, &[]);
            }
            let mine = target.seen().iter().filter(|seen| seen.to == remote.at).count();
            counts.push(mine);
        }
        counts
    };
    let quiet = counts(false);
    assert!(quiet.iter().all(|n| (50..150).contains(n)), "{quiet:?}");
    let distinct: std::collections::BTreeSet<_> = quiet.iter().collect();
    assert!(distinct.len() > 20, "too regular to hide anything: {quiet:?}");
    let probed = counts(true);
    let differ = quiet.iter().zip(&probed).filter(|(a, b)| **a == **b + 1).count();
    let spread = quiet.iter().max().expect("some") - quiet.iter().min().expect("some");
    assert!(
        spread > 50,
        "one challenge more or less shows: {differ} of 40, spread {spread}"
    );
}

/// RFC 5927: ICMP errors count only about what is in flight, never end an established connection, and lower the path MTU no further than its floor.
#[test]
fn icmp_errors_of_strangers_do_no_harm() {
    let (mut target, id, mut remote) = connected(Settings::default());
    let _ = target.write(id, 10_000);
    let _ = remote.listen(&mut target);
    let quote = |seq: u32| {
        let mut quoted = vec![0; 8];
        quoted[..2].copy_from_slice(&80_u16.to_be_bytes());
        quoted[2..4].copy_from_slice(&remote.at.port().to_be_bytes());
        quoted[4..].copy_from_slice(&seq.to_be_bytes());
        ip(VICTIM, *remote.at.ip(), 6, 0, 0, &quoted)
    };
    let attack = |target: &mut Target, code: u8, mtu: u16, seq: u32| {
        let mut message = vec![3, code, 0, 0, 0, 0];
        message.extend_from_slice(&mtu.to_be_bytes());
        message.extend_from_slice(&quote(seq));
        let check = checksum::checksum(&message);
        message[2..4].copy_from_slice(&check.to_be_bytes());
        target.hit_ip(Ipv4Addr::new(10, 66, 6, 6), VICTIM, 1, &message);
        target.take();
    };
    let before = target.host.tcp_info(target.now, id).expect("it lives");
    // Blind: numbers out of flight. Every code, every size.
    for n in 0..200_u32 {
        for code in [0, 1, 2, 3, 4, 9, 10, 13] {
            attack(&mut target, code, 68, remote.ack.wrapping_add(1 + n * 1_000_003));
        }
    }
    let after = target.host.tcp_info(target.now, id).expect("it lives");
    assert_eq!((after.snd_mss, after.state), (before.snd_mss, before.state));
    assert!(target.drops(DropReason::StrayIcmp) >= 200);
    // Well guessed: hard errors are soft once established (§5.2), and the MTU has a floor (RFC 791, RFC 1191 §3 let 68 be; we do not).
    for code in [0, 1, 2, 3, 9, 10, 13] {
        attack(&mut target, code, 0, remote.ack.wrapping_sub(1_000));
    }
    assert_eq!(target.host.tcp_state(id), State::Established);
    attack(&mut target, 4, 68, remote.ack.wrapping_sub(1_000));
    let floor = target.host.tcp_info(target.now, id).expect("it lives").snd_mss;
    assert!(floor >= 512 - 12 - 40, "segments of {floor} bytes");
    // And it goes on.
    remote.acknowledge(&mut target);
    remote.send(&mut target, b"still here");
    assert_eq!(target.read(id), 10);
}

/// ACK loops: whatever a remote answers, two stacks never acknowledge each other for ever. One answer per connection and half second, also for
/// what is left of a closed one.
#[test]
fn acknowledgements_of_acknowledgements_end() {
    let (mut target, id, mut remote) = connected(Settings::default());
    let answers = |target: &mut Target, remote: &Remote| {
        let _ = target.seen();
        let mut answers = 0;
        for _ in 0..1_000 {
            // Out of window, as a desynchronised remote would answer ours.
            remote.forge(target, 0x7000_0000, 0, Flags::ACK, &[]);
            answers += target.seen().len();
        }
        answers
    };
    target.pass(SECOND);
    assert!(answers(&mut target, &remote) <= 1);
    target.pass(SECOND);
    assert!(answers(&mut target, &remote) <= 1);
    // TIME-WAIT too.
    target.host.tcp_close(target.now, id, Close::Graceful);
    target.take();
    let _ = remote.listen(&mut target);
    remote.forge(&mut target, 0, 0, FIN_ACK, &[]);
    remote.seq += 1;
    let _ = remote.listen(&mut target);
    assert_eq!(target.host.memory().connections, 0, "TIME-WAIT is a record");
    target.pass(SECOND);
    let n = answers(&mut target, &remote);
    assert!(n <= 1, "{n} answers from TIME-WAIT");
}

/// RFC 1337 §3: RST does not end TIME-WAIT, nor do old segments; a new connection of the same name may (RFC 6191 §2), when it is clearly newer.
#[test]
fn time_wait_is_not_assassinated() {
    let (mut target, id, mut remote) = connected(Settings::default());
    target.host.tcp_close(target.now, id, Close::Graceful);
    target.take();
    let _ = remote.listen(&mut target);
    remote.forge(&mut target, 0, 0, FIN_ACK, &[]);
    remote.seq += 1;
    let _ = remote.listen(&mut target);
    let record = target.host.memory().time_wait;
    assert!(record > 0);
    for seq in [0, 1, 100, u32::MAX] {
        remote.forge(&mut target, seq, 0, Flags::RST, &[]);
        remote.forge(&mut target, seq, 0, RST_ACK, &[]);
        // An old duplicate of data, and an old SYN: answered by an acknowledgement at most.
        remote.forge(&mut target, 0_u32.wrapping_sub(500), 0, Flags::ACK, &[1; 10]);
    }
    let mut old = remote;
    old.clock = 0;
    old.forge(&mut target, 0_u32.wrapping_sub(5_000), 0, Flags::SYN, &[]);
    assert_eq!(target.host.memory().time_wait, record, "it was assassinated");
    assert!(target.seen().iter().all(|seen| seen.is(Flags::ACK)));
    // Newer by timestamp: a new connection, whose numbers lie beyond the old one's.
    let mut new = remote;
    new.clock += 1_000;
    let syn = Header {
        seq: 42,
        flags: Flags::SYN,
        window: 1_000,
        ..Header::default()
    };
    let mut options = Remote::OPTIONS;
    options.timestamps = new.options().timestamps;
    target.hit(new.at, SERVER, &syn, &options, &[]);
    let answer = target.seen();
    assert_eq!(answer.len(), 1);
    assert!(answer[0].is(SYN_ACK));
    assert!(answer[0].header.seq.wrapping_sub(remote.ack).cast_signed() > 65_535);
    assert_eq!(target.host.memory().time_wait, 0);
}

/// RSTs and ICMP errors that strangers make us send are rationed (RFC 1812 §4.3.2.8): a flood to closed ports is not reflected at its rate.
#[test]
fn refusals_are_rationed() {
    let mut target = Target::new(Settings {
        icmp_msgs_per_sec: 100,
        ..Settings::default()
    });
    let listener = target.listen(16, TcpOptions::default());
    for n in 0..5_000_u32 {
        let closed = SocketAddrV4::new(VICTIM, 1_000 + (n % 50_000) as u16);
        let stray = Header {
            seq: n,
            ack: 1,
            flags: Flags::ACK,
            ..Header::default()
        };
        target.hit(bot(n), closed, &stray, &NO_OPTIONS, &[]);
        let mut datagram = vec![0, 9, 0x30, 0, 0, 8, 0, 0];
        datagram[2..4].copy_from_slice(&closed.port().to_be_bytes());
        target.hit_ip(*bot(n).ip(), VICTIM, 17, &datagram);
    }
    let resets = target
        .seen()
        .iter()
        .filter(|seen| seen.header.flags.has(Flags::RST))
        .count();
    let errors = target.other.iter().filter(|(protocol, _)| *protocol == 1).count();
    assert!((50..=100).contains(&errors), "{errors} ICMP errors");
    assert!((50..=150).contains(&resets), "{resets} resets for 5000 strays");
    assert!(target.drops(DropReason::RateLimited) >= 4_850);
    // A second later there are some again.
    target.pass(SECOND);
    let closed = SocketAddrV4::new(VICTIM, 999);
    target.hit(
        HONEST,
        closed,
        &Header {
            flags: Flags::SYN,
            ..Header::default()
        },
        &NO_OPTIONS,
        &[],
    );
    assert!(target.seen()[0].header.flags.has(Flags::RST));
    target.pass(MS);
    target.serves(listener, HONEST);
}
