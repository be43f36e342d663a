//! Taking an Artifact in: its bytes are verified while they flow into the blob store, and it
//! exists only when every one of them was good.
//!
//! The row of intent comes first, the bytes second, the Artifact with the end of the intent
//! last. Whatever goes wrong in between removes the bytes and then the intent; a process that
//! is killed leaves both to the sweep.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt};
use rota_artifact::Summary;
use rota_blob::{BlobError, BlobKey, BlobKind};
use rota_store::{TenantTx, unique_violation};
use rota_types::{ArtifactId, Caller, TenantId};
use tracing::Instrument;
use uuid::Uuid;

use super::{Result, artifacts::check_description, verified::Verified};
use crate::{
    Deployments,
    error::Error,
    metrics,
    model::{
        artifact::{Artifact, File, Storage, Update, UploadHead},
        conflict::{self, MAX_COMBINATIONS},
    },
    store::{artifacts, releases, storage, uploads},
};

/// How often an upload under way says that it lives.
const FRESHEN: Duration = Duration::from_secs(30);

/// An upload that has said nothing for so long is dead.
pub(crate) const SILENT_FOR: Duration = Duration::from_mins(10);

/// An upload with the row of its intent.
struct Begun {
    tenant: TenantId,
    artifact: ArtifactId,
    blob: Uuid,
}

impl Begun {
    fn key(&self) -> BlobKey {
        BlobKey::new(self.tenant, BlobKind::Artifact, self.blob)
    }
}

impl Deployments {
    /// Takes an Artifact in. `source` yields its bytes, and an error where the uploader was cut
    /// off. Runs as a task of its own, which cleans up though the uploader has gone.
    pub(crate) async fn upload<S>(
        &self,
        caller: &Caller,
        head: UploadHead,
        source: S,
    ) -> Result<ArtifactId>
    where
        S: Stream<Item = Result<Bytes>> + Send + Unpin + 'static,
    {
        check_description(&head.description)?;
        let (service, tenant) = (self.clone(), caller.tenant);
        let place = self.upload_place(tenant).ok_or(Error::Busy)?;
        let taking_in = async move {
            let _place = place;
            service.take_in(tenant, head, source).await
        };
        tokio::spawn(taking_in.in_current_span()).await?
    }

    async fn take_in<S>(&self, tenant: TenantId, head: UploadHead, source: S) -> Result<ArtifactId>
    where
        S: Stream<Item = Result<Bytes>> + Send + Unpin + 'static,
    {
        let (begun, space) = self.begin(tenant, &head).await?;
        match self.store_and_publish(&begun, &head, space, source).await {
            Ok(()) => {
                tracing::info!(artifact = %begun.artifact, "artifact uploaded");
                Ok(begun.artifact)
            }
            Err(error) => {
                if let Err(left) = self.clean_up(&begun).await {
                    tracing::warn!(
                        artifact = %begun.artifact, error = &left as &dyn std::error::Error,
                        "a failed upload is left to the sweep"
                    );
                }
                Err(error)
            }
        }
    }

    async fn begin(&self, tenant: TenantId, head: &UploadHead) -> Result<(Begun, Storage)> {
        let artifact = head.id.unwrap_or_else(ArtifactId::mint);
        let begun = Begun { tenant, artifact, blob: Uuid::now_v7() };
        let mut tx = self.db().tenant(tenant).await?;
        let space = storage::get(&mut tx).await?;
        if let Some(announced) = head.size_bytes {
            self.check_size(announced, space)?;
        }
        // First the intent, then the look for an Artifact: an upload that is just becoming one
        // is waited for.
        let noted = uploads::begin(&mut tx, begun.blob, artifact).await;
        noted.map_err(|error| match unique_violation(&error) {
            Some(uploads::ONE_FOR_ARTIFACT) => Error::ArtifactIdTaken,
            _ => error.into(),
        })?;
        if head.id.is_some() && artifacts::is_taken(&mut tx, artifact).await? {
            return Err(Error::ArtifactIdTaken);
        }
        tx.commit().await?;
        Ok((begun, space))
    }

    /// Whether so many bytes may be stored.
    fn check_size(&self, size_bytes: u64, space: Storage) -> Result<()> {
        let limit_bytes = self.config().max_artifact_bytes;
        if size_bytes > limit_bytes {
            return Err(Error::TooLarge { limit_bytes });
        }
        match (space.free_bytes(), space.limit_bytes) {
            (Some(free), Some(limit_bytes)) if size_bytes > free => {
                Err(Error::StorageFull { limit_bytes })
            }
            _ => Ok(()),
        }
    }

