//! From the flags of the link to what Netem does in each direction, and in words.

use crate::args::LinkArgs;
use crate::sided::{Side, Sided, last};
use crate::values::Longest;
use sockeye_core::netem::{Codel, Discipline, Loss, Netem, Step};
use std::fmt::Write as _;
use std::time::Duration;

/// The smallest MTU of a link that carries IPv6. RFC 8200 §5.
const LEAST_LINK_MTU: u32 = 1_280;

/// What the link does.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) up: Netem,
    pub(crate) down: Netem,
    /// The MTU that both hosts know of. A smaller limit inside Netem has to be discovered (RFC 1191, RFC 8201).
    pub(crate) mtu: Option<u32>,
}

impl Link {
    /// What the flags say.
    pub(crate) fn from_args(args: &LinkArgs) -> Self {
        let both =
            |mtu: &&Sided<Longest>| mtu.side == Side::Both && mtu.value.bytes >= LEAST_LINK_MTU && !mtu.value.silent;
        let mtu = args.mtu.last().filter(both).map(|mtu| mtu.value.bytes);
        let (mut up, mut down) = (direction(args, Side::Up), direction(args, Side::Down));
        if mtu.is_some() {
            (up.mtu, down.mtu) = (None, None);
        }
        // Half of an odd number of nanoseconds is no time at all.
        if let Some(rtt) = args.rtt {
            up.delay = rtt / 2;
            down.delay = rtt - up.delay;
        }
        Self { up, down, mtu }
    }

    /// One line for people: `delay 20ms, loss 2%`, or one phrase a direction when they differ.
    pub(crate) fn in_words(&self) -> String {
        let mut words = if self.up == self.down {
            phrase(&self.up)
        } else {
            let or_nothing = |words: String| if words.is_empty() { "nothing".to_owned() } else { words };
            let (up, down) = (or_nothing(phrase(&self.up)), or_nothing(phrase(&self.down)));
            format!("up: {up}; down: {down}")
        };
        if let Some(mtu) = self.mtu {
            let _ = write!(words, "{}mtu {mtu}", if words.is_empty() { "" } else { ", " });
        }
        words
    }
}

fn direction(args: &LinkArgs, side: Side) -> Netem {
    let mut netem = Netem::NONE;
    let share = |values: &[Sided<f64>]| last(values, side).copied().unwrap_or_default();
    let time = |values: &[Sided<Duration>]| last(values, side).copied().unwrap_or_default();
    netem.delay = time(&args.delay);
    netem.jitter = time(&args.jitter);
    netem.reorder = share(&args.reorder);
    netem.duplicate = share(&args.duplicate);
    netem.corrupt = share(&args.corrupt);
    netem.rate = last(&args.rate, side).copied();
    if let Some(longest) = last(&args.mtu, side) {
        (netem.mtu, netem.mtu_silent) = (Some(longest.bytes), longest.silent);
    }
    netem.blackhole = args
        .blackhole
        .iter()
        .filter_map(|window| window.for_side(side).copied())
        .collect();
    if let Some(distribution) = last(&args.distribution, side) {
        netem.distribution = *distribution;
    }
    if let Some(loss) = last(&args.loss, side) {
        netem.loss = loss.clone();
    }
    if let Some(queue) = last(&args.queue, side) {
        netem.queue = *queue;
    }
    if let Some(step) = last(&args.ecn, side) {
        netem.discipline = Discipline::Step(*step);
    }
    if let Some(codel) = last(&args.codel, side) {
        netem.discipline = Discipline::Codel(*codel);
    }
    netem
}

