//! Which bytes a download asks for (RFC 9110, section 14).

/// What is served of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// All of it (200).
    Whole,
    /// From `first`, `length` bytes, at least one (206).
    Part { first: u64, length: u64 },
    /// Nothing: the range lies outside (416).
    Unsatisfiable,
    /// Nothing: the client has it already (304).
    NotModified,
}

/// What is served of a file of `size` bytes whose entity tag is `etag`, for a `Range` and an
/// `If-Range` header.
///
/// A range that cannot be understood, several ranges, or an `If-Range` that names another
/// version or a date: all of them get the whole file, as the RFC lets a server do.
pub(crate) fn served(range: Option<&str>, if_range: Option<&str>, size: u64, etag: &str) -> Served {
    if if_range.is_some_and(|condition| condition.trim() != etag) {
        return Served::Whole;
    }
    let Some((first, last)) = range.and_then(parse) else { return Served::Whole };
    match (first, last) {
        (Some(first), last) if first < size => {
            let last = last.unwrap_or(u64::MAX).min(size - 1);
            Served::Part { first, length: last - first + 1 }
        }
        (None, Some(suffix)) if suffix > 0 && size > 0 => {
            let length = suffix.min(size);
            Served::Part { first: size - length, length }
        }
        _ => Served::Unsatisfiable,
    }
}

/// `bytes=first-last`, either of which may be missing but not both.
fn parse(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, spec) = header.split_once('=')?;
    let (first, last) = spec.trim().split_once('-')?;
    let bound = |text: &str| match text.trim() {
        "" => Some(None),
        // A bound beyond 64 bits is a bound all the same: larger than any file.
        text if text.bytes().all(|b| b.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    let (first, last) = (bound(first)?, bound(last)?);
    let ordered = !matches!((first, last), (Some(first), Some(last)) if last < first);
    let named = first.is_some() || last.is_some();
    (unit.trim().eq_ignore_ascii_case("bytes") && ordered && named).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ETAG: &str = "\"a\"";

    #[test]
    fn ranges_as_the_rfc_has_them() {
        let part = |first, length| Served::Part { first, length };
        let cases = [
            (None, Served::Whole),
            (Some("bytes=0-0"), part(0, 1)),
            (Some("bytes=0-9"), part(0, 10)),
            (Some("bytes=3-"), part(3, 7)),
            (Some("BYTES = 3-4"), part(3, 2)),
            (Some("bytes=-4"), part(6, 4)),
            (Some("bytes=-40"), part(0, 10)),
            (Some("bytes=9-99999999999999999999999"), part(9, 1)),
            (Some("bytes=10-"), Served::Unsatisfiable),
            (Some("bytes=99999999999999999999999-"), Served::Unsatisfiable),
            (Some("bytes=-0"), Served::Unsatisfiable),
            (Some("bytes=0-1,3-4"), Served::Whole),
            (Some("bytes=4-3"), Served::Whole),
            (Some("bytes=-"), Served::Whole),
            (Some("bytes=a-b"), Served::Whole),
            (Some("bytes=+1-2"), Served::Whole),
            (Some("lines=1-2"), Served::Whole),
            (Some(""), Served::Whole),
        ];
        for (range, expected) in cases {
            assert_eq!(served(range, None, 10, ETAG), expected, "{range:?}");
        }
        assert_eq!(served(Some("bytes=0-"), None, 0, ETAG), Served::Unsatisfiable);
        assert_eq!(served(Some("bytes=-1"), None, 0, ETAG), Served::Unsatisfiable);
    }

    #[test]
    fn another_version_is_served_whole() {
        let range = Some("bytes=3-");
        assert_eq!(served(range, Some("\"b\""), 10, ETAG), Served::Whole);
        assert_eq!(served(range, Some("W/\"a\""), 10, ETAG), Served::Whole);
        let date = Some("Sat, 21 Nov 2026 10:00:00 GMT");
        assert_eq!(served(range, date, 10, ETAG), Served::Whole);
        assert_eq!(served(range, Some(ETAG), 10, ETAG), Served::Part { first: 3, length: 7 });
    }

    proptest! {
        #[test]
        fn no_header_asks_beyond_the_end(range in "[a-z=0-9, -]{0,30}", size in 0u64..1000) {
            if let Served::Part { first, length } = served(Some(&range), None, size, ETAG) {
                prop_assert!(length > 0 && first + length <= size);
            }
        }

        #[test]
        fn bounds_are_inclusive(first in 0u64..100, more in 0u64..100, size in 1u64..100) {
            let range = format!("bytes={first}-{}", first + more);
            let expected = if first < size {
                Served::Part { first, length: (more + 1).min(size - first) }
            } else {
                Served::Unsatisfiable
            };
            prop_assert_eq!(served(Some(&range), None, size, ETAG), expected);
        }
    }
}
