//! What a database error means.

use std::{error::Error, time::Duration};

use rota_types::ErrorCode;
use sqlx::error::{DatabaseError, ErrorKind};

/// The name of the unique constraint or index that refused a row, if that is what happened.
pub fn unique_violation(error: &sqlx::Error) -> Option<&str> {
    violation(error, &ErrorKind::UniqueViolation)
}

/// The name of the foreign key that refused a row, if that is what happened.
pub fn foreign_key_violation(error: &sqlx::Error) -> Option<&str> {
    violation(error, &ErrorKind::ForeignKeyViolation)
}

/// The name of the check that refused a row, if that is what happened.
pub fn check_violation(error: &sqlx::Error) -> Option<&str> {
    violation(error, &ErrorKind::CheckViolation)
}

fn violation<'e>(error: &'e sqlx::Error, kind: &ErrorKind) -> Option<&'e str> {
    let error = error.as_database_error()?;
    (error.kind() == *kind).then(|| error.constraint().unwrap_or_default())
}

/// Whether the transaction lost against another one and may simply be run again:
/// serialisation failure (40001) or deadlock (40P01).
pub fn is_retryable(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("40001" | "40P01"))
}

/// Whether the database could not be reached, had no connection left or is shutting down:
/// the caller may come again.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    use sqlx::Error as E;
    match error {
        E::Io(_)
        | E::Tls(_)
        | E::PoolTimedOut
        | E::PoolClosed
        | E::WorkerCrashed
        | E::BeginFailed => true,
        // Class 08: connection; 53: out of something; 57P: being shut down or starting up;
        // 55P03: a lock that was not to be had in time.
        E::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08")
                || code.starts_with("53")
                || code.starts_with("57P")
                || code == "55P03"
        }),
        _ => false,
    }
}

/// What a caller should be told of an error that the service has no better word for:
/// unavailable, timeout (statement cancelled), conflict (lost against others too often), or
/// our fault.
pub fn error_code(error: &sqlx::Error) -> ErrorCode {
    if is_unavailable(error) {
        ErrorCode::Unavailable
    } else if is_retryable(error) {
        ErrorCode::Conflict
    } else if sqlstate(error).as_deref() == Some("57014") {
        ErrorCode::Timeout
    } else {
        ErrorCode::Internal
    }
}

/// Whether a connection turned out to be dead: closed under us, or told to go (57P01 to 57P03).
pub(crate) fn is_dead_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        error => sqlstate(error).is_some_and(|code| code.starts_with("57P")),
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(DatabaseError::code).map(std::borrow::Cow::into_owned)
}

/// Whether a retryable database error stands anywhere in the chain of causes.
pub(crate) fn caused_by_conflict(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<sqlx::Error>().is_some_and(is_retryable) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// How long to stand back after losing for the `run`th time: up to 10 ms, doubling.
pub(crate) fn conflict_pause(run: u32) -> Duration {
    let longest = Duration::from_millis(10) * 2_u32.saturating_pow(run.saturating_sub(1)).min(64);
    longest.mul_f64(rand::random_range(0.2..1.0))
}
