//! Dates as protocols write them, without a calendar library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// A time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    seconds: u64,
}

/// RFC 3339 in UTC with milliseconds. Times before 1970 are written as 1970: clocks that have
/// never been set.
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let Civil { year, month, day, seconds } = civil(since.as_secs());
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

/// An HTTP date in its one current form (RFC 9110, IMF-fixdate): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn parse_http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

    let (_weekday, rest) = text.trim().split_once(", ")?;
    let mut parts = rest.split(' ');
    let day: u64 = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = 1 + MONTHS.iter().zip(0u64..).find(|(month, _)| **month == name)?.1;
    let year: u64 = parts.next()?.parse().ok()?;
    let mut clock = parts.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let in_range = (1970..=9999).contains(&year)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if parts.next() != Some("GMT") || parts.next().is_some() || !in_range {
        return None;
    }
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Whether a text is a time of RFC 3339 as strict readers have it.
pub(crate) fn is_rfc3339(text: &str) -> bool {
    let parse = || {
        let (date, rest) = text.split_at_checked(10)?;
        let (clock, rest) = rest.strip_prefix(['T', 't'])?.split_at_checked(8)?;
        let digits = rest
            .strip_prefix('.')
            .map_or(0, |fraction| 1 + fraction.bytes().take_while(u8::is_ascii_digit).count());
        let (fraction, zone) = rest.split_at_checked(digits)?;
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(clock, ':')?;
        let is_zone = match zone.strip_prefix(['+', '-']) {
            Some(offset) => matches!(numbers(offset, ':'), Some([0..=23, 0..=59])),
            None => matches!(zone, "Z" | "z"),
        };
        // A day that does not exist comes back as another.
        let days = days_from_civil(year.max(1970), month, day).checked_mul(SECONDS_PER_DAY)?;
        let is_day = (1..=12).contains(&month) && day > 0 && civil(days).day == day;
        Some(is_day && is_zone && fraction != "." && hour < 24 && minute < 60 && second <= 60)
    };
    parse().unwrap_or(false)
}

/// Numbers of two digits, a year of four, with this between them.
fn numbers<const N: usize>(text: &str, between: char) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(between);
    for (index, number) in numbers.iter_mut().enumerate() {
        let part = parts.next()?;
        let width = if between == '-' && index == 0 { 4 } else { 2 };
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// `YYYYMMDDHHMMSS` in UTC, as certificates have it; what lies before 1970 is 1970.
pub(crate) fn parse_digits(text: &str) -> Option<SystemTime> {
    let number = |range| text.get::<std::ops::Range<usize>>(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(8..10)?, number(10..12)?, number(12..14)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && text.len() == 14;
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if year < 1970 {
        return Some(UNIX_EPOCH);
    }
    let seconds =
        days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days since 1970 of a date in the Gregorian calendar. Years are counted from March, so that the
/// leap day is the last of its year.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + days_of_era - 719_468
}

/// The inverse of [`days_from_civil`], for seconds.
fn civil(since_1970: u64) -> Civil {
    let days = since_1970 / SECONDS_PER_DAY + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    Civil {
        year: era * 400 + year_of_era + u64::from(month <= 2),
        month,
        day: of_year - (153 * shifted + 2) / 5 + 1,
        seconds: since_1970 % SECONDS_PER_DAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (784_111_777, "1994-11-06T08:49:37.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_795_275_599, "2026-11-21T15:39:59.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(5)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn http_dates() {
        let date = parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(date, UNIX_EPOCH + Duration::from_secs(784_111_777));
        for bad in ["", "7", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(parse_http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_that_strict_readers_take() {
        for good in [
            "2026-11-21T00:00:00Z",
            "2026-11-21t23:59:60.123456789z",
            "2024-02-29T12:00:00.5+05:30",
            "1970-01-01T00:00:00-23:59",
        ] {
            assert!(is_rfc3339(good), "{good}");
        }
        for bad in [
            "",
            "soon",
            "2026-11-21",
            "2026-11-21 00:00:00Z",
            "2026-11-21T00:00:00",
            "2026-11-21T00:00:00.Z",
            "2026-11-21T00:00:00+0530",
            "2026-11-21T00:00:00+24:00",
            "2026-11-21T24:00:00Z",
            "2026-11-21T00:60:00Z",
            "2026-13-21T00:00:00Z",
            "2026-00-21T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "26-11-21T00:00:00Z",
            "2026-11-21T0:00:00Z",
            "+026-11-21T00:00:00Z",
            "2026-11-21T00:00:00Ä",
        ] {
            assert!(!is_rfc3339(bad), "{bad}");
        }
    }

    #[test]
    fn dates_of_certificates() {
        let date = parse_digits("19941106084937").unwrap();
        assert_eq!(date, UNIX_EPOCH + Duration::from_secs(784_111_777));
        assert_eq!(parse_digits("19491231235959"), Some(UNIX_EPOCH));
        for bad in ["", "1994110608493", "199411060849370", "19941306084937", "1994-1-0608493"] {
            assert_eq!(parse_digits(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_day_survives_the_round_trip() {
        for day in (0..80_000).step_by(13) {
            let Civil { year, month, day: of_month, .. } = civil(day * SECONDS_PER_DAY);
            assert_eq!(days_from_civil(year, month, of_month), day);
        }
    }
}
