//! The table `artifacts`.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::ArtifactId;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use super::column;
use crate::model::{
    artifact::{Artifact, ArtifactsById, Depends, File, Provides, Update},
    decision::Fit,
};

/// An Artifact as the table holds it.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    name: String,
    description: String,
    format_version: i32,
    signed: bool,
    provides: Json<Provides>,
    depends: Json<Depends>,
    clears_provides: Option<Vec<String>>,
    updates: Json<Vec<StoredUpdate>>,
    size_bytes: i64,
    blob_id: Uuid,
    modified_at: DateTime<Utc>,
}

/// A payload as the column `updates` holds it.
#[derive(Serialize, Deserialize)]
struct StoredUpdate {
    #[serde(rename = "type")]
    payload_type: Option<String>,
    files: Vec<StoredFile>,
    metadata: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct StoredFile {
    name: String,
    checksum: String,
    size_bytes: u64,
    modified: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Artifact {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            description: row.description,
            format_version: column::unsigned("format_version", row.format_version.into())?,
            signed: row.signed,
            updates: row.updates.0.into_iter().map(Update::from).collect(),
            provides: row.provides.0,
            depends: row.depends.0,
            clears_provides: row.clears_provides,
            size_bytes: column::unsigned("size_bytes", row.size_bytes)?,
            blob: row.blob_id,
            modified: row.modified_at,
        })
    }
}

impl From<StoredUpdate> for Update {
    fn from(stored: StoredUpdate) -> Self {
        let file = |file: StoredFile| File {
            name: file.name,
            checksum: file.checksum,
            size_bytes: file.size_bytes,
            modified: file.modified,
        };
        Self {
            payload_type: stored.payload_type,
            files: stored.files.into_iter().map(file).collect(),
            metadata: stored.metadata,
        }
    }
}

impl From<&Update> for StoredUpdate {
    fn from(update: &Update) -> Self {
        let file = |file: &File| StoredFile {
            name: file.name.clone(),
            checksum: file.checksum.clone(),
            size_bytes: file.size_bytes,
            modified: file.modified,
        };
        Self {
            payload_type: update.payload_type.clone(),
            files: update.files.iter().map(file).collect(),
            metadata: update.metadata.clone(),
        }
    }
}

