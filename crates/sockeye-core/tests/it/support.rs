//! What the themes share: numbers from the environment, cases by seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number from the environment.
pub(crate) fn env(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    let parsed = value.replace('_', "").parse();
    Some(parsed.unwrap_or_else(|_| panic!("{name}={value}: a number is wanted")))
}

/// Runs `case` for seeds `0..count` (or for `SOCKEYE_SEED` alone) on all processors, and panics with the failures, least seed first, each
/// with the command that repeats it. `count` comes from the variable `name` when that is set.
pub(crate) fn seeds(test: &str, name: &str, count: u64, case: impl Fn(u64) -> Result<(), String> + Sync) {
    let (first, end) = match env("SOCKEYE_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, env(name).unwrap_or(count)),
    };
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let _ = scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if let Err(what) = guarded(&case, seed) {
                        let mut failures = failures.lock().expect("no panic while held");
                        failures.push((seed, what));
                        if failures.len() >= 20 {
                            return;
                        }
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no panic while held");
    failures.sort();
    let list: Vec<String> = failures
        .iter()
        .map(|(seed, what)| format!("{what}\n  again: SOCKEYE_SEED={seed} cargo test -p sockeye-core --test it {test}"))
        .collect();
    assert!(
        list.is_empty(),
        "{} of {} failed:\n{}",
        list.len(),
        end - first,
        list.join("\n")
    );
}

fn guarded(case: &impl Fn(u64) -> Result<(), String>, seed: u64) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| case(seed))) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("seed {seed} panicked: {}", text.unwrap_or_default()))
        }
    }
}
