//! One sender that repeated something for nothing: how it finds out, and what it puts back.

use super::super::recovery::Phase;
use super::loss::{Lone, sender, without_timestamps};
use super::*;
use crate::wire::tcp::SackBlocks;

/// Episodes undone.
fn undone(it: &Lone) -> u64 {
    let counters = &it.pair.sides[0].counters;
    counters.tcp_full_undo + counters.tcp_loss_undo
}

/// RFC 5682 §3.1 and §2.1: after a timeout that came too early two new segments leave, what arrives shows it, and nothing else is repeated.
#[test]
fn a_delay_is_not_taken_for_loss_without_timestamps() {
    for sack in [true, false] {
        let mut it = sender(&Settings {
            tcp_sack: sack,
            tcp_early_retrans: 0,
            ..without_timestamps()
        });
        it.flight(10, 20);
        let (cwnd, ssthresh) = (it.tcb().cwnd, it.tcb().ssthresh);
        let sent = it.wait(260);
        assert_eq!(sent.len(), 1, "{sent:?}");
        assert_eq!(sent[0].1, [0]);
        assert_eq!(it.ack(1, &[]), [10, 11], "SACK {sack}: step 2b");
        let out = it.ack(2, &[]);
        assert!(!out.contains(&1) && !out.contains(&2), "SACK {sack}: {out:?}");
        assert_eq!(it.flow().recovery.phase, Phase::Open);
        assert_eq!(it.tcb().segs_resent(), 1, "SACK {sack}");
        for ack in 3..=12 {
            let _ = it.ack(ack, &[]);
        }
        assert_eq!(it.tcb().segs_resent(), 1, "SACK {sack}");
        assert!(
            it.tcb().cwnd >= cwnd && it.tcb().ssthresh >= cwnd.min(ssthresh),
            "{:?}",
            it.window()
        );
    }
}

/// RFC 5682 step 3a: when the loss was real, the repeats follow.
#[test]
fn a_real_loss_goes_on_after_f_rto() {
    for sack in [true, false] {
        let mut it = sender(&Settings {
            tcp_sack: sack,
            tcp_early_retrans: 0,
            ..without_timestamps()
        });
        it.flight(10, 20);
        let _ = it.wait(260);
        assert_eq!(it.ack(1, &[]), [10, 11]);
        let _ = it.wait(20);
        let out = it.ack(1, if sack { &[(10, 11)] } else { &[] });
        assert_eq!(out[0], 1, "SACK {sack}: {out:?}");
        assert_eq!(it.flow().recovery.phase, Phase::Loss);
        assert!(it.window().0 <= 4, "{:?}", it.window());
    }
}

/// RFC 5682 step 1: not in a timeout on top of another.
#[test]
fn the_second_timeout_is_believed() {
    let mut it = sender(&Settings {
        tcp_early_retrans: 0,
        ..without_timestamps()
    });
    it.flight(10, 20);
    let sent = it.wait(800);
    assert_eq!(sent.len(), 2, "{sent:?}");
    let out = it.ack(1, &[]);
    assert_eq!(out[0], 1, "{out:?}");
}

/// RFC 3522 §3.2 and RFC 4015 §3.2: an echo from before the repeat undoes it at once, and the next timeout comes later.
#[test]
fn an_old_echo_undoes_a_timeout() {
    let mut it = sender(&Settings {
        tcp_early_retrans: 0,
        ..Settings::default()
    });
    it.flight(10, 20);
    let (first, cwnd) = (it.last, it.tcb().cwnd);
    let rto = it.tcb().rtt.rto(&Settings::default());
    let _ = it.wait(260);
    assert_eq!(it.tcb().segs_resent(), 1);
    let out = it.told(1, &[], first);
    assert!(out.iter().all(|segment| *segment >= 10), "{out:?}");
    assert_eq!(it.flow().recovery.phase, Phase::Open);
    let after = it.tcb().rtt.rto(&Settings::default());
    println!("timeout before {rto:?}, after {after:?}");
    assert!(after >= 520 * MS, "{after:?}");
    for ack in 2..=10 {
        let _ = it.told(ack, &[], first);
    }
    assert_eq!(it.tcb().segs_resent(), 1);
    assert!(it.tcb().cwnd >= cwnd);
    assert_eq!(undone(&it), 1);
}

/// RFC 3522 §3.3: what arrived twice says that acknowledgements were lost; the time since the first is no round trip.
#[test]
fn a_lost_acknowledgement_is_no_long_round_trip() {
    let mut it = sender(&Settings::default());
    it.warm_up(10);
    it.write(100);
    let first = it.pair.now;
    assert_eq!(it.sends(), [0]);
    let _ = it.wait(700);
    assert!(it.tcb().segs_resent() >= 2, "a probe and a timeout");
    let start = it.start;
    let resent = it.last;
    it.pair.now = resent + 20 * MS;
    let mut dsack = SackBlocks::default();
    dsack.push(start, start.wrapping_add(100));
    it.told_raw(start.wrapping_add(100), dsack, first);
    let srtt = it.tcb().rtt.srtt().expect("measured");
    assert!(srtt <= 22 * MS, "{srtt:?}");
    assert_eq!(it.tcb().backoff, 0);
}

/// RFC 3522 §3.2: the first acknowledgement of the first repeat decides, and it was for a repeat.
#[test]
fn a_real_loss_is_not_undone() {
    let mut it = sender(&Settings::default());
    it.flight(10, 20);
    let first = it.last;
    let _ = it.wait(20);
    let _ = it.told(0, &[(1, 4)], first);
    let _ = it.wait(20);
    let _ = it.ack(10, &[]);
    assert_eq!(undone(&it), 0);
    assert_eq!(it.window().1, 7);
}

/// RFC 3708 §3: a DSACK for every repeat undoes the reduction, also after the episode; a packet that the network doubled is no such thing.
#[test]
fn dsacks_undo_what_was_needless() {
    for (block, for_nothing) in [((0, 1), true), ((4, 5), false)] {
        let mut it = sender(&without_timestamps());
        it.flight(10, 0);
        let _ = it.wait(20);
        let _ = it.ack(0, &[(1, 4)]);
        assert_eq!(it.tcb().segs_resent(), 1);
        let _ = it.wait(1);
        let _ = it.ack(10, &[]);
        assert_eq!(it.window(), (7, 7));
        let _ = it.wait(19);
        let _ = it.ack(10, &[block]);
        assert_eq!(it.window().0, if for_nothing { 10 } else { 7 });
        assert_eq!(undone(&it), u64::from(for_nothing));
    }
}
