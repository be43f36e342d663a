//! The header's documents and archive.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{Checksum, PayloadType, Script};

use super::{
    Builder, WriteError,
    container::{Entry, TarWriter},
};

#[derive(Serialize)]
struct HeaderInfo<'a> {
    payloads: [PayloadInfo<'a>; 1],
    artifact_provides: ArtifactProvides<'a>,
    artifact_depends: ArtifactDepends<'a>,
}

#[derive(Serialize)]
struct PayloadInfo<'a> {
    #[serde(rename = "type")]
    payload_type: &'a PayloadType,
}

#[derive(Serialize)]
struct ArtifactProvides<'a> {
    artifact_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_group: Option<&'a str>,
}

#[derive(Serialize)]
struct ArtifactDepends<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    artifact_name: &'a [String],
    device_type: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    artifact_group: &'a [String],
}

#[derive(Serialize)]
struct TypeInfo<'a> {
    #[serde(rename = "type")]
    payload_type: &'a PayloadType,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    artifact_depends: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    artifact_provides: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clears_artifact_provides: Vec<String>,
}

impl Builder {
    /// The header archive, not compressed. `image` is the checksum of the first payload file.
    pub(super) fn header_archive(&self, image: Option<Checksum>) -> Result<Vec<u8>, WriteError> {
        let mut archive = TarWriter::new(Vec::new());
        archive.append(&Entry::document("header-info"), &self.header_info())?;
        let mut scripts: Vec<&Script> = self.scripts.iter().collect();
        scripts.sort_by(|a, b| a.name.cmp(&b.name));
        for Script { name, content } in scripts {
            let entry = Entry { mode: 0o755, ..Entry::document(format!("scripts/{name}")) };
            archive.append(&entry, content)?;
        }
        archive.append(&Entry::document("headers/0000/type-info"), &self.type_info(image))?;
        if let Some(meta_data) = self.meta_data_document() {
            archive.append(&Entry::document("headers/0000/meta-data"), &meta_data)?;
        }
        archive.finish()
    }

    fn header_info(&self) -> Vec<u8> {
        let info = HeaderInfo {
            payloads: [PayloadInfo { payload_type: &self.payload_type }],
            artifact_provides: ArtifactProvides {
                artifact_name: &self.name,
                artifact_group: self.group.as_deref(),
            },
            artifact_depends: ArtifactDepends {
                artifact_name: &self.depends.artifact_names,
                device_type: &self.depends.device_types,
                artifact_group: &self.depends.artifact_groups,
            },
        };
        serde_json::to_vec(&info).expect("strings and lists are JSON")
    }

    fn type_info(&self, image: Option<Checksum>) -> Vec<u8> {
        let info = TypeInfo {
            payload_type: &self.payload_type,
            artifact_depends: &self.payload_depends,
            artifact_provides: self.all_provides(image),
            clears_artifact_provides: self.all_clears_provides(),
        };
        serde_json::to_vec(&info).expect("strings, lists and maps of strings are JSON")
    }

    /// Root filesystem images always have the document, of zero bytes when there is nothing to
    /// say; modules only when there is something.
    fn meta_data_document(&self) -> Option<Vec<u8>> {
        if self.meta_data.is_empty() {
            return self.payload_type.is_rootfs_image().then(Vec::new);
        }
        Some(serde_json::to_vec(&self.meta_data).expect("a JSON object is JSON"))
    }
}
