//! What can go wrong, each with the words and the code that its caller is told.

use std::collections::BTreeMap;

use rota_blob::BlobError;
use rota_runtime::Failure;
use rota_types::{Coded, ErrorCode, InvalidPage, ParseIdError};
use sqlx::error::DatabaseError;

use crate::model::{
    conflict::MAX_COMBINATIONS,
    control_map::InvalidControlMap,
    deployment::{InvalidDeployment, UnknownDeploymentStatus},
    release::{InvalidRelease, MAX_TENANT_TAGS},
    status::UnknownStatus,
};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Resource not found")]
    NotFound,
    #[error("the caller may not do this")]
    Forbidden,

    #[error("ID is not a valid UUID")]
    NotUuid,
    #[error(transparent)]
    Id(#[from] ParseIdError),
    #[error(transparent)]
    Page(#[from] InvalidPage),
    #[error("{field}: {reason}")]
    Field { field: &'static str, reason: &'static str },
    #[error(transparent)]
    Release(#[from] InvalidRelease),
    #[error("a tenant can have at most {MAX_TENANT_TAGS} different tags")]
    TooManyTags,

    #[error("Cannot parse artifact file: {0}")]
    Artifact(#[source] rota_artifact::Error),
    #[error("the upload was cut off")]
    Cut,
    #[error("too many uploads are under way")]
    Busy,
    #[error("the artifact is {found} bytes long, but {announced} were announced")]
    Size { announced: u64, found: u64 },
    #[error("an artifact may be at most {limit_bytes} bytes long")]
    TooLarge { limit_bytes: u64 },
    #[error("the storage limit of {limit_bytes} bytes is reached")]
    StorageFull { limit_bytes: u64 },
    #[error("the depends stand for more than {MAX_COMBINATIONS} combinations of values")]
    TooManyCombinations,
    #[error("An artifact with the same name and conflicting depends exists already")]
    ArtifactConflict(BTreeMap<String, String>),
    #[error("an artifact with this id exists already")]
    ArtifactIdTaken,
    #[error("Artifact is used in active deployment")]
    ArtifactInUse,
    #[error("Artifact is used in deployment")]
    ArtifactUsed,

    #[error("the link is incomplete")]
    LinkIncomplete,
    #[error("the link is not valid")]
    LinkForged,
    #[error("the link has expired")]
    LinkExpired,

    #[error(transparent)]
    Deployment(#[from] InvalidDeployment),
    #[error(transparent)]
    DeploymentStatus(#[from] UnknownDeploymentStatus),
    #[error("No devices for the deployment")]
    NoDevices,
    #[error("No artifact for the deployment")]
    NoArtifact,
    #[error("Active deployment with the same parameters already exists")]
    DeploymentExists,
    #[error("Deployment already finished")]
    AlreadyFinished,
    #[error(transparent)]
    ControlMap(#[from] InvalidControlMap),
    #[error("the deployment was created without an update control map")]
    NoControlMap,
    #[error("the deployment is finished, and nothing is left for an update control map to hold")]
    Over,

    #[error(transparent)]
    Status(#[from] UnknownStatus),
    #[error("status {0:?} is not for devices to report")]
    NotReportable(String),
    #[error("Device's request changed while a deployment is active")]
    RequestChanged,
    #[error("Deployment was aborted or the device was decommissioned")]
    TakenBack,

    #[error("inventory: {0}")]
    Inventory(#[source] Failure),
    #[error("blob store")]
    Blobs(#[from] BlobError),
    #[error("database")]
    Database(#[from] sqlx::Error),
    #[error("a task of the upload ended unexpectedly")]
    Task(#[from] tokio::task::JoinError),
}

impl Coded for Error {
    fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::NotFound,
            Self::Forbidden | Self::LinkForged | Self::LinkExpired => ErrorCode::Forbidden,
            Self::Artifact(error) if error.is_io() => ErrorCode::Internal,
            Self::NotUuid
            | Self::Id(_)
            | Self::Page(_)
            | Self::Field { .. }
            | Self::Release(_)
            | Self::Artifact(_)
            | Self::Cut
            | Self::Size { .. }
            | Self::TooManyCombinations
            | Self::LinkIncomplete
            | Self::Deployment(_)
            | Self::DeploymentStatus(_)
            | Self::ControlMap(_)
            | Self::NoDevices
            | Self::Status(_)
            | Self::NotReportable(_) => ErrorCode::Invalid,
            Self::Busy => ErrorCode::TooMany,
            Self::TooLarge { .. } | Self::StorageFull { .. } => ErrorCode::TooLarge,
            Self::ArtifactConflict(_) | Self::ArtifactIdTaken | Self::DeploymentExists => {
                ErrorCode::AlreadyExists
            }
            Self::TooManyTags
            | Self::ArtifactInUse
            | Self::NoControlMap
            | Self::Over
            | Self::RequestChanged
            | Self::TakenBack => ErrorCode::Conflict,
            Self::ArtifactUsed | Self::NoArtifact | Self::AlreadyFinished => {
                ErrorCode::Unprocessable
            }
            Self::Inventory(failure) => match failure.code {
                // Busy is passed on; whatever else inventory refuses us is our fault.
                code @ (ErrorCode::Unavailable | ErrorCode::Timeout | ErrorCode::TooMany) => code,
                _ => ErrorCode::Internal,
            },
            Self::Blobs(error) => error.code(),
            Self::Database(error) if is_unstorable_text(error) => ErrorCode::Invalid,
            Self::Database(error) => rota_store::error_code(error),
            Self::Task(_) => ErrorCode::Internal,
        }
    }

    fn public_message(&self) -> String {
        match self {
            Self::Blobs(error) => error.public_message(),
            error if error.code() == ErrorCode::Internal => "internal error".to_owned(),
            Self::Database(error) if is_unstorable_text(error) => {
                "texts must not contain NUL characters".to_owned()
            }
            Self::Database(_) => "the database cannot be reached".to_owned(),
            error => error.to_string(),
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::ArtifactConflict(combination) => {
                let json = serde_json::json!(combination);
                vec![("conflict", json.to_string())]
            }
            Self::Busy => vec![("retry_after_seconds", "5".to_owned())],
            Self::Inventory(failure) => Coded::metadata(failure),
            _ => Vec::new(),
        }
    }
}

/// Whether the database refused a text: it takes every character but NUL (22021, and 22P05
/// within JSON).
fn is_unstorable_text(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| matches!(code.as_ref(), "22021" | "22P05"))
}
