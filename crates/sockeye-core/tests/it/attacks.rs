//! Attacks that others suffered from, each against a host that must stay within its budget and go on serving. One module a target.
//!
//! The attacker speaks for itself, segment by segment: [`crate::target`]. Where the cost of an attack matters, records and steps are counted, never
//! time.

mod blind;
mod memory;
mod neighbours;
mod opening;
mod sender;
