//! Rows 3, 4 and 5: a byte each way, on one connection and on a new one each time, beside any number of idle connections.

use crate::report::{Bar, Report, Samples, alternate};
use crate::{cpu, kernel, ours, smoltcp_peer, tasks};

/// CPU seconds of one sample.
const SECONDS: f64 = 0.2;

/// Row 3: request and response.
pub(crate) fn alone(report: &mut Report) {
    let mut us = ours::Asking::new();
    let mut them = smoltcp_peer::Asking::new(0);
    let mut loopback = kernel::Asking::new();
    let mut sockets = tasks::Asking::new();
    let samples = alternate(&mut [
        &mut || rate(|| us.work()),
        &mut || rate(|| sockets.work()),
        &mut || rate(|| them.work()),
        &mut || loopback.rate(SECONDS) * 1e-3,
    ]);
    let mut line = |what, bar, ours: usize, peer: usize| {
        report.line(3, what, "k/s", Bar::AtLeast(bar), &samples[ours], &samples[peer]);
    };
    line("request/response in memory, core; smoltcp", 1.0, 0, 2);
    line("request/response in memory, core; kernel loopback", 30.0, 0, 3);
    line("request/response, tokio sockets; kernel loopback", 8.0, 1, 3);
}

/// Row 4: the same beside idle connections.
pub(crate) fn beside_idle(report: &mut Report) {
    let mut alone = ours::Asking::new();
    let mut crowded = ours::Asking::new();
    for (idle, bar) in [(10_000, 0.85), (100_000, 0.7), (1_000_000, 0.6)] {
        crowded.pair.populate(idle);
        crowded.pair.pass(std::time::Duration::from_secs(10));
        let samples = alternate(&mut [&mut || rate(|| crowded.work()), &mut || rate(|| alone.work())]);
        report.point("Sockeye", idle, &samples[0]);
        let what = format!("request/response, {idle} idle beside; ours alone");
        report.line(4, &what, "k/s", Bar::AtLeast(bar), &samples[0], &samples[1]);
        if idle == 10_000 {
            report.point("Sockeye", 1, &samples[1]);
            against_smoltcp(report, &samples[0]);
        }
    }
}

fn against_smoltcp(report: &mut Report, ours: &Samples) {
    let mut theirs = ours.clone();
    for idle in [0, 100, 1_000, 10_000] {
        let mut them = smoltcp_peer::Asking::new(idle);
        theirs = alternate(&mut [&mut || rate(|| them.work())]).remove(0);
        report.point("smoltcp", idle.max(1), &theirs);
    }
    let what = "request/response, 10000 idle beside; smoltcp";
    report.line(4, what, "k/s", Bar::AtLeast(2_000.0), ours, &theirs);
}

/// Row 5: connect, a byte each way, close.
pub(crate) fn calls(report: &mut Report) {
    let mut us = ours::Calling::new(10_000);
    let mut them = smoltcp_peer::Calling::new();
    let mut loopback = kernel::Calling::new();
    let samples = alternate(
        &mut [&mut || rate(|| us.work()), &mut || rate(|| them.work()), &mut || {
            loopback.rate(SECONDS) * 1e-3
        }],
    );
    let mut line = |what, bar, peer: usize| {
        report.line(5, what, "k/s", Bar::AtLeast(bar), &samples[0], &samples[peer]);
    };
    line("connect, byte, close, 10000 idle; smoltcp's one socket", 0.8, 1);
    line("connect, byte, close, 10000 idle; kernel loopback", 30.0, 2);
}

/// Row 3, ours alone, for a while.
pub(crate) fn sample_alone() -> f64 {
    let mut us = ours::Asking::new();
    rate(|| us.work())
}

/// Row 5, ours alone, for a while.
pub(crate) fn sample_calls() -> f64 {
    let mut us = ours::Calling::new(10_000);
    rate(|| us.work())
}

/// Thousands a CPU second.
fn rate(work: impl FnMut() -> u64) -> f64 {
    cpu::rate(cpu::thread, SECONDS, work) * 1e-3
}
