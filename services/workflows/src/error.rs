//! Why workflows refuses or fails.

use rota_types::{Coded, ErrorCode, InvalidPage};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such page.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// A part of the request is malformed.
    #[error("{0}")]
    Malformed(&'static str),
    /// The caller may not do this.
    #[error("not allowed")]
    Forbidden,
    /// There is no such job.
    #[error("job not found")]
    NoJob,
    /// Only a failed job can be taken up again.
    #[error("the job has not failed")]
    NotFailed,
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Page(_) | Self::Malformed(_) => ErrorCode::Invalid,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::NoJob => ErrorCode::NotFound,
            Self::NotFailed => ErrorCode::Conflict,
            Self::Database(error) => rota_store::error_code(error),
        }
    }

    fn public_message(&self) -> String {
        match self.code() {
            ErrorCode::Internal => "internal error".to_owned(),
            ErrorCode::Unavailable => "service unavailable".to_owned(),
            _ => self.to_string(),
        }
    }
}
