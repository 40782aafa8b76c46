//! What processes have used: getrusage(2).

use std::time::Duration;

/// CPU time, in programs and in the kernel for them, of all descendants that have ended and were waited for.
pub fn of_children() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes one `rusage`; zeroed memory is a valid one, should it not.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1_000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_child_that_worked_counts_once_it_was_waited_for() {
        let before = super::of_children();
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", script]).status().unwrap();
        assert!(status.success());
        assert!(super::of_children() > before);
    }
}
