//! What congestion control has to reach, measured on the same track as the matrix: the numbers are printed.

use super::cell::{Cell, SHARED, Stack, jain};
use super::track::Run;
use sockeye_core::settings::{CongestionControl, Settings};
use sockeye_core::time::Duration;

/// Payload of a full segment with timestamps.
const MSS: f64 = 1_448.0;

fn lossy(loss: u32, rate: u32) -> Cell {
    Cell {
        loss,
        reorder: 0,
        rtt: 100,
        rate,
        queue: 100,
    }
}

fn with(algorithm: CongestionControl) -> Settings {
    Settings {
        tcp_congestion_control: algorithm,
        ..Settings::default()
    }
}

/// Bits a second, from runs of that many seconds.
fn goodput(runs: &[Run], seconds: u64) -> f64 {
    let bytes: u64 = runs.iter().flat_map(|run| &run.read).sum();
    bytes as f64 * 8.0 / seconds as f64 / runs.len() as f64
}

/// CUBIC's average window in segments: that of its curve, or Reno's where that is larger. RFC 9438 §5 (RFC 8312 §5), figures 6 and 7; the
/// Reno-friendly one is sqrt(3/2p), as for Reno (§4.3).
fn response(loss: f64, rtt: f64) -> f64 {
    let (c, beta) = (0.4_f64, 0.7);
    let curve = (c * (3.0 + beta) / (4.0 * (1.0 - beta))).powf(0.25) * (rtt / loss).powf(0.75);
    curve.max((1.5 / loss).sqrt())
}

/// RFC 9438 §5: at least nine tenths of CUBIC's own response function, over five minutes on a link that never limits.
#[test]
fn cubic_keeps_its_response_function() {
    let time = Duration::from_secs(300);
    for loss in [1, 10, 30] {
        let runs: Vec<Run> = (0..2)
            .map(|seed| lossy(loss, 1_000).run(Stack::Sockeye, &with(CongestionControl::Cubic), 1, seed, time))
            .collect();
        let window = goodput(&runs, 300) / 8.0 * 0.1 / MSS;
        let want = response(f64::from(loss) / 1_000.0, 0.1);
        println!(
            "{} % lost: {window:.1} segments a round trip, {want:.1} by the formula: {:.2}",
            f64::from(loss) / 10.0,
            window / want
        );
        // Beyond 1 % timeouts, which the formula leaves out, begin to count.
        assert!(window >= if loss > 10 { 0.8 } else { 0.9 } * want, "{window} of {want}");
    }
}

/// draft-ietf-ccwg-bbr §1: random loss below its threshold slows BBR down little. (A little it does: each round with a loss lowers the
/// short-term bounds until the next probe, and a minute has a dozen visits to ProbeRTT.)
#[test]
fn bbr_minds_one_loss_in_a_hundred_little() {
    for (rate, least) in [(10, 0.7), (100, 0.7)] {
        let cell = lossy(10, rate);
        let time = Duration::from_secs(60);
        let [bbr, cubic] = [CongestionControl::Bbr, CongestionControl::Cubic].map(|algorithm| {
            let runs: Vec<Run> = (0..2)
                .map(|seed| cell.run(Stack::Sockeye, &with(algorithm), 1, seed, time))
                .collect();
            goodput(&runs, 60) / cell.capacity()
        });
        println!("{rate} Mbit/s, 100 ms, 1 % lost: BBR {bbr:.3} of the link, CUBIC {cubic:.3}");
        assert!(bbr >= least, "{bbr}");
    }
}

/// Equal flows get equal shares: Jain's index in the second half of the time.
#[test]
fn equal_flows_share_alike() {
    for (algorithm, flows, least) in [
        (CongestionControl::Cubic, 2, 0.9),
        (CongestionControl::Cubic, 10, 0.95),
        (CongestionControl::Reno, 10, 0.95),
        (CongestionControl::Bbr, 10, 0.9),
    ] {
        let time = Duration::from_secs(40);
        let run = SHARED.run(Stack::Sockeye, &with(algorithm), flows, 1, time);
        let (index, used) = (jain(&run.late, flows), goodput(&[run], 40) / SHARED.capacity());
        println!("{flows} flows of {algorithm:?}: Jain's index {index:.3}, {used:.3} of the link");
        assert!(index >= least && used > 0.85, "{flows} {algorithm:?}: {index} {used}");
    }
}
