//! The date as services write it. Civil dates from days since 1970: Howard Hinnant's `civil_from_days`.

use std::time::{SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A moment in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Utc {
    year: i64,
    /// 1..=12.
    month: usize,
    day: u64,
    weekday: usize,
    seconds: u64,
}

impl Utc {
    /// Now, by the machine's clock.
    pub(crate) fn now() -> Self {
        Self::at(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        )
    }

    /// The moment so many seconds after 1970 began.
    pub(crate) fn at(unix: u64) -> Self {
        let days = unix / 86_400;
        // Years that begin in March put the leap day last.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: (year_of_era + era * 400 + u64::from(month <= 2)) as i64,
            month: month as usize,
            day: of_year - (153 * from_march + 2) / 5 + 1,
            weekday: ((days + 4) % 7) as usize,
            seconds: unix % 86_400,
        }
    }

    fn time(self) -> String {
        let (hours, rest) = (self.seconds / 3_600, self.seconds % 3_600);
        format!("{hours:02}:{:02}:{:02}", rest / 60, rest % 60)
    }

    /// `Tuesday, November 24, 2026 02:14:50-UTC`, the first form of RFC 867.
    pub(crate) fn daytime(self) -> String {
        let (weekday, month) = (DAYS[self.weekday], MONTHS[self.month - 1]);
        format!("{weekday}, {month} {}, {} {}-UTC", self.day, self.year, self.time())
    }

    /// `Tue, 24 Nov 2026 02:14:50 GMT`: IMF-fixdate, RFC 9110 §5.6.7.
    pub(crate) fn http(self) -> String {
        let (weekday, month) = (&DAYS[self.weekday][..3], &MONTHS[self.month - 1][..3]);
        format!("{weekday}, {:02} {month} {} {} GMT", self.day, self.year, self.time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_known_days() {
        for (unix, want) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_795_486_490, "Tue, 24 Nov 2026 02:14:50 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        ] {
            assert_eq!(Utc::at(unix).http(), want);
        }
        assert_eq!(
            Utc::at(1_795_486_490).daytime(),
            "Tuesday, November 24, 2026 02:14:50-UTC"
        );
    }
}
