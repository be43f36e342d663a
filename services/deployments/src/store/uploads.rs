//! The table `uploads`: bytes on their way into the blob store.

use std::time::Duration;

use rota_store::TenantTx;
use rota_types::ArtifactId;
use uuid::Uuid;

/// The index that refuses two uploads for one Artifact at a time.
pub(crate) const ONE_FOR_ARTIFACT: &str = "uploads_one_for_artifact";

/// Notes the intent, before the first byte. A violation of [`ONE_FOR_ARTIFACT`] says that
/// another upload for the Artifact is under way.
pub(crate) async fn begin(
    tx: &mut TenantTx,
    blob: Uuid,
    artifact: ArtifactId,
) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into deployments.uploads (tenant_id, blob_id, artifact_id, fresh_at)
         values ($1, $2, $3, now())",
        tenant,
        blob,
        artifact.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Says that bytes still flow. `false`: the upload was given up for dead.
pub(crate) async fn keep_fresh(tx: &mut TenantTx, blob: Uuid) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query!(
        "update deployments.uploads set fresh_at = now() where blob_id = $1 and not dead",
        blob,
    )
    .execute(&mut **tx)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Ends an upload that becomes an Artifact in the same transaction. `false`: it was given up
/// for dead, and must not.
pub(crate) async fn succeed(tx: &mut TenantTx, blob: Uuid) -> Result<bool, sqlx::Error> {
    let ended =
        sqlx::query!("delete from deployments.uploads where blob_id = $1 and not dead", blob)
            .execute(&mut **tx)
            .await?;
    Ok(ended.rows_affected() == 1)
}

/// Gives an upload up if nobody has kept it fresh for so long: from now on it cannot become an
/// Artifact, and whoever gave it up removes the bytes and then [`forget`]s it. One that was
/// given up before is so again. `false`: it lives, or has ended.
pub(crate) async fn give_up(
    tx: &mut TenantTx,
    blob: Uuid,
    silent_for: Duration,
) -> Result<bool, sqlx::Error> {
    let given_up = sqlx::query!(
        "update deployments.uploads set dead = true, fresh_at = now()
         where blob_id = $1 and fresh_at <= now() - make_interval(secs => $2)",
        blob,
        silent_for.as_secs_f64(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(given_up.rows_affected() == 1)
}

/// Removes the intent of an upload whose bytes are gone.
pub(crate) async fn forget(tx: &mut TenantTx, blob: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from deployments.uploads where blob_id = $1 and dead", blob)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Which of these blobs somebody is uploading, or is removing what is left of an upload.
pub(crate) async fn under_way(tx: &mut TenantTx, blobs: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select blob_id from deployments.uploads where blob_id = any($1)", blobs)
        .fetch_all(&mut **tx)
        .await
}
