//! One sender, and acknowledgements made by hand: what it repeats, when, and what becomes of its window.

use super::super::recovery::Phase;
use super::super::rtt::Rtt;
use super::super::tcb::Flow;
use super::*;
use crate::wire::tcp::{Flags, Header, Options, SackBlocks, Timestamps};

pub(super) const MSS: u32 = 1_448;
/// The field in every acknowledgement.
const WINDOW: u32 = 60_000;

/// A sender that has just been connected over a round trip of 20 ms, everything counted in bytes after its SYN.
pub(super) struct Lone {
    pub(super) pair: Pair,
    pub(super) start: u32,
    /// When the last segment left, which is what acknowledgements echo.
    pub(super) last: Instant,
    mss: u32,
}

pub(super) fn sender(settings: &Settings) -> Lone {
    // What recovery lets go leaves at once: pacing has tests of its own.
    let settings = Settings {
        tcp_pacing_ss_ratio: 0,
        tcp_pacing_ca_ratio: 0,
        ..settings.clone()
    };
    let mut pair = Pair::new(5, &settings);
    pair.run(50 * MS);
    assert_eq!(pair.states(), [State::Established, State::Established]);
    pair.wire.clear();
    let tcb = &mut pair.sides[0].tcb;
    tcb.rtt = Rtt::default();
    tcb.rtt.sample(20 * MS, 1);
    tcb.snd_limit = 1 << 20;
    tcb.snd_wnd = WINDOW << tcb.snd_wscale;
    tcb.max_wnd = tcb.snd_wnd;
    let (start, mss) = (tcb.snd_nxt.0, u32::from(tcb.mss));
    let last = pair.now;
    Lone { pair, start, last, mss }
}

pub(super) fn without_timestamps() -> Settings {
    Settings {
        tcp_timestamps: false,
        ..Settings::default()
    }
}

fn plain() -> Settings {
    Settings {
        tcp_sack: false,
        ..without_timestamps()
    }
}

impl Lone {
    pub(super) fn tcb(&self) -> &Tcb {
        &self.pair.sides[0].tcb
    }

    pub(super) fn flow(&self) -> &Flow {
        self.tcb().flow.as_deref().expect("data is on its way")
    }

    /// The congestion window and the threshold, in segments.
    pub(super) fn window(&self) -> (u32, u32) {
        (self.tcb().cwnd / self.mss, self.tcb().ssthresh / self.mss)
    }

    pub(super) fn write(&mut self, bytes: u32) {
        let mut data = Bytes::from(vec![0; bytes as usize]);
        self.pair.sides[0].tcb.write(&mut data).expect("there is room");
        assert!(data.is_empty(), "all of it is taken");
    }

    /// What leaves now, by the numbers of its segments when all are full ones.
    pub(super) fn sends(&mut self) -> Vec<u32> {
        let mut segments = Vec::new();
        let now = self.pair.now;
        loop {
            let (tcb, mut cx) = self.pair.sides[0].cx(now);
            let Some(packet) = next_packet(tcb, &mut cx) else { break };
            let (header, _, _) = wire::parse(packet.head.as_slice()).expect("our own");
            let first = header.seq.wrapping_sub(self.start) / self.mss;
            segments.extend((0..packet.meta.len.div_ceil(self.mss)).map(|n| first + n));
        }
        if !segments.is_empty() {
            self.last = now;
        }
        check(self.tcb()).expect("all rules hold");
        segments
    }

    /// Lets time pass; what leaves by timers, and when, in milliseconds from now.
    pub(super) fn wait(&mut self, ms: u64) -> Vec<(u64, Vec<u32>)> {
        let (start, end) = (self.pair.now, self.pair.now + MS * ms as u32);
        let mut sent = Vec::new();
        while let Some(due) = self.tcb().deadline().filter(|due| *due <= end) {
            self.pair.now = self.pair.now.max(due);
            let now = self.pair.now;
            let (tcb, mut cx) = self.pair.sides[0].cx(now);
            on_deadline(tcb, &mut cx);
            let segments = self.sends();
            if !segments.is_empty() {
                sent.push((now.since(start).as_millis() as u64, segments));
            }
        }
        self.pair.now = end;
        sent
    }

