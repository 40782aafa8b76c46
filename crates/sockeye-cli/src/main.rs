//! The `sockeye` command. It reads flags, calls the crates below, and prints: what a thing means is decided there.

mod args;
mod doctor;
mod failure;
mod footer;
mod host;
mod link;
mod run;
mod script;
mod services;
mod sided;
mod sysctl;
mod values;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    let ended = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Host(args) => host::host(&args),
        Command::Services(args) => services::services(&args),
        Command::Sysctl(args) => sysctl::sysctl(&args),
        Command::Script(args) => script::script(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::WaitForEndOfInput => Ok(doctor::wait_for_end_of_input()),
    };
    ended.map_or_else(|failure| failure.report(), ExitCode::from)
}
