//! What reordering without loss costs: goodput against the same link in order, and segments sent again for nothing.

use sockeye_core::netem::Netem;
use sockeye_core::sim::{LinkConfig, Sim};

/// Goodput in bytes a second, and segments sent again, in percent of all.
fn measure(seed: u64, there: &str, back: &str, bytes: u64) -> (f64, f64) {
    let parse = |line: &str| line.parse::<Netem>().expect("a good line");
    let config = LinkConfig {
        there: parse(there),
        back: parse(back),
        ..LinkConfig::default()
    };
    let (mut sim, a, b) = Sim::pair(seed, &config);
    let time = sim
        .transfer(a, b, bytes)
        .unwrap_or_else(|stuck| panic!("{there}: {stuck}"));
    let again = sim.look(a).counters().tcp_retrans_segs as f64;
    let segments = bytes as f64 / 1_448.0;
    (bytes as f64 / time.as_secs_f64(), 100.0 * again / segments)
}

/// At 3 % reordering without loss at least 0.95 of the clean rate, and at most 0.1 % sent again for nothing. The queue holds whatever slow
/// start piles up, so nothing is ever lost.
#[test]
fn reordering_costs_next_to_nothing() {
    const SEEDS: u64 = 2;
    let mut bad = Vec::new();
    for (link, mess, back, mib, most) in [
        (
            "rate 100mbit queue 20000 delay 20ms",
            "reorder 3%",
            "delay 20ms",
            64,
            0.1,
        ),
        (
            "rate 10mbit queue 20000 delay 20ms",
            "reorder 3%",
            "delay 20ms",
            32,
            0.1,
        ),
        (
            "rate 100mbit queue 20000 delay 5ms",
            "reorder 3%",
            "delay 50ms",
            64,
            0.1,
        ),
        (
            "rate 100mbit queue 20000 delay 20ms",
            "jitter 1ms",
            "delay 20ms",
            64,
            0.1,
        ),
        // A packet may be up to a whole round trip late here, and the window that waits for it is no longer than that.
        (
            "rate 100mbit queue 20000 delay 20ms",
            "jitter 5ms normal",
            "delay 20ms",
            64,
            0.3,
        ),
    ] {
        let (mut share, mut again) = (f64::MAX, 0.0_f64);
        for seed in 0..SEEDS {
            let (clean, none) = measure(seed, link, back, mib << 20);
            assert!(none < 0.01, "{link}: {none} % sent again without reason");
            let (rate, repeated) = measure(seed, &format!("{link} {mess}"), back, mib << 20);
            (share, again) = (share.min(rate / clean), again.max(repeated));
        }
        println!("{share:.3} of the clean rate, {again:.4} % sent again (worst of {SEEDS}): {link} {mess} | {back}");
        if share < 0.95 || again > most {
            bad.push(format!(
                "{share:.3} of the clean rate, {again:.4} % sent again: {link} {mess} | {back}"
            ));
        }
    }
    assert!(bad.is_empty(), "reordering costs too much:\n{}", bad.join("\n"));
}