    /// An acknowledgement of all before segment `ack`, with SACK blocks in segments, that echoes what left at `echo`. What it lets leave.
    pub(super) fn told(&mut self, ack: u32, sacks: &[(u32, u32)], echo: Instant) -> Vec<u32> {
        let at = |segment: u32| self.start.wrapping_add(segment * self.mss);
        let mut sack = SackBlocks::default();
        for (left, right) in sacks {
            sack.push(at(*left), at(*right));
        }
        self.told_raw(at(ack), sack, echo);
        self.sends()
    }

    pub(super) fn told_raw(&mut self, ack: u32, sack: SackBlocks, echo: Instant) {
        let (tcb, now) = (self.tcb(), self.pair.now);
        let stamped = tcb.bits.has(Bits::TIMESTAMPS);
        let header = Header {
            seq: tcb.rcv_nxt.0,
            ack,
            flags: Flags::ACK,
            window: WINDOW as u16,
            ..Header::default()
        };
        let options = Options {
            timestamps: stamped.then(|| Timestamps {
                value: tcb.ts_recent + 1,
                echo: tcb.ts_value(echo),
            }),
            sack,
            ..Options::default()
        };
        let segment = Segment::new(&header, options, 0, 0, smallvec::SmallVec::new());
        let (tcb, mut cx) = self.pair.sides[0].cx(now);
        segment_arrives(tcb, &mut cx, segment).expect("acceptable");
    }

    /// The same, echoing the segment that left last.
    pub(super) fn ack(&mut self, ack: u32, sacks: &[(u32, u32)]) -> Vec<u32> {
        self.told(ack, sacks, self.last)
    }

    /// Moves `n` segments and takes their acknowledgement a round trip later.
    pub(super) fn warm_up(&mut self, n: u32) {
        self.write(n * self.mss);
        let mut acked = self.tcb().snd_una.0.wrapping_sub(self.start) / self.mss;
        let mut out = self.sends();
        while let Some(last) = out.last().copied() {
            let _ = self.wait(20);
            for ack in acked + 1..=last {
                let _ = self.ack(ack, &[]);
            }
            acked = last + 1;
            out = self.ack(acked, &[]);
        }
        assert!(!self.tcb().has_outstanding());
        // What was sent is behind us: count from here.
        self.start = self.tcb().snd_una.0;
    }

    /// A window of `n` segments, and `n` of them sent now.
    pub(super) fn flight(&mut self, n: u32, and_waiting: u32) {
        self.pair.sides[0].tcb.cwnd = n * self.mss;
        self.write((n + and_waiting) * self.mss);
        assert_eq!(self.sends(), (0..n).collect::<Vec<_>>());
    }
}

/// RFC 8985 §6.2: one segment SACKed says little; a quarter of the round trip later what was sent before it is lost.
#[test]
fn what_was_sent_before_a_delivered_segment_is_lost_after_the_reordering_window() {
    let mut it = sender(&Settings::default());
    it.flight(10, 0);
    let _ = it.wait(20);
    assert_eq!(it.ack(0, &[(2, 3)]), []);
    assert_eq!(it.flow().recovery.phase, Phase::Open);
    assert_eq!(it.wait(4), []);
    let lost = it.wait(2);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert_eq!((lost[0].0, lost[0].1[0]), (1, 0), "20 ms / 4 after the SACK");
    assert_eq!(it.flow().recovery.phase, Phase::Recovery);
}

