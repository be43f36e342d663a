//! What can go wrong with a store.

use std::{io, path::PathBuf};

use rota_types::{Coded, ErrorCode};

/// Any error, as content streams carry it.
pub type StdError = Box<dyn std::error::Error + Send + Sync>;

/// A store that did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no room for the blob; nothing of it is left.
    #[error("the artifact storage has no space left")]
    NoSpace,
    /// More bytes than the store takes in one blob.
    #[error("a blob may have at most {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// A range that has no byte of the blob.
    #[error("the range lies outside of the blob's {size} bytes")]
    Range {
        /// The blob's size in bytes.
        size: u64,
    },
    /// The content that was to be stored ended with an error of its own.
    #[error("the content broke off")]
    Content(#[source] StdError),
    /// A file or folder of the directory.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried: `read`, `write`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: io::Error,
    },
    /// A request to the object store.
    #[error("the object store did not {operation}")]
    Store {
        /// What was asked of it.
        operation: &'static str,
        /// What it said.
        #[source]
        source: StdError,
    },
    /// The object store stopped sending.
    #[error("the object store fell silent")]
    Silent,
}

impl Coded for BlobError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NoSpace | Self::Store { .. } | Self::Silent => ErrorCode::Unavailable,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::Range { .. } => ErrorCode::Invalid,
            Self::Content(_) | Self::File { .. } => ErrorCode::Internal,
        }
    }

    fn public_message(&self) -> String {
        match self {
            Self::Store { .. } | Self::Silent => {
                "the artifact storage cannot be reached".to_owned()
            }
            Self::Content(_) | Self::File { .. } => "internal error".to_owned(),
            told => told.to_string(),
        }
    }
}

impl BlobError {
    /// What a file operation came to.
    pub(crate) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::File { operation, path, source },
        }
    }
}
