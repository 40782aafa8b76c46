//! The footer that `sockeye run --json` writes at the end, read by tests that must know whether a program went through Sockeye.

use crate::process::Finished;
use serde_json::Value;

/// What a run reported about itself.
#[derive(Debug)]
pub(crate) struct Footer(Value);

impl Footer {
    /// The last line of standard error that is a JSON object.
    #[track_caller]
    pub(crate) fn of(finished: &Finished) -> Self {
        let objects = finished.stderr.lines().rev().filter(|line| line.starts_with('{'));
        let parsed = objects.filter_map(|line| serde_json::from_str(line).ok());
        let last = parsed.into_iter().next();
        Self(last.unwrap_or_else(|| panic!("no footer; {finished}")))
    }

    /// A number, by its path: `/link/up/lost`.
    #[track_caller]
    pub(crate) fn number(&self, path: &str) -> u64 {
        let value = self.0.pointer(path).and_then(Value::as_u64);
        value.unwrap_or_else(|| panic!("no number {path} in {}", self.0))
    }

    /// The sum of a number over both directions of the link.
    #[track_caller]
    pub(crate) fn link(&self, counter: &str) -> u64 {
        self.number(&format!("/link/up/{counter}")) + self.number(&format!("/link/down/{counter}"))
    }

    /// Fails unless at least so many TCP connections of the program were made and so many packets crossed the link.
    #[track_caller]
    pub(crate) fn through(&self, connections: u64, packets: u64) {
        let seen = self.number("/connections");
        assert!(seen >= connections, "{seen} connections, not {connections}: {}", self.0);
        let crossed = self.link("packets");
        assert!(crossed >= packets, "{crossed} packets, not {packets}: {}", self.0);
    }
}
