//! Sockeye beside its peers, in one run on one machine: `cargo bench --bench peers [-- --json] [--row N]...`
//!
//! Every line is a ratio, ours by the peer's, both measured alternately in this process: medians of five, by the CPU time that was used, so that a
//! busy machine does not count. docs/performance.md says what each row measures and what it showed.
//!
//! A row is a function in the file of its group, which hands its lines to the [`report::Report`]; [`ROWS`] is the table of them.

mod bulk;
mod cpu;
mod kernel;
mod memory;
mod ours;
mod picture;
mod report;
mod request;
mod run;
mod smoltcp_peer;
mod tasks;
mod tun;

use report::Report;
use std::process::ExitCode;

/// A row by its number, and who measures it.
struct Row {
    number: u8,
    measure: fn(&mut Report),
}

const ROWS: &[Row] = &[
    row(1, bulk::segments),
    row(2, bulk::super_segments),
    row(3, request::alone),
    row(4, request::beside_idle),
    row(5, request::calls),
    row(6, memory::idle),
    row(7, tun::to_us),
    row(8, tun::to_kernel),
    row(9, run::bulk),
    row(10, run::request_response),
    row(11, run::web),
    row(12, bulk::idle_extras),
];

const fn row(number: u8, measure: fn(&mut Report)) -> Row {
    Row { number, measure }
}

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
            memory::SAMPLE => match arguments.next().and_then(|name| memory::sample(&name)) {
                Some(bytes) => {
                    println!("{bytes}");
                    return ExitCode::SUCCESS;
                }
                None => {
                    return usage(
                        "--sample is for profilers and this benchmark's own use: row1, row2, row3, row5, core, tasks",
                    );
                }
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
    report.draw();
    ExitCode::SUCCESS
}

fn usage(wrong: &str) -> ExitCode {
    eprintln!("peers: {wrong}\n\n{HELP}");
    ExitCode::from(2)
}