    async fn store_and_publish<S>(
        &self,
        begun: &Begun,
        head: &UploadHead,
        space: Storage,
        source: S,
    ) -> Result<()>
    where
        S: Stream<Item = Result<Bytes>> + Send + Unpin + 'static,
    {
        let mut summary = None;
        let limits = rota_artifact::Limits {
            artifact_bytes: self.config().max_artifact_bytes,
            ..Default::default()
        };
        let checked = |size| self.check_size(size, space);
        let content = Verified::new(source, limits, head.size_bytes, checked, &mut summary);
        let content = content.into_stream().boxed();
        let put = self.kept_fresh(begun, self.blobs().put_stream(&begun.key(), content)).await?;
        put.map_err(|error| match error {
            BlobError::Content(cause) => match cause.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(other) => Error::Blobs(BlobError::Content(other)),
            },
            error => error.into(),
        })?;
        // The content ends well only with a summary.
        let summary = summary.ok_or(Error::Cut)?;
        let artifact = artifact(begun, head, summary, self.now());
        metrics::uploaded(artifact.size_bytes);
        if conflict::combinations(&artifact.depends).is_none_or(|many| many > MAX_COMBINATIONS) {
            return Err(Error::TooManyCombinations);
        }
        self.db()
            .in_tenant(begun.tenant, async |mut tx| {
                if !uploads::succeed(&mut tx, begun.blob).await? {
                    return Err(Error::Cut);
                }
                publish(&mut tx, &artifact).await
            })
            .await
    }

    /// Runs `put` while saying again and again that the upload lives.
    async fn kept_fresh<T>(&self, begun: &Begun, put: impl Future<Output = T>) -> Result<T> {
        let mut put = std::pin::pin!(put);
        loop {
            tokio::select! {
                done = &mut put => return Ok(done),
                () = tokio::time::sleep(FRESHEN) => match self.freshen(begun).await {
                    Ok(true) => {}
                    Ok(false) => return Err(Error::Cut),
                    // There is time for many more tries before it would be taken for dead.
                    Err(error) => tracing::warn!(%error, "upload cannot be kept fresh"),
                }
            }
        }
    }

    async fn freshen(&self, begun: &Begun) -> Result<bool, sqlx::Error> {
        let mut tx = self.db().tenant(begun.tenant).await?;
        let lives = uploads::keep_fresh(&mut tx, begun.blob).await?;
        tx.commit().await?;
        Ok(lives)
    }

    async fn clean_up(&self, begun: &Begun) -> Result<()> {
        if self.remove_upload(begun.tenant, begun.blob, Duration::ZERO).await? {
            return Ok(());
        }
        // Either it became an Artifact though nobody heard of it, or the sweep took it for dead
        // before its bytes were whole.
        let mut tx = self.db().tenant(begun.tenant).await?;
        let owned = artifacts::owned_blobs(&mut tx, &[begun.blob]).await?;
        tx.rollback().await?;
        if owned.is_empty() {
            self.blobs().delete(&begun.key()).await?;
        }
        Ok(())
    }

    /// Gives an upload up that has been silent for so long, and removes what is left of it.
    /// `false`: it lives, or has ended.
    pub(crate) async fn remove_upload(
        &self,
        tenant: TenantId,
        blob: Uuid,
        silent_for: Duration,
    ) -> Result<bool> {
        let mut tx = self.db().tenant(tenant).await?;
        // Waits for a publication whose end nobody heard of.
        let given_up = uploads::give_up(&mut tx, blob, silent_for).await?;
        tx.commit().await?;
        if !given_up {
            return Ok(false);
        }
        self.blobs().delete(&BlobKey::new(tenant, BlobKind::Artifact, blob)).await?;
        let mut tx = self.db().tenant(tenant).await?;
        uploads::forget(&mut tx, blob).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes the bytes of a deleted Artifact.
    pub(crate) async fn remove_bytes(&self, tenant: TenantId, artifact: ArtifactId) -> Result<()> {
        let mut tx = self.db().tenant(tenant).await?;
        let blob = artifacts::blob_of_deleted(&mut tx, artifact).await?;
        tx.rollback().await?;
        if let Some(blob) = blob {
            self.blobs().delete(&BlobKey::new(tenant, BlobKind::Artifact, blob)).await?;
        }
        Ok(())
    }
}

/// Makes a verified Artifact part of its release, unless the release has one for the same
/// devices already.
async fn publish(tx: &mut TenantTx, artifact: &Artifact) -> Result<()> {
    // Holds the release, so that uploads of one name come one after the other.
    releases::grow(tx, &artifact.name, artifact.modified).await?;
    let names = std::slice::from_ref(&artifact.name);
    for other in artifacts::fits(tx, names).await? {
        if let Some(mut shared) = conflict::shared_combination(&artifact.depends, &other.depends) {
            shared.insert("artifact_name".to_owned(), artifact.name.clone());
            return Err(Error::ArtifactConflict(shared));
        }
    }
    if !storage::take(tx, artifact.size_bytes).await? {
        let limit_bytes = storage::get(tx).await?.limit_bytes.unwrap_or(0);
        return Err(Error::StorageFull { limit_bytes });
    }
    artifacts::insert(tx, artifact).await?;
    Ok(())
}

/// The Artifact that a verified upload becomes.
fn artifact(begun: &Begun, head: &UploadHead, summary: Summary, now: DateTime<Utc>) -> Artifact {
    let update = |update: rota_artifact::Update| Update {
        payload_type: update.payload_type.name().map(ToOwned::to_owned),
        files: update.files.into_iter().map(file).collect(),
        metadata: update.meta_data.unwrap_or_default(),
    };
    Artifact {
        id: begun.artifact,
        name: summary.name,
        description: head.description.clone(),
        format_version: summary.format_version.into(),
        signed: summary.signature.is_signed(),
        updates: summary.updates.into_iter().map(update).collect(),
        provides: summary.provides,
        depends: summary.depends,
        clears_provides: summary.clears_provides,
        size_bytes: summary.size_bytes,
        blob: begun.blob,
        modified: now,
    }
}

fn file(file: rota_artifact::File) -> File {
    let modified = i64::try_from(file.modified_unix).ok();
    File {
        name: file.name,
        checksum: file.checksum.to_string(),
        size_bytes: file.size_bytes,
        modified: modified.and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
    }
}
