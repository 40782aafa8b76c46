//! The least that runs a program on a Sockeye host: `supervise PROGRAM [ARGUMENT]...`.

use sockeye_run::{Run, RunConfig};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut config = RunConfig::new(std::env::args_os().skip(1).collect());
    config.verbose = true;
    match Run::spawn(config) {
        Ok(run) => ExitCode::from(run.wait().status),
        Err(error) => {
            eprintln!("supervise: {error}");
            ExitCode::from(error.status())
        }
    }
}
