//! Simulation at scale: a matrix of loss, reordering, round-trip time, rate and queue, run by Sockeye and by smoltcp on the same track.
//!
//! `docs/simulation.md` and `docs/simulation.svg` are written by `SOCKEYE_BLESS=1 cargo test --release -p sockeye-core --test it matrix` and
//! reviewed like code. Without it a sample of the cells is run again and has to agree with the page.

mod cell;
mod ledger;
mod page;
mod promises;
mod smoltcp;
mod sockeye;
mod track;

use crate::support::env;
use cell::Cell;
use page::{FLOWS, Row};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One cell in so many is run again.
const SAMPLE: usize = 5;
/// How far a cell may be from what the page says before the page has to be written anew: goodput in proportion, shares of bytes in points. The
/// runs repeat to the byte; this is room for small changes of the code.
const GOODPUT: f64 = 0.15;
const POINTS: f64 = 1.0;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// `work` on each of `items`, on all processors, in order.
fn each<T: Copy + Send + Sync, R: Send>(items: &[T], work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            let _ = scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(n) else { return };
                    let result = work(*item);
                    done.lock().expect("no panic while held").push((n, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic while held");
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The numbers of a table's line.
fn numbers(line: &str) -> Vec<f64> {
    let cells = line.trim_matches('|').split('|');
    cells
        .filter_map(|cell| cell.split_whitespace().next()?.parse().ok())
        .collect()
}

/// Lines of the page's tables: the matrix, and the shares.
fn tables() -> [Vec<Vec<f64>>; 2] {
    let page = fs::read_to_string(docs().join("simulation.md")).expect("docs/simulation.md is there");
    let lines = |columns| {
        let lines = page.lines().map(numbers);
        lines.filter(|line| line.len() == columns).collect::<Vec<_>>()
    };
    [lines(12), lines(5)]
}

/// With `SOCKEYE_BLESS`, writes page and picture; else runs a sample of the cells, which must agree with the page.
#[test]
fn matrix() {
    if env("SOCKEYE_BLESS").is_some() {
        let rows = each(&cell::all(), Row::measure);
        let shares = each(&FLOWS, page::share_line);
        fs::write(docs().join("simulation.md"), page::page(&rows, &shares)).expect("docs is there");
        fs::write(docs().join("simulation.svg"), page::picture(&rows)).expect("docs is there");
        return;
    }
    let sample: Vec<Cell> = cell::all().into_iter().step_by(SAMPLE).collect();
    let known = &tables()[0];
    let mut wrong = Vec::new();
    for row in each(&sample, Row::measure) {
        println!("{}", row.line());
        let now = numbers(&row.line());
        let before = known.iter().find(|before| before[..5] == now[..5]);
        let agrees = before.is_some_and(|before| {
            let close = |n: usize| (now[n] / before[n].max(0.01) - 1.0).abs() <= GOODPUT;
            let near = |n: usize| (now[n] - before[n]).abs() <= POINTS;
            close(5) && close(8) && [6, 7, 9, 10].into_iter().all(near)
        });
        if !agrees {
            wrong.push(format!("{}\n  the page has {before:?}", row.line()));
        }
    }
    assert!(
        wrong.is_empty(),
        "docs/simulation.md is out of date:\n{}\nagain, and look at what changed: SOCKEYE_BLESS=1 cargo test --release -p sockeye-core --test it matrix",
        wrong.join("\n")
    );
}

/// What the page has to show.
#[test]
fn matrix_page_keeps_its_promises() {
    if env("SOCKEYE_BLESS").is_some() {
        return; // being written
    }
    let [cells, shares] = tables();
    assert_eq!((cells.len(), shares.len()), (cell::all().len(), FLOWS.len()));
    for line in &cells {
        let (loss, reordered, ours, theirs) = (line[0], line[1], line[5], line[8]);
        assert!(loss + reordered == 0.0 || ours > theirs, "smoltcp is ahead in {line:?}");
    }
    assert!(shares[1][0] == 10.0 && shares[1][2] > 0.95, "{shares:?}");
}
