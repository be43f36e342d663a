//! Times between the wire and the rest: protobuf's timestamp as seconds and nanoseconds.

use prost_types::Timestamp;

/// A protobuf timestamp from whole seconds since 1970 (UTC) and nanoseconds within the second.
pub fn to_timestamp(seconds: i64, nanos: u32) -> Timestamp {
    Timestamp { seconds, nanos: i32::try_from(nanos.min(999_999_999)).unwrap_or(0) }
}

/// Whole seconds since 1970 (UTC) and nanoseconds within the second; `None` where the wire
/// holds what no clock says.
pub fn from_timestamp(time: &Timestamp) -> Option<(i64, u32)> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some((time.seconds, nanos))
}
