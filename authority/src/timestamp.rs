//! Times as the wire writes them. Formatting allocates nothing.

/// A time in milliseconds since the Unix epoch, written as RFC 3339 in UTC, in whole seconds.
pub(crate) struct Timestamp(pub(crate) i64);

/// `2026-11-22T12:00:00Z`.
const TEXT_BYTES: usize = 20;
const DAY_SECONDS: u64 = 86_400;
/// The last second of the year 9999: a year has four digits.
const SECONDS_MAX: u64 = 253_402_300_799;

impl Timestamp {
    pub(crate) fn text(&self) -> Text {
        let seconds = (self.0.max(0).unsigned_abs() / 1000).min(SECONDS_MAX);
        // Both fit: `seconds` is bounded. Divisions of 32 bits are faster.
        let (days, second) = ((seconds / DAY_SECONDS) as u32, (seconds % DAY_SECONDS) as u32);
        let (year, month, day) = civil(days);
        let [a, b] = two(year / 100);
        let [c, d] = two(year % 100);
        let [e, f] = two(month);
        let [g, h] = two(day);
        let [i, j] = two(second / 3600);
        let [k, l] = two(second / 60 % 60);
        let [m, n] = two(second % 60);
        Text([a, b, c, d, b'-', e, f, b'-', g, h, b'T', i, j, b':', k, l, b':', m, n, b'Z'])
    }
}

/// A time as text.
pub(crate) struct Text([u8; TEXT_BYTES]);

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits and signs are ASCII")
    }
}

/// The digits of a number below 100.
const fn two(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

/// Year, month and day of a count of days since 1970-01-01, not before it.
///
/// Years are counted from March, so that the leap day is the last; 400 years have 146,097 days.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
const fn civil(days: u32) -> (u32, u32, u32) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    #[track_caller]
    fn check(seconds: u64) {
        let seconds = i64::try_from(seconds).expect("in range");
        let expected =
            OffsetDateTime::from_unix_timestamp(seconds).expect("in range").format(&Rfc3339).expect("formats");
        let text = Timestamp(seconds * 1000 + 999).text();
        assert_eq!(text.as_str(), expected, "{seconds}");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for seconds in [0, 951_782_399, 951_782_400, 951_868_800, 1_795_348_800, 4_107_542_400, SECONDS_MAX] {
            check(seconds);
        }
        for day in 0..60_000 {
            check(day * DAY_SECONDS + day % DAY_SECONDS);
        }
    }

    #[test]
    fn times_outside_the_calendar_stay_within_it() {
        assert_eq!(Timestamp(i64::MIN).text().as_str(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(i64::MAX).text().as_str(), "9999-12-31T23:59:59Z");
    }
}