/// RFC 8985 §6.2 step 4: while no reordering was seen, three SACKed segments mean loss at once; segments, not bytes.
#[test]
fn three_sacked_segments_mean_loss_at_once() {
    let mut it = sender(&Settings::default());
    it.pair.sides[0].tcb.options = Some(Box::new(TcpOptions {
        nodelay: true,
        ..TcpOptions::default()
    }));
    for _ in 0..5 {
        it.write(100);
        let _ = it.sends();
        let _ = it.wait(1);
    }
    let start = it.start;
    let _ = it.wait(16);
    let sack = |to: u32| {
        let mut blocks = SackBlocks::default();
        blocks.push(start.wrapping_add(100), start.wrapping_add(to));
        blocks
    };
    let last = it.last;
    it.told_raw(start, sack(300), last);
    assert_eq!(it.sends(), []);
    it.told_raw(start, sack(400), last);
    assert_eq!(it.sends(), [0]);
}

/// RFC 8985 §6.2 steps 3 and 4: once the path was seen to reorder, a count means nothing any more.
#[test]
fn where_reordering_was_seen_only_time_tells() {
    let mut it = sender(&Settings::default());
    it.flight(10, 10);
    let _ = it.wait(20);
    let _ = it.ack(0, &[(1, 3)]);
    assert!(!it.flow().recovery.rack.reordering_seen);
    let _ = it.ack(3, &[]);
    assert!(it.flow().recovery.rack.reordering_seen);
    let out = it.ack(3, &[(4, 9)]);
    assert!(!out.contains(&3), "{out:?}");
    let later = it.wait(6);
    assert_eq!(later[0].1[0], 3, "{later:?}");
    assert_eq!(it.tcb().segs_resent(), 1);
}

/// RFC 8985 §6.2 step 3: blocks of one acknowledgement say nothing about the order among themselves.
#[test]
fn two_new_blocks_in_one_acknowledgement_are_no_reordering() {
    let mut it = sender(&Settings::default());
    it.flight(10, 0);
    let _ = it.wait(20);
    let _ = it.ack(0, &[(7, 8), (2, 3)]);
    assert!(!it.flow().recovery.rack.reordering_seen);
}

/// RFC 8985 §6.2 step 2 and §4: a repeat that is lost is found out by what was sent after it, without a timeout.
#[test]
fn a_lost_repeat_is_repeated_without_a_timeout() {
    let mut it = sender(&Settings::default());
    it.flight(10, 40);
    let _ = it.wait(20);
    let out = it.ack(0, &[(1, 5)]);
    assert_eq!(out[0], 0, "{out:?}");
    let _ = it.wait(2);
    let new = it.ack(0, &[(1, 10)]);
    assert!(new.iter().all(|segment| *segment >= 10) && !new.is_empty(), "{new:?}");
    let _ = it.wait(19);
    let again = it.ack(0, &[(1, 11)]);
    assert_eq!(again[0], 0, "{again:?}");
    assert_eq!(it.pair.sides[0].counters.tcp_timeouts, 0);
}

/// RFC 8985 §6.2 step 4: every round trip with a DSACK for a repeat of ours widens the window by a quarter; it lasts 16 recoveries.
#[test]
fn the_reordering_window_follows_dsacks_and_forgets() {
    let mut it = sender(&without_timestamps());
    let step = |it: &mut Lone, dsack: bool| {
        it.flight(10, 0);
        let _ = it.wait(20);
        let _ = it.ack(0, &[(1, 2)]);
        let mut waited = 0;
        while it.tcb().segs_resent() == 0 {
            waited += 1;
            let _ = it.wait(1);
        }
        it.pair.sides[0].tcb.stats.as_mut().expect("it sent").segs_resent = 0;
        let out = it.sends();
        assert_eq!(out, []);
        let _ = it.wait(5);
        let _ = it.ack(10, &[]);
        if dsack {
            let _ = it.wait(10);
            let _ = it.ack(10, &[(0, 1)]);
        }
        let _ = it.wait(1_000);
        it.start = it.tcb().snd_una.0;
        waited
    };
    let first = step(&mut it, true);
    let second = step(&mut it, true);
    let third = step(&mut it, false);
    println!("reordering window: {first}, {second}, {third} ms");
    assert!(first < second && second < third, "{first} {second} {third}");
    assert!(third <= 16, "bounded by the round trip: {third}");
    let waits: Vec<u64> = (0..20).map(|_| step(&mut it, false)).collect();
    assert!(waits[..14].iter().all(|ms| *ms == third), "{waits:?}");
    assert!(waits[17..].iter().all(|ms| *ms == first), "{waits:?}");
}

