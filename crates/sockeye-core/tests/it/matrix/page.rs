//! The matrix on paper: a page with tables, and a picture.

use super::cell::{self, Cell, SHARED, Score, Share, Stack};
use sockeye_core::settings::Settings;
use std::fmt::Write as _;

/// Flows that share the link.
pub(crate) const FLOWS: [usize; 3] = [2, 10, 100];

/// A cell and how both did.
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) ours: Score,
    pub(crate) theirs: Score,
}

impl Row {
    pub(crate) fn measure(cell: Cell) -> Self {
        let score = |stack| cell.score(stack, &Settings::default());
        Self {
            cell,
            ours: score(Stack::Sockeye),
            theirs: score(Stack::Smoltcp),
        }
    }

    /// Its line in the table.
    pub(crate) fn line(&self) -> String {
        let ratio = self.ours.goodput / self.theirs.goodput.max(1.0);
        format!("| {} | {} | {} | {ratio:>5.2} |", self.cell, self.ours, self.theirs)
    }
}

/// The line of so many flows in the table of shares.
pub(crate) fn share_line(flows: usize) -> String {
    let [ours, theirs]: [Share; 2] =
        [Stack::Sockeye, Stack::Smoltcp].map(|stack| SHARED.share(stack, &Settings::default(), flows));
    format!("| {flows:>3} | {ours} | {theirs} |")
}

const HEAD: &str = "\
# Simulation at scale

One connection sends for 20 seconds of virtual time over a link of each kind; beside Sockeye, smoltcp 0.14 (CUBIC, buffers of 4 MiB, 32 islands
out of order) over the same link with the same seeds. Numbers are the mean of three seeds. Loss and reordering befall data, not acknowledgements;
a reordered packet overtakes all that is under way, by half a round-trip time (netem's `reorder`). *Queue* is in packets: a quarter of the
link's bandwidth-delay product, or all of it. *Again* is the share of bytes sent that had been sent before, *needless* the share of bytes sent again of which a
copy sent before was not lost, as an observer of every packet's fate counts it. Goodput is in Mbit/s.

Written by `SOCKEYE_BLESS=1 cargo test --release -p sockeye-core --test it matrix`; a sample is run again by every `cargo test`.

![Share of the link's rate in every cell](simulation.svg)

| loss | reordered | RTT | rate | queue | Sockeye | again | needless | smoltcp | again | needless | ratio |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
";

const SHARE_HEAD: &str = "
## Sharing

Flows that start together and share one link of 100 Mbit/s, 20 ms and a queue of one bandwidth-delay product, for 60 seconds. Goodput of all
flows in Mbit/s; Jain's index of the second half of the time: 1 when all get the same.

| flows | Sockeye | Jain | smoltcp | Jain |
|---:|---:|---:|---:|---:|
";

/// The whole page, from all rows and the lines of shares.
pub(crate) fn page(rows: &[Row], shares: &[String]) -> String {
    let mut page = HEAD.to_owned();
    for row in rows {
        let _ = writeln!(page, "{}", row.line());
    }
    page.push_str(SHARE_HEAD);
    for line in shares {
        let _ = writeln!(page, "{line}");
    }
    page
}

const LEFT: usize = 130;
const TOP: usize = 74;
const WIDE: usize = 112;
const HIGH: usize = 40;
/// The longest bar, and the share of the rate at which bars begin.
const BAR: f64 = 68.0;
const FIRST: f64 = 0.002;

/// A bar for each stack in each cell: links from left to right, what they do to packets from top to bottom.
pub(crate) fn picture(rows: &[Row]) -> String {
    let columns = cell::all().iter().filter(|cell| !cell.is_bad()).count();
    let (width, height) = (LEFT + columns * WIDE, TOP + rows.len() / columns * HIGH + 10);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"18\" font-size=\"14\">Goodput as a share of the link's rate, in percent (bars: logarithmic)</text>\n\
         <rect x=\"8\" y=\"30\" width=\"10\" height=\"10\" fill=\"#c0392b\"/><text x=\"22\" y=\"39\">Sockeye</text>\n\
         <rect x=\"8\" y=\"46\" width=\"10\" height=\"10\" fill=\"#95a5a6\"/><text x=\"22\" y=\"55\">smoltcp</text>\n"
    );
    for (n, row) in rows.iter().enumerate() {
        let (x, y) = (LEFT + n % columns * WIDE, TOP + n / columns * HIGH);
        let cell = row.cell;
        if n < columns {
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"44\">{} ms, {} Mbit/s</text><text x=\"{x}\" y=\"58\">queue of {}</text>",
                cell.rtt,
                cell.rate,
                cell.packets()
            );
        }
        if n % columns == 0 {
            let _ = writeln!(
                svg,
                "<text x=\"8\" y=\"{}\">{} % lost</text><text x=\"8\" y=\"{}\">{} % reordered</text>",
                y + 12,
                f64::from(cell.loss) / 10.0,
                y + 26,
                cell.reorder
            );
        }
        for (score, colour, y) in [(row.ours, "#c0392b", y), (row.theirs, "#95a5a6", y + 15)] {
            let share = score.goodput / cell.capacity();
            let length = ((share / FIRST).ln() / (1.0 / FIRST).ln()).clamp(0.01, 1.0) * BAR;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{length:.1}\" height=\"13\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{:.1}</text>",
                x as f64 + length + 3.0,
                y + 11,
                share * 100.0
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}
