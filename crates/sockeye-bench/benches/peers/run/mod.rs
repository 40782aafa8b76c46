//! Rows 9 to 11: unmodified programs under `sockeye run`, beside the same programs on the kernel's loopback, and behind pasta and slirp4netns.
//!
//! A sample starts processes, waits for all of them, and divides what the programs say they did by the CPU time of the whole tree: programs,
//! supervisor, and the kernel's work for them. Each runs in a network namespace of its own, whose congestion control does not pace. Against
//! pasta and slirp4netns, which leave processes that nobody waits for, the clock on the wall counts instead, on all cores.

mod place;
mod program;

use crate::cpu;
use crate::report::{Bar, Report, Samples, alternate};
use place::Place;
pub(crate) use program::{AS_PROGRAM, program};

/// Seconds of one sample.
const SECONDS: &str = "0.6";

/// One program against the machine's loopback, and two programs inside; then the peers that give a program a tap device.
pub(crate) fn bulk(report: &mut Report) {
    const LINES: [(&str, f64); 3] = [
        ("run, one program sends through the gateway; loopback", 0.5),
        ("run, one program receives through the gateway; loopback", 0.5),
        ("run, bulk between two programs inside; loopback", 0.38),
    ];
    match Place::find() {
        Err(why) => {
            for (what, bar) in LINES {
                report.unmeasured(9, what, "GB/s", Bar::AtLeast(bar), &why);
            }
        }
        Ok(place) => {
            let samples = alternate(&mut [
                &mut || per_cpu(&place.pair("send"), 1e9),
                &mut || per_cpu(&place.pair("recv"), 1e9),
                &mut || per_cpu(&place.far("send"), 1e9),
                &mut || per_cpu(&place.far("recv"), 1e9),
                &mut || per_cpu(&place.inside("send"), 1e9),
            ]);
            for ((what, bar), (ours, peer)) in LINES.into_iter().zip([(2, 0), (3, 1), (4, 0)]) {
                report.line(9, what, "GB/s", Bar::AtLeast(bar), &samples[ours], &samples[peer]);
            }
        }
    }
    cpu::use_all_cores();
    for mode in ["send", "recv"] {
        let does = if mode == "send" { "sends" } else { "receives" };
        for (peer, bar, name) in [("pasta", 2.0, "pasta"), ("slirp4netns", 10.0, "slirp4netns, MTU 1500")] {
            let what = format!("run, one program {does}, wall; {name}");
            match Place::find().and_then(|place| place.with_tap(peer)) {
                Err(why) => report.unmeasured(9, &what, "GB/s", Bar::AtLeast(bar), &why),
                Ok(place) => {
                    let samples = alternate(&mut [&mut || per_second(&place.far(mode)), &mut || {
                        per_second(&place.behind(peer, mode))
                    }]);
                    report.line(9, &what, "GB/s", Bar::AtLeast(bar), &samples[0], &samples[1]);
                }
            }
        }
    }
    cpu::stay_on_one_core();
}

/// One byte there and one back.
pub(crate) fn request_response(report: &mut Report) {
    let what = "run, request/response between two programs; loopback";
    let place = Place::find();
    compare(report, 10, what, 0.55, &place, |place, inside| {
        per_cpu(&if inside { place.inside("rr") } else { place.pair("rr") }, 1e3)
    });
}

/// nginx with Debian's settings and a file of 1 KiB, wrk with 16 connections that stay open.
pub(crate) fn web(report: &mut Report) {
    let what = "run, nginx and wrk, both inside, keep-alive; loopback";
    let place = Place::find().and_then(Place::with_web);
    compare(report, 11, what, 0.5, &place, |place, inside| {
        per_cpu(&place.web(inside), 1e3)
    });
}

/// One line: the same inside and on the kernel's loopback.
fn compare(
    report: &mut Report,
    row: u8,
    what: &str,
    bar: f64,
    place: &Result<Place, String>,
    measure: impl Fn(&Place, bool) -> f64,
) {
    let bar = Bar::AtLeast(bar);
    match place {
        Err(why) => report.unmeasured(row, what, "k/s", bar, why),
        Ok(place) => {
            let samples: Vec<Samples> = alternate(&mut [&mut || measure(place, true), &mut || measure(place, false)]);
            report.line(row, what, "k/s", bar, &samples[0], &samples[1]);
        }
    }
}

/// What a command did, in `unit`s a CPU second of all its processes.
fn per_cpu(command: &[String], unit: f64) -> f64 {
    let before = cpu::children();
    let (done, _) = place::output(command);
    done / (cpu::children() - before) / unit
}

/// Gigabytes a second.
fn per_second(command: &[String]) -> f64 {
    let (done, seconds) = place::output(command);
    done / seconds * 1e-9
}
