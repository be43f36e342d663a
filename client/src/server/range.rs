//! Whether an answer holds the rest of the file that a download has begun.

use ureq::http::{HeaderMap, header};

use super::{ServerError, http::Rest};

/// Which bytes of the body are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// First so many that are there already.
    pub(super) skip: u64,
    /// Then so many that are new.
    pub(super) new: u64,
}

/// For the answer 206. It may start earlier and end earlier than asked.
pub(super) fn of_part(headers: &HeaderMap, rest: &Rest<'_>) -> Result<Fit, ServerError> {
    is_same_file(headers, rest)?;
    let mut ranges = headers.get_all(header::CONTENT_RANGE).iter();
    let text = match (ranges.next(), ranges.next()) {
        (Some(range), None) => range.to_str().unwrap_or_default(),
        (None, _) => return Err(unfit("it does not say which part of the file it holds")),
        (Some(_), Some(_)) => return Err(unfit("it says twice which part of the file it holds")),
    };
    let Some(range) = ContentRange::parse(text) else {
        return Err(unfit(format!("{text:?} is no part of a file")));
    };
    let Rest { offset, total, .. } = *rest;
    if let Some(now) = range.total.filter(|now| *now != total) {
        return Err(changed(format!("it had {total} bytes and now has {now}")));
    }
    if range.first > offset || range.last < offset || range.last >= total {
        let last = total.saturating_sub(1);
        return Err(unfit(format!("asked for bytes {offset}-{last}, but got {text:?}")));
    }
    let length = range.last - range.first + 1;
    if content_length(headers).is_some_and(|announced| announced != length) {
        return Err(unfit(format!("its length is not that of {text:?}")));
    }
    let skip = offset - range.first;
    Ok(Fit { skip, new: length - skip })
}

/// For the answer 200: the server knows no ranges, and starts over.
pub(super) fn of_whole(headers: &HeaderMap, rest: &Rest<'_>) -> Result<Fit, ServerError> {
    is_same_file(headers, rest)?;
    let Rest { offset, total, .. } = *rest;
    match content_length(headers) {
        Some(now) if now == total => Ok(Fit { skip: offset, new: total - offset }),
        Some(now) => Err(changed(format!("it had {total} bytes and now has {now}"))),
        None => Err(unfit("it does not say how long it is")),
    }
}

/// A length, if the server tells one.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    number(headers.get(header::CONTENT_LENGTH)?.to_str().ok()?)
}

/// An entity tag that stands for the very bytes.
pub(super) fn strong_etag(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ETAG)?.to_str().ok().filter(|tag| tag.starts_with('"'))
}

fn is_same_file(headers: &HeaderMap, rest: &Rest<'_>) -> Result<(), ServerError> {
    match (rest.etag, strong_etag(headers)) {
        (Some(before), Some(now)) if before != now => {
            Err(changed(format!("its tag was {before} and is {now}")))
        }
        _ => Ok(()),
    }
}

fn unfit(problem: impl Into<String>) -> ServerError {
    ServerError::Malformed { what: "a download", problem: problem.into() }
}

fn changed(problem: String) -> ServerError {
    ServerError::Changed { problem }
}

/// `bytes <first>-<last>/<total or *>`.
struct ContentRange {
    first: u64,
    last: u64,
    total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let total = if total == "*" { None } else { Some(number(total)?) };
        Some(Self { first: number(first)?, last: number(last)?, total })
    }
}

/// Digits alone.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use ureq::http::{HeaderName, HeaderValue};

    use super::*;

    const REST: Rest<'static> = Rest { offset: 10, total: 100, etag: Some("\"a\"") };

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        // Extending keeps repeated headers.
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    #[derive(Debug, PartialEq)]
    enum Outcome {
        Fits(u64, u64),
        Unfit,
        Changed,
    }

    fn outcome(fit: &Result<Fit, ServerError>) -> Outcome {
        match fit {
            Ok(Fit { skip, new }) => Outcome::Fits(*skip, *new),
            Err(ServerError::Changed { .. }) => Outcome::Changed,
            Err(_) => Outcome::Unfit,
        }
    }

    #[test]
    fn parts_of_a_file() {
        use Outcome::{Changed, Fits, Unfit};
        for (range, expected) in [
            ("bytes 10-99/100", Fits(0, 90)),
            ("bytes 10-99/*", Fits(0, 90)),
            ("bytes 9-99/100", Fits(1, 90)),
            ("bytes 0-99/100", Fits(10, 90)),
            ("bytes 10-98/100", Fits(0, 89)),
            ("bytes 10-10/100", Fits(0, 1)),
            ("bytes 11-99/100", Unfit),
            ("bytes 0-9/100", Unfit),
            ("bytes 10-9/100", Unfit),
            ("bytes 10-100/100", Unfit),
            ("bytes 10-99/101", Changed),
            ("bytes 10-99/99", Changed),
            ("bytes -10-99/100", Unfit),
            ("bytes +10-99/100", Unfit),
            ("bytes 10--99/100", Unfit),
            ("bytes 10-99", Unfit),
            ("bytes 10-99/", Unfit),
            ("bytes 10-99/100/100", Unfit),
            ("bytes 10-99-100/100", Unfit),
            ("bytes */100", Unfit),
            ("bytes=10-99/100", Unfit),
            ("10-99/100", Unfit),
            ("bytes 10-99/x", Unfit),
            ("bytes 1o-99/100", Unfit),
            ("bytes 10-99999999999999999999999/100", Unfit),
            ("garbage", Unfit),
            ("", Unfit),
        ] {
            let fit = of_part(&headers(&[("content-range", range)]), &REST);
            assert_eq!(outcome(&fit), expected, "{range:?}");
        }
    }

    #[test]
    fn what_is_said_besides_must_fit_as_well() {
        use Outcome::{Changed, Fits, Unfit};
        const RANGE: (&str, &str) = ("content-range", "bytes 10-99/100");
        for (lines, expected) in [
            (vec![], Unfit),
            (vec![RANGE, RANGE], Unfit),
            (vec![RANGE, ("content-length", "90")], Fits(0, 90)),
            (vec![RANGE, ("content-length", "91")], Unfit),
            (vec![RANGE, ("etag", "\"a\"")], Fits(0, 90)),
            (vec![RANGE, ("etag", "\"b\"")], Changed),
            (vec![RANGE, ("etag", "W/\"b\"")], Fits(0, 90)),
        ] {
            assert_eq!(outcome(&of_part(&headers(&lines), &REST)), expected, "{lines:?}");
        }
    }

    #[test]
    fn files_from_the_start() {
        use Outcome::{Changed, Fits, Unfit};
        for (lines, expected) in [
            (vec![("content-length", "100")], Fits(10, 90)),
            (vec![("content-length", "99")], Changed),
            (vec![], Unfit),
            (vec![("content-length", "100"), ("etag", "\"b\"")], Changed),
        ] {
            assert_eq!(outcome(&of_whole(&headers(&lines), &REST)), expected, "{lines:?}");
        }
    }
}
