//! Values with a direction: `2%` is for both, `up:2%` for packets from the program, `down:2%` for packets to it.

use std::fmt::Display;

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Both,
    Up,
    Down,
}

/// A value and the direction it is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sided<T> {
    pub(crate) side: Side,
    pub(crate) value: T,
}

impl<T> Sided<T> {
    /// The value for one direction, if it is for that.
    pub(crate) fn for_side(&self, side: Side) -> Option<&T> {
        (self.side == Side::Both || self.side == side).then_some(&self.value)
    }
}

/// The last of `values` that is for `side`: who says it again, corrects it.
pub(crate) fn last<T>(values: &[Sided<T>], side: Side) -> Option<&T> {
    values.iter().rev().find_map(|value| value.for_side(side))
}

/// A parser for a value with a direction from one for the value alone.
pub(crate) fn sided<T, E: Display>(
    parse: impl Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<Sided<T>, String> + Clone + Send + Sync + 'static {
    move |text| {
        let (side, text) = match text.split_once(':') {
            Some(("up", value)) => (Side::Up, value),
            Some(("down", value)) => (Side::Down, value),
            Some((other, _)) if other.chars().all(|c| c.is_ascii_alphabetic()) => {
                return Err(format!("`{other}:` is no direction: up: and down: are accepted"));
            }
            _ => (Side::Both, text),
        };
        let value = parse(text).map_err(|error| error.to_string())?;
        Ok(Sided { side, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_told_apart() {
        let parse = sided(str::parse::<u8>);
        for (text, side) in [("7", Side::Both), ("up:7", Side::Up), ("down:7", Side::Down)] {
            assert_eq!(parse(text), Ok(Sided { side, value: 7 }));
        }
        assert!(parse("left:7").unwrap_err().contains("up: and down:"));
        let given: Vec<_> = ["1", "up:2", "down:3", "up:4"]
            .iter()
            .map(|t| parse(t).unwrap())
            .collect();
        assert_eq!((last(&given, Side::Up), last(&given, Side::Down)), (Some(&4), Some(&3)));
        assert_eq!(last(&given[..1], Side::Down), Some(&1));
    }
}