/// RFC 8985 §7.2 and §7.3: after two round trips one more segment leaves, the last one again when there is no new one; then the timeout's turn.
#[test]
fn the_tail_is_probed_once() {
    let mut it = sender(&Settings::default());
    it.flight(5, 0);
    let sent = it.wait(500);
    assert_eq!(sent[0], (42, vec![4]), "{sent:?}");
    assert_eq!(sent[1].1, [0], "then a timeout: {sent:?}");
    assert!((240..=280).contains(&sent[1].0), "counted from the probe: {sent:?}");
    assert_eq!(it.pair.sides[0].counters.tcp_loss_probes, 1);
    assert_eq!(it.pair.sides[0].counters.tcp_timeouts, 1);
}

/// RFC 8985 §7.3: new data rather than old, if the remote's window has room, even beyond the congestion window.
#[test]
fn a_probe_is_new_data_where_there_is_some() {
    let mut it = sender(&Settings::default());
    it.flight(5, 3);
    let sent = it.wait(100);
    assert_eq!(sent, [(42, vec![5])]);
}

/// RFC 8985 §7.2: with a single segment out the remote may delay its answer; and never later than the timeout.
#[test]
fn a_probe_of_one_segment_waits_for_a_delayed_answer() {
    let mut it = sender(&Settings::default());
    it.write(100);
    assert_eq!(it.sends(), [0]);
    let rto = it.tcb().rtt.rto(&Settings::default()).as_millis() as u64;
    let sent = it.wait(2 * rto);
    assert_eq!(sent[0], (rto.min(242), vec![0]), "timeout {rto} ms");
    assert_eq!(it.pair.sides[0].counters.tcp_loss_probes, 1);
}

/// RFC 8985 §7.2: SACKed segments have the reordering timer, and after a timeout there are no probes.
#[test]
fn no_probe_behind_sacks_or_a_timeout() {
    let mut it = sender(&Settings::default());
    it.flight(5, 0);
    let _ = it.wait(20);
    let _ = it.ack(0, &[(1, 2)]);
    let _ = it.wait(100);
    assert_eq!(it.pair.sides[0].counters.tcp_loss_probes, 0);
    let _ = it.wait(2_000);
    assert_eq!(it.pair.sides[0].counters.tcp_loss_probes, 0);
}

/// RFC 8985 §7.4.2: a probe that repaired a loss costs one reduction, told by what is acknowledged beyond it; one that came twice costs nothing.
#[test]
fn a_probe_that_repaired_a_loss_reduces_the_window() {
    for (dsack, want) in [(false, (7, 7)), (true, (10, 10))] {
        let mut it = sender(&Settings::default());
        it.flight(10, 0);
        let _ = it.wait(20);
        let _ = it.ack(9, &[]);
        let probe = it.wait(230);
        assert_eq!(probe.len(), 1, "{probe:?}");
        it.pair.sides[0].tcb.cwnd = 10 * MSS;
        it.pair.sides[0].tcb.ssthresh = 10 * MSS;
        let _ = it.ack(10, if dsack { &[(9, 10)] } else { &[] });
        assert_eq!(it.window(), (10, 10), "its own acknowledgement tells nothing yet");
        it.write(MSS);
        assert_eq!(it.sends(), [10]);
        let _ = it.wait(20);
        let _ = it.ack(11, &[]);
        assert_eq!(it.window(), want, "DSACK {dsack}");
    }
}

/// RFC 8985 §6.3: a timeout takes for lost what had its time, and not what left just before.
#[test]
fn a_timeout_spares_what_left_just_before() {
    let mut it = sender(&Settings {
        tcp_early_retrans: 0,
        ..Settings::default()
    });
    it.warm_up(10);
    it.flight(5, 0);
    let rto = it.tcb().rtt.rto(&Settings::default()).as_millis() as u64;
    let _ = it.wait(rto - 5);
    it.pair.sides[0].tcb.cwnd = 20 * MSS;
    it.write(5 * MSS);
    assert_eq!(it.sends(), [5, 6, 7, 8, 9]);
    let sent = it.wait(10);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].1, [0]);
    assert_eq!((it.flow().sent.lost(), it.flow().sent.in_flight()), (4 * MSS, 6 * MSS));
}

