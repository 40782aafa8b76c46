//! Urgent data over a wire that loses some of it: nothing comes twice or is lost, however it is handed over. RFC 9293 §3.8.5, RFC 6093 §3.

use crate::wire::{Fate, Wire};
use bytes::Bytes;
use sockeye_core::buf::Rope;
use sockeye_core::settings::Settings;
use sockeye_core::socket::{OutOfBand, TcpId, TcpOptions, UrgentData};
use sockeye_core::time::{Duration, SECOND};

/// Each write ends in this, and it is nowhere else.
const LAST: u8 = 0xff;
const WRITES: [usize; 6] = [1, 4_000, 1, 1_448, 70_000, 10];

fn write(wire: &mut Wire, id: TcpId, len: usize, urgent: bool) {
    let mut data = vec![7; len];
    data[len - 1] = LAST;
    let mut data = Bytes::from(data);
    let _ = wire.hosts[0].tcp_write(wire.now, id, &mut data);
    assert!(data.is_empty());
    if urgent {
        wire.hosts[0].tcp_mark_urgent(wire.now, id);
    }
}

/// Reads until there is no more: the lengths of the reads, and how many of the bytes were the last of a write.
fn read_all(wire: &mut Wire, id: TcpId) -> (Vec<usize>, usize) {
    let (mut lengths, mut lasts) = (Vec::new(), 0);
    loop {
        let mut rope = Rope::new();
        let n = wire.hosts[1].tcp_read(wire.now, id, usize::MAX, &mut rope);
        if n == 0 {
            return (lengths, lasts);
        }
        lengths.push(n);
        lasts += rope.slices().flatten().filter(|byte| **byte == LAST).count();
    }
}

/// One urgent write after the other, each read before the next, while every `nth` data segment is lost.
fn one_by_one(how: UrgentData, nth: usize) {
    let receiver = TcpOptions {
        urgent: how,
        ..TcpOptions::default()
    };
    let settings = Settings::default();
    let mut wire = Wire::new([settings.clone(), settings]);
    let (client, server) = wire.connect(false, [TcpOptions::default(), receiver]);
    let mut count = 0;
    wire.rule = Box::new(move |seen| {
        count += usize::from(seen.len > 0);
        if seen.len > 0 && nth > 0 && count.is_multiple_of(nth) {
            Fate::Lose
        } else {
            Fate::Pass
        }
    });
    for len in WRITES {
        write(&mut wire, client, len, true);
        wire.run(60 * SECOND);
        let ready = wire.hosts[1].tcp_readiness(server);
        assert_eq!(ready.urgent, Some(len - 1), "{how:?}, lost {nth}");
        assert_eq!((ready.readable, ready.out_of_band), (len, true), "{how:?}, lost {nth}");
        let byte = wire.hosts[1].tcp_out_of_band(server, false);
        let again = wire.hosts[1].tcp_out_of_band(server, false);
        let (lengths, lasts) = read_all(&mut wire, server);
        let before: Vec<usize> = [len - 1].into_iter().filter(|n| *n > 0).collect();
        match how {
            UrgentData::Unmarked => assert_eq!((byte, lengths, lasts), (OutOfBand::Nothing, vec![len], 1)),
            UrgentData::InLine => {
                assert_eq!(
                    (byte, lengths, lasts),
                    (OutOfBand::Nothing, [before, vec![1]].concat(), 1)
                );
            }
            UrgentData::Apart => assert_eq!((byte, lengths, lasts), (OutOfBand::Byte(LAST), before, 0)),
        }
        assert_eq!(again, OutOfBand::Nothing);
        let ready = wire.hosts[1].tcp_readiness(server);
        assert_eq!((ready.urgent, ready.readable), (None, 0), "{how:?}, lost {nth}");
    }
}

/// MUST-30, MUST-31, MUST-33.
#[test]
fn urgent_data_arrives_whatever_is_lost() {
    for how in [UrgentData::Unmarked, UrgentData::InLine, UrgentData::Apart] {
        for nth in [0, 2, 3, 7] {
            one_by_one(how, nth);
        }
    }
}

/// MUST-32: each pointer that advances is an event; whoever does not ask for marks is not stopped by them.
#[test]
fn every_advance_is_told() {
    let settings = Settings::default();
    let mut wire = Wire::new([settings.clone(), settings]);
    let (client, server) = wire.connect(false, Default::default());
    let heard = |wire: &mut Wire| {
        wire.run(Duration::from_secs(1));
        std::iter::from_fn(|| wire.hosts[1].poll_event()).count()
    };
    heard(&mut wire);
    for n in 1..=3 {
        write(&mut wire, client, 100, true);
        assert!(heard(&mut wire) > 0, "write {n}");
        assert_eq!(wire.hosts[1].tcp_readiness(server).urgent, Some(n * 100 - 1));
    }
    write(&mut wire, client, 50, false);
    heard(&mut wire);
    assert_eq!(wire.hosts[1].tcp_readiness(server).urgent, Some(299));
    assert_eq!(read_all(&mut wire, server), (vec![350], 4));
}
