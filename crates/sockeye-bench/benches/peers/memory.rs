//! Row 6: what an idle connection takes. Each sample is a process of its own, for memory once used stays with a process.

use crate::ours::{MEMORY, Pair};
use crate::report::{Bar, Report, Samples, TIMES};
use crate::{bulk, request, tasks};
use std::process::Command;
use std::time::Duration;

/// Connections held.
const MANY: usize = 1_000_000;

/// The argument that makes this program measure one sample, and say it.
pub(crate) const SAMPLE: &str = "--sample";

/// Bytes of memory that this process has.
pub(crate) fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) * 1_024.0
}

/// What `--sample NAME` prints. Those of rows 1 to 5 are for profilers: ours alone.
pub(crate) fn sample(name: &str) -> Option<f64> {
    match name {
        "row1" => Some(bulk::sample(bulk::SEGMENTS)),
        "row2" => Some(bulk::sample(MEMORY)),
        "row3" => Some(request::sample_alone()),
        "row5" => Some(request::sample_calls()),
        "core" => Some(core()),
        "tasks" => Some(tasks::idle(MANY as u32)),
        _ => None,
    }
}

/// Bytes a side of connections between two hosts.
fn core() -> f64 {
    let mut pair = Pair::new(MEMORY);
    let before = resident();
    pair.populate(MANY);
    pair.pass(Duration::from_secs(10));
    (resident() - before) / (2 * MANY) as f64
}

/// Row 6.
pub(crate) fn idle(report: &mut Report) {
    measure(
        report,
        "core",
        "idle connection, a side; the bar itself",
        "B",
        300.0,
        1.0,
    );
    measure(
        report,
        "tasks",
        "a million tasks with a connection each; the bar itself",
        "GB",
        0.8,
        MANY as f64 * 1e-9,
    );
}

fn measure(report: &mut Report, name: &str, what: &str, unit: &str, limit: f64, scale: f64) {
    let one = || {
        let out = Command::new(std::env::current_exe().ok()?)
            .args([SAMPLE, name])
            .output()
            .ok()?;
        let value = String::from_utf8_lossy(&out.stdout).trim().parse::<f64>().ok()?;
        Some(value * scale)
    };
    let values: Option<Vec<f64>> = (0..TIMES).map(|_| one()).collect();
    let bar = Bar::AtMost(1.0);
    match values {
        Some(values) => report.line(6, what, unit, bar, &Samples::new(values), &Samples::new(vec![limit])),
        None => report.unmeasured(
            6,
            what,
            unit,
            bar,
            "the process that measures it failed: too little memory?",
        ),
    }
}
