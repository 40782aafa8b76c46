//! Counters by their names in `nstat`: each event is counted where it happens, as often as it happens.

use crate::wire::{Fate, Seen, Wire};
use bytes::Bytes;
use sockeye_core::buf::Rope;
use sockeye_core::counters::Counters;
use sockeye_core::settings::Settings;
use sockeye_core::socket::{Close, TcpId, TcpOptions};
use sockeye_core::time::{Duration, MS, SECOND};
use std::collections::BTreeMap;

const SEGMENT: usize = 1_448;

fn world(change: impl Fn(&mut Settings)) -> Wire {
    let mut settings = Settings::default();
    change(&mut settings);
    Wire::new([settings.clone(), settings])
}

fn write(wire: &mut Wire, id: TcpId, len: usize) {
    let mut data = Bytes::from(vec![7; len]);
    let _ = wire.hosts[0].tcp_write(wire.now, id, &mut data);
    assert!(data.is_empty());
}

fn read_all(wire: &mut Wire, id: TcpId) {
    let mut rope = Rope::new();
    while wire.hosts[1].tcp_read(wire.now, id, usize::MAX, &mut rope) > 0 {}
}

/// The data segments with these numbers, from 1 on, are lost on their way from host 0.
fn lose(places: &'static [u32]) -> Box<dyn FnMut(&Seen) -> Fate> {
    let mut n = 0;
    Box::new(move |seen| {
        n += u32::from(seen.len > 0 && seen.from == 0);
        if seen.len > 0 && seen.from == 0 && places.contains(&n) {
            Fate::Lose
        } else {
            Fate::Pass
        }
    })
}

#[track_caller]
fn counts(counters: &Counters, want: &[(&str, u64)]) {
    let lines: BTreeMap<_, _> = counters.iter().collect();
    let got: Vec<_> = want.iter().map(|(name, _)| (*name, lines[name])).collect();
    assert_eq!(got, want);
}

#[test]
fn names_are_there_once() {
    let counters = Counters::default();
    let names: Vec<_> = counters.iter().map(|(name, _)| name).collect();
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len());
    let known = ["Ip", "Icmp", "Udp", "Tcp", "Sockeye"];
    assert!(
        names
            .iter()
            .all(|name| known.iter().any(|front| name.starts_with(front)))
    );
    assert!(counters.iter().all(|(_, count)| count == 0));
}

/// The third of ten segments is lost, then its repeat, too.
#[test]
fn recovery_by_sack() {
    // Segments keep their size, so that each can be counted.
    let mut wire = world(|settings| settings.tcp_mtu_probing = 0);
    let (client, _) = wire.connect(false, Default::default());
    wire.rule = lose(&[3, 11]);
    write(&mut wire, client, 10 * SEGMENT);
    wire.run(5 * SECOND);
    let sent = wire.hosts[0].counters();
    let lost_again = [("TcpExtTCPLostRetransmit", 1), ("TcpRetransSegs", 2)];
    counts(sent, &lost_again);
    counts(
        sent,
        &[
            ("TcpActiveOpens", 1),
            ("TcpExtTCPSackRecovery", 1),
            ("TcpExtTCPRenoRecovery", 0),
            ("TcpExtTCPOrigDataSent", 10),
            ("TcpExtTCPDelivered", 10),
            ("TcpExtTCPFullUndo", 0),
        ],
    );
    let repeats: BTreeMap<_, _> = sent.iter().collect();
    assert_eq!(
        repeats["TcpExtTCPFastRetrans"] + repeats["TcpExtTCPSlowStartRetrans"],
        2
    );
    counts(
        wire.hosts[1].counters(),
        &[("TcpPassiveOpens", 1), ("TcpExtTCPOFOQueue", 7), ("TcpRetransSegs", 0)],
    );
}

#[test]
fn recovery_without_sack() {
    let mut wire = world(|settings| settings.tcp_sack = false);
    let (client, _) = wire.connect(false, Default::default());
    wire.rule = lose(&[3]);
    write(&mut wire, client, 10 * SEGMENT);
    wire.run(5 * SECOND);
    counts(
        wire.hosts[0].counters(),
        &[
            ("TcpExtTCPSackRecovery", 0),
            ("TcpExtTCPRenoRecovery", 1),
            ("TcpExtTCPFastRetrans", 1),
            ("TcpExtTCPSlowStartRetrans", 0),
            ("TcpExtTCPTimeouts", 0),
        ],
    );
}

