//! One receiver, and segments made by hand: what it acknowledges, when, and what it tells of what it holds.

use super::*;
use crate::packet::Body;
use crate::wire::tcp::{Flags, Header, Options, SackBlocks, Timestamps};

/// A receiver that has just been connected over a round trip of 20 ms.
struct Lone {
    pair: Pair,
    /// The remote's next sequence number when it began.
    start: u32,
}

/// A pure acknowledgement: up to where, and its blocks, in bytes from the start.
#[derive(Debug, PartialEq)]
struct Ack(u32, Vec<(u32, u32)>);

fn receiver(settings: &Settings) -> Lone {
    let mut pair = Pair::new(6, settings);
    pair.run(50 * MS);
    assert_eq!(pair.states(), [State::Established, State::Established]);
    pair.wire.clear();
    let tcb = &mut pair.sides[0].tcb;
    // Past the start, where everything is acknowledged at once.
    tcb.quick = 0;
    tcb.rtt = rtt::Rtt::default();
    tcb.rtt.sample(20 * MS, 1);
    tcb.rcv_mss = 1_448;
    let start = tcb.rcv_nxt.0;
    Lone { pair, start }
}

impl Lone {
    fn tcb(&self) -> &Tcb {
        &self.pair.sides[0].tcb
    }

    /// What it says now.
    fn says(&mut self) -> Vec<Ack> {
        let mut acks = Vec::new();
        let now = self.pair.now;
        loop {
            let (tcb, mut cx) = self.pair.sides[0].cx(now);
            let Some(packet) = next_packet(tcb, &mut cx) else { break };
            let (header, options, _) = wire::parse(packet.head.as_slice()).expect("our own");
            let from = |seq: u32| seq.wrapping_sub(self.start);
            let blocks = options.sack.as_slice().iter().map(|(l, r)| (from(*l), from(*r)));
            acks.push(Ack(from(header.ack), blocks.collect()));
        }
        check(self.tcb()).expect("all rules hold");
        acks
    }

    /// `len` bytes from `at` arrive with a timestamp `late` milliseconds after the last one.
    fn arrives_stamped(&mut self, at: u32, len: u32, late: u32) -> Result<(), crate::counters::DropReason> {
        let (now, tcb) = (self.pair.now, &self.pair.sides[0].tcb);
        let header = Header {
            seq: self.start.wrapping_add(at),
            ack: tcb.snd_nxt.0,
            flags: Flags::ACK,
            window: 60_000,
            ..Header::default()
        };
        let options = Options {
            timestamps: tcb.bits.has(Bits::TIMESTAMPS).then(|| Timestamps {
                value: tcb.ts_recent.wrapping_add(late),
                echo: tcb.ts_value(now),
            }),
            sack: SackBlocks::default(),
            ..Options::default()
        };
        let body: Body = std::iter::once(Bytes::from(vec![0; len as usize])).collect();
        let segment = Segment::new(&header, options, len, len, body);
        let (tcb, mut cx) = self.pair.sides[0].cx(now);
        segment_arrives(tcb, &mut cx, segment)
    }

    fn arrives(&mut self, at: u32, len: u32) -> Vec<Ack> {
        let _ = self.arrives_stamped(at, len, 0);
        self.says()
    }

    /// Lets time pass until it says something: how long that was.
    fn waits(&mut self) -> Option<(Duration, Vec<Ack>)> {
        let start = self.pair.now;
        while let Some(due) = self.tcb().deadline() {
            if due.since(start) > 2_000 * MS {
                break;
            }
            self.pair.now = self.pair.now.max(due);
            let now = self.pair.now;
            let (tcb, mut cx) = self.pair.sides[0].cx(now);
            on_deadline(tcb, &mut cx);
            let acks = self.says();
            if !acks.is_empty() {
                return Some((now.since(start), acks));
            }
        }
        None
    }
}

/// RFC 9293 §3.8.6.3, RFC 5681 §4.2: every second full segment at once, a lone one within half a second.
#[test]
fn every_second_segment_is_acknowledged_at_once() {
    let mut it = receiver(&Settings::default());
    assert_eq!(it.arrives(0, 1_448), []);
    assert_eq!(it.arrives(1_448, 1_448), [Ack(2_896, vec![])]);
    assert_eq!(it.arrives(2_896, 1_448), []);
    let (after, acks) = it.waits().expect("it must not wait for ever");
    assert_eq!((after, acks), (40 * MS, vec![Ack(4_344, vec![])]));
}

