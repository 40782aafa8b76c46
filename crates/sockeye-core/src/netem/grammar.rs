//! Impairments as text, for the command line and for tests: `rate 10mbit queue 100 delay 20ms jitter 2ms normal loss gemodel 1% 10%`.
//!
//! | words | meaning |
//! |---|---|
//! | `delay TIME` | time under way, one direction |
//! | `jitter TIME [SHAPE]`, `distribution SHAPE` | its spread; `uniform` (default), `normal`, `pareto`, `paretonormal` |
//! | `loss PERCENT`, `loss gemodel P [R [1-H [1-K]]]`, `loss every N`, `loss list N,N,..` | see [`Loss`] |
//! | `rate RATE`, `queue PACKETS` | `10mbit`, `10Mbps`; how many packets wait for it |
//! | `ecn STEP` | the queue marks (RFC 3168) beyond `20` packets or a wait of `5ms` |
//! | `codel [target TIME] [interval TIME] [ecn]` | the queue drops, or marks, by RFC 8289; 5ms and 100ms |
//! | `reorder PERCENT [gap N]`, `duplicate PERCENT`, `corrupt PERCENT` | `2%` or `0.02` |
//! | `mtu BYTES [silent]` | longest IP packet; longer ones vanish without an ICMP message if `silent` |
//! | `blackhole TIME..TIME` | nothing passes; may be given several times |
//! | `keep-order` | jitter does not reorder |
//!
//! Numbers that other tools read in different units are refused without one, and every error says what is accepted.

use super::{Codel, Discipline, Distribution, Loss, Netem, Step, Window};
use crate::time::Duration;
use std::fmt;
use std::str::FromStr;

/// What was wrong with a text, and what is accepted instead. One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

fn wrong<T>(text: impl Into<String>) -> Result<T, ParseError> {
    Err(ParseError(text.into()))
}

/// A fraction: `2%` or `0.02`, 0 to 100%.
///
/// # Errors
/// A bare number of 1 or more, which may mean percent or not; anything outside 0 to 100%; anything else.
pub fn parse_percent(text: &str) -> Result<f64, ParseError> {
    let (digits, percent) = match text.strip_suffix('%') {
        Some(digits) => (digits.trim_end(), true),
        None => (text, false),
    };
    let Some(number) = decimal(digits) else {
        return wrong(format!("`{text}` is not a share: say 2% or 0.02"));
    };
    if percent && number > 100.0 {
        return wrong(format!("{text} is more than everything: 0% to 100% is accepted"));
    }
    if !percent && number >= 1.0 {
        let whole = number.min(100.0);
        return wrong(format!("`{text}`: {whole}% or {}?", whole / 100.0));
    }
    Ok(if percent { number / 100.0 } else { number })
}

