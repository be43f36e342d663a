//! What an Artifact says about itself, in the form a server stores and a tool prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Checksum, Header, PayloadHeader, PayloadType, Signature};

/// Everything worth keeping of an Artifact whose every byte was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of the format; always 3.
    pub format_version: u8,
    /// The Artifact's name.
    pub name: String,
    /// Device types it can be installed on; never empty.
    pub device_types: Vec<String>,
    /// All depends: `device_type`, `artifact_name` and `artifact_group` of the header together
    /// with those of the payload.
    pub depends: BTreeMap<String, Vec<String>>,
    /// All provides: `artifact_name`, `artifact_group` and those of the payload.
    pub provides: BTreeMap<String, String>,
    /// Globs of provides that an installation removes first. `None` means that the Artifact does
    /// not say, which clears everything; an empty list clears nothing.
    pub clears_provides: Option<Vec<String>>,
    /// Whether it is signed, and whether that was verified.
    pub signature: Signature,
    /// Names of the state scripts, sorted.
    pub scripts: Vec<String>,
    /// The payloads; always one.
    pub updates: Vec<Update>,
    /// Size of the whole file in bytes.
    pub size_bytes: u64,
}

/// One payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// What installs it.
    #[serde(rename = "type")]
    pub payload_type: PayloadType,
    /// Its files, in the order in which they stand in the archive.
    pub files: Vec<File>,
    /// The meta-data for the Update Module, if any.
    pub meta_data: Option<Map<String, Value>>,
}

/// One payload file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Base name.
    pub name: String,
    /// SHA-256 of its content.
    pub checksum: Checksum,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Time of last modification, in seconds since 1970-01-01 UTC.
    pub modified_unix: u64,
}

impl Summary {
    /// Puts together what the header said and which files came.
    pub(crate) fn new(header: &Header, files: Vec<File>, size_bytes: u64) -> Self {
        let PayloadHeader { payload_type, clears_provides, meta_data, .. } = &header.payload;
        Self {
            format_version: header.format_version,
            name: header.artifact_name.clone(),
            device_types: header.depends.device_types.clone(),
            depends: header.all_depends(),
            provides: header.all_provides(),
            clears_provides: clears_provides.clone(),
            signature: header.signature,
            scripts: header.scripts.iter().map(|script| script.name.clone()).collect(),
            updates: vec![Update {
                payload_type: payload_type.clone(),
                files,
                meta_data: meta_data.clone(),
            }],
            size_bytes,
        }
    }
}
