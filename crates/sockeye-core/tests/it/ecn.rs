//! Explicit congestion notification, RFC 3168 §6.1: who asks, which packets may be marked, what a mark does to whom.

use crate::wire::{Fate, Seen, Wire};
use sockeye_core::settings::{CongestionControl, Settings};
use sockeye_core::socket::{TcpId, TcpOptions};
use sockeye_core::time::SECOND;
use sockeye_core::wire::ecn;
use sockeye_core::wire::tcp::Flags;

const SYN_ACK: Flags = Flags::SYN.and(Flags::ACK);
const SETUP: Flags = Flags::ECE.and(Flags::CWR);
/// `TCPI_OPT_ECN` and `TCPI_OPT_ECN_SEEN`.
const ECN: u8 = 8;
const ECN_SEEN: u8 = 16;

fn mode(tcp_ecn: u8) -> Settings {
    Settings {
        tcp_ecn,
        ..Settings::default()
    }
}

/// A pair of which one asks and the other accepts.
fn agreed(v6: bool) -> (Wire, TcpId, TcpId) {
    let mut wire = Wire::new([mode(1), mode(2)]);
    let (client, server) = wire.connect(v6, [TcpOptions::default(), TcpOptions::default()]);
    (wire, client, server)
}

/// RFC 3168 §6.1.1: both sides have to want it, and both SYNs say so.
#[test]
fn who_agrees_with_whom() {
    let option = |ecn| TcpOptions {
        ecn,
        ..TcpOptions::default()
    };
    let default = Settings::default().tcp_ecn;
    for (case, modes, options, asked, agreed) in [
        ("off", [0, 1], [None, None], false, false),
        ("asked", [1, 1], [None, None], true, true),
        ("accepted only", [2, 1], [None, None], false, false),
        ("asked of one that is off", [1, 0], [None, None], true, false),
        ("asked of one that accepts", [1, 2], [None, None], true, true),
        ("default to default", [default, default], [None, None], false, false),
        ("the option asks", [0, 2], [Some(true), None], true, true),
        ("the option does not ask", [1, 2], [Some(false), None], false, false),
        ("the option accepts", [1, 0], [None, Some(true)], true, true),
        ("the option refuses", [1, 1], [None, Some(false)], true, false),
    ] {
        for v6 in [false, true] {
            let mut wire = Wire::new(modes.map(mode));
            let (client, server) = wire.connect(v6, options.map(option));
            let (syn, syn_ack) = (wire.seen[0], wire.seen[1]);
            let flag = |set: bool, flags: Flags| if set { flags } else { Flags::NONE };
            assert_eq!(syn.flags, Flags::SYN.and(flag(asked, SETUP)), "{case}");
            assert_eq!(syn_ack.flags, SYN_ACK.and(flag(agreed, Flags::ECE)), "{case}");
            let _ = wire.transfer(0, client, server, 10_000, SECOND);
            let want = if agreed { [ECN, ECN | ECN_SEEN] } else { [0, 0] };
            let told = [wire.info(0, client), wire.info(1, server)].map(|info| info.options & (ECN | ECN_SEEN));
            assert_eq!(told, want, "{case}");
            let counted = wire.hosts.each_ref().map(|host| host.counters().tcp_ecn_setup);
            assert_eq!(counted, [u64::from(agreed); 2], "{case}");
        }
    }
}

/// RFC 3168 §6.1.1.1: behind a firewall that drops SYNs with these flags, the second SYN gets through; whoever sent it marks nothing.
#[test]
fn a_repeated_syn_asks_no_more() {
    for (fallback, second) in [(true, Flags::SYN), (false, Flags::SYN.and(SETUP))] {
        let settings = Settings {
            tcp_ecn_fallback: fallback,
            ..mode(1)
        };
        let mut wire = Wire::new([settings, mode(2)]);
        let mut first = true;
        wire.rule = Box::new(move |_| match std::mem::take(&mut first) {
            true => Fate::Lose,
            false => Fate::Pass,
        });
        let (client, _) = wire.connect(false, [TcpOptions::default(), TcpOptions::default()]);
        assert_eq!(wire.seen[1].flags, second, "fallback {fallback}");
        assert_eq!(wire.info(0, client).options & ECN, if fallback { 0 } else { ECN });
    }
}

