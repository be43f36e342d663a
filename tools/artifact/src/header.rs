//! What stands in an Artifact's header: who it is for, what it needs, what it gives.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Manifest, Signature};

/// Everything that comes before the payload, checked against the manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Version of the format; always 3.
    pub format_version: u8,
    /// The Artifact's name; several Artifacts of one name make a release.
    pub artifact_name: String,
    /// The Artifact's group, if it is in one.
    pub artifact_group: Option<String>,
    /// Where it may be installed.
    pub depends: HeaderDepends,
    /// The payload's part of the header.
    pub payload: PayloadHeader,
    /// State scripts, sorted by name.
    pub scripts: Vec<Script>,
    /// The checksums of everything, which is what a signature covers.
    pub manifest: Manifest,
    /// Whether it is signed, and whether that was verified.
    pub signature: Signature,
    /// The document `header-info` as it stands in the file.
    pub header_info_json: Vec<u8>,
}

/// Conditions of the whole Artifact (`artifact_depends` of header-info).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderDepends {
    /// Device types it can be installed on; never empty.
    pub device_types: Vec<String>,
    /// Artifacts one of which must be installed before; empty for any.
    pub artifact_names: Vec<String>,
    /// Groups one of which the installed Artifact must have; empty for any.
    pub artifact_groups: Vec<String>,
}

/// The payload's own type-info and meta-data (`headers/0000`).
#[derive(Debug, Clone, PartialEq)]
pub struct PayloadHeader {
    /// What installs it.
    pub payload_type: PayloadType,
    /// Provides that the device must have; each holds one of the listed values.
    pub depends: BTreeMap<String, Vec<String>>,
    /// What the device has after installation.
    pub provides: BTreeMap<String, String>,
    /// Patterns ([`ProvidesGlob`](crate::ProvidesGlob)) of provides that an installation removes
    /// first. `None`: the Artifact does not say, which clears everything.
    pub clears_provides: Option<Vec<String>>,
    /// The meta-data for the Update Module; `None` when absent or of zero bytes.
    pub meta_data: Option<Map<String, Value>>,
    /// The document `type-info` as it stands in the file.
    pub type_info_json: Vec<u8>,
    /// The document `meta-data` as it stands in the file; empty when absent.
    pub meta_data_json: Vec<u8>,
}

/// What installs a payload.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Option<String>", into = "Option<String>")]
pub enum PayloadType {
    /// Nothing: the Artifact only changes provides (type `null`; bootstrap Artifacts).
    Empty,
    /// The Update Module of this name. Read from an Artifact, it is always a plain file name.
    Module(String),
}

impl PayloadType {
    /// The type of whole root filesystem images.
    pub const ROOTFS_IMAGE: &'static str = "rootfs-image";

    /// The name; `None` for the empty payload.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Empty => None,
            Self::Module(name) => Some(name),
        }
    }

    /// Whether it is a whole root filesystem image.
    pub fn is_rootfs_image(&self) -> bool {
        self.name() == Some(Self::ROOTFS_IMAGE)
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("empty payload"))
    }
}

impl From<Option<String>> for PayloadType {
    fn from(name: Option<String>) -> Self {
        name.map_or(Self::Empty, Self::Module)
    }
}

impl From<PayloadType> for Option<String> {
    fn from(payload_type: PayloadType) -> Self {
        match payload_type {
            PayloadType::Empty => None,
            PayloadType::Module(name) => Some(name),
        }
    }
}

/// A state script that travels with the Artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Base name, for example `ArtifactInstall_Enter_00_stop-services`; checked.
    pub name: String,
    /// The script itself.
    pub content: Vec<u8>,
}

impl Header {
    /// All depends in one map, as servers match them: `device_type`, `artifact_name` and
    /// `artifact_group` of the header and those of the payload.
    pub fn all_depends(&self) -> BTreeMap<String, Vec<String>> {
        let HeaderDepends { device_types, artifact_names, artifact_groups } = &self.depends;
        let own = [
            (key::DEVICE_TYPE, device_types),
            (key::ARTIFACT_NAME, artifact_names),
            (key::ARTIFACT_GROUP, artifact_groups),
        ];
        let mut all = self.payload.depends.clone();
        for (key, values) in own {
            if !values.is_empty() {
                all.insert(key.to_owned(), values.clone());
            }
        }
        all
    }

    /// All provides in one map: `artifact_name`, `artifact_group` and those of the payload.
    pub fn all_provides(&self) -> BTreeMap<String, String> {
        let mut all = self.payload.provides.clone();
        all.insert(key::ARTIFACT_NAME.to_owned(), self.artifact_name.clone());
        if let Some(group) = &self.artifact_group {
            all.insert(key::ARTIFACT_GROUP.to_owned(), group.clone());
        }
        all
    }
}

/// Keys that header-info owns; a payload's type-info must not repeat them.
pub(crate) mod key {
    pub(crate) const ARTIFACT_NAME: &str = "artifact_name";
    pub(crate) const ARTIFACT_GROUP: &str = "artifact_group";
    pub(crate) const DEVICE_TYPE: &str = "device_type";
}
