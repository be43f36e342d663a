//! Links to an Artifact's bytes: from the store where it is public, otherwise through the
//! gateway, signed here.

use chrono::{DateTime, TimeDelta, Utc};
use rota_blob::{BlobKey, BlobKind, Presign};
use rota_types::{ArtifactId, TenantId};
use uuid::Uuid;

use super::Result;
use crate::{Deployments, model::decision::Fit};

/// Where the gateway serves links. The Artifact's id follows.
pub(super) const PATH: &str = "/api/devices/v1/deployments/download/artifacts/";

/// What Artifacts are served as.
const CONTENT_TYPE: &str = "application/vnd.mender-artifact";

/// A link that holds for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// Absolute, or a path with its query below the gateway's public URL.
    pub(crate) uri: String,
    pub(crate) expires: DateTime<Utc>,
}

impl Deployments {
    /// A link for a device that is told to install the Artifact.
    pub(super) async fn device_link(&self, tenant: TenantId, artifact: &Fit) -> Result<Link> {
        let lifetime = self.config().device_link_lifetime();
        self.link(tenant, artifact.id, artifact.blob, &artifact.name, lifetime).await
    }

    /// A link for a person.
    pub(super) async fn people_link(
        &self,
        tenant: TenantId,
        artifact: ArtifactId,
        blob: Uuid,
        name: &str,
    ) -> Result<Link> {
        let lifetime = self.config().people_link_lifetime();
        self.link(tenant, artifact, blob, name, lifetime).await
    }

    async fn link(
        &self,
        tenant: TenantId,
        artifact: ArtifactId,
        blob: Uuid,
        name: &str,
        lifetime: TimeDelta,
    ) -> Result<Link> {
        let expires = self.now() + lifetime;
        let key = BlobKey::new(tenant, BlobKind::Artifact, blob);
        let presign = Presign {
            lifetime: lifetime.to_std().unwrap_or_default(),
            file_name: &file_name(name),
            content_type: CONTENT_TYPE,
        };
        let public = self.blobs().presign_get(&key, &presign).await?;
        let uri = public.unwrap_or_else(|| {
            let path = format!("{PATH}{artifact}");
            let query = self.links().sign("GET", &path, tenant, expires);
            format!("{path}?{query}")
        });
        Ok(Link { uri, expires })
    }
}

/// The name that an Artifact's file gets on the other side.
pub(super) fn file_name(artifact_name: &str) -> String {
    format!("{artifact_name}.mender")
}
