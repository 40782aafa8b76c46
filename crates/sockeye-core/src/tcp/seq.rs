//! Arithmetic on the circle of sequence numbers. RFC 9293 §3.4.

use std::ops::{Add, AddAssign, Sub};

/// A point on the circle of 2^32 sequence numbers. No `Ord`: on a circle "less" needs a base. RFC 9293 §3.4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct SeqNumber(pub(crate) u32);

impl SeqNumber {
    /// Bytes from `base` to `self`; negative when `self` lies before `base`.
    pub(crate) const fn since(self, base: Self) -> i32 {
        self.0.wrapping_sub(base.0).cast_signed()
    }

    /// Bytes from `base` to `self`, where the caller knows that `base` does not lie after `self`.
    pub(crate) const fn after(self, base: Self) -> u32 {
        self.0.wrapping_sub(base.0)
    }

    /// `self < other`, for points less than half the circle apart.
    pub(crate) const fn before(self, other: Self) -> bool {
        self.since(other) < 0
    }

    /// `self <= other`.
    pub(crate) const fn at_or_before(self, other: Self) -> bool {
        self.since(other) <= 0
    }

    /// The later of two points.
    pub(crate) const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// `start <= self < start + len`.
    pub(crate) const fn within(self, start: Self, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }
}

impl Add<u32> for SeqNumber {
    type Output = Self;
    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for SeqNumber {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for SeqNumber {
    type Output = Self;
    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

impl std::fmt::Debug for SeqNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_circle_wraps() {
        let (low, high) = (SeqNumber(5), SeqNumber(u32::MAX - 4));
        assert!(high.before(low) && !low.before(high));
        assert_eq!(low.since(high), 10);
        assert_eq!(high.since(low), -10);
        assert_eq!(high + 10, low);
        assert_eq!(low - 10, high);
        assert!(low.within(high, 11) && !low.within(high, 10));
        assert_eq!(high.max(low), low);
    }
}