/// RFC 9937 §6: as 20 become 14, 14 leave for the 19 that arrive, no more than the first at once; and the end finds the window at the threshold.
#[test]
fn the_window_comes_down_in_proportion() {
    let mut it = sender(&Settings::default());
    it.flight(20, 60);
    let _ = it.wait(20);
    let mut left = Vec::new();
    for sacked in 2..=20 {
        let out = it.ack(0, &[(1, sacked)]);
        left.push(out.len());
    }
    assert_eq!(it.window().1, 14);
    let total: usize = left.iter().sum();
    println!("sent for each of 19 SACKs: {left:?}");
    assert!((13..=15).contains(&total), "{left:?}");
    assert!(left.iter().all(|burst| *burst <= 2), "{left:?}");
    assert_eq!(it.tcb().segs_resent(), 1);
    let _ = it.wait(20);
    // Two new ones left for the first two SACKs, before the episode.
    let _ = it.ack(22, &[]);
    assert_eq!(it.flow().recovery.phase, Phase::Open);
    assert_eq!(it.window(), (14, 14));
}

/// RFC 3042: each of the first two duplicates lets a new segment go; RFC 5681 §3.2: the third repeats the first.
#[test]
fn limited_transmit_and_then_fast_retransmit_without_sack() {
    let mut it = sender(&plain());
    it.flight(10, 20);
    let _ = it.wait(20);
    assert_eq!(it.ack(0, &[]), [10]);
    assert_eq!(it.ack(0, &[]), [11]);
    assert_eq!(it.ack(0, &[])[0], 0);
    assert_eq!(it.flow().recovery.phase, Phase::Recovery);
}

/// RFC 6582 §3.2 step 3: a partial acknowledgement shows the next gap.
#[test]
fn partial_acknowledgements_show_gap_after_gap() {
    let mut it = sender(&plain());
    it.flight(10, 0);
    let _ = it.wait(20);
    for _ in 0..3 {
        let _ = it.ack(0, &[]);
    }
    assert_eq!(it.tcb().segs_resent(), 1);
    let _ = it.wait(20);
    assert_eq!(it.ack(4, &[]), [4]);
    let _ = it.wait(20);
    assert_eq!(it.ack(7, &[]), [7]);
    let _ = it.wait(20);
    let _ = it.ack(10, &[]);
    assert_eq!(it.flow().recovery.phase, Phase::Open);
    assert_eq!(it.pair.sides[0].counters.tcp_reno_recovery, 1);
    assert_eq!(it.window().0, it.window().1);
}

/// RFC 6582 §4: duplicates that answer our own repeats after a timeout are no loss.
#[test]
fn duplicates_behind_a_timeout_are_no_loss() {
    let mut it = sender(&Settings { tcp_frto: 0, ..plain() });
    it.flight(10, 40);
    let sent = it.wait(260);
    assert_eq!(sent.last().map(|(_, segments)| segments[0]), Some(0), "{sent:?}");
    let mut resent = it.ack(1, &[]);
    let _ = it.wait(20);
    resent.extend(it.ack(2, &[]));
    // Everything had arrived: the rest of the old window is acknowledged with one step, and then each repeat with a duplicate.
    let _ = it.wait(1);
    let _ = it.ack(10, &[]);
    let before = it.pair.sides[0].counters.tcp_reno_recovery;
    for _ in 0..4 {
        let _ = it.ack(10, &[]);
    }
    assert_eq!(it.pair.sides[0].counters.tcp_reno_recovery, before);
    assert_eq!(it.flow().recovery.phase, Phase::Open);
}

