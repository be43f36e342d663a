//! From what a column can hold to what it may hold.

use std::{fmt::Display, str::FromStr};

/// A value that no code of ours writes.
#[derive(Debug, thiserror::Error)]
#[error("inconsistent row: {column} holds {value}")]
struct Inconsistent {
    column: &'static str,
    value: String,
}

fn inconsistent(column: &'static str, value: impl Display) -> sqlx::Error {
    sqlx::Error::Decode(Inconsistent { column, value: value.to_string() }.into())
}

/// A size or count.
pub(super) fn unsigned<T: TryFrom<i64>>(
    column: &'static str,
    value: i64,
) -> Result<T, sqlx::Error> {
    T::try_from(value).map_err(|_| inconsistent(column, value))
}

/// A word of a closed list.
pub(super) fn word<T: FromStr>(column: &'static str, value: &str) -> Result<T, sqlx::Error> {
    value.parse().map_err(|_| unknown(column, value))
}

/// A word that is not of the column's closed list.
pub(super) fn unknown(column: &'static str, value: &str) -> sqlx::Error {
    inconsistent(column, value)
}

/// A size or count on its way into the database. What exceeds the column exceeds every limit
/// that was checked before.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
