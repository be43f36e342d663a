//! Why inventory refuses or fails.

use rota_types::{Coded, ErrorCode, InvalidPage};
use sqlx::error::DatabaseError;

use crate::{
    model::{InvalidAttribute, InvalidGroupName, InvalidPredicate, InvalidSearch, UnknownStatus},
    store::devices::MAX_READ_BYTES,
};

/// The most devices that one call moves between groups.
pub(crate) const MAX_MOVED_DEVICES: usize = 30_000;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An attribute breaks a rule.
    #[error(transparent)]
    Attribute(#[from] InvalidAttribute),
    /// A search means nothing.
    #[error(transparent)]
    Search(#[from] InvalidSearch),
    /// A group's name is none.
    #[error(transparent)]
    Group(#[from] InvalidGroupName),
    /// A status word is none.
    #[error(transparent)]
    Status(#[from] UnknownStatus),
    /// There is no such page.
    #[error(transparent)]
    Page(#[from] InvalidPage),
    /// A part of the request is missing or malformed.
    #[error("{0}")]
    Malformed(&'static str),
    /// A list of devices is empty.
    #[error("no devices are given")]
    NoDevices,
    /// A list of devices is too long.
    #[error("at most {MAX_MOVED_DEVICES} devices can be moved at a time")]
    TooManyDevices,
    /// A regular expression is none.
    #[error("{0}")]
    Expression(String),
    /// A search took too long.
    #[error("the search takes too long: narrow it down")]
    TooSlow,
    /// The devices of a page are too large to be shown together.
    #[error(
        "the devices of this page hold more than {} MiB together: ask for fewer with per_page",
        MAX_READ_BYTES >> 20
    )]
    LargePage,
    /// The caller may not do this.
    #[error("not allowed")]
    Forbidden,
    /// The device was removed, and its token is about to end.
    #[error("the device was decommissioned")]
    Decommissioned,
    /// There is no such device.
    #[error("device not found")]
    NoDevice,
    /// The group has no devices, and so there is none.
    #[error("group not found")]
    NoGroup,
    /// The device is not in the group.
    #[error("the device is not in the group")]
    NotMember,
    /// The tags are not those that the caller knows.
    #[error("the tags were changed by somebody else")]
    TagsChanged,
    /// The database failed.
    #[error("database")]
    Database(#[source] sqlx::Error),
}

impl From<InvalidPredicate> for Error {
    fn from(error: InvalidPredicate) -> Self {
        Self::Search(error.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let database = error.as_database_error();
        match database.and_then(DatabaseError::code).as_deref() {
            // invalid_regular_expression
            Some("2201B") => {
                let message = database.map(|error| error.message().to_owned());
                Self::Expression(message.unwrap_or_default())
            }
            _ => Self::Database(error),
        }
    }
}

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Attribute(_)
            | Self::Search(_)
            | Self::Group(_)
            | Self::Status(_)
            | Self::Page(_)
            | Self::Malformed(_)
            | Self::NoDevices
            | Self::TooManyDevices
            | Self::Expression(_)
            | Self::TooSlow
            | Self::LargePage => ErrorCode::Invalid,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::Decommissioned => ErrorCode::Unauthenticated,
            Self::NoDevice | Self::NoGroup | Self::NotMember => ErrorCode::NotFound,
            Self::TagsChanged => ErrorCode::Precondition,
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
