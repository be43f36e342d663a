//! Artifacts and their storage: `/api/management/v1/deployments/artifacts` and its v2.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The file format of an Artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ArtifactFormat))]
pub struct Format {
    /// `mender`.
    pub format: String,
    /// 3.
    pub version: u32,
}

/// The payload's type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TypeInfo {
    /// `rootfs-image` or the name of an Update Module; `null`: an empty payload.
    #[serde(rename = "type")]
    pub payload: Option<String>,
}

/// A file of a payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ArtifactFile))]
pub struct File {
    pub name: String,
    /// SHA-256 in lower-case hexadecimal.
    pub checksum: String,
    /// Bytes.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<DateTime<Utc>>,
}

/// A payload of an Artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ArtifactUpdate))]
pub struct Update {
    #[serde(default)]
    pub type_info: TypeInfo,
    #[serde(default)]
    pub files: Vec<File>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub meta_data: Map<String, Value>,
}

/// An Artifact's own words: what its header says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Contents {
    pub name: String,
    pub device_types_compatible: Vec<String>,
    pub info: Format,
    pub signed: bool,
    pub updates: Vec<Update>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifact_provides: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub artifact_depends: BTreeMap<String, Vec<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clears_artifact_provides: Vec<String>,
}

/// A stored Artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    pub id: String,
    #[serde(default)]
    pub description: String,
    #[serde(flatten)]
    pub contents: Contents,
    /// Of the whole file, in bytes.
    pub size: u64,
    pub modified: DateTime<Utc>,
}

/// The text to describe an Artifact with: the body of `PUT artifacts/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Description {
    pub description: String,
}

/// The parts of `POST artifacts`, in this order; the file comes last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ArtifactUpload))]
pub struct Upload {
    /// At most 4096 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Bytes; when given it must be the file's real size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// A UUID of the uploader's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_id: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Binary))]
    pub artifact: Vec<u8>,
}

/// A download link that needs no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DownloadLink))]
pub struct Link {
    pub uri: String,
    /// The link is of no use afterwards.
    pub expire: DateTime<Utc>,
}

/// How much of its storage a tenant uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StorageLimit {
    /// Bytes; 0: no limit.
    pub limit: u64,
    /// Bytes.
    pub usage: u64,
}
