//! Sockeye beside its peers, in one run on one machine: `cargo bench --bench peers [-- --json] [--row N]...`
//!
//! Every line is a ratio, ours by the peer's, both measured alternately in this process: medians of five, by the CPU time that was used, so that a
//! busy machine does not count. docs/performance.md says what each row measures and what it showed.
//!
//! A row is a function in the file of its group, which hands its lines to the [`report::Report`]; [`ROWS`] is the table of them.

mod bulk;
mod cpu;
mod kernel;
mod ours;
mod report;
mod run;
mod smoltcp_peer;

use report::Report;
use std::process::ExitCode;

/// A row by its number, and who measures it.
struct Row {
    number: u8,
    measure: fn(&mut Report),
}

const ROWS: &[Row] = &[
    Row {
        number: 1,
        measure: bulk::segments,
    },
    Row {
        number: 2,
        measure: bulk::super_segments,
    },
    Row {
        number: 9,
        measure: run::bulk,
    },
    Row {
        number: 10,
        measure: run::request_response,
    },
    Row {
        number: 11,
        measure: run::web,
    },
];

const HELP: &str = "cargo bench --bench peers [-- [--json] [--row N]...]

  --json    one object a line: row, what, ours, peer, unit, ratio, bar, met; then the spread, and why there is no number
  --row N   only this row; may be given several times";

fn main() -> ExitCode {
    let mut json = false;
    let mut only = Vec::new();
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|argument| argument == run::AS_PROGRAM).is_some() {
        return run::program(&arguments.collect::<Vec<_>>());
    }
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--row" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number) if ROWS.iter().any(|row| row.number == number) => only.push(number),
                _ => return usage("--row takes the number of a row"),
            },
            // Cargo says so to every benchmark.
            "--bench" => {}
            "--help" | "-h" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            other => return usage(&format!("`{other}` is no argument of this benchmark")),
        }
    }
    cpu::stay_on_one_core();
    let mut report = Report::new(json);
    for row in ROWS.iter().filter(|row| only.is_empty() || only.contains(&row.number)) {
        (row.measure)(&mut report);
    }
    ExitCode::SUCCESS
}

fn usage(wrong: &str) -> ExitCode {
    eprintln!("peers: {wrong}\n\n{HELP}");
    ExitCode::from(2)
}
