//! Attacks of receivers on senders: acknowledgements that lie, SACKs that shatter, segments that are hardly any.

use crate::target::*;
use sockeye_core::time::{MS, SECOND};
use sockeye_core::wire::tcp::SackBlocks;

fn connected(options: Options) -> (Target, TcpId, Remote) {
    let mut target = Target::new(Settings::default());
    let listener = target.listen(64, TcpOptions::default());
    let mut remote = Remote::open(&mut target, bot(1), options);
    let id = target.accept(listener);
    remote.window = u16::MAX;
    remote.acknowledge(&mut target);
    (target, id, remote)
}

fn cwnd_bytes(target: &Target, id: TcpId) -> u32 {
    let info = target.host.tcp_info(target.now, id).expect("it lives");
    info.snd_cwnd * info.snd_mss
}

/// Optimistic ACKs (CVE-2005-0184): an acknowledgement of what was not sent is refused, and the window grows by no more than what truly left.
#[test]
fn optimistic_acks_gain_nothing() {
    let (mut target, id, remote) = connected(Remote::OPTIONS);
    let _ = target.write(id, 1 << 20);
    let sent: u32 = target.seen().iter().map(|seen| seen.payload.len() as u32).sum();
    let before = cwnd_bytes(&target, id);
    for ahead in 1..500 {
        remote.forge(&mut target, 0, sent + ahead * 1_448, Flags::ACK, &[]);
    }
    assert_eq!(
        cwnd_bytes(&target, id),
        before,
        "it grew by acknowledgements of nothing"
    );
    assert!(target.drops(DropReason::BadAck) >= 499);
    let extra = target.seen().iter().filter(|seen| !seen.payload.is_empty()).count();
    assert_eq!(extra, 0, "data was sent for it");
    // Optimistic within what was sent: growth by the bytes acknowledged, at most twice the window in a round trip (RFC 3465 §2).
    let (mut target, id, mut honest) = connected(Remote::OPTIONS);
    let _ = target.write(id, 1 << 20);
    let before = cwnd_bytes(&target, id);
    let _ = honest.listen(&mut target);
    target.pass(20 * MS);
    honest.acknowledge(&mut target);
    assert!(cwnd_bytes(&target, id) <= 2 * before + 1_448);
}

/// ACK division (RFC 3465 §1): a thousand acknowledgements of one byte each open the window by a thousand bytes.
#[test]
fn divided_acks_count_by_bytes() {
    let (mut target, id, mut remote) = connected(Remote::OPTIONS);
    let _ = target.write(id, 1 << 20);
    let before = cwnd_bytes(&target, id);
    target.pass(20 * MS);
    for _ in 0..1_000 {
        remote.ack = remote.ack.wrapping_add(1);
        remote.acknowledge(&mut target);
    }
    let grown = cwnd_bytes(&target, id) - before;
    assert!(grown <= 1_448, "{grown} bytes more for a thousand bytes acknowledged");
}

/// Duplicate-ACK spoofing (RFC 5681 §5): many duplicates send no more than limited transmit and the window allow, never more than was there.
#[test]
fn duplicate_acks_do_not_inflate() {
    for options in [Remote::OPTIONS, NO_OPTIONS] {
        let (mut target, id, remote) = connected(options);
        let _ = target.write(id, 1 << 20);
        let before = cwnd_bytes(&target, id);
        let _ = target.seen();
        for _ in 0..2_000 {
            remote.forge(&mut target, 0, 0, Flags::ACK, &[]);
        }
        let sent: u32 = target.seen().iter().map(|seen| seen.payload.len() as u32).sum();
        assert!(sent <= before, "{sent} bytes for duplicates alone, window {before}");
    }
}

/// SACK bombs (CVE-2019-11477, 11478, 11479): the smallest MSS there is, SACKs of single bytes all over the flight. Segments do not get smaller than
/// the floor, the scoreboard not longer than its cap, and memory stays bounded.
#[test]
fn sack_bombs_shatter_nothing() {
    let mut tiny = Remote::OPTIONS;
    tiny.mss = Some(1);
    let (mut target, id, mut remote) = connected(tiny);
    // A flight as large as it gets.
    for _ in 0..60 {
        let _ = target.write(id, 1 << 20);
        for _ in 0..64 {
            let seen = remote.listen(&mut target);
            assert!(
                seen.iter().all(|seen| seen.payload.is_empty()
                    || seen.payload.len() >= 36
                    || seen.header.flags.has(Flags::PSH))
            );
            remote.acknowledge(&mut target);
        }
        target.pass(MS);
    }
    let _ = target.write(id, 1 << 20);
    let start = remote.ack;
    let flight = {
        let info = target.host.tcp_info(target.now, id).expect("it lives");
        info.unacked * info.snd_mss
    };
    assert!(flight > 50_000, "a flight of {flight} is no target");
    for step in 0..(flight / 8).min(20_000) {
        let mut sack = SackBlocks::default();
        for block in 0..3 {
            let at = start.wrapping_add(2 + ((step * 3 + block) * 4) % (flight - 8));
            sack.push(at, at.wrapping_add(1));
        }
        let header = Header {
            seq: remote.seq,
            ack: start,
            flags: Flags::ACK,
            window: u16::MAX,
            ..Header::default()
        };
        let options = Options {
            sack,
            ..remote.options()
        };
        target.hit(remote.at, SERVER, &header, &options, &[]);
        target.out.clear();
    }
    let flow = target.host.memory().buffers - u64::from(target.host.tcp_readiness(id).unacked as u32);
    assert!(flow < 2_048 * 96 + (64 << 10), "{flow} bytes of bookkeeping");
    // It lives, and an honest acknowledgement ends the matter.
    target.pass(SECOND);
    remote.ack = start.wrapping_add(flight);
    remote.acknowledge(&mut target);
    let info = target.host.tcp_info(target.now, id).expect("it lives");
    assert_eq!(info.state, 1, "{info:?}");
}

/// Window zero, then one byte, then zero: a remote that plays with its window makes us send few segments, none beyond what it offered.
#[test]
fn a_playing_window_is_not_followed() {
    let (mut target, id, mut remote) = connected(Remote::OPTIONS);
    remote.window = 0;
    remote.acknowledge(&mut target);
    let _ = target.write(id, 60_000);
    let mut sent = 0;
    for n in 0..1_000 {
        remote.window = u16::from(n % 2 == 0);
        remote.acknowledge(&mut target);
        let seen = remote.listen(&mut target);
        sent += seen.iter().filter(|seen| !seen.payload.is_empty()).count();
    }
    // 128 bytes is no window worth a segment (RFC 9293 §3.8.6.2.1).
    assert!(sent <= 2, "{sent} segments");
}
