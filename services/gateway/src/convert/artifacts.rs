//! Artifacts.

use rota_proto::deployments::v1 as wire;
use rota_rest::artifacts as rest;

use super::{Malformed, object, time};

/// The only format there is.
const FORMAT: &str = "mender";

/// A stored Artifact.
pub(crate) fn artifact(artifact: wire::Artifact) -> Result<rest::Artifact, Malformed> {
    Ok(rest::Artifact {
        id: artifact.id.clone(),
        description: artifact.description.clone(),
        size: artifact.size,
        modified: time::required(artifact.modified, "artifact.modified")?,
        contents: contents(artifact)?,
    })
}

/// Stored Artifacts.
pub(crate) fn artifacts(artifacts: Vec<wire::Artifact>) -> Result<Vec<rest::Artifact>, Malformed> {
    artifacts.into_iter().map(artifact).collect()
}

/// What an Artifact's header says.
pub(super) fn contents(artifact: wire::Artifact) -> Result<rest::Contents, Malformed> {
    let depends = artifact.depends.into_iter().map(|(key, words)| (key, words.values));
    Ok(rest::Contents {
        name: artifact.name,
        device_types_compatible: artifact.device_types,
        info: rest::Format { format: FORMAT.to_owned(), version: artifact.format_version },
        signed: artifact.signed,
        updates: artifact.updates.into_iter().map(update).collect::<Result<_, _>>()?,
        artifact_provides: artifact.provides.into_iter().collect(),
        artifact_depends: depends.collect(),
        clears_artifact_provides: artifact.clears_provides,
    })
}

fn update(update: wire::ArtifactUpdate) -> Result<rest::Update, Malformed> {
    let payload = Some(update.r#type).filter(|payload| !payload.is_empty());
    Ok(rest::Update {
        type_info: rest::TypeInfo { payload },
        files: update.files.into_iter().map(file).collect::<Result<_, _>>()?,
        meta_data: object(&update.metadata, "payload metadata")?,
    })
}

fn file(file: wire::ArtifactFile) -> Result<rest::File, Malformed> {
    Ok(rest::File {
        name: file.name,
        checksum: file.checksum,
        size: file.size,
        date: time::optional(file.date)?,
    })
}

/// When a link ends and where it leads.
pub(crate) fn link(link: wire::Link) -> Result<rest::Link, Malformed> {
    Ok(rest::Link { uri: link.uri, expire: time::required(link.expires, "link.expires")? })
}
