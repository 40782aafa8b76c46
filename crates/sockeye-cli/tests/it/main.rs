//! The `sockeye` command with real programs: what a user types, and what must come of it.
//!
//! Programs that are not installed are skipped by name; with `SOCKEYE_REQUIRE_ALL=1` that is a failure.

#![forbid(unsafe_code)]

mod bad_input;
mod capture;
mod examples;
mod footer;
mod need;
mod outside;
mod process;
mod programs;
mod script;
mod status;
mod sysctl;
mod tour;
mod transfer;
mod tun;
