//! Releases, in v1's spelling and in v2's.

use rota_proto::deployments::v1 as wire;
use rota_rest::releases as rest;

use super::{Malformed, artifacts::artifacts, time};

/// A release as v2 spells it.
pub(crate) fn release(release: wire::Release) -> Result<rest::Release, Malformed> {
    Ok(rest::Release {
        name: release.name,
        modified: time::required(release.modified, "release.modified")?,
        artifacts: artifacts(release.artifacts)?,
        artifacts_count: release.artifacts_count,
        tags: release.tags,
        notes: release.notes,
    })
}

/// A release as v1 spells it.
pub(crate) fn release_v1(wire: wire::Release) -> Result<rest::ReleaseV1, Malformed> {
    let release = release(wire)?;
    Ok(rest::ReleaseV1 {
        name: release.name,
        modified: release.modified,
        artifacts: release.artifacts,
        artifacts_count: release.artifacts_count,
        tags: release.tags,
        notes: release.notes,
    })
}
