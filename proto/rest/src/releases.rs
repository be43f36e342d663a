//! Releases: the Artifacts of one name. `/api/management/v1/deployments/deployments/releases`
//! and its v2.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::artifacts::Artifact;

/// A release as v1 spells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleaseV1 {
    pub name: String,
    pub modified: DateTime<Utc>,
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    #[serde(default)]
    pub artifacts_count: u32,
    #[serde(default, rename = "tags")]
    pub tags: Vec<String>,
    #[serde(default, rename = "notes", skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// A release as v2 spells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Release {
    pub name: String,
    /// Of its newest Artifact.
    pub modified: DateTime<Utc>,
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    #[serde(default)]
    pub artifacts_count: u32,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub notes: String,
}

/// What to change of a release: the body of `PATCH releases/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleaseNotes {
    /// At most 1024 printable characters.
    pub notes: String,
}
