//! How the values of settings look as text, in Linux's notation: `1`, `200`, `4096 131072 6291456`, `cubic`.

use crate::time::Duration;
use std::fmt;
use std::ops::RangeInclusive;

/// What a setting accepts: its unit and its range, or its words.
#[derive(Clone, Debug)]
pub enum Form {
    /// `0` or `1`.
    Flag,
    /// Whole numbers, each in `range`.
    Number {
        /// What they count; empty when each number is a mode of its own.
        unit: &'static str,
        /// Both ends are accepted.
        range: RangeInclusive<u64>,
        /// Nanoseconds of one, when they are times.
        nanos: u64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Four groups of eight hexadecimal digits, or nothing.
    Key,
}

impl Form {
    /// What the numbers count; empty for flags, modes and words.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Number { unit, .. } => unit,
            Self::Flag | Self::Word(_) | Self::Key => "",
        }
    }
}

/// What is accepted: `0 or 1`, `1 to 255`, `reno or cubic`.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("0 or 1"),
            Self::Number { range, .. } => write!(f, "{} to {}", range.start(), range.end()),
            Self::Word(words) => match words {
                [first @ .., last] if !first.is_empty() => write!(f, "{} or {last}", first.join(", ")),
                words => f.write_str(&words.join("")),
            },
            Self::Key => f.write_str("four groups of eight hexadecimal digits, parted by `-`, or nothing"),
        }
    }
}

const fn number(unit: &'static str, range: RangeInclusive<u64>, nanos: u64) -> Form {
    Form::Number { unit, range, nanos }
}

/// 0 or 1.
pub(super) const fn flag() -> Form {
    Form::Flag
}

/// Numbers that each mean something of their own.
pub(super) const fn mode(range: RangeInclusive<u64>) -> Form {
    number("", range, 0)
}

/// So many of something.
pub(super) const fn count(what: &'static str, range: RangeInclusive<u64>) -> Form {
    number(what, range, 0)
}

pub(super) const fn bytes(range: RangeInclusive<u64>) -> Form {
    number("bytes", range, 0)
}

pub(super) const fn seconds(range: RangeInclusive<u64>) -> Form {
    number("seconds", range, 1_000_000_000)
}

pub(super) const fn millis(range: RangeInclusive<u64>) -> Form {
    number("milliseconds", range, 1_000_000)
}

pub(super) const fn micros(range: RangeInclusive<u64>) -> Form {
    number("microseconds", range, 1_000)
}

pub(super) const fn nanos(range: RangeInclusive<u64>) -> Form {
    number("nanoseconds", range, 1)
}

pub(super) const fn word(words: &'static [&'static str]) -> Form {
    Form::Word(words)
}

pub(super) const fn key() -> Form {
    Form::Key
}

/// 128 bits in four words, as Linux writes them: each word's bytes lie in memory lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpenKey(pub [u32; 4]);

/// What a field of the table may be.
pub(super) trait Value: Sized {
    /// How many numbers its text has.
    const NUMBERS: usize = 1;

    /// The value that `text` says; `None` when the form does not allow it.
    fn read(text: &str, form: &Form) -> Option<Self>;

    /// The value as Linux shows it.
    fn show(&self, form: &Form) -> String;
}

/// One number of a text.
fn read_number(text: &str, form: &Form) -> Option<u64> {
    let accepted = match form {
        Form::Number { range, .. } => range,
        Form::Flag => &(0..=1),
        Form::Word(_) | Form::Key => return None,
    };
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    // A sign is no digit, though `from_str_radix` takes one.
    let number = u64::from_str_radix(digits, radix)
        .ok()
        .filter(|_| !digits.starts_with('+'));
    number.filter(|number| accepted.contains(number))
}

/// All numbers of a text: as many as there must be, none less than the one before it.
fn read_numbers<const N: usize>(text: &str, form: &Form) -> Option<[u64; N]> {
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(|text| read_number(text, form)).collect();
    let numbers: [u64; N] = numbers?.try_into().ok()?;
    numbers.is_sorted().then_some(numbers)
}

impl Value for bool {
    fn read(text: &str, form: &Form) -> Option<Self> {
        read_number(text, form).map(|number| number != 0)
    }

    fn show(&self, _: &Form) -> String {
        u8::from(*self).to_string()
    }
}

macro_rules! whole_numbers {
    ($($type:ty)+) => { $(
        impl Value for $type {
            fn read(text: &str, form: &Form) -> Option<Self> {
                read_number(text, form)?.try_into().ok()
            }

            fn show(&self, _: &Form) -> String {
                self.to_string()
            }
        }
    )+ };
}

whole_numbers!(u8 u16 u32 usize);

impl Value for Duration {
    fn read(text: &str, form: &Form) -> Option<Self> {
        let Form::Number { nanos, .. } = form else { return None };
        let number = read_number(text, form)?;
        number.checked_mul(*nanos).map(Self::from_nanos)
    }

    fn show(&self, form: &Form) -> String {
        let Form::Number { nanos, .. } = form else {
            return String::new();
        };
        (self.as_nanos() / u128::from(*nanos).max(1)).to_string()
    }
}

impl Value for Option<FastOpenKey> {
    fn read(text: &str, _: &Form) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        let mut key = [0; 4];
        let mut groups = text.split('-');
        for word in &mut key {
            let group = groups.next().filter(|group| group.len() == 8)?;
            let digits = group.bytes().all(|digit| digit.is_ascii_hexdigit());
            *word = u32::from_str_radix(group, 16).ok().filter(|_| digits)?;
        }
        groups.next().is_none().then_some(Some(FastOpenKey(key)))
    }

    fn show(&self, _: &Form) -> String {
        let Some(FastOpenKey([a, b, c, d])) = self else {
            return String::new();
        };
        format!("{a:08x}-{b:08x}-{c:08x}-{d:08x}")
    }
}

impl Value for (u16, u16) {
    const NUMBERS: usize = 2;

    fn read(text: &str, form: &Form) -> Option<Self> {
        let [first, last] = read_numbers(text, form)?;
        Some((first.try_into().ok()?, last.try_into().ok()?))
    }

    fn show(&self, _: &Form) -> String {
        format!("{}\t{}", self.0, self.1)
    }
}

impl Value for [u32; 3] {
    const NUMBERS: usize = 3;

    fn read(text: &str, form: &Form) -> Option<Self> {
        let numbers: [u64; 3] = read_numbers(text, form)?;
        let narrow: Option<Vec<u32>> = numbers.iter().map(|&number| number.try_into().ok()).collect();
        narrow?.try_into().ok()
    }

    fn show(&self, _: &Form) -> String {
        let [smallest, initial, largest] = self;
        format!("{smallest}\t{initial}\t{largest}")
    }
}

/// An enum whose variants are words of a setting.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`:")] $(#[$vdoc])* $variant,)+
        }

        impl $name {
            /// All of them, by name.
            pub const NAMES: &'static [&'static str] = &[$($word),+];

            /// The one of this name.
            pub fn by_name(name: &str) -> Option<Self> {
                match name {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $crate::settings::form::Value for $name {
            fn read(text: &str, _: &Form) -> Option<Self> {
                Self::by_name(text)
            }

            fn show(&self, _: &Form) -> String {
                self.name().to_owned()
            }
        }
    };
}

pub(super) use words;