/// A time with its unit: `50ms`, `1.5s`, `200us`, `10ns`, `2min`. Zero needs none.
///
/// # Errors
/// A number without a unit, which means milliseconds, microseconds or seconds elsewhere; an unknown unit; anything else.
pub fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    let (number, unit) = number_and_unit(text);
    let Some(number) = decimal(number) else {
        return wrong(format!("`{text}` is not a time: say 50ms, 1.5s or 200us"));
    };
    let nanos = match unit {
        "ns" => 1.0,
        "us" | "µs" | "usec" => 1e3,
        "ms" | "msec" => 1e6,
        "s" | "sec" | "secs" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        "" if number == 0.0 => 0.0,
        "" => return wrong(format!("`{text}` has no unit: {text}ms, {text}s or {text}us?")),
        other => {
            return wrong(format!(
                "`{text}`: unknown unit `{other}`; ns, us, ms, s, min and h are accepted"
            ));
        }
    };
    let nanos = number * nanos;
    if nanos > 1e18 {
        return wrong(format!("{text} is too long: at most 30 years"));
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

/// A rate in bits a second: `10mbit`, `10Mbps`, `1.5gbit`, `800kbit/s`, `9600bit`; `kibit`, `mibit` and `gibit` count in 1024s.
///
/// # Errors
/// `kbps`, `mbps` and `gbps` in lower case, which `tc` reads as bytes a second; rates in bytes; no unit; anything else.
pub fn parse_rate(text: &str) -> Result<u64, ParseError> {
    let (number_text, unit) = number_and_unit(text);
    let Some(number) = decimal(number_text) else {
        return wrong(format!("`{text}` is not a rate: say 10mbit or 800kbit"));
    };
    if unit.is_empty() {
        return wrong(format!("`{text}` has no unit: {text}mbit, {text}kbit or {text}bit?"));
    }
    let unit = unit.strip_suffix("/s").unwrap_or(unit);
    let scale = match unit {
        "bps" | "kbps" | "mbps" | "gbps" => {
            let prefix = unit.trim_end_matches("bps");
            let bytes = number * 8.0;
            return wrong(format!(
                "`{text}`: {number_text}{prefix}bit or {bytes}{prefix}bit? (tc reads {unit} as bytes a second)"
            ));
        }
        "Kbps" | "Kb" | "kb" => 1e3,
        "Mbps" | "Mb" => 1e6,
        "Gbps" | "Gb" => 1e9,
        "Tbps" | "Tb" => 1e12,
        _ => match unit.to_ascii_lowercase().as_str() {
            "bit" => 1.0,
            "kbit" => 1e3,
            "mbit" => 1e6,
            "gbit" => 1e9,
            "tbit" => 1e12,
            "kibit" => 1024.0,
            "mibit" => 1_048_576.0,
            "gibit" => 1_073_741_824.0,
            lower
                if matches!(
                    lower,
                    "b" | "kb" | "mb" | "gb" | "kbps" | "mbps" | "gbps" | "kib" | "mib" | "gib"
                ) =>
            {
                let prefix = lower.trim_end_matches("bps").trim_end_matches('b');
                return wrong(format!(
                    "`{text}` is in bytes: rates are in bits, so {}{prefix}bit",
                    number * 8.0
                ));
            }
            _ => {
                return wrong(format!(
                    "`{text}`: unknown unit `{unit}`; bit, kbit, mbit, gbit, Kbps, Mbps and Gbps are accepted"
                ));
            }
        },
    };
    let rate = number * scale;
    if !(1.0..=1e15).contains(&rate) {
        return wrong(format!("{text} is no rate to send at: 1bit to 1000tbit is accepted"));
    }
    Ok(rate.round() as u64)
}

/// A number of bytes: `1500`, `1500B`, `64k`, `64KiB`, `10MB`. As with `tc` and `curl`, k, m and g count in 1024s.
///
/// # Errors
/// Anything else.
pub fn parse_size(text: &str) -> Result<u64, ParseError> {
    let (number, unit) = number_and_unit(text);
    let scale = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1.0),
        "k" | "kb" | "kib" => Some(1024.0),
        "m" | "mb" | "mib" => Some(1_048_576.0),
        "g" | "gb" | "gib" => Some(1_073_741_824.0),
        _ => None,
    };
    match (decimal(number), scale) {
        (Some(number), Some(scale)) if number * scale < 1e18 => Ok((number * scale).round() as u64),
        _ => wrong(format!(
            "`{text}` is not a size: say 1500, 64k or 10M (bytes, in 1024s)"
        )),
    }
}

/// A stretch of time: `10s..25s`; `..5s` starts at once, `10s..` never ends.
///
/// # Errors
/// Anything else; an end that is not after the start.
pub fn parse_window(text: &str) -> Result<Window, ParseError> {
    let Some((start, end)) = text.split_once("..") else {
        return wrong(format!("`{text}` is not a stretch of time: say 10s..25s"));
    };
    let start = if start.is_empty() {
        Duration::ZERO
    } else {
        parse_duration(start)?
    };
    let end = if end.is_empty() {
        Duration::MAX
    } else {
        parse_duration(end)?
    };
    if end <= start {
        return wrong(format!("`{text}` ends before it begins: say 10s..25s"));
    }
    Ok(Window { start, end })
}

