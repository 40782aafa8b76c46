//! `sockeye script`: packet scripts, against Sockeye's own TCP/IP in virtual time or against the machine's.

mod linux;

use crate::args::{Against, ScriptArgs};
use crate::failure::{Failure, say};
use linux::Linux;
use sockeye_core::script::{Fault, Script};
use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;

/// What became of one script.
enum Ended {
    Held,
    Failed(Fault),
    /// It could not be run.
    Broken(Failure),
}

pub(crate) fn script(args: &ScriptArgs) -> Result<u8, Failure> {
    let mut status = 0;
    // In real time most of it is waiting: several scripts wait together, and are told of in order.
    let at_once = match args.against {
        Against::Sockeye => 1,
        Against::Linux => 8,
    };
    let mut todo = args.files.iter();
    let mut running = VecDeque::new();
    loop {
        while running.len() < at_once
            && let Some(path) = todo.next()
        {
            let (file, against) = (path.clone(), args.against);
            running.push_back((path, std::thread::spawn(move || run(&file, against))));
        }
        let Some((path, thread)) = running.pop_front() else {
            return Ok(status);
        };
        let ended = thread
            .join()
            .unwrap_or_else(|_| Ended::Broken(Failure::ours(format!("{}: the run ended early", path.display()))));
        let name = path.display();
        match ended {
            Ended::Held if args.quiet => {}
            Ended::Held => print(&format!("ok    {name}")),
            Ended::Failed(fault) => {
                print(&format!("FAIL  {fault}"));
                status = status.max(1);
            }
            Ended::Broken(failure) => {
                say(&failure.text);
                status = failure.status;
            }
        }
    }
}

/// One line on standard output. There is nobody to tell when that is closed.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn run(path: &Path, against: Against) -> Ended {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Ended::Broken(Failure::ours(format!("{name}: {error}"))),
    };
    let script = match Script::parse(&name, &text) {
        Ok(script) => script,
        Err(fault) => return Ended::Broken(Failure::ours(fault.to_string())),
    };
    let result = match against {
        Against::Sockeye => script.run_on_host().map_err(Ended::Failed),
        Against::Linux => on_linux(&script),
    };
    result.err().unwrap_or(Ended::Held)
}

/// This thread is the script's own, and gets a network of its own: nothing of the machine's is touched, and nothing is left of it.
fn on_linux(script: &Script) -> Result<(), Ended> {
    let setup = script
        .setup()
        .map_err(|fault| Ended::Broken(Failure::ours(fault.to_string())))?;
    let mut linux = Linux::new(&setup).map_err(Ended::Broken)?;
    script.run(&mut linux).map_err(Ended::Failed)
}
