//! Rows 1, 2 and 12: one flow, all it can carry, bytes copied in and out.

use crate::ours::{MEMORY, Wire};
use crate::report::{Bar, Report, alternate};
use crate::smoltcp_peer::Setup;
use crate::{cpu, kernel, ours, smoltcp_peer};

/// CPU seconds of one sample.
const SECONDS: f64 = 0.4;

/// Ethernet's MTU, every checksum computed and verified.
pub(crate) const SEGMENTS: Wire = Wire {
    mtu: 1_500,
    whole: false,
    checksums: true,
};

fn peer(wire: Wire) -> Setup {
    Setup {
        mtu: wire.mtu as usize,
        whole: wire.whole,
        checksums: wire.checksums,
        buffer: 512 << 10,
    }
}

/// Gigabytes a CPU second.
fn ours(bulk: &mut ours::Bulk) -> f64 {
    cpu::rate(cpu::thread, SECONDS, || bulk.work()) * 1e-9
}

fn smoltcp(bulk: &mut smoltcp_peer::Bulk) -> f64 {
    cpu::rate(cpu::thread, SECONDS, || bulk.work()) * 1e-9
}

/// Ours alone, for a while.
pub(crate) fn sample(wire: Wire) -> f64 {
    ours(&mut ours::Bulk::new(wire))
}

/// Row 1: packets of 1500 bytes.
pub(crate) fn segments(report: &mut Report) {
    let mut us = ours::Bulk::new(SEGMENTS);
    let mut them = smoltcp_peer::Bulk::new(peer(SEGMENTS));
    let samples = alternate(&mut [&mut || ours(&mut us), &mut || smoltcp(&mut them)]);
    report.line(
        1,
        "memory, MTU 1500, one flow; smoltcp",
        "GB/s",
        Bar::AtLeast(1.6),
        &samples[0],
        &samples[1],
    );
}

/// Row 2: super-segments of 64 KiB.
pub(crate) fn super_segments(report: &mut Report) {
    let mut us = ours::Bulk::new(MEMORY);
    let mut them = smoltcp_peer::Bulk::new(peer(MEMORY));
    let mut loopback = kernel::Bulk::new();
    let samples = alternate(&mut [&mut || ours(&mut us), &mut || smoltcp(&mut them), &mut || {
        loopback.rate(SECONDS) * 1e-9
    }]);
    let line = |report: &mut Report, what, bar, peer: usize| {
        report.line(2, what, "GB/s", Bar::AtLeast(bar), &samples[0], &samples[peer]);
    };
    line(report, "memory, super-segments of 64 KiB; smoltcp", 2.0, 1);
    line(report, "memory, super-segments of 64 KiB; kernel loopback", 5.0, 2);
}

/// Row 12: what is not asked for costs nothing. Netem that does nothing stands in the way of both directions, and CUBIC is held against Reno, the
/// least that a congestion control can be. A capture that is off is no code at all.
pub(crate) fn idle_extras(report: &mut Report) {
    let mut plain = ours::Bulk::new(SEGMENTS);
    let mut through = ours::Bulk::new(SEGMENTS).through_idle_netem();
    let mut reno = ours::Bulk::by_reno(SEGMENTS);
    let samples = alternate(&mut [&mut || ours(&mut plain), &mut || ours(&mut through), &mut || {
        ours(&mut reno)
    }]);
    let bar = Bar::AtLeast(0.97);
    report.line(
        12,
        "Netem idle, capture off; row 1",
        "GB/s",
        bar,
        &samples[1],
        &samples[0],
    );
    report.line(12, "row 1 with CUBIC; with Reno", "GB/s", bar, &samples[0], &samples[2]);
}