/// RFC 3168 §6.1.1: the answer to the first SYN comes after the second, which did not ask: marks are heeded, none are asked for. And the server,
/// which has heard a SYN that did not ask, answers that one without ECN.
#[test]
fn a_late_answer_to_a_withdrawn_request() {
    let mut wire = Wire::new([mode(1), mode(2)]);
    // The first SYN-ACK is lost, and what the second SYN asks for is seen.
    let mut answers = 0;
    wire.rule = Box::new(move |seen| {
        answers += usize::from(seen.from == 1);
        if seen.from == 1 && answers == 1 {
            Fate::Lose
        } else {
            Fate::Pass
        }
    });
    let (client, server) = wire.connect(false, [TcpOptions::default(), TcpOptions::default()]);
    let flags = |from| {
        let syns = wire.seen.iter().filter(move |seen| seen.from == from && seen.is_syn());
        syns.map(|seen| seen.flags).collect::<Vec<_>>()
    };
    assert_eq!(flags(0), [Flags::SYN.and(SETUP), Flags::SYN]);
    // The server's own timer and the second SYN come at about the same time.
    assert_eq!(flags(1).first(), Some(&SYN_ACK.and(Flags::ECE)));
    assert_eq!(flags(1).last(), Some(&SYN_ACK));
    for id in [(0, client), (1, server)] {
        let (from, to, id, other) = if id.0 == 0 {
            (0, 1, client, server)
        } else {
            (1, 0, server, client)
        };
        let _ = wire.transfer(from, id, other, 10_000, SECOND);
        assert!(
            wire.sent(from).all(|seen| seen.ecn == ecn::NOT_ECT),
            "host {from} to {to}"
        );
    }
}

/// A peer that never heard of ECN, a scanner, or one that reflects flags: answered as ever, never reset. gVisor issue 7075 was about that.
#[test]
fn a_syn_with_these_flags_is_answered() {
    let mut wire = Wire::new([mode(1), mode(0)]);
    let (client, server) = wire.connect(false, [TcpOptions::default(), TcpOptions::default()]);
    assert_eq!(wire.seen[1].flags, SYN_ACK);
    let _ = wire.transfer(0, client, server, 10_000, SECOND);
    assert!(wire.sent(0).all(|seen| seen.ecn == ecn::NOT_ECT));
    assert!(wire.seen.iter().all(|seen| !seen.flags.has(Flags::RST)));
}

/// RFC 3168 §6.1.1, §6.1.4, §6.1.5: new data may be marked, and nothing else: no SYN, no acknowledgement, nothing sent again.
#[test]
fn only_new_data_may_be_marked() {
    for v6 in [false, true] {
        let (mut wire, client, server) = agreed(v6);
        let mut n = 0;
        wire.rule = Box::new(move |seen| {
            n += u32::from(seen.len > 0);
            if seen.len > 0 && n % 20 == 7 {
                Fate::Lose
            } else {
                Fate::Pass
            }
        });
        let _ = wire.transfer(0, client, server, 300_000, 60 * SECOND);
        let _ = wire.transfer(1, server, client, 300_000, 60 * SECOND);
        let (mut new, mut again) = (0, 0);
        for seen in &wire.seen {
            let may = seen.len > 0 && !seen.resent && !seen.is_syn();
            assert_eq!(seen.ecn, if may { ecn::ECT_0 } else { ecn::NOT_ECT }, "{seen:?}");
            new += u32::from(may);
            again += u32::from(seen.resent);
        }
        assert!(new > 400 && again > 10, "{new} new, {again} again");
        // §6.1.2: every reduction is told with the next new data, also one after a loss.
        let told = wire.sent(0).filter(|seen| seen.flags.has(Flags::CWR));
        assert!(told.clone().count() > 2 && told.clone().all(|seen| !seen.resent && seen.len > 0));
    }
}

/// A transfer on which the data segments with these numbers (of first transmissions, from 0) meet this fate.
fn with_fates(algorithm: CongestionControl, fates: &'static [(u32, Fate)]) -> (Wire, TcpId, TcpId) {
    let asking = Settings {
        tcp_congestion_control: algorithm,
        ..mode(1)
    };
    let mut wire = Wire::new([asking, mode(2)]);
    let (client, server) = wire.connect(false, [TcpOptions::default(), TcpOptions::default()]);
    let mut n = 0;
    wire.rule = Box::new(move |seen: &Seen| {
        if seen.from != 0 || seen.len == 0 || seen.resent {
            return Fate::Pass;
        }
        n += 1;
        let fate = fates.iter().find(|(number, _)| *number == n - 1);
        fate.map_or(Fate::Pass, |(_, fate)| *fate)
    });
    (wire, client, server)
}

/// RFC 3168 §6.1.2 and §6.1.3: a mark is echoed until the sender says that it has slowed down, which it does once.
#[test]
fn a_mark_is_echoed_until_the_window_is_reduced() {
    let (mut wire, client, server) = with_fates(CongestionControl::Cubic, &[(40, Fate::Mark)]);
    let _ = wire.transfer(0, client, server, 400_000, 10 * SECOND);
    let told: Vec<&Seen> = wire.sent(0).filter(|seen| seen.flags.has(Flags::CWR)).collect();
    assert_eq!(told.len(), 1, "once");
    assert!(told[0].len > 0 && !told[0].resent);
    let echoes: Vec<&Seen> = wire.sent(1).filter(|seen| seen.flags.has(Flags::ECE)).collect();
    let marked = wire.sent(0).filter(|seen| seen.len > 0).nth(40).expect("it was sent");
    // From the arrival of the mark until that of CWR, every acknowledgement.
    let between = |seen: &&Seen| seen.at >= marked.due && seen.at < told[0].due;
    assert_eq!(echoes, wire.sent(1).filter(between).collect::<Vec<_>>());
    assert!(echoes.len() > 2, "{} echoes", echoes.len());
    assert_eq!(
        wire.seen.iter().filter(|seen| seen.resent).count(),
        0,
        "nothing was lost"
    );
    let info = wire.info(0, client);
    assert!(info.delivered_ce > 0 && info.options & ECN_SEEN == 0);
    assert_eq!(wire.hosts[1].counters().in_ecn_pkts[usize::from(ecn::CE)], 1);
}