impl FromStr for Window {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_window(text)
    }
}

impl FromStr for Distribution {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "uniform" => Ok(Self::Uniform),
            "normal" => Ok(Self::Normal),
            "pareto" => Ok(Self::Pareto),
            "paretonormal" => Ok(Self::ParetoNormal),
            _ => wrong(format!(
                "unknown distribution `{text}`: uniform, normal, pareto and paretonormal are accepted"
            )),
        }
    }
}

impl FromStr for Loss {
    type Err = ParseError;
    /// `2%`, `0.02`, `gemodel P [R [1-H [1-K]]]`, `every N`, `list N,N,..`, `none`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = Words::new(text);
        let loss = loss(&mut words)?;
        match words.next() {
            None => Ok(loss),
            Some(more) => wrong(format!("loss: `{more}` is too much")),
        }
    }
}

impl FromStr for Step {
    type Err = ParseError;
    /// `20` (packets), `5ms`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return parse_queue(text).map(Self::Packets);
        }
        match parse_duration(text) {
            Ok(wait) => Ok(Self::Wait(wait)),
            Err(_) => wrong(format!("`{text}` is no length of a queue: say 20 (packets) or 5ms")),
        }
    }
}

impl FromStr for Codel {
    type Err = ParseError;
    /// `target 5ms interval 100ms ecn`, each optional.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = Words::new(text);
        let codel = codel(&mut words)?;
        match words.next() {
            None => Ok(codel),
            Some(more) => wrong(format!("`{more}`: target TIME, interval TIME and ecn are accepted")),
        }
    }
}

impl FromStr for Netem {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut netem = Self::NONE;
        let mut words = Words::new(text);
        while let Some(word) = words.next() {
            clause(&mut netem, word, &mut words)?;
        }
        Ok(netem)
    }
}

/// Reads one clause, whose first word is `word`.
fn clause(netem: &mut Netem, word: &str, words: &mut Words<'_>) -> Result<(), ParseError> {
    match word {
        "none" => {}
        "delay" => netem.delay = words.value(word, parse_duration)?,
        "jitter" => {
            netem.jitter = words.value(word, parse_duration)?;
            if let Some(shape) = words.peek().and_then(|text| text.parse().ok()) {
                netem.distribution = shape;
                let _ = words.next();
            }
        }
        "distribution" => netem.distribution = words.value(word, Distribution::from_str)?,
        "loss" => netem.loss = loss(words).map_err(|e| within(word, &e))?,
        "rate" => netem.rate = Some(words.value(word, parse_rate)?),
        "queue" => netem.queue = words.value(word, |text| count(text, 1, 1 << 17, "packets"))? as usize,
        "ecn" => netem.discipline = Discipline::Step(words.value(word, Step::from_str)?),
        "codel" => netem.discipline = Discipline::Codel(codel(words).map_err(|e| within(word, &e))?),
        "reorder" => {
            netem.reorder = words.value(word, parse_percent)?;
            if words.peek() == Some("gap") {
                let _ = words.next();
                netem.reorder_gap = words.value("gap", |text| count(text, 0, 1 << 30, "packets"))? as u32;
            }
        }
        "duplicate" => netem.duplicate = words.value(word, parse_percent)?,
        "corrupt" => netem.corrupt = words.value(word, parse_percent)?,
        "mtu" => {
            netem.mtu = Some(words.value(word, parse_mtu)?);
            netem.mtu_silent = words.peek() == Some("silent");
            if netem.mtu_silent {
                let _ = words.next();
            }
        }
        "blackhole" => netem.blackhole.push(words.value(word, parse_window)?),
        "keep-order" => netem.keep_order = true,
        other => {
            return wrong(format!(
                "unknown word `{other}`: delay, jitter, distribution, loss, rate, queue, ecn, codel, reorder, duplicate, corrupt, mtu, \
                 blackhole and keep-order are accepted"
            ));
        }
    }
    Ok(())
}