#[test]
fn timeouts_and_silence() {
    let mut wire = world(|settings| {
        settings.tcp_early_retrans = 0;
        settings.tcp_retries2 = 3;
    });
    let (client, _) = wire.connect(false, Default::default());
    wire.rule = Box::new(|seen| if seen.from == 0 { Fate::Lose } else { Fate::Pass });
    write(&mut wire, client, SEGMENT);
    wire.run(60 * SECOND);
    let info: BTreeMap<_, _> = wire.hosts[0].counters().iter().collect();
    assert_eq!(info["TcpExtTCPAbortOnTimeout"], 1);
    assert_eq!(info["TcpExtTCPSlowStartRetrans"], info["TcpRetransSegs"]);
    assert_eq!(info["TcpExtTCPTimeouts"], info["TcpRetransSegs"]);
    assert_eq!(info["TcpExtTCPLostRetransmit"], info["TcpRetransSegs"] - 1);
    assert!(info["TcpRetransSegs"] >= 3);
}

#[test]
fn syns_repeated() {
    let mut wire = world(|_| {});
    let mut n = 0;
    wire.rule = Box::new(move |seen| {
        n += u32::from(seen.is_syn() && seen.from == 0);
        if n <= 2 && seen.from == 0 {
            Fate::Lose
        } else {
            Fate::Pass
        }
    });
    let _ = wire.connect(false, Default::default());
    let repeated = [
        ("TcpExtTCPSynRetrans", 2),
        ("TcpRetransSegs", 2),
        ("TcpExtTCPTimeouts", 2),
    ];
    counts(wire.hosts[0].counters(), &repeated);
}

/// A window that closes, is probed, and opens again.
#[test]
fn a_closed_window() {
    let mut wire = world(|_| {});
    let small = TcpOptions {
        recv_buffer: Some(8_192),
        ..TcpOptions::default()
    };
    let (client, server) = wire.connect(false, [TcpOptions::default(), small]);
    write(&mut wire, client, 20_000);
    wire.run(2 * SECOND);
    let probes: BTreeMap<_, _> = wire.hosts[0].counters().iter().collect();
    assert!(probes["TcpExtTCPWinProbe"] >= 1, "{probes:?}");
    counts(
        wire.hosts[1].counters(),
        &[("TcpExtTCPToZeroWindowAdv", 1), ("TcpExtTCPFromZeroWindowAdv", 0)],
    );
    read_all(&mut wire, server);
    wire.run(20 * MS);
    counts(wire.hosts[1].counters(), &[("TcpExtTCPFromZeroWindowAdv", 1)]);
}

#[test]
fn keepalive_and_delayed_acknowledgements() {
    let mut wire = world(|_| {});
    let keep = TcpOptions {
        keepalive: true,
        keepalive_time: Some(10 * SECOND),
        keepalive_intvl: Some(SECOND),
        keepalive_probes: Some(3),
        ..TcpOptions::default()
    };
    let _ = wire.connect(false, [keep, TcpOptions::default()]);
    wire.run(Duration::from_millis(10_500));
    counts(
        wire.hosts[0].counters(),
        &[("TcpExtTCPKeepAlive", 1), ("TcpExtTCPAbortOnTimeout", 0)],
    );
    wire.rule = Box::new(|_| Fate::Lose);
    wire.run(30 * SECOND);
    counts(
        wire.hosts[0].counters(),
        &[("TcpExtTCPKeepAlive", 4), ("TcpExtTCPAbortOnTimeout", 1)],
    );
}

#[test]
fn resets_by_close() {
    let mut wire = world(|_| {});
    let (client, server) = wire.connect(false, Default::default());
    write(&mut wire, client, 100);
    wire.run(SECOND);
    let now = wire.now;
    wire.hosts[1].tcp_close(now, server, Close::Graceful);
    wire.run(SECOND);
    let unread = [
        ("TcpExtTCPAbortOnClose", 1),
        ("TcpExtTCPAbortOnData", 0),
        ("TcpOutRsts", 1),
    ];
    counts(wire.hosts[1].counters(), &unread);
    counts(wire.hosts[0].counters(), &[("TcpEstabResets", 1)]);
}

#[test]
fn a_full_accept_queue_and_time_wait() {
    let mut wire = world(|_| {});
    let listener = wire.listen(false, 1, TcpOptions::default());
    let clients: Vec<_> = (0..4).map(|_| wire.dial(false, TcpOptions::default())).collect();
    wire.run(500 * MS);
    let lines: BTreeMap<_, _> = wire.hosts[1].counters().iter().collect();
    assert!(lines["TcpExtListenOverflows"] >= 1, "{lines:?}");
    assert_eq!(lines["TcpExtListenDrops"], lines["TcpExtListenOverflows"]);
    let now = wire.now;
    let server = wire.hosts[1].tcp_accept(now, listener).expect("one is there");
    wire.hosts[0].tcp_close(now, clients[0], Close::Graceful);
    wire.hosts[1].tcp_close(now, server, Close::Graceful);
    wire.run(100 * SECOND);
    let lines: BTreeMap<_, _> = wire.hosts[0].counters().iter().collect();
    let other: BTreeMap<_, _> = wire.hosts[1].counters().iter().collect();
    assert!(lines["TcpExtTW"] + other["TcpExtTW"] >= 1);
}
