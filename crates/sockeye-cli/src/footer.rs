//! What is said when a program has ended: a few lines for people, or one JSON object for programs.

use crate::link::Link;
use serde_json::{Value, json};
use sockeye::gateway::LinkCounters;
use sockeye_core::netem::{Discipline, Loss, Netem};
use sockeye_run::Outcome;
use std::fmt::Write as _;
use std::time::Duration;

/// The footer as text: lines without the program's name before them.
pub(crate) fn text(outcome: &Outcome, link: &Link) -> Vec<String> {
    let (up, down) = (&outcome.link.up, &outcome.link.down);
    let connections = outcome.sockets.connected + outcome.sockets.accepted;
    let mut first = format!(
        "{}, {}, {}",
        count(connections, "connection"),
        count(up.packets + down.packets, "packet"),
        bytes(up.bytes + down.bytes)
    );
    if outcome.sockets.failed > 0 {
        let _ = write!(
            first,
            "; {} failed",
            count(outcome.sockets.failed, "connection attempt")
        );
    }
    let again = outcome.host.tcp_retrans_segs + outcome.gateway_host.tcp_retrans_segs;
    if again > 0 {
        let _ = write!(first, "; {} retransmitted", count(again, "segment"));
    }
    if let Some((least, most)) = outcome.rtt {
        let _ = write!(first, "; RTT {}", span(least, most));
    }
    let _ = write!(first, "; seed {}", outcome.seed);
    let mut lines = vec![first];
    if !(link.up.is_none() && link.down.is_none()) {
        lines.push(format!("up   {}", direction(up, &link.up)));
        lines.push(format!("down {}", direction(down, &link.down)));
    }
    lines
}

/// What the link did in one direction: whatever was asked for, and whatever happened.
fn direction(link: &LinkCounters, netem: &Netem) -> String {
    let mut line = format!("{}, {}", count(link.packets, "packet"), bytes(link.bytes));
    let delays = !netem.delay.is_zero() || !netem.jitter.is_zero();
    let loses = netem.loss != Loss::None || !netem.blackhole.is_empty();
    let drops = netem.rate.is_some() && matches!(netem.discipline, Discipline::Codel(_));
    let marks = netem.rate.is_some() && netem.discipline.marks();
    for (what, asked, packets) in [
        ("lost", loses, link.lost),
        ("delayed", delays, link.delayed),
        ("reordered", netem.reorder > 0.0, link.reordered),
        ("duplicated", netem.duplicate > 0.0, link.duplicated),
        ("corrupted", netem.corrupt > 0.0, link.corrupted),
        ("marked", marks, link.marked),
        ("dropped by codel", drops, link.codel_dropped),
        ("dropped, queue full", false, link.overflowed),
    ] {
        if packets > 0 || asked {
            let share = 100.0 * packets as f64 / link.packets.max(1) as f64;
            let _ = write!(line, "; {} {what} ({share:.1}%)", grouped(packets));
        }
    }
    line
}

/// The footer as JSON.
pub(crate) fn json(outcome: &Outcome, link: &Link) -> Value {
    let (up, down) = (&outcome.link.up, &outcome.link.down);
    json!({
        "status": outcome.status,
        "seed": outcome.seed,
        "seconds": outcome.duration.as_secs_f64(),
        "impairments": link.in_words(),
        "connections": outcome.sockets.connected + outcome.sockets.accepted,
        "opened": outcome.sockets.connected,
        "accepted": outcome.sockets.accepted,
        "failed": outcome.sockets.failed,
        "sockets": outcome.sockets.sockets,
        "calls": outcome.sockets.calls,
        "refused_calls": outcome.sockets.refused,
        "packets": up.packets + down.packets,
        "bytes": up.bytes + down.bytes,
        "link": outcome.link,
        "retransmissions": {
            "program": outcome.host.tcp_retrans_segs,
            "gateway": outcome.gateway_host.tcp_retrans_segs,
        },
        "rtt_ms": outcome.rtt.map(|(least, most)| json!({ "min": millis(least), "max": millis(most) })),
        "gateway": outcome.gateway,
        "flows": outcome.flows,
        "pcap_error": outcome.pcap_error,
    })
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// `41 connections`, `1 connection`.
fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// Digits in groups of three: `9 812`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes in thousands: `96.3 kB`.
fn bytes(number: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let unit = units.into_iter().find(|(size, _)| number >= *size);
    unit.map_or_else(
        || format!("{number} bytes"),
        |(size, name)| format!("{:.1} {name}", number as f64 / size as f64),
    )
}

/// From the shortest to the longest time: `124-203ms`, `0.21-0.48ms`, `40ms`.
fn span(least: Duration, most: Duration) -> String {
    let round = |time: Duration| {
        let millis = time.as_secs_f64() * 1e3;
        let digits = match millis {
            ..0.1 => 3,
            ..1.0 => 2,
            ..10.0 => 1,
            _ => 0,
        };
        format!("{millis:.digits$}")
    };
    let (least, most) = (round(least), round(most));
    if least == most {
        format!("{least}ms")
    } else {
        format!("{least}-{most}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (number, want) in [(0, "0"), (999, "999"), (9_812, "9 812"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(number), want);
        }
        assert_eq!(count(1, "packet"), "1 packet");
        assert_eq!(count(0, "packet"), "0 packets");
        for (number, want) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (96_300, "96.3 kB"),
            (64 << 20, "67.1 MB"),
        ] {
            assert_eq!(bytes(number), want);
        }
        let ms = Duration::from_millis;
        assert_eq!(span(ms(124), ms(203)), "124-203ms");
        assert_eq!(span(Duration::from_micros(210), ms(2)), "0.21-2.0ms");
        assert_eq!(
            span(Duration::from_micros(4), Duration::from_micros(70)),
            "0.004-0.070ms"
        );
        assert_eq!(span(ms(40), ms(40)), "40ms");
    }

    #[test]
    fn a_direction_names_what_happened_and_what_was_asked_for() {
        let link = LinkCounters {
            packets: 9_812,
            bytes: 96_300,
            lost: 197,
            ..LinkCounters::default()
        };
        assert_eq!(
            direction(&link, &Netem::NONE),
            "9 812 packets, 96.3 kB; 197 lost (2.0%)"
        );
        assert_eq!(direction(&LinkCounters::default(), &Netem::NONE), "0 packets, 0 bytes");
        let asked = Netem {
            loss: Loss::Random(0.02),
            ..Netem::NONE
        };
        assert_eq!(
            direction(&LinkCounters::default(), &asked),
            "0 packets, 0 bytes; 0 lost (0.0%)"
        );
    }
}