/// The longest IP packet of a link: 68 (RFC 791 §3.2) to 65535 bytes.
///
/// # Errors
/// Anything else.
pub fn parse_mtu(text: &str) -> Result<u32, ParseError> {
    count(text, 68, 65_535, "bytes").map(|mtu| mtu as u32)
}

/// A queue length in packets, 1 to 131072.
///
/// # Errors
/// Anything else.
pub fn parse_queue(text: &str) -> Result<usize, ParseError> {
    count(text, 1, 1 << 17, "packets").map(|packets| packets as usize)
}

/// The words after `codel`.
fn codel(words: &mut Words<'_>) -> Result<Codel, ParseError> {
    let mut codel = Codel::default();
    while let Some(word @ ("target" | "interval" | "ecn")) = words.peek() {
        let _ = words.next();
        match word {
            "target" => codel.target = words.value(word, parse_duration)?,
            "interval" => codel.interval = words.value(word, parse_duration)?,
            _ => codel.ecn = true,
        }
    }
    if codel.interval.is_zero() {
        return wrong("interval: a time longer than 0 is accepted: say 100ms");
    }
    Ok(codel)
}

fn loss(words: &mut Words<'_>) -> Result<Loss, ParseError> {
    match words.peek() {
        None => wrong("say 2%, gemodel 1% 10%, every 10 or list 3,7"),
        Some("none") => words.next().map_or(Ok(Loss::None), |_| Ok(Loss::None)),
        Some("gemodel") => {
            let _ = words.next();
            let p = words.value("gemodel", parse_percent)?;
            let r = words.another_share()?.unwrap_or(1.0 - p);
            let bad = words.another_share()?.unwrap_or(1.0);
            let good = words.another_share()?.unwrap_or(0.0);
            Ok(Loss::GilbertElliott { p, r, bad, good })
        }
        Some("every") => {
            let _ = words.next();
            Ok(Loss::Every(
                words.value("every", |text| count(text, 1, u64::MAX, "packets"))?,
            ))
        }
        Some("list") => {
            let _ = words.next();
            let numbers = |text: &str| text.split(',').map(|n| count(n, 1, u64::MAX, "packets")).collect();
            let mut list: Vec<u64> = words.value("list", numbers)?;
            list.sort_unstable();
            list.dedup();
            Ok(Loss::List(list))
        }
        Some(_) => {
            if words.peek() == Some("random") {
                let _ = words.next();
            }
            let share = words.next().unwrap_or_default();
            Ok(Loss::Random(parse_percent(share)?))
        }
    }
}

fn within(word: &str, error: &ParseError) -> ParseError {
    ParseError(format!("{word}: {error}"))
}

fn count(text: &str, least: u64, most: u64, what: &str) -> Result<u64, ParseError> {
    match text.parse::<u64>() {
        Ok(n) if (least..=most).contains(&n) => Ok(n),
        _ if most == u64::MAX => wrong(format!(
            "`{text}` is not a number of {what}: {least} or more is accepted"
        )),
        _ => wrong(format!(
            "`{text}` is not a number of {what}: {least} to {most} is accepted"
        )),
    }
}

/// A plain decimal number, without sign, exponent, infinity or blanks.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.bytes().any(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// The words of a line, with a look ahead.
struct Words<'a>(std::iter::Peekable<std::str::SplitWhitespace<'a>>);

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self(text.split_whitespace().peekable())
    }

    fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn peek(&mut self) -> Option<&'a str> {
        self.0.peek().copied()
    }

    /// The value of clause `word`, which has to be there.
    fn value<T>(&mut self, word: &str, parse: impl Fn(&str) -> Result<T, ParseError>) -> Result<T, ParseError> {
        match self.next() {
            None => wrong(format!("{word}: its value is missing")),
            Some(text) => parse(text).map_err(|error| within(word, &error)),
        }
    }

    /// The next word as a share, if it is a number.
    fn another_share(&mut self) -> Result<Option<f64>, ParseError> {
        match self.peek() {
            Some(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                let _ = self.next();
                parse_percent(text).map(Some)
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
