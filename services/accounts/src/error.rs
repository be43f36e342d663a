//! What can go wrong here, and what its caller is told.

use std::time::Duration;

use rota_auth::PasswordError;
use rota_types::{Coded, ErrorCode, InvalidPage};

use crate::model::{InvalidEmail, InvalidName, Unfit, UnknownRole};

/// A failure of accounts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The address, the password, or both: whoever tries learns no more.
    #[error("unauthorized")]
    Unauthorized,
    #[error("Account suspended")]
    Suspended,
    #[error(transparent)]
    Email(#[from] InvalidEmail),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    Role(#[from] UnknownRole),
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("user with a given email already exists")]
    Duplicate,
    #[error("current password is not provided or not correct")]
    CurrentPassword,
    #[error("the current password was tried too often")]
    TooManyAttempts { wait: Duration },
    #[error("the password of another user cannot be changed")]
    PasswordOfAnother,
    #[error("user not found")]
    UserNotFound,
    #[error("tenant not found")]
    TenantNotFound,
    #[error("the tenant token is missing or not ours, and there is no default tenant")]
    NoDefaultTenant,
    #[error("a time is out of range")]
    Time,
    #[error(transparent)]
    Page(#[from] InvalidPage),
    #[error("this caller may not do that")]
    Forbidden,
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("the database cannot serve this now")]
    Database(#[from] sqlx::Error),
    #[error("accounts.{table}, row {row}: {column} cannot be read")]
    Row { table: &'static str, column: &'static str, row: String },
    #[error(transparent)]
    Token(#[from] rota_trust::NoKey),
    #[error("the system gives no randomness")]
    Random,
}

/// How long one is told to stay away that met an outage. Seconds.
const BUSY_RETRY_SECONDS: u32 = 5;

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Unauthorized | Self::Suspended | Self::NoDefaultTenant => {
                ErrorCode::Unauthenticated
            }
            Self::Email(_) | Self::Name(_) | Self::Time | Self::Page(_) => ErrorCode::Invalid,
            Self::Unfit(_)
            | Self::Role(_)
            | Self::Duplicate
            | Self::CurrentPassword
            | Self::PasswordOfAnother => ErrorCode::Unprocessable,
            Self::UserNotFound | Self::TenantNotFound => ErrorCode::NotFound,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::TooManyAttempts { .. } => ErrorCode::TooMany,
            Self::Password(error) => error.code(),
            Self::Database(error) => rota_store::error_code(error),
            Self::Token(_) => ErrorCode::Unavailable,
            Self::Row { .. } | Self::Random => ErrorCode::Internal,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match (self, self.code()) {
            (Self::Password(error), _) => error.metadata(),
            (Self::TooManyAttempts { wait }, _) => {
                let seconds = wait.as_secs() + 1;
                vec![("retry_after_seconds", seconds.to_string())]
            }
            (_, ErrorCode::Unavailable | ErrorCode::Timeout) => {
                vec![("retry_after_seconds", BUSY_RETRY_SECONDS.to_string())]
            }
            _ => Vec::new(),
        }
    }
}
