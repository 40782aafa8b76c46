//! CPU time, and repetition by it.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// CPU seconds that this thread has used.
pub(crate) fn thread() -> f64 {
    seconds(clock_gettime(ClockId::ThreadCPUTime))
}

/// CPU seconds that all threads of this process have used.
pub(crate) fn process() -> f64 {
    seconds(clock_gettime(ClockId::ProcessCPUTime))
}

fn seconds(time: Timespec) -> f64 {
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Keeps this thread, and those it starts from now on, on one of the cores it may use.
pub(crate) fn stay_on_one_core() {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut one = CpuSet::new();
    if let Some(core) = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)) {
        one.set(core);
        let _ = sched_setaffinity(None, &one);
    }
}

/// Lets this thread, and what it starts from now on, use every core again.
pub(crate) fn use_all_cores() {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| all.set(core));
    let _ = sched_setaffinity(None, &all);
}

/// CPU seconds of processes that this one started and that have ended, and of theirs.
pub(crate) fn children() -> f64 {
    sockeye_sys::usage::of_children().as_secs_f64()
}

/// Units a second of `clock`: `work` is called until `seconds` have passed, and tells how many units it did.
pub(crate) fn rate(clock: fn() -> f64, seconds: f64, mut work: impl FnMut() -> u64) -> f64 {
    let (start, mut done) = (clock(), 0);
    loop {
        done += work();
        let spent = clock() - start;
        if spent >= seconds {
            return done as f64 / spent;
        }
    }
}
