//! What came of the seeds, in words.

use super::capture::stamp;
use super::error::Error;
use super::seeds::Outcome;
use sockeye_core::Instant;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// All seeds passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// How many seeds there were.
    pub seeds: u64,
    /// Fingerprint of all packets of all seeds.
    pub digest: u64,
    /// Packets that hosts sent.
    pub packets: u64,
    /// Virtual time, all seeds together.
    pub elapsed: Duration,
    /// Real time.
    pub real: Duration,
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seeds,
            packets,
            elapsed,
            real,
            digest,
        } = self;
        let hours = elapsed.as_secs_f64() / 3_600.0;
        write!(
            f,
            "{seeds} seeds passed: {hours:.1} hours and {packets} packets in {real:.1?}, digest {digest:016x}"
        )
    }
}

impl Passed {
    pub(super) fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.digest = self.digest.rotate_left(1) ^ outcome.digest ^ seed;
        self.packets += outcome.packets;
        self.elapsed += outcome.elapsed;
    }
}

/// Why a seed failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Wrong input to the runner: no seed was run.
    Input(Error),
    /// The test returned this error.
    Error(String),
    /// A task panicked.
    Panic(String),
    /// Nothing can happen any more, and these wait.
    Stuck(Vec<String>),
    /// The limit of virtual time was reached, and these have not ended.
    Limit(Duration, Vec<String>),
    /// A task or a stack went on for ever at one instant.
    Busy(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(error) => error.fmt(f),
            Self::Error(what) | Self::Panic(what) => f.write_str(what),
            Self::Stuck(waiting) => write!(
                f,
                "stuck: nothing can happen any more, and these wait for ever: {}",
                waiting.join("; ")
            ),
            Self::Limit(limit, waiting) => write!(
                f,
                "not at its end after {limit:?} of virtual time; these run or wait: {}",
                waiting.join("; ")
            ),
            Self::Busy(who) => write!(
                f,
                "time stands still: {who} goes on and on without waiting for anything"
            ),
        }
    }
}

/// A seed that failed; see [`Report`] for what it tells. Shown as text it is the whole report, with `{:?}` as well, so that a test may return
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure(Box<Report>);

impl std::ops::Deref for Failure {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

/// What there is to know of a seed that failed, and how to see it again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The test.
    pub test: String,
    /// The seed; `None` when none was run.
    pub seed: Option<u64>,
    /// Why.
    pub cause: Cause,
    /// Virtual time when it failed.
    pub at: Duration,
    /// Real time that the seed took.
    pub real: Duration,
    /// Seeds that passed before.
    pub passed: u64,
    /// Fingerprint of all packets up to the failure.
    pub digest: u64,
    /// The second run was the same, packet for packet. When not, the test draws chance from elsewhere than the seed.
    pub repeats: bool,
    /// The command that runs this seed again.
    pub replay: String,
    /// The packet timeline, or why it could not be written.
    pub timeline: Result<PathBuf, String>,
    /// The capture in pcapng, or why it could not be written.
    pub capture: Result<PathBuf, String>,
    last: Vec<String>,
}

/// Lines of the timeline in a report.
const SHOWN: usize = 5;

impl Failure {
    pub(super) fn input(test: String, error: Error) -> Self {
        Self(Box::new(Report::input(test, error)))
    }

    pub(super) fn seed(report: Report) -> Self {
        Self(Box::new(report))
    }
}

impl Report {
    fn input(test: String, error: Error) -> Self {
        let none = || Err("no seed was run".to_owned());
        Self {
            test,
            seed: None,
            cause: Cause::Input(error),
            at: Duration::ZERO,
            real: Duration::ZERO,
            passed: 0,
            digest: 0,
            repeats: true,
            replay: String::new(),
            timeline: none(),
            capture: none(),
            last: Vec::new(),
        }
    }

    pub(super) fn seed(
        test: String,
        seed: u64,
        cause: Option<&Cause>,
        shown: &Outcome,
        files: [Result<PathBuf, String>; 2],
    ) -> Self {
        let [timeline, capture] = files;
        let lines: Vec<&str> = shown.lines.lines().collect();
        Self {
            replay: replay(&test, seed),
            seed: Some(seed),
            cause: cause.map_or_else(|| Cause::Error(String::new()), Clone::clone),
            at: shown.elapsed,
            digest: shown.digest,
            timeline,
            capture,
            last: lines[lines.len().saturating_sub(SHOWN)..]
                .iter()
                .map(|line| (*line).to_owned())
                .collect(),
            ..Self::input(test, Error::NoSeeds)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(seed) = self.seed else {
            return write!(f, "{}: {}", self.test, self.cause);
        };
        writeln!(
            f,
            "{} FAILED: seed {seed}, virtual {}, real {:.1?}, after {} seeds that passed",
            self.test,
            stamp(Instant::ZERO + self.at),
            self.real,
            self.passed
        )?;
        writeln!(f, "  {}", self.cause)?;
        for line in &self.last {
            writeln!(f, "  {line}")?;
        }
        if !self.repeats {
            writeln!(
                f,
                "  NOT REPEATABLE: a second run sent other packets; look for chance that is not the seed's (see sockeye::sim, Limits)"
            )?;
        }
        writeln!(f, "  replay:   {}", self.replay)?;
        for (what, file) in [("timeline", &self.timeline), ("capture ", &self.capture)] {
            match file {
                Ok(path) => writeln!(f, "  {what}: {}", path.display())?,
                Err(why) => writeln!(f, "  {what}: none, {why}")?,
            }
        }
        write!(f, "  digest:   {:016x}", self.digest)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// The test's name, as far as its thread tells.
pub(super) fn thread_name() -> String {
    std::thread::current().name().unwrap_or("main").to_owned()
}

/// What to type to run a seed again.
fn replay(test: &str, seed: u64) -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let is_test = program
        .parent()
        .is_some_and(|folder| folder.file_name().is_some_and(|name| name == "deps"));
    if is_test && test != "main" {
        let package = std::env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!(" -p {name}"));
        return format!("SOCKEYE_SEED={seed} cargo test{package} {test}");
    }
    let arguments = std::env::args().skip(1).map(|argument| format!(" {argument}"));
    format!(
        "SOCKEYE_SEED={seed} {}{}",
        program.display(),
        arguments.collect::<String>()
    )
}

/// `target/sockeye`, where the target folder is the one that this program was built into.
pub(super) fn default_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target
        .map_or_else(|| PathBuf::from("target"), std::path::Path::to_path_buf)
        .join("sockeye")
}