fn phrase(netem: &Netem) -> String {
    let share = |name: &str, value: f64| (value > 0.0).then(|| format!("{name} {}", percent(value)));
    let time = |name: &str, value: Duration| (!value.is_zero()).then(|| format!("{name} {value:?}"));
    let loss = match &netem.loss {
        Loss::None => None,
        Loss::Random(value) => share("loss", *value),
        Loss::GilbertElliott { p, r, .. } => Some(format!("loss in bursts ({}, {})", percent(*p), percent(*r))),
        Loss::Every(n) => Some(format!("every {n}th packet lost")),
        Loss::List(_) => Some("chosen packets lost".to_owned()),
    };
    let parts = [
        time("delay", netem.delay),
        time("jitter", netem.jitter),
        loss,
        share("reorder", netem.reorder),
        share("duplicate", netem.duplicate),
        share("corrupt", netem.corrupt),
        netem.rate.map(|rate| format!("rate {}", bits(rate))),
        netem.rate.and(discipline(netem.discipline)),
        netem
            .mtu
            .map(|mtu| format!("mtu {mtu}{}", if netem.mtu_silent { " silent" } else { "" })),
        (!netem.blackhole.is_empty()).then(|| "outages".to_owned()),
    ];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    said.join(", ")
}

/// What the queue does before it is full.
fn discipline(discipline: Discipline) -> Option<String> {
    match discipline {
        Discipline::Fifo => None,
        Discipline::Step(Step::Packets(packets)) => Some(format!("ecn {packets}")),
        Discipline::Step(Step::Wait(wait)) => Some(format!("ecn {wait:?}")),
        Discipline::Codel(Codel { ecn: false, .. }) => Some("codel".to_owned()),
        Discipline::Codel(Codel { ecn: true, .. }) => Some("codel ecn".to_owned()),
    }
}

/// A share as people write it: `2%`, `0.5%`.
fn percent(share: f64) -> String {
    let hundredths = (share * 1e6).round() / 1e4;
    format!("{hundredths}%")
}

/// A rate as people write it: `10mbit`.
fn bits(rate: u64) -> String {
    let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
    let unit = units.into_iter().find(|(size, _)| rate >= *size);
    unit.map_or_else(
        || format!("{rate}bit"),
        |(size, name)| format!("{}{name}", rate as f64 / size as f64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn link(flags: &str) -> Link {
        let words = ["sockeye", "run"]
            .into_iter()
            .chain(flags.split_whitespace())
            .chain(["--", "true"]);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(run) => Link::from_args(&run.link),
            _ => unreachable!("the words say run"),
        }
    }

    #[test]
    fn flags_say_what_the_link_does() {
        for (flags, words) in [
            ("", ""),
            ("--delay 20ms --loss 2%", "delay 20ms, loss 2%"),
            ("--rtt 100ms", "delay 50ms"),
            ("--loss up:5% --loss down:1%", "up: loss 5%; down: loss 1%"),
            ("--loss 5% --loss down:1%", "up: loss 5%; down: loss 1%"),
            ("--loss 1% --loss 2%", "loss 2%"),
            ("--rate down:1.5mbit --queue 10", "up: nothing; down: rate 1.5mbit"),
            ("--rate 10mbit --ecn 20", "rate 10mbit, ecn 20"),
            (
                "--rate 10mbit --ecn up:5ms",
                "up: rate 10mbit, ecn 5ms; down: rate 10mbit",
            ),
            ("--rate 10mbit --codel", "rate 10mbit, codel"),
            ("--rate 10mbit --codel=ecn", "rate 10mbit, codel ecn"),
            ("--rate up:1mbit --codel", "up: rate 1mbit, codel; down: nothing"),
            ("--mtu 1400", "mtu 1400"),
            ("--mtu 1400silent", "mtu 1400 silent"),
            ("--mtu up:1400", "up: mtu 1400; down: nothing"),
            ("--mtu 600", "mtu 600"),
            (
                "--corrupt 0.5% --reorder 5% --duplicate 2%",
                "reorder 5%, duplicate 2%, corrupt 0.5%",
            ),
            ("--blackhole 1s..2s", "outages"),
        ] {
            assert_eq!(link(flags).in_words(), words, "{flags}");
        }
        assert_eq!(link("--mtu 1400").mtu, Some(1400));
        assert_eq!(link("--mtu 600").mtu, None);
        assert_eq!(link("--blackhole up:1s..2s --blackhole 3s..4s").up.blackhole.len(), 2);
        assert_eq!(link("--blackhole up:1s..2s --blackhole 3s..4s").down.blackhole.len(), 1);
    }
}