/// RFC 2018 §8: a remote may throw away what it had SACKed; after a timeout all is sent again.
#[test]
fn a_remote_that_reneges_gets_everything_again() {
    let mut it = sender(&Settings::default());
    it.flight(5, 0);
    let _ = it.wait(20);
    let _ = it.ack(0, &[(1, 5)]);
    let _ = it.wait(20);
    // It acknowledges the first, and says nothing of the others any more.
    let _ = it.ack(1, &[]);
    assert_eq!(it.flow().sent.sacked(), 4 * MSS);
    let mut resent = Vec::new();
    for _ in 0..4 {
        let sent = it.wait(400);
        resent.extend(sent.into_iter().flat_map(|(_, segments)| segments));
        let next = resent.last().map_or(1, |last| last + 1);
        resent.extend(it.ack(next, &[]));
    }
    resent.sort_unstable();
    resent.dedup();
    assert_eq!(resent, [1, 2, 3, 4]);
    assert!(!it.tcb().has_outstanding());
}

/// RFC 6298 §5.5 and §3 (Karn): each timeout doubles the next, and only a measured round trip ends that.
#[test]
fn the_back_off_lasts_until_a_round_trip_is_measured() {
    let mut it = sender(&Settings { tcp_frto: 0, ..plain() });
    it.flight(2, 1);
    let rto = it.tcb().rtt.rto(&Settings::default()).as_millis() as u64;
    let sent = it.wait(7 * rto + 5);
    let times: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
    println!("timeouts of {rto} ms at {times:?}");
    assert_eq!(times, [rto, 3 * rto, 7 * rto]);
    let _ = it.ack(2, &[]);
    assert_eq!(it.tcb().backoff, 3, "acknowledged, but which of the four?");
    let _ = it.wait(20);
    let _ = it.ack(3, &[]);
    assert_eq!(it.tcb().backoff, 0);
}

/// RFC 6298 §5.3: each acknowledgement of new data restarts the timer.
#[test]
fn the_timeout_counts_from_the_last_advance() {
    let mut it = sender(&Settings {
        tcp_early_retrans: 0,
        ..plain()
    });
    it.flight(10, 0);
    let rto = it.tcb().rtt.rto(&Settings::default()).as_millis() as u64;
    let _ = it.wait(rto - 20);
    let _ = it.ack(1, &[]);
    let rto = it.tcb().rtt.rto(&Settings::default()).as_millis() as u64;
    assert_eq!(it.wait(rto - 2), []);
    assert_eq!(it.wait(4).len(), 1);
}

/// RFC 5681 §4.1: after a timeout's worth of silence the window is the initial one at most.
#[test]
fn a_silence_restarts_slow_start() {
    let mut it = sender(&Settings::default());
    it.flight(40, 0);
    let _ = it.wait(20);
    let _ = it.ack(40, &[]);
    let grown = it.window().0;
    let _ = it.wait(1_000);
    println!("window {grown} before the silence, {} after", it.window().0);
    assert!(grown >= 40 && it.window().0 == 10);
}

/// The scoreboard's cap: SACKs of every other byte, and a path that wants all the others again. Nothing is sent for ever, all gets through.
#[test]
fn a_rain_of_tiny_sacks_is_bounded() {
    let mut it = sender(&Settings::default());
    it.flight(30, 10);
    let _ = it.wait(20);
    let start = it.start;
    let last = it.last;
    for n in (1..30 * MSS).step_by(8) {
        let mut sack = SackBlocks::default();
        for part in [n, n + 2, n + 4, n + 6] {
            sack.push(start.wrapping_add(part), start.wrapping_add(part + 1));
        }
        it.told_raw(start, sack, last);
        let sent = it.sends();
        assert!(sent.len() < 4_000, "{}", sent.len());
    }
    let runs = it.flow().sent.runs().count();
    println!("{runs} runs after {} blocks", 30 * MSS / 2);
    assert!(runs < 4_096);
    for _ in 0..20 {
        let _ = it.wait(300);
    }
    let ack = it.tcb().snd_nxt.0;
    it.told_raw(ack, SackBlocks::default(), it.last);
    assert!(!it.tcb().has_outstanding());
}