/// RFC 8511 §3: how much a mark takes away, in congestion avoidance and in slow start; and that it is once a window, whatever comes.
#[test]
fn one_reduction_a_window_of_data() {
    use CongestionControl::{Cubic, Reno};
    use Fate::{Lose, Mark};
    // Ten segments, then twenty, then forty: number 40 is in the third flight of slow start, and leaves when the window is some twenty to forty.
    for (case, algorithm, fates, reductions) in [
        ("one mark", Cubic, &[(40, Mark)][..], 1),
        (
            "marks within one window",
            Cubic,
            &[(40, Mark), (41, Mark), (50, Mark)][..],
            1,
        ),
        ("a mark, then a loss", Cubic, &[(40, Mark), (44, Lose)][..], 1),
        ("a loss, then a mark", Cubic, &[(40, Lose), (44, Mark)][..], 1),
        ("marks in two windows", Cubic, &[(40, Mark), (200, Mark)][..], 2),
        ("one mark, Reno", Reno, &[(40, Mark)][..], 1),
        ("marks in two windows, Reno", Reno, &[(40, Mark), (200, Mark)][..], 2),
    ] {
        let (mut wire, client, server) = with_fates(algorithm, fates);
        let _ = wire.transfer(0, client, server, 500_000, 10 * SECOND);
        let told = wire.sent(0).filter(|seen| seen.flags.has(Flags::CWR)).count();
        assert_eq!(told, reductions, "{case}");
        assert!(
            wire.info(0, client).snd_cwnd >= wire.info(0, client).snd_ssthresh,
            "{case}"
        );
        assert_eq!(wire.hosts[0].counters().tcp_timeouts, 0, "{case}");
    }
    for (algorithm, first, second) in [(Cubic, 0.7, 0.85), (Reno, 0.5, 0.8)] {
        let (mut wire, client, server) = with_fates(algorithm, &[(40, Mark), (200, Mark)]);
        let mut seen = Vec::new();
        let mut before = wire.info(0, client);
        let _ = wire.watched_transfer(0, client, server, 500_000, 10 * SECOND, &mut |wire| {
            let info = wire.info(0, client);
            if info.snd_ssthresh != before.snd_ssthresh {
                assert_eq!(info.ca_state, 2, "CWR");
                seen.push(f64::from(info.snd_ssthresh) / f64::from(before.snd_cwnd));
            }
            before = info;
        });
        let close = |got: f64, want: f64| (got - want).abs() < 0.08;
        assert!(
            seen.len() == 2 && close(seen[0], first) && close(seen[1], second),
            "{algorithm:?}: {seen:?}"
        );
    }
}

/// RFC 3168 §6.1.1 through a SYN cookie: what the SYN asked for comes back in the timestamp.
#[test]
fn a_cookie_remembers() {
    let crowded = Settings {
        tcp_syncookies: 2,
        ..mode(2)
    };
    let mut wire = Wire::new([mode(1), crowded]);
    let listener = wire.listen(false, 64, TcpOptions::default());
    let client = wire.dial(false, TcpOptions::default());
    wire.run(SECOND / 4);
    assert_eq!(wire.hosts[1].counters().syncookies_recv, 1);
    let server = wire.hosts[1].tcp_accept(wire.now, listener).expect("it is pending");
    let _ = wire.transfer(0, client, server, 10_000, SECOND);
    assert_eq!(wire.info(1, server).options & ECN, ECN);
    assert_eq!(wire.info(0, client).options & ECN, ECN);
}

/// RFC 3168 §6.1.5: a mark on what lies outside the window is no one's business.
#[test]
fn marks_outside_the_window_are_ignored() {
    let (mut wire, client, server) = agreed(false);
    let _ = wire.transfer(0, client, server, 5_000, SECOND);
    wire.run(SECOND);
    let old = *wire.sent(0).find(|seen| seen.len > 0).expect("data was sent");
    let before = wire.sent(1).count();
    wire.replay_marked(&old);
    wire.run(SECOND);
    let answer = *wire.sent(1).nth(before).expect("old data is acknowledged again");
    assert!(!answer.flags.has(Flags::ECE), "{answer:?}");
}
