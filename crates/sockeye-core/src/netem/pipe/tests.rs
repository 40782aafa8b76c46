use super::*;
use crate::netem::{Distribution, Loss};
use crate::time::{Duration, MS, SECOND};
use bytes::Bytes;

/// An IPv4 packet of `len` bytes whose payload starts with its number. Protocol 255, so that no checksum but the header's is there.
fn packet(number: u32, len: usize) -> Packet {
    let mut payload = vec![0; len - 20];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    let mut packet = Packet::with_payload(Bytes::from(payload));
    let head = packet.head.prepend(20);
    head.fill(0);
    head[0] = 0x45;
    head[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    head[8] = 64;
    head[9] = 255;
    packet.meta.l4 = 20;
    packet
}

fn number(packet: &Packet) -> u32 {
    u32::from_be_bytes(packet.to_vec()[20..24].try_into().unwrap())
}

fn pipe(line: &str, seed: u64) -> Pipe {
    Pipe::new(&line.parse().unwrap(), &Keys::new(seed, "test"), "up")
}

/// Number, time and remarks.
type Arrival = (u32, Instant, Mark);

/// Sends `n` packets of 1000 bytes, one every `every`; returns (number, arrival, mark) in the order of arrival, and the fates.
fn run(pipe: &mut Pipe, n: u32, every: Duration) -> (Vec<Arrival>, Vec<(u32, Fate)>) {
    let (mut arrivals, mut fates) = (Vec::new(), Vec::new());
    for i in 0..n {
        let now = Instant::ZERO + every * i;
        while let Some(due) = pipe.poll_timeout().filter(|due| *due <= now) {
            let packet = pipe.pop(due).unwrap();
            arrivals.push((number(&packet), packet.meta.at, packet.meta.mark));
        }
        pipe.push_with(now, packet(i, 1000), &mut |packet, fate| {
            fates.push((number(packet), fate));
        });
    }
    while let Some(due) = pipe.poll_timeout() {
        let packet = pipe.pop(due).unwrap();
        arrivals.push((number(&packet), packet.meta.at, packet.meta.mark));
    }
    assert_eq!(pipe.under_way(), 0);
    (arrivals, fates)
}

#[test]
fn a_perfect_wire_passes_at_once_and_whole() {
    let mut pipe = pipe("", 1);
    let mut whole = packet(1, 3020);
    whole.meta.gso = crate::packet::Gso::Tcp { mss: 1000 };
    pipe.push(Instant::from_millis(5), whole);
    assert_eq!(pipe.poll_timeout(), Some(Instant::from_millis(5)));
    assert_eq!(pipe.pop(Instant::from_millis(5)).unwrap().total_len(), 3020);
    assert!(pipe.pop(Instant::from_millis(5)).is_none());
    assert_eq!((pipe.counters().packets, pipe.counters().bytes), (3, 3060));
}

#[test]
fn loss_within_four_sigma_and_told() {
    for (seed, share) in [(1, 0.02), (2, 0.2), (3, 0.001)] {
        let mut pipe = pipe(&format!("loss {share}"), seed);
        let n = 100_000;
        let (arrivals, fates) = run(&mut pipe, n, Duration::from_micros(10));
        let lost = pipe.counters().lost;
        let (mean, sigma) = (f64::from(n) * share, (f64::from(n) * share * (1.0 - share)).sqrt());
        assert!((lost as f64 - mean).abs() < 4.0 * sigma, "{share}: {lost}");
        assert_eq!(arrivals.len() as u64 + lost, u64::from(n));
        assert_eq!(
            fates.iter().filter(|(_, fate)| *fate == Fate::Lost).count() as u64,
            lost
        );
        assert_eq!(fates.len(), n as usize);
    }
}

#[test]
fn one_stage_never_disturbs_another() {
    let lost = |line: &str| -> Vec<u32> {
        let (_, fates) = run(&mut pipe(line, 9), 20_000, Duration::from_micros(50));
        fates
            .into_iter()
            .filter(|(_, fate)| *fate == Fate::Lost)
            .map(|(n, _)| n)
            .collect()
    };
    let alone = lost("loss 3%");
    for more in [
        "corrupt 5%",
        "duplicate 10%",
        "reorder 5%",
        "delay 10ms jitter 5ms normal",
        "rate 1mbit queue 5",
        "corrupt 1% duplicate 1% reorder 1% delay 1ms jitter 1ms rate 100mbit",
    ] {
        assert_eq!(lost(&format!("loss 3% {more}")), alone, "{more}");
    }
    let corrupted = |line: &str| -> Vec<u32> {
        let (_, fates) = run(&mut pipe(line, 9), 20_000, Duration::from_micros(50));
        let struck =
            |fate| matches!(fate, Fate::Passed(mark) if mark.has(Mark::CORRUPTED) && !mark.has(Mark::DUPLICATE));
        fates
            .into_iter()
            .filter(|(_, fate)| struck(*fate))
            .map(|(n, _)| n)
            .collect()
    };
    let alone = corrupted("corrupt 3%");
    let with_loss = corrupted("corrupt 3% loss 50% duplicate 10%");
    assert!(with_loss.len() > alone.len() / 3 && with_loss.iter().all(|n| alone.contains(n)));
    let delays = |line: &str| -> Vec<(u32, Instant)> {
        let (arrivals, _) = run(&mut pipe(line, 9), 2_000, Duration::from_micros(50));
        arrivals
            .into_iter()
            .filter(|(_, _, mark)| !mark.has(Mark::DUPLICATE))
            .map(|(n, at, _)| (n, at))
            .collect()
    };
    let alone = delays("delay 10ms jitter 5ms");
    assert_eq!(delays("delay 10ms jitter 5ms duplicate 10%"), alone);
    assert!(
        delays("delay 10ms jitter 5ms loss 10%")
            .iter()
            .all(|arrival| alone.contains(arrival))
    );
}

#[test]
fn pipes_of_other_names_and_seeds_have_other_luck() {
    let lost = |seed, name: &str| {
        let config = "loss 10%".parse().unwrap();
        let (_, fates) = run(&mut Pipe::new(&config, &Keys::new(seed, "test"), name), 500, MS);
        fates
    };
    assert_eq!(lost(1, "up"), lost(1, "up"));
    assert_ne!(lost(1, "up"), lost(1, "down"));
    assert_ne!(lost(1, "up"), lost(2, "up"));
}

#[test]
fn rate_within_one_percent_and_queue_bounded() {
    let mut pipe = pipe("rate 10mbit queue 50 delay 5ms", 1);
    // 16 Mbit/s offered to 10: the rest finds the queue full.
    let (arrivals, _) = run(&mut pipe, 20_000, Duration::from_micros(500));
    let (first, last) = (arrivals[0].1, arrivals[arrivals.len() - 1].1);
    let rate = (arrivals.len() - 1) as f64 * 8000.0 / last.since(first).as_secs_f64();
    assert!((rate / 10e6 - 1.0).abs() < 0.01, "{rate}");
    assert!(pipe.counters().queue_dropped > 7_000);
    // Waiting behind 49 others of 0.8 ms each, then 0.8 and 5 ms more.
    assert!(pipe.counters().delay_max <= 45 * MS && pipe.counters().delay_max > 44 * MS);
}

#[test]
fn jitter_reorders_unless_told_not_to() {
    let sorted = |line| run(&mut pipe(line, 4), 1000, MS).0.is_sorted_by_key(|(n, ..)| *n);
    assert!(!sorted("delay 20ms jitter 5ms normal"));
    assert!(sorted("delay 20ms jitter 5ms normal keep-order"));
    let mut pipe = pipe("delay 20ms jitter 5ms normal", 4);
    let (arrivals, _) = run(&mut pipe, 20_000, MS);
    let delays: Vec<f64> = arrivals
        .iter()
        .map(|(n, at, _)| at.since(Instant::ZERO + MS * *n).as_secs_f64() * 1e3)
        .collect();
    let mean = delays.iter().sum::<f64>() / delays.len() as f64;
    let deviation = (delays.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / delays.len() as f64).sqrt();
    assert!(
        (mean - 20.0).abs() < 0.15 && (deviation - 5.0).abs() < 0.15,
        "{mean} {deviation}"
    );
    let counters = pipe.counters();
    assert_eq!(counters.delayed, 20_000);
    assert!((counters.delay_sum.as_secs_f64() * 1e3 / 20_000.0 - mean).abs() < 1e-6);
    assert!(counters.delay_min < 5 * MS && counters.delay_max > 35 * MS);
    assert_eq!(Distribution::default(), Distribution::Uniform);
}

#[test]
fn reordered_packets_overtake_those_under_way() {
    let mut pipe = pipe("delay 10ms reorder 5%", 2);
    let (arrivals, _) = run(&mut pipe, 10_000, MS);
    let reordered = arrivals
        .iter()
        .filter(|(n, at, _)| *at == Instant::ZERO + MS * *n)
        .count() as u64;
    assert_eq!(reordered, pipe.counters().reordered);
    assert!((400..600).contains(&reordered), "{reordered}");
    assert!(
        arrivals
            .iter()
            .all(|(n, at, mark)| mark.has(Mark::REORDERED) == (*at == Instant::ZERO + MS * *n))
    );
}

#[test]
fn reorder_without_delay_holds_packets_back() {
    let mut bursty = pipe("reorder 10%", 3);
    let (arrivals, _) = run(&mut bursty, 10_000, Duration::from_micros(10));
    assert_eq!(arrivals.len(), 10_000);
    let late = arrivals.windows(2).filter(|pair| pair[1].0 < pair[0].0).count();
    assert!((700..1100).contains(&late), "{late}");
    // Held back by three packets at most.
    let displaced = arrivals
        .iter()
        .enumerate()
        .map(|(place, (n, ..))| place.abs_diff(*n as usize))
        .max();
    assert!(displaced <= Some(6), "{displaced:?}");
    // Nobody comes to pass it: it goes on after a while.
    let (arrivals, _) = run(&mut pipe("reorder 100%", 3), 3, SECOND);
    assert_eq!(
        arrivals.iter().map(|(n, at, _)| (*n, *at)).collect::<Vec<_>>(),
        [0, 1, 2].map(|n| { (n, Instant::ZERO + SECOND * n + HOLD) })
    );
}

#[test]
fn duplicates_are_copies_and_marked() {
    let mut pipe = pipe("duplicate 10% delay 10ms jitter 1ms", 5);
    let (arrivals, fates) = run(&mut pipe, 10_000, MS);
    let copies = arrivals.iter().filter(|(_, _, mark)| mark.has(Mark::DUPLICATE)).count() as u64;
    assert_eq!(copies, pipe.counters().duplicated);
    assert!((850..1150).contains(&copies), "{copies}");
    assert_eq!(arrivals.len() as u64, 10_000 + copies);
    assert_eq!(
        fates
            .iter()
            .filter(|(_, fate)| fate.comment().as_deref() == Some("netem: duplicate"))
            .count() as u64,
        copies
    );
}

#[test]
fn corruption_flips_one_bit_and_unverifies() {
    let mut pipe = pipe("corrupt 100%", 6);
    for i in 0..1000 {
        let clean = packet(i, 300);
        pipe.push(Instant::ZERO, clean.clone());
        let struck = pipe.pop(Instant::ZERO).unwrap();
        let flipped: u32 = clean
            .to_vec()
            .iter()
            .zip(struck.to_vec())
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        assert_eq!(flipped, 1);
        assert!(struck.meta.mark.has(Mark::CORRUPTED) && struck.meta.csum == crate::packet::Csum::Full);
    }
    assert_eq!(pipe.counters().corrupted, 1000);
}

#[test]
fn too_big_is_dropped_and_handed_out() {
    let mut pipe = pipe("mtu 999", 7);
    pipe.push(Instant::ZERO, packet(1, 1000));
    pipe.push(Instant::ZERO, packet(2, 999));
    assert_eq!(number(&pipe.pop(Instant::ZERO).unwrap()), 2);
    assert_eq!(number(&pipe.take_too_big().unwrap()), 1);
    assert!(pipe.take_too_big().is_none());
    assert_eq!(pipe.counters().too_big, 1);
    for i in 0..1000 {
        pipe.push(Instant::ZERO, packet(i, 1000));
    }
    assert_eq!(number(&pipe.take_too_big().unwrap()), 1000 - TOO_BIG_KEPT as u32);
}

#[test]
fn outages_count_from_the_first_use() {
    let mut pipe = pipe("blackhole 2s..4s blackhole 8s..9s", 8);
    let start = Instant::from_millis(77_000);
    let mut passed = Vec::new();
    for i in 0..12 {
        pipe.push_with(start + SECOND * i, packet(i, 100), &mut |packet, fate| {
            if !fate.is_drop() {
                passed.push(number(packet));
            }
        });
    }
    assert_eq!(passed, [0, 1, 4, 5, 6, 7, 9, 10, 11]);
    assert_eq!(pipe.counters().outage_lost, 3);
}

#[test]
fn listed_losses_hit_the_listed_packets() {
    let config = Netem {
        loss: Loss::List(vec![2, 5]),
        ..Netem::NONE
    };
    let (arrivals, _) = run(&mut Pipe::new(&config, &Keys::new(1, "test"), "up"), 6, MS);
    assert_eq!(arrivals.iter().map(|(n, ..)| *n).collect::<Vec<_>>(), [0, 2, 3, 5]);
}
