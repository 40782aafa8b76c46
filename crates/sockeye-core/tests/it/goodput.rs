//! How fast a transfer is on links of known kinds: a floor for each, so that a recovery that stalls is seen.

use sockeye_core::netem::Netem;
use sockeye_core::sim::{LinkConfig, Sim};
use sockeye_core::time::Duration;

/// Time for `bytes` bytes over a link that is `there` one way and `back` the other; the middle one of a few seeds.
fn typical(there: &str, back: &str, bytes: u64) -> Duration {
    let times = (0..9).map(|seed| {
        let parse = |line: &str| line.parse::<Netem>().expect("a good line");
        let config = LinkConfig {
            there: parse(there),
            back: parse(back),
            ..LinkConfig::default()
        };
        let (mut sim, a, b) = Sim::pair(seed, &config);
        sim.transfer(a, b, bytes)
            .unwrap_or_else(|stuck| panic!("{there}: {stuck}"))
    });
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2]
}

#[test]
fn goodput() {
    let cases: [(&str, &str, u64, f64); 18] = [
        // link there, link back, bytes, seconds at most
        ("", "", 4 << 20, 0.1),
        ("delay 10ms", "delay 10ms", 4 << 20, 0.6),
        ("rate 100mbit delay 10ms", "delay 10ms", 4 << 20, 1.0),
        ("rate 1gbit delay 50ms", "delay 50ms", 64 << 20, 5.0),
        ("rate 1gbit queue 100 delay 10ms", "delay 10ms", 64 << 20, 2.5),
        ("rate 100mbit queue 20 delay 50ms", "delay 50ms", 32 << 20, 8.0),
        ("rate 100mbit delay 20ms loss 0.1%", "delay 20ms", 32 << 20, 18.0),
        ("rate 10mbit queue 1000 delay 10ms", "delay 10ms", 16 << 20, 15.0),
        ("delay 5ms loss gemodel 0.5% 30%", "delay 5ms", 16 << 20, 8.0),
        ("rate 10mbit queue 50 delay 20ms", "delay 20ms", 4 << 20, 4.0),
        ("rate 10mbit queue 10 delay 20ms", "delay 20ms", 4 << 20, 5.0),
        ("rate 10mbit delay 20ms loss 1%", "delay 20ms", 4 << 20, 10.0),
        ("rate 10mbit delay 20ms loss 5%", "delay 20ms", 1 << 20, 8.0),
        ("delay 50ms loss 2%", "delay 50ms loss 2%", 1 << 20, 10.0),
        (
            "rate 10mbit delay 20ms reorder 5% duplicate 2%",
            "delay 20ms",
            4 << 20,
            4.5,
        ),
        ("rate 10mbit delay 20ms jitter 5ms normal", "delay 20ms", 4 << 20, 4.5),
        (
            "rate 1mbit queue 100 delay 100ms",
            "rate 64kbit delay 100ms",
            1 << 20,
            11.0,
        ),
        (
            "delay 10ms jitter 5ms loss 5% reorder 5% duplicate 2% corrupt 0.5%",
            "delay 10ms jitter 5ms loss 5%",
            1 << 20,
            6.0,
        ),
    ];
    let mut slow = Vec::new();
    for (there, back, bytes, limit) in cases {
        let time = typical(there, back, bytes).as_secs_f64();
        println!("{time:8.3} s of {limit:5.1}  {there} | {back}");
        if time > limit {
            slow.push(format!("{time:.3} s, {limit} s at most: {there} | {back}"));
        }
    }
    assert!(slow.is_empty(), "too slow:\n{}", slow.join("\n"));
}