/// Adds an Artifact. A unique violation says that the id is taken.
pub(crate) async fn insert(tx: &mut TenantTx, artifact: &Artifact) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let updates: Vec<StoredUpdate> = artifact.updates.iter().map(StoredUpdate::from).collect();
    let update_types: Vec<String> =
        artifact.updates.iter().filter_map(|update| update.payload_type.clone()).collect();
    sqlx::query!(
        "insert into deployments.artifacts
             (tenant_id, id, name, description, format_version, signed, provides, depends,
              device_types, update_types, clears_provides, updates, size_bytes, blob_id, modified_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        tenant,
        artifact.id.uuid(),
        artifact.name,
        artifact.description,
        i32::try_from(artifact.format_version).unwrap_or(i32::MAX),
        artifact.signed,
        Json(&artifact.provides) as _,
        Json(&artifact.depends) as _,
        artifact.device_types(),
        &update_types,
        artifact.clears_provides.as_deref(),
        Json(updates) as _,
        column::signed(artifact.size_bytes),
        artifact.blob,
        artifact.modified,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The Artifact, unless it is deleted.
pub(crate) async fn get(
    tx: &mut TenantTx,
    id: ArtifactId,
) -> Result<Option<Artifact>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, name, description, format_version, signed,
                  provides as "provides: _", depends as "depends: _", clears_provides,
                  updates as "updates: _", size_bytes, blob_id, modified_at
           from deployments.artifacts where id = $1 and deleted_at is null"#,
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(Artifact::try_from).transpose()
}

/// These Artifacts, also the deleted ones: for records of what devices were given.
pub(crate) async fn by_ids(
    tx: &mut TenantTx,
    ids: &[ArtifactId],
) -> Result<ArtifactsById, sqlx::Error> {
    if ids.is_empty() {
        return Ok(ArtifactsById::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select id, name, description, format_version, signed,
                  provides as "provides: _", depends as "depends: _", clears_provides,
                  updates as "updates: _", size_bytes, blob_id, modified_at
           from deployments.artifacts where id = any($1)"#,
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(|row| Ok((row.id.into(), Artifact::try_from(row)?))).collect()
}

/// The Artifacts of these releases, by name and age.
pub(crate) async fn of_releases(
    tx: &mut TenantTx,
    names: &[String],
) -> Result<Vec<Artifact>, sqlx::Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as!(
        Row,
        r#"select id, name, description, format_version, signed,
                  provides as "provides: _", depends as "depends: _", clears_provides,
                  updates as "updates: _", size_bytes, blob_id, modified_at
           from deployments.artifacts where name = any($1) and deleted_at is null
           order by name, modified_at, id"#,
        names,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(Artifact::try_from).collect()
}

/// An Artifact as far as the decision looks at it.
struct FitRow {
    id: Uuid,
    name: String,
    size_bytes: i64,
    depends: Json<Depends>,
    blob_id: Uuid,
}

impl TryFrom<FitRow> for Fit {
    type Error = sqlx::Error;

    fn try_from(row: FitRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            size_bytes: column::unsigned("size_bytes", row.size_bytes)?,
            depends: row.depends.0,
            blob: row.blob_id,
        })
    }
}

/// What the decision looks at, of every Artifact of these releases.
pub(crate) async fn fits(tx: &mut TenantTx, names: &[String]) -> Result<Vec<Fit>, sqlx::Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as!(
        FitRow,
        r#"select id, name, size_bytes, depends as "depends: _", blob_id
           from deployments.artifacts where name = any($1) and deleted_at is null"#,
        names,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(Fit::try_from).collect()
}

/// What the decision looks at, of these Artifacts.
pub(super) async fn fits_by_id(tx: &mut TenantTx, ids: &[Uuid]) -> Result<Vec<Fit>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as!(
        FitRow,
        r#"select id, name, size_bytes, depends as "depends: _", blob_id
           from deployments.artifacts where id = any($1) and deleted_at is null"#,
        ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(Fit::try_from).collect()
}

/// How many Artifacts a release has, held against deletion until the transaction ends.
pub(crate) async fn hold_release(tx: &mut TenantTx, name: &str) -> Result<usize, sqlx::Error> {
    let held = sqlx::query_scalar!(
        "select id from deployments.artifacts
         where name = $1 and deleted_at is null order by id for share",
        name,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(held.len())
}

/// Waits for those who hold these Artifacts, and holds them against everybody else until the
/// transaction ends. Those that are (being) deleted are left out.
pub(crate) async fn lock(
    tx: &mut TenantTx,
    ids: &[ArtifactId],
) -> Result<Vec<LockedArtifact>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select id, name, size_bytes from deployments.artifacts
         where id = any($1) and deleted_at is null order by id for update",
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LockedArtifact {
                id: row.id.into(),
                name: row.name,
                size_bytes: column::unsigned("size_bytes", row.size_bytes)?,
            })
        })
        .collect()
}

/// An Artifact that nobody else can touch now.
pub(crate) struct LockedArtifact {
    pub(crate) id: ArtifactId,
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
}

/// The ids of a release's Artifacts.
pub(crate) async fn ids_of_release(
    tx: &mut TenantTx,
    name: &str,
) -> Result<Vec<ArtifactId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "select id from deployments.artifacts where name = $1 and deleted_at is null order by id",
        name,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(ArtifactId::from).collect())
}

/// Changes the description.
pub(crate) async fn set_description(
    tx: &mut TenantTx,
    id: ArtifactId,
    description: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.artifacts set description = $2, modified_at = $3
         where id = $1 and deleted_at is null",
        id.uuid(),
        description,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes an Artifact out of every list.
pub(crate) async fn mark_deleted(
    tx: &mut TenantTx,
    id: ArtifactId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!("update deployments.artifacts set deleted_at = $2 where id = $1", id.uuid(), now,)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Where the bytes of a deleted Artifact lie.
pub(crate) async fn blob_of_deleted(
    tx: &mut TenantTx,
    id: ArtifactId,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select blob_id from deployments.artifacts where id = $1 and deleted_at is not null",
        id.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Which of these blobs belong to an Artifact, be it deleted: then its job removes them.
pub(crate) async fn owned_blobs(
    tx: &mut TenantTx,
    blobs: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select blob_id from deployments.artifacts where blob_id = any($1)", blobs,)
        .fetch_all(&mut **tx)
        .await
}

/// Whether the id was ever given to an Artifact.
pub(crate) async fn is_taken(tx: &mut TenantTx, id: ArtifactId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from deployments.artifacts where id = $1) as "taken!""#,
        id.uuid(),
    )
    .fetch_one(&mut **tx)
    .await
}
