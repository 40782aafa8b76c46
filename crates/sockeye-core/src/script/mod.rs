//! Packet scripts: packetdrill's notation, run against a TCP/IP.
//!
//! A script says what a program calls, which packets come, and which are expected to go, with times. [`Script::parse`] reads one,
//! [`Script::run`] runs it against a [`Subject`]: a [`crate::Host`] in virtual time ([`OnHost`]), or the machine's own TCP/IP behind a TUN
//! (in `sockeye-cli`). The notation is the one of packetdrill's reference; docs/scripts.md has it on one page. In place of embedded
//! Python stand plain assertions, in place of shell commands sysctls.
//!
//! | file | |
//! |---|---|
//! | `lexer.rs`, `parse/`, `tree.rs` | characters to tokens to a tree |
//! | `python/`, `info.rs` | assertions, and the names in them |
//! | `request.rs`, `control.rs`, `constants.rs` | a socket statement, resolved and compared |
//! | `flow.rs`, `craft.rs`, `expect.rs` | the script's numbers and the wire's; packets in, packets out |
//! | `run.rs` | the events, one after the other |
//! | `subject.rs` | what is under test |

mod commands;
mod constants;
mod control;
mod craft;
mod expect;
mod fault;
mod flags;
mod flow;
mod info;
mod lexer;
mod on_host;
mod parse;
mod python;
mod request;
mod run;
mod subject;
mod tree;

pub use fault::{At, Fault};
pub use flags::Setup;
pub use on_host::OnHost;
pub use subject::{Outcome, Request, Subject};
pub use tree::Script;
