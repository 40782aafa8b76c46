//! The cost of a transaction by the number of open connections, as SVG; both axes logarithmic.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 60.0;
/// Connections, as powers of ten.
const MOST: f64 = 6.0;
/// Microseconds, as powers of ten.
const COST: (f64, f64) = (-1.0, 4.0);
const COLOURS: [&str; 4] = ["#0b7285", "#c92a2a", "#5f3dc4", "#2b8a3e"];

/// Points by whose they are.
#[derive(Default)]
pub(crate) struct Picture {
    series: Vec<(&'static str, Vec<(usize, f64)>)>,
}

impl Picture {
    /// With so many connections open, a transaction costs so many microseconds.
    pub(crate) fn point(&mut self, whose: &'static str, connections: usize, microseconds: f64) {
        let known = self.series.iter().position(|(name, _)| *name == whose);
        let at = known.unwrap_or_else(|| {
            self.series.push((whose, Vec::new()));
            self.series.len() - 1
        });
        self.series[at].1.push((connections, microseconds));
        self.series[at].1.sort_by_key(|(connections, _)| *connections);
    }

    /// Writes `target/peers.svg`. `None` when there is nothing to draw.
    pub(crate) fn draw(&self) -> Option<io::Result<PathBuf>> {
        if self.series.is_empty() {
            return None;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers.svg");
        Some(std::fs::write(&path, self.svg()).map(|()| path.canonicalize().unwrap_or(path)))
    }

    fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{MARGIN}\" y=\"24\" font-size=\"14\">CPU time of one request and its response, by open connections</text>\n"
        );
        for power in 0..=MOST as i32 {
            let x = x(f64::from(power));
            let label = 10_u64.pow(power as u32);
            let _ = writeln!(
                svg,
                "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{MARGIN}\" stroke=\"#ddd\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                HEIGHT - MARGIN,
                HEIGHT - MARGIN + 18.0
            );
        }
        for power in COST.0 as i32..=COST.1 as i32 {
            let y = y(f64::from(power));
            let label = 10_f64.powi(power);
            let _ = writeln!(
                svg,
                "<line x1=\"{MARGIN}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label} us</text>",
                WIDTH - MARGIN,
                MARGIN - 6.0,
                y + 4.0
            );
        }
        for ((name, points), colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            line(&mut svg, name, points, colour);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn line(svg: &mut String, name: &str, points: &[(usize, f64)], colour: &str) {
    let places: Vec<(f64, f64)> = points
        .iter()
        .map(|(connections, cost)| (x((*connections as f64).log10()), y(cost.log10())))
        .collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    );
    for (x, y) in &places {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
    if let Some((x, y)) = places.last() {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" text-anchor=\"end\">{name}</text>",
            x - 6.0,
            y - 8.0
        );
    }
}

fn x(power: f64) -> f64 {
    MARGIN + power / MOST * (WIDTH - 2.0 * MARGIN)
}

fn y(power: f64) -> f64 {
    let share = (power - COST.0) / (COST.1 - COST.0);
    HEIGHT - MARGIN - share.clamp(0.0, 1.0) * (HEIGHT - 2.0 * MARGIN)
}
