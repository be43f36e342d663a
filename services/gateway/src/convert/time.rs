//! Times: RFC 3339 outside, seconds and nanoseconds inside.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;

use super::Malformed;

/// A time that may be absent.
pub(super) fn optional(time: Option<Timestamp>) -> Result<Option<DateTime<Utc>>, Malformed> {
    let Some(time) = time else { return Ok(None) };
    rota_proto::from_timestamp(&time)
        .and_then(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos))
        .map(Some)
        .ok_or(Malformed("time"))
}

/// A time that is always there.
pub(super) fn required(
    time: Option<Timestamp>,
    what: &'static str,
) -> Result<DateTime<Utc>, Malformed> {
    optional(time)?.ok_or(Malformed(what))
}

/// A time for a service.
pub(super) fn to_wire(time: DateTime<Utc>) -> Timestamp {
    rota_proto::to_timestamp(time.timestamp(), time.timestamp_subsec_nanos())
}
