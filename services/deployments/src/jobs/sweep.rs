//! Removes what crashes have left: dead uploads, blobs that nothing owns, and deployments that
//! nobody finished.

use std::time::Duration;

use chrono::TimeDelta;
use futures::TryStreamExt;
use rota_blob::{BlobKey, BlobKind, BlobPrefix};
use rota_types::TenantId;
use uuid::Uuid;

use crate::{
    Deployments,
    app::{Result, upload::SILENT_FOR},
    store::{artifacts, hot, uploads},
};

/// How often the tables are swept.
pub(crate) const PAUSE: Duration = Duration::from_secs(30);

/// How often the blob store is swept, which takes a listing of it.
pub(crate) const BLOB_PAUSE: Duration = Duration::from_hours(6);

/// A blob or an unfinished upload to the store younger than this is left alone, whatever the
/// clocks say.
const ORPHAN_AGE: TimeDelta = TimeDelta::days(2);

/// How many blobs are looked up at a time.
const LOOKUP: usize = 500;

impl Deployments {
    /// Sweeps the tables once.
    pub(crate) async fn sweep(&self) {
        if let Err(error) = self.try_sweep().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "sweep goes on at the next turn");
        }
    }

    async fn try_sweep(&self) -> Result<()> {
        for (tenant, deployment) in hot::left_unfinished(self.db()).await? {
            self.try_finish(tenant, deployment).await?;
        }
        for (tenant, blob) in hot::silent_uploads(self.db(), SILENT_FOR).await? {
            tracing::info!(%tenant, %blob, "dead upload is removed");
            self.remove_upload(tenant, blob, SILENT_FOR).await?;
        }
        Ok(())
    }

    /// Sweeps the blob store once.
    pub(crate) async fn sweep_blobs(&self) {
        if let Err(error) = self.try_sweep_blobs().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "blob sweep goes on at the next turn");
        }
    }

    pub(crate) async fn try_sweep_blobs(&self) -> Result<()> {
        let before = self.now() - ORPHAN_AGE;
        let stale = self.blobs().remove_stale_uploads(before).await?;
        if stale > 0 {
            tracing::info!(stale, "unfinished uploads to the blob store removed");
        }
        let mut listed = self.blobs().list(BlobPrefix::All);
        let mut old: Vec<BlobKey> = Vec::with_capacity(LOOKUP);
        while let Some(entry) = listed.try_next().await? {
            if entry.key.kind() != BlobKind::Artifact || entry.info.modified > before {
                continue;
            }
            let full = old.len() == LOOKUP;
            let other = old.first().is_some_and(|first| first.tenant() != entry.key.tenant());
            if full || other {
                self.remove_orphans(&old).await?;
                old.clear();
            }
            old.push(entry.key);
        }
        self.remove_orphans(&old).await
    }

    /// Removes those of one tenant's blobs that neither an Artifact nor an upload owns.
    async fn remove_orphans(&self, keys: &[BlobKey]) -> Result<()> {
        let Some(tenant) = keys.first().map(BlobKey::tenant) else { return Ok(()) };
        let owned = self.owned(tenant, keys).await?;
        for key in keys.iter().filter(|key| !owned.contains(&key.id())) {
            tracing::warn!(%key, "orphaned blob is removed");
            self.blobs().delete(key).await?;
        }
        Ok(())
    }

    async fn owned(&self, tenant: TenantId, keys: &[BlobKey]) -> Result<Vec<Uuid>> {
        let ids: Vec<Uuid> = keys.iter().map(BlobKey::id).collect();
        let mut tx = self.db().tenant(tenant).await?;
        // Uploads first: one that becomes an Artifact in between is found as that.
        let mut owned = uploads::under_way(&mut tx, &ids).await?;
        owned.extend(artifacts::owned_blobs(&mut tx, &ids).await?);
        Ok(owned)
    }
}
