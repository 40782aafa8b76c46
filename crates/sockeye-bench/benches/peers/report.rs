//! Lines as they are measured: a table to read, or JSON.

use crate::picture::Picture;
use serde_json::json;

/// How often everything is measured.
pub(crate) const TIMES: usize = 5;

/// What is to be shown.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

/// One thing, measured [`TIMES`] times.
#[derive(Clone)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    fn least(&self) -> f64 {
        self.0[0]
    }

    fn most(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

/// Measures each of `those` in turn, [`TIMES`] times: what slows the machine for a while slows all of them.
pub(crate) fn alternate(those: &mut [&mut dyn FnMut() -> f64]) -> Vec<Samples> {
    let mut values = vec![Vec::new(); those.len()];
    for _ in 0..TIMES {
        for (measure, values) in those.iter_mut().zip(&mut values) {
            values.push(measure());
        }
    }
    values.into_iter().map(Samples::new).collect()
}

/// Where lines go.
pub(crate) struct Report {
    json: bool,
    picture: Picture,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        if !json {
            println!(
                "{:>3}  {:<58} {:>10} {:>10} {:<9} {:>8} {:>8}  {:<4} spread of ours, of the peer's",
                "row", "what", "ours", "peer", "unit", "ratio", "bar", "met"
            );
        }
        Self {
            json,
            picture: Picture::default(),
        }
    }

    /// One line of the table: ours, a peer's, and the ratio that is asked for.
    pub(crate) fn line(&mut self, row: u8, what: &str, unit: &str, bar: Bar, ours: &Samples, peer: &Samples) {
        let ratio = ours.median() / peer.median();
        let (bar, met) = match bar {
            Bar::AtLeast(bar) => (bar, ratio >= bar),
            Bar::AtMost(bar) => (bar, ratio <= bar),
        };
        if self.json {
            let line = json!({
                "row": row, "what": what, "ours": ours.median(), "peer": peer.median(), "unit": unit, "ratio": ratio, "bar": bar, "met": met,
                "spread": {"ours": [ours.least(), ours.most()], "peer": [peer.least(), peer.most()]},
            });
            println!("{line}");
            return;
        }
        println!(
            "{row:>3}  {what:<58} {:>10} {:>10} {unit:<9} {:>8} {:>8}  {:<4} {}..{}, {}..{}",
            short(ours.median()),
            short(peer.median()),
            short(ratio),
            short(bar),
            if met { "yes" } else { "no" },
            short(ours.least()),
            short(ours.most()),
            short(peer.least()),
            short(peer.most()),
        );
    }

    /// A point of the picture: thousands of transactions a CPU second, with so many connections open.
    pub(crate) fn point(&mut self, whose: &'static str, connections: usize, rate: &Samples) {
        self.picture.point(whose, connections, 1e3 / rate.median());
    }

    /// Draws the picture, when there is something to draw.
    pub(crate) fn draw(&self) {
        match self.picture.draw() {
            Some(Ok(path)) if !self.json => println!("\nhow the cost grows with connections: {}", path.display()),
            Some(Err(error)) => eprintln!("peers: the picture could not be written: {error}"),
            _ => {}
        }
    }

    /// A line that could not be measured here.
    pub(crate) fn unmeasured(&mut self, row: u8, what: &str, unit: &str, bar: Bar, why: &str) {
        let (Bar::AtLeast(bar) | Bar::AtMost(bar)) = bar;
        if self.json {
            let line = json!({
                "row": row, "what": what, "ours": null, "peer": null, "unit": unit, "ratio": null, "bar": bar, "met": null, "why": why,
            });
            println!("{line}");
            return;
        }
        println!(
            "{row:>3}  {what:<58} {:>10} {:>10} {unit:<9} {:>8} {:>8}  {:<4} {why}",
            "-",
            "-",
            "-",
            short(bar),
            "-"
        );
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