/// The wait follows the rhythm of what arrives, between 40 ms and 200 ms and never beyond a round trip.
#[test]
fn the_wait_follows_the_rhythm() {
    let mut it = receiver(&Settings::default());
    for _ in 0..20 {
        it.pair.sides[0].tcb.rtt.sample(300 * MS, 1);
    }
    let mut waits = Vec::new();
    for n in 0..6 {
        assert_eq!(it.arrives(n * 100, 100), []);
        let (after, _) = it.waits().expect("it must not wait for ever");
        waits.push(after.as_millis());
        it.pair.now += 150 * MS;
    }
    println!("lone segments are acknowledged after {waits:?} ms");
    assert_eq!(waits[0], 40);
    assert!(
        waits.windows(2).all(|pair| pair[0] <= pair[1]) && waits[5] == 200,
        "{waits:?}"
    );
    // Now they come close together: no reason to wait for long.
    for n in 6..30 {
        let _ = it.arrives(n * 100, 100);
        it.pair.now += 5 * MS;
    }
    let (after, _) = it.waits().expect("it must not wait for ever");
    assert!(after <= 40 * MS, "{after:?}");
}

/// RFC 5681 §4.2: behind a gap at once, so that three duplicates are seen; then gathered, a twentieth of a round trip and 44 segments at most.
#[test]
fn acknowledgements_behind_a_gap_are_gathered_after_the_third() {
    let mut it = receiver(&Settings::default());
    for n in 1..=3 {
        assert_eq!(it.arrives(n * 1_000, 1_000), [Ack(0, vec![(1_000, (n + 1) * 1_000)])]);
    }
    assert_eq!(it.arrives(4_000, 1_000), []);
    let (after, acks) = it.waits().expect("it must not wait for ever");
    assert_eq!((after, acks), (MS, vec![Ack(0, vec![(1_000, 5_000)])]));
    let mut silent = 0;
    while it.arrives((5 + silent) * 1_000, 1_000).is_empty() {
        silent += 1;
    }
    assert_eq!(silent, 43, "the 44th is told of at once");
    // What fills the gap is acknowledged at once, and the next gap starts anew.
    assert_eq!(it.arrives(0, 1_000), [Ack(49_000, vec![])]);
    assert_eq!(it.arrives(50_000, 1_000).len(), 1);
}

/// RFC 5681 §4.2 without compromise where it is asked for, and without SACK, where duplicates are all that counts.
#[test]
fn every_segment_behind_a_gap_is_acknowledged_where_nothing_is_gathered() {
    for settings in [
        Settings {
            tcp_comp_sack_nr: 0,
            ..Settings::default()
        },
        Settings {
            tcp_sack: false,
            ..Settings::default()
        },
    ] {
        let mut it = receiver(&settings);
        for n in 1..20 {
            assert_eq!(it.arrives(n * 1_000, 1_000).len(), 1, "{n}");
        }
    }
}

/// RFC 2018 §4: the block that changed last comes first; RFC 2883 §4: before it what arrived twice, once.
#[test]
fn blocks_tell_what_changed_and_what_came_twice() {
    let mut it = receiver(&Settings::default());
    let _ = it.arrives(1_000, 500);
    let _ = it.arrives(3_000, 500);
    assert_eq!(
        it.arrives(5_000, 500),
        [Ack(0, vec![(5_000, 5_500), (3_000, 3_500), (1_000, 1_500)])]
    );
    assert_eq!(
        it.arrives(3_200, 500),
        [Ack(0, vec![(3_200, 3_500), (3_000, 3_700), (5_000, 5_500)])],
        "the part that came twice"
    );
    assert_eq!(it.arrives(0, 1_000)[0].0, 1_500);
    assert_eq!(
        it.arrives(500, 500),
        [Ack(1_500, vec![(500, 1_000), (3_000, 3_700), (5_000, 5_500)])]
    );
}

/// RFC 7323 §5.3 and §5.5: an old timestamp is refused, but after 24 days of silence the clock may have gone half around.
#[test]
fn after_24_days_of_silence_any_timestamp_will_do() {
    let mut it = receiver(&Settings::default());
    it.arrives_stamped(0, 100, 5).expect("younger");
    let _ = it.waits();
    let old = it.arrives_stamped(100, 100, 0_u32.wrapping_sub(10));
    assert_eq!(old, Err(crate::counters::DropReason::Paws));
    let _ = it.waits();
    it.pair.now += Duration::from_secs(25 * 24 * 3_600);
    let half = 25 * 24 * 3_600 * 1_000;
    it.arrives_stamped(100, 100, half).expect("after so long a silence");
    let _ = it.waits();
    it.arrives_stamped(200, 100, 5).expect("and what follows it");
    assert_eq!(it.tcb().bytes_in(), 300);
}

/// RFC 9293 §3.8.6: whatever arrives and whatever the limit becomes, the edge stays where it was promised.
#[test]
fn the_window_never_shrinks() {
    let mut it = receiver(&Settings::default());
    let mut edge = it.tcb().rcv_edge;
    for n in 0..60 {
        let _ = it.arrives(n * 1_448, 1_448);
        if n == 30 {
            it.pair.sides[0].tcb.rcv_limit /= 4;
        }
        assert!(edge.at_or_before(it.tcb().rcv_edge));
        edge = it.tcb().rcv_edge;
    }
}
