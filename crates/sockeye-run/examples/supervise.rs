//! The least that runs a program on a Sockeye host: `supervise [delay=20ms,loss=2%] PROGRAM [ARGUMENT]...`, the same both ways.

use sockeye_core::netem::Netem;
use sockeye_run::{Run, RunConfig};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut argv: Vec<_> = std::env::args_os().skip(1).collect();
    let netem = argv.first().and_then(|first| first.to_str()?.parse::<Netem>().ok());
    if netem.is_some() {
        argv.remove(0);
    }
    let mut config = RunConfig::new(argv);
    config.up = netem.unwrap_or_default();
    config.down = config.up.clone();
    config.verbose = true;
    if let Some(path) = std::env::var_os("SUPERVISE_PCAP") {
        match std::fs::File::create(path) {
            Ok(file) => config.pcap = Some(Box::new(file)),
            Err(error) => eprintln!("supervise: {error}"),
        }
    }
    match Run::spawn(config) {
        Ok(run) => ExitCode::from(run.wait().status),
        Err(error) => {
            eprintln!("supervise: {error}");
            ExitCode::from(error.status())
        }
    }
}
