//! What can go wrong here, and what its caller is told.

use std::sync::Arc;

use rota_runtime::Failure;
use rota_types::{Coded, DeviceId, ErrorCode, InvalidPage};

use crate::model::{InvalidIdentity, InvalidRequest, Refused};

/// A failure of deviceauth.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Request(#[from] InvalidRequest),
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
    #[error("the public key cannot be used: {0}")]
    Key(#[from] rota_auth::DeviceKeyError),
    #[error("the request must be signed: X-MEN-Signature is missing")]
    NoSignature,
    #[error("signature verification failed")]
    Signature,
    /// Pending, rejected, or on its way out: whoever asks for a token learns no more.
    #[error("dev auth: unauthorized")]
    Unauthorized,
    #[error("Account suspended")]
    Suspended,
    #[error("the tenant has as many devices waiting for a decision as it may have")]
    TooManyPending,
    #[error("device not found")]
    DeviceNotFound,
    #[error("the auth set belongs to another device")]
    AuthSetOfAnother,
    #[error("token not found")]
    TokenNotFound,
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("device status must be accepted, rejected or pending")]
    Status,
    #[error("maximum number of accepted devices reached")]
    LimitReached,
    #[error("a device with this identity exists already")]
    Exists(DeviceId),
    #[error("device {0} is not being decommissioned")]
    NotDecommissioning(DeviceId),
    #[error("the limit must be -1 (none), 0 or more")]
    Limit,
    #[error(transparent)]
    Page(#[from] InvalidPage),
    #[error("this caller may not do that")]
    Forbidden,
    #[error("the service is under load: come again")]
    Contended,
    #[error("the tenant cannot be told now")]
    Tenant(#[source] Arc<Failure>),
    #[error("the database cannot serve this now")]
    Database(#[from] sqlx::Error),
    #[error("deviceauth.{table}, row {row}: {column} cannot be read")]
    Row { table: &'static str, column: &'static str, row: String },
    #[error("no token can be issued")]
    Token(#[from] rota_trust::NoKey),
}

/// How long a device is told to stay away that found the tenant full: until people have looked
/// at some of those that wait. Seconds.
const FULL_RETRY_SECONDS: u32 = 300;

/// How long one is told to stay away that met an outage or a queue. Seconds.
const BUSY_RETRY_SECONDS: u32 = 5;

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Request(InvalidRequest::TooLong) => ErrorCode::TooLarge,
            Self::Request(_)
            | Self::Identity(_)
            | Self::Key(_)
            | Self::NoSignature
            | Self::AuthSetOfAnother
            | Self::Status
            | Self::Limit
            | Self::Page(_)
            | Self::Refused(Refused::Transition { .. } | Refused::Decommissioning) => {
                ErrorCode::Invalid
            }
            Self::Signature | Self::Unauthorized | Self::Suspended => ErrorCode::Unauthenticated,
            Self::TooManyPending | Self::Refused(Refused::TooManyAuthSets) => ErrorCode::TooMany,
            Self::DeviceNotFound | Self::TokenNotFound | Self::Refused(Refused::UnknownAuthSet) => {
                ErrorCode::NotFound
            }
            Self::LimitReached => ErrorCode::Unprocessable,
            Self::Exists(_) => ErrorCode::AlreadyExists,
            Self::NotDecommissioning(_) => ErrorCode::Conflict,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::Tenant(failure) => match failure.code {
                // The token is nobody's, and nobody takes such devices.
                ErrorCode::Unauthenticated => ErrorCode::Unauthenticated,
                ErrorCode::Internal => ErrorCode::Internal,
                _ => ErrorCode::Unavailable,
            },
            Self::Database(error) => rota_store::error_code(error),
            Self::Row { .. } => ErrorCode::Internal,
            Self::Contended | Self::Token(_) => ErrorCode::Unavailable,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        if let Self::Exists(device) = self {
            return vec![("device_id", device.to_string())];
        }
        let seconds = match self.code() {
            ErrorCode::TooMany => FULL_RETRY_SECONDS,
            ErrorCode::Unavailable | ErrorCode::Timeout => BUSY_RETRY_SECONDS,
            _ => return Vec::new(),
        };
        vec![("retry_after_seconds", seconds.to_string())]
    }
}
