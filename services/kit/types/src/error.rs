//! The closed list of what can go wrong, as a caller sees it.

use std::{error::Error, fmt, str::FromStr};

/// What kind of failure a caller met. Every service error maps to exactly one; the
/// transports map it on (gRPC code, HTTP status) in one table each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request is malformed or breaks a rule of its fields. HTTP 400.
    Invalid,
    /// Nobody is signed in, or the proof does not hold. HTTP 401.
    Unauthenticated,
    /// The caller is known and may not do this. HTTP 403.
    Forbidden,
    /// There is no such thing, or the caller may not know that there is. HTTP 404.
    NotFound,
    /// It exists already. HTTP 409.
    AlreadyExists,
    /// The request does not fit the present state. HTTP 409.
    Conflict,
    /// It existed and is gone for good: a link that was used up. HTTP 410.
    Gone,
    /// A condition of the caller (`If-Match`) does not hold. HTTP 412.
    Precondition,
    /// The body or a part of it is larger than allowed. HTTP 413.
    TooLarge,
    /// The content type is not one that is understood here. HTTP 415.
    UnsupportedMedia,
    /// Well-formed, but it cannot be carried out as it stands. HTTP 422.
    Unprocessable,
    /// Too many requests; the metadata may say when to come again. HTTP 429.
    TooMany,
    /// A part that is needed cannot be reached now; come again. HTTP 503.
    Unavailable,
    /// The answer did not come in time. HTTP 504.
    Timeout,
    /// A fault of ours; the cause is in the log under the request id. HTTP 500.
    Internal,
}

impl ErrorCode {
    /// Every code, for tables and tests.
    pub const ALL: [Self; 15] = [
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::Gone,
        Self::Precondition,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::Unprocessable,
        Self::TooMany,
        Self::Unavailable,
        Self::Timeout,
        Self::Internal,
    ];

    /// The code's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Conflict => "CONFLICT",
            Self::Gone => "GONE",
            Self::Precondition => "PRECONDITION",
            Self::TooLarge => "TOO_LARGE",
            Self::UnsupportedMedia => "UNSUPPORTED_MEDIA",
            Self::Unprocessable => "UNPROCESSABLE",
            Self::TooMany => "TOO_MANY",
            Self::Unavailable => "UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::Internal => "INTERNAL",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of [`ErrorCode::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code {0:?}")]
pub struct UnknownErrorCode(String);

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|code| code.name() == name)
            .ok_or_else(|| UnknownErrorCode(name.to_owned()))
    }
}

/// An error that knows what its caller should be told.
pub trait Coded: Error + Send + Sync + 'static {
    /// The kind of failure.
    fn code(&self) -> ErrorCode;

    /// The text for the caller. By default the error's own words, and for
    /// [`ErrorCode::Internal`] nothing but that it was our fault: causes go to the log.
    fn public_message(&self) -> String {
        match self.code() {
            ErrorCode::Internal => "internal error".to_owned(),
            _ => self.to_string(),
        }
    }

    /// Facts that a program needs besides the text (`retry_after_seconds`, `conflict`, …),
    /// as name and value.
    fn metadata(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_comes_back_from_its_name() {
        for code in ErrorCode::ALL {
            assert_eq!(code.name().parse::<ErrorCode>(), Ok(code));
        }
        assert!("NONSENSE".parse::<ErrorCode>().is_err());
    }
}
