//! One test under many seeds: finds the one that fails, runs it again to write it all down, and says how to see it once more.

use super::error::Error;
use super::net::Net;
use super::queue::RunQueue;
use super::run::{Halt, Run};
use super::verdict::{Cause, Failure, Passed, Report};
use super::world::World;
use std::cell::RefCell;
use std::fmt::Display;
use std::future::Future;
use std::ops::{Bound, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Virtual time that one seed may take, unless said otherwise.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Runs of a test under a range of seeds; see [`seeds`].
#[derive(Clone, Debug)]
#[must_use = "run() runs the test"]
pub struct Seeds {
    first: u64,
    last: u64,
    empty: bool,
    name: Option<String>,
    limit: Duration,
    capture: bool,
    output: Option<PathBuf>,
}

/// A test under each of these seeds, `1..=500` for example. When the environment has `SOCKEYE_SEED`, under that one alone.
pub fn seeds(range: impl RangeBounds<u64>) -> Seeds {
    let first = match range.start_bound() {
        Bound::Included(first) => Some(*first),
        Bound::Excluded(before) => before.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let last = match range.end_bound() {
        Bound::Included(last) => Some(*last),
        Bound::Excluded(after) => after.checked_sub(1),
        Bound::Unbounded => Some(u64::MAX),
    };
    let empty = !matches!((first, last), (Some(first), Some(last)) if first <= last);
    Seeds {
        first: first.unwrap_or(0),
        last: last.unwrap_or(0),
        empty,
        name: None,
        limit: LIMIT,
        capture: false,
        output: None,
    }
}

/// How one seed went.
pub(super) struct Outcome {
    pub(super) result: Result<(), Cause>,
    pub(super) digest: u64,
    pub(super) packets: u64,
    pub(super) elapsed: Duration,
    pub(super) lines: String,
    pub(super) pcapng: Vec<u8>,
}

impl Seeds {
    /// The test's name, for its files and its replay command; the name of the thread unless said otherwise, which `cargo test` makes that of
    /// the test.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Virtual time that one seed may take: an hour unless said otherwise.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Writes timeline and capture of every seed, not only of one that failed. The packets are the same with and without.
    pub const fn capture(mut self, always: bool) -> Self {
        self.capture = always;
        self
    }

    /// The folder for timelines and captures: `target/sockeye` unless said otherwise.
    pub fn output(mut self, folder: impl Into<PathBuf>) -> Self {
        self.output = Some(folder.into());
        self
    }

    /// Runs the test, seed after seed, until one fails. It has failed when it returns an error, when any of its tasks panics, when nothing can
    /// happen any more and it has not ended, or when the limit of virtual time is reached.
    ///
    /// A seed that failed is run a second time, with timeline and capture.
    ///
    /// # Errors
    /// The seed that failed, why, and how to run it again.
    ///
    /// # Panics
    /// Inside of a tokio runtime: a simulation is one of its own.
    pub fn run<F, Fut, E>(self, test: F) -> Result<Passed, Failure>
    where
        F: Fn(Net) -> Fut,
        Fut: Future<Output = Result<(), E>> + 'static,
        E: Display + 'static,
    {
        let name = self.name.clone().unwrap_or_else(super::verdict::thread_name);
        let asked = std::env::var("SOCKEYE_SEED").ok();
        let only = match &asked {
            None => None,
            Some(text) => match text.trim().parse::<u64>() {
                Ok(seed) => Some(seed),
                Err(_) => return Err(Failure::input(name, Error::Seed(text.clone()))),
            },
        };
        if self.empty && only.is_none() {
            return Err(Failure::input(name, Error::NoSeeds));
        }
        let began = std::time::Instant::now();
        let mut passed = Passed::default();
        let (first, last) = only.map_or((self.first, self.last), |seed| (seed, seed));
        for seed in first..=last {
            let written = self.capture || only.is_some();
            let began_seed = std::time::Instant::now();
            let outcome = once(seed, written, self.limit, &test);
            let real = began_seed.elapsed();
            if outcome.result.is_ok() {
                if written {
                    for why in self.write(&name, seed, &outcome).into_iter().filter_map(Result::err) {
                        tracing::warn!(seed, %why, "what was captured could not be written");
                    }
                }
                passed.add(seed, &outcome);
                continue;
            }
            let replay = if written {
                None
            } else {
                Some(once(seed, true, self.limit, &test))
            };
            let shown = replay.as_ref().unwrap_or(&outcome);
            let files = self.write(&name, seed, shown);
            let mut report = Report::seed(name, seed, outcome.result.as_ref().err(), shown, files);
            report.real = real;
            report.passed = passed.seeds;
            report.repeats = shown.digest == outcome.digest;
            return Err(Failure::seed(report));
        }
        passed.real = began.elapsed();
        Ok(passed)
    }

    /// Timeline and capture as files. What cannot be written is no reason to hide the failure: it is told of in its place.
    fn write(&self, name: &str, seed: u64, outcome: &Outcome) -> [Result<PathBuf, String>; 2] {
        let folder = self.output.clone().unwrap_or_else(super::verdict::default_folder);
        let stem: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
            .collect();
        let text = format!("{}digest {:016x}\n", outcome.lines, outcome.digest);
        let put = |ending: &str, bytes: &[u8]| {
            let path = folder.join(format!("{stem}-{seed}.{ending}"));
            let written = std::fs::create_dir_all(&folder).and_then(|()| write_whole(&path, bytes));
            written
                .map(|()| path.clone())
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        [put("txt", text.as_bytes()), put("pcapng", &outcome.pcapng)]
    }
}

/// Never half a file, whoever else writes it.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, bytes)?;
    std::fs::rename(part, path)
}

/// Runs one seed.
pub(super) fn once<F, Fut, E>(seed: u64, capture: bool, limit: Duration, test: &F) -> Outcome
where
    F: Fn(Net) -> Fut,
    Fut: Future<Output = Result<(), E>> + 'static,
    E: Display + 'static,
{
    let queue = Arc::new(RunQueue::default());
    let parked = Arc::clone(&queue);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    builder.on_thread_park(move || parked.on_park());
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_le_bytes()));
    let runtime = builder
        .build()
        .expect("a runtime without I/O asks nothing of the system");
    let world = World::new(seed, queue, capture);
    let net = Net {
        world: Rc::clone(&world),
    };
    // A panic while the test makes its future is a panic of the test.
    let test_future = catch_unwind(AssertUnwindSafe(|| test(net)));
    let verdict = Rc::new(RefCell::new(Ok(())));
    let told = Rc::clone(&verdict);
    let result = runtime.block_on(async {
        let main = async move {
            let future = test_future.unwrap_or_else(|panic| resume_unwind(panic));
            if let Err(error) = future.await {
                *told.borrow_mut() = Err(error.to_string());
            }
        };
        let (main, _) = world.spawn(None, "the test itself".to_owned(), main);
        match Run::new(&world, main, limit).await {
            Ok(()) => verdict.borrow().clone().map_err(Cause::Error),
            Err(Halt::Stuck(waiting)) => Err(Cause::Stuck(waiting)),
            Err(Halt::Limit(limit, waiting)) => Err(Cause::Limit(limit, waiting)),
            Err(Halt::Busy(who)) => Err(Cause::Busy(who)),
            Err(Halt::Panic(what)) => Err(Cause::Panic(what)),
        }
    });
    let elapsed = world.now().since(sockeye_core::Instant::ZERO);
    if let Err(cause) = &result {
        world.note(|| format!("failed: {cause}"));
    }
    let fabric = world.fabric();
    let (digest, packets) = (fabric.digest(), fabric.packets());
    drop(fabric);
    let capture = world.take_capture();
    let (lines, pcapng) = capture
        .map(|capture| (capture.lines, capture.pcapng))
        .unwrap_or_default();
    {
        let _inside = runtime.enter();
        world.clear();
    }
    Outcome {
        result,
        digest,
        packets,
        elapsed,
        lines,
        pcapng,
    }
}
