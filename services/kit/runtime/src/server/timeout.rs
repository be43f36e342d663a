//! The `grpc-timeout` header: digits and a unit (gRPC over HTTP/2, "Timeout").

use std::time::Duration;

use http::HeaderMap;

/// The header's name.
pub(crate) const HEADER: &str = "grpc-timeout";

/// The deadline that a request came with; `None` where it has none that can be read.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get(HEADER)?.to_str().ok()?)
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    // At most eight digits, says the protocol; nothing overflows.
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_nonsense_is_not() {
        assert_eq!(parse("1H"), Some(Duration::from_hours(1)));
        assert_eq!(parse("2M"), Some(Duration::from_mins(2)));
        assert_eq!(parse("3S"), Some(Duration::from_secs(3)));
        assert_eq!(parse("10000m"), Some(Duration::from_secs(10)));
        assert_eq!(parse("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for nonsense in ["", "1", "S", "1x", "+1S", "123456789S", "1é"] {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }
}
