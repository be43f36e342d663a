//! An Artifact as the server knows it: what its header said, and where it is used.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use rota_types::ArtifactId;
use uuid::Uuid;

/// The depends key that every Artifact has: the device types it can be installed on.
pub(crate) const DEVICE_TYPE: &str = "device_type";

/// What an Artifact asks of a device: for each key, the values that will do.
pub(crate) type Depends = BTreeMap<String, Vec<String>>;

/// What a device has, or an installed Artifact leaves behind: one value for each key.
pub(crate) type Provides = BTreeMap<String, String>;

/// The longest description (server API, names and sizes), in characters.
pub(crate) const MAX_DESCRIPTION: usize = 4096;

/// An uploaded Artifact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Artifact {
    pub(crate) id: ArtifactId,
    /// Also the name of the release it belongs to.
    pub(crate) name: String,
    /// What people wrote about it.
    pub(crate) description: String,
    pub(crate) format_version: u32,
    pub(crate) signed: bool,
    pub(crate) updates: Vec<Update>,
    pub(crate) provides: Provides,
    pub(crate) depends: Depends,
    /// Globs of provides that an installation removes first; `None` where the Artifact does
    /// not say.
    pub(crate) clears_provides: Option<Vec<String>>,
    pub(crate) size_bytes: u64,
    /// Where its bytes lie.
    pub(crate) blob: Uuid,
    pub(crate) modified: DateTime<Utc>,
}

/// One payload of an Artifact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Update {
    /// The payload type; `None` for the empty payload.
    pub(crate) payload_type: Option<String>,
    pub(crate) files: Vec<File>,
    /// A JSON object for the Update Module.
    pub(crate) metadata: serde_json::Map<String, serde_json::Value>,
}

/// One payload file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct File {
    pub(crate) name: String,
    /// SHA-256 in lower-case hexadecimal.
    pub(crate) checksum: String,
    pub(crate) size_bytes: u64,
    /// When it was last modified.
    pub(crate) modified: Option<DateTime<Utc>>,
}

impl Artifact {
    /// The device types it can be installed on.
    pub(crate) fn device_types(&self) -> &[String] {
        self.depends.get(DEVICE_TYPE).map_or(&[], Vec::as_slice)
    }
}

/// Artifacts by id, as lists of device records want them.
pub(crate) type ArtifactsById = HashMap<ArtifactId, Artifact>;

/// How a name is compared in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameMatch {
    /// Exactly, or as a prefix when it ends in `*`; `\*` stands for the character itself.
    ExactOrPrefix,
    /// Anywhere, whatever the case.
    Substring,
}

/// By what a list of Artifacts is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArtifactOrder {
    Name,
    Modified,
}

/// Which way a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

impl Direction {
    /// The SQL keyword.
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

/// Which Artifacts a list shows.
#[derive(Debug, Clone)]
pub(crate) struct ArtifactFilter {
    /// Any of these names; all, when empty.
    pub(crate) names: Vec<String>,
    pub(crate) name_match: NameMatch,
    /// Part of the description, whatever the case; empty: any.
    pub(crate) description: String,
    /// A device type it can be installed on; empty: any.
    pub(crate) device_type: String,
    pub(crate) order: ArtifactOrder,
    pub(crate) direction: Direction,
}

/// How much an upload may say about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UploadHead {
    pub(crate) description: String,
    /// The size that the uploader announced, in bytes; it must be the real one.
    pub(crate) size_bytes: Option<u64>,
    /// The id that the uploader chose; minted otherwise.
    pub(crate) id: Option<ArtifactId>,
}

/// A tenant's space for Artifacts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Storage {
    /// `None`: no limit.
    pub(crate) limit_bytes: Option<u64>,
    pub(crate) used_bytes: u64,
}

impl Storage {
    /// How much more fits; `None`: any amount.
    pub(crate) fn free_bytes(self) -> Option<u64> {
        self.limit_bytes.map(|limit| limit.saturating_sub(self.used_bytes))
    }
}
