//! What there is to see of Artifacts, and what may be done to them.

use rota_types::{ArtifactId, Caller, Page, TenantId};

use super::{Result, link::Link};
use crate::{
    Deployments,
    error::Error,
    model::artifact::{Artifact, ArtifactFilter, MAX_DESCRIPTION, Storage},
    store::{
        artifact_lists, artifacts, deployments,
        jobs::{self, Task},
        releases, storage,
    },
};

/// The most names that one list may ask for (server API, Artifacts v2).
const MAX_NAMES: usize = 100;

impl Deployments {
    /// The Artifacts that pass the filter, and how many there are in all.
    pub(crate) async fn list_artifacts(
        &self,
        caller: &Caller,
        filter: &ArtifactFilter,
        page: Option<Page>,
    ) -> Result<(Vec<Artifact>, i64)> {
        if filter.names.len() > MAX_NAMES {
            return Err(Error::Field { field: "name", reason: "must name at most 100 artifacts" });
        }
        let mut tx = self.db().tenant(caller.tenant).await?;
        Ok(artifact_lists::list(&mut tx, filter, page).await?)
    }

    /// One Artifact.
    pub(crate) async fn artifact(&self, tenant: TenantId, id: ArtifactId) -> Result<Artifact> {
        let mut tx = self.db().tenant(tenant).await?;
        artifacts::get(&mut tx, id).await?.ok_or(Error::NotFound)
    }

    /// Changes the description of an Artifact that no deployment ever used.
    pub(crate) async fn describe_artifact(
        &self,
        caller: &Caller,
        id: ArtifactId,
        description: &str,
    ) -> Result<()> {
        check_description(description)?;
        let now = self.now();
        self.db()
            .in_tenant(caller.tenant, async |mut tx| {
                let locked = artifacts::lock(&mut tx, &[id]).await?;
                let artifact = locked.first().ok_or(Error::NotFound)?;
                if deployments::ever_used(&mut tx, id, &artifact.name).await? {
                    return Err(Error::ArtifactUsed);
                }
                artifacts::set_description(&mut tx, id, description, now).await?;
                releases::touch(&mut tx, &artifact.name, now).await?;
                Ok(())
            })
            .await
    }

    /// Deletes an Artifact that no active deployment uses: it is gone at once, its bytes soon.
    pub(crate) async fn delete_artifact(&self, caller: &Caller, id: ArtifactId) -> Result<()> {
        let now = self.now();
        self.db()
            .in_tenant(caller.tenant, async |mut tx| {
                // Waits for a deployment that is being created from it, and keeps others off.
                let locked = artifacts::lock(&mut tx, &[id]).await?;
                let artifact = locked.first().ok_or(Error::NotFound)?;
                let names = std::slice::from_ref(&artifact.name);
                if !deployments::active_of_releases(&mut tx, names).await?.is_empty() {
                    return Err(Error::ArtifactInUse);
                }
                delete(&mut tx, artifact, now).await
            })
            .await?;
        self.ring();
        Ok(())
    }

    /// A link for people to an Artifact's bytes.
    pub(crate) async fn download_link(&self, caller: &Caller, id: ArtifactId) -> Result<Link> {
        let artifact = self.artifact(caller.tenant, id).await?;
        self.people_link(caller.tenant, id, artifact.blob, &artifact.name).await
    }

    /// The tenant's space.
    pub(crate) async fn storage(&self, caller: &Caller) -> Result<Storage> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        Ok(storage::get(&mut tx).await?)
    }

    /// Sets the tenant's limit; `None` takes it away.
    pub(crate) async fn set_storage_limit(
        &self,
        caller: &Caller,
        limit_bytes: Option<u64>,
    ) -> Result<()> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        storage::set_limit(&mut tx, limit_bytes).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Deletes an Artifact that is held and that nothing active uses.
pub(super) async fn delete(
    tx: &mut rota_store::TenantTx,
    artifact: &artifacts::LockedArtifact,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<()> {
    artifacts::mark_deleted(tx, artifact.id, now).await?;
    releases::shrink(tx, &artifact.name).await?;
    storage::give_back(tx, artifact.size_bytes).await?;
    jobs::add(tx, &Task::RemoveBytes { artifact: artifact.id }).await?;
    Ok(())
}

/// Whether the description can be stored.
pub(super) fn check_description(description: &str) -> Result<()> {
    if description.chars().count() > MAX_DESCRIPTION {
        let reason = "must be at most 4096 characters long";
        return Err(Error::Field { field: "description", reason });
    }
    Ok(())
}
