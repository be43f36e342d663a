//! The reads that cross the wall between tenants: single statements on the hot role, each of
//! which names the tenant or only finds out which tenants there is work for.

use std::time::Duration;

use rota_store::Database;
use rota_types::{DeploymentId, DeviceId, JobId, TenantId};
use sqlx::types::Json;
use uuid::Uuid;

use super::{column, control_map};
use crate::model::{
    artifact::{Depends, Provides},
    control_map::ControlMap,
    decision::{Candidate, Fit, Offer},
};

/// Where a tenant's id is announced when it gets an active deployment.
pub(crate) const ACTIVE_CHANNEL: &str = "deployments_active";

/// What one look can find in a round of work; the next round finds the rest.
const ROUND: i64 = 64;

/// What a device that asks has to do, as far as one look can tell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Glimpse {
    /// It has a place in no active deployment.
    Nothing,
    /// Its oldest deployment, which was handed out to it before.
    Begun(Box<Candidate>),
    /// Something is to be decided and written down.
    ToDecide,
}

/// The device's oldest active deployment: one statement, and for most devices one empty look
/// into one index.
pub(crate) async fn glimpse(
    db: &Database,
    tenant: TenantId,
    device: DeviceId,
) -> Result<Glimpse, sqlx::Error> {
    let row = sqlx::query!(
        r#"with place as materialized (
               select deployment_id, status, request, artifact_id
               from deployments.device_deployments
               where tenant_id = $1 and device_id = $2 and finished_at is null
               order by created_at, deployment_id
               limit 1
           )
           select place.deployment_id, place.status, place.request as "request: Json<Provides>",
                  d.force_installation, d.finished_at as "finished_at?",
                  d.control_map as "control_map: Json<control_map::Row>",
                  a.id as "chosen?", a.name as "chosen_name?", a.size_bytes as "chosen_size?",
                  a.depends as "chosen_depends?: Json<Depends>", a.blob_id as "chosen_blob?"
           from place
           join deployments.deployments d on d.tenant_id = $1 and d.id = place.deployment_id
           left join deployments.artifacts a on a.tenant_id = $1 and a.id = place.artifact_id"#,
        tenant.uuid(),
        device.uuid(),
    )
    .fetch_optional(db.hot())
    .await?;
    let Some(row) = row else { return Ok(Glimpse::Nothing) };
    // Finished while the device's place is not: aborted just now. A newer one may be behind it.
    let chosen = row.chosen.zip(row.chosen_name).zip(row.chosen_size);
    let chosen = chosen.zip(row.chosen_depends).zip(row.chosen_blob);
    let (Some(((((id, name), size), depends), blob)), None) = (chosen, row.finished_at) else {
        return Ok(Glimpse::ToDecide);
    };
    Ok(Glimpse::Begun(Box::new(Candidate {
        deployment: row.deployment_id.into(),
        force_installation: row.force_installation,
        status: column::word("status", &row.status)?,
        request: row.request.map(|request| request.0),
        control_map: control_map::read(row.control_map)?,
        offer: Offer::Chosen(Fit {
            id: id.into(),
            name,
            size_bytes: column::unsigned("size_bytes", size)?,
            depends: depends.0,
            blob,
        }),
    })))
}

/// An active deployment as a device that waits in it asks about it.
pub(crate) struct Active {
    pub(crate) control_map: Option<ControlMap>,
}

/// The deployment, if it is active and the device has not come to an end in it: one statement of
/// two looks into primary keys, as many devices may wait at once, each asking over and over.
pub(crate) async fn active(
    db: &Database,
    tenant: TenantId,
    device: DeviceId,
    deployment: DeploymentId,
) -> Result<Option<Active>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select d.control_map as "control_map: Json<control_map::Row>"
           from deployments.device_deployments dd
           join deployments.deployments d on d.tenant_id = $1 and d.id = $2
           where dd.tenant_id = $1 and dd.deployment_id = $2 and dd.device_id = $3
             and dd.finished_at is null and d.finished_at is null"#,
        tenant.uuid(),
        deployment.uuid(),
        device.uuid(),
    )
    .fetch_optional(db.hot())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Active { control_map: control_map::read(row.control_map)? }))
}

/// The tenants that have an active deployment.
pub(crate) async fn active_tenants(db: &Database) -> Result<Vec<TenantId>, sqlx::Error> {
    let tenants = sqlx::query_scalar!(
        "select distinct tenant_id from deployments.deployments where finished_at is null"
    )
    .fetch_all(db.hot())
    .await?;
    Ok(tenants.into_iter().map(TenantId::from).collect())
}

/// Jobs that are due, longest first.
pub(crate) async fn due_jobs(db: &Database) -> Result<Vec<(TenantId, JobId)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select tenant_id, id from deployments.jobs where due_at <= now() order by due_at limit $1",
        ROUND,
    )
    .fetch_all(db.hot())
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id.into(), row.id.into())).collect())
}

/// Uploads that nobody has kept fresh for so long.
pub(crate) async fn silent_uploads(
    db: &Database,
    silent_for: Duration,
) -> Result<Vec<(TenantId, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select tenant_id, blob_id from deployments.uploads
         where fresh_at < now() - make_interval(secs => $1) order by fresh_at limit $2",
        silent_for.as_secs_f64(),
        ROUND,
    )
    .fetch_all(db.hot())
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id.into(), row.blob_id)).collect())
}

/// Whether a deployment is active though its devices have all come to an end. The order makes
/// for one look into an index; without one Postgres hopes to meet a row soon, and reads them all
/// when there is none.
pub(crate) async fn is_due_to_finish(
    db: &Database,
    tenant: TenantId,
    deployment: DeploymentId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from deployments.deployments d
               where d.tenant_id = $1 and d.id = $2
                 and d.finished_at is null and d.listed_at is not null
           ) and (
               select dd.device_id from deployments.device_deployments dd
               where dd.tenant_id = $1 and dd.deployment_id = $2 and dd.finished_at is null
               order by dd.device_id limit 1
           ) is null as "due!""#,
        tenant.uuid(),
        deployment.uuid(),
    )
    .fetch_one(db.hot())
    .await
}

/// Active deployments whose devices have all come to an end: whoever brought the last one there
/// stopped before it could finish them.
pub(crate) async fn left_unfinished(
    db: &Database,
) -> Result<Vec<(TenantId, DeploymentId)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select d.tenant_id, d.id from deployments.deployments d
         where d.finished_at is null and d.listed_at is not null
           and (select dd.device_id from deployments.device_deployments dd
                where dd.tenant_id = d.tenant_id and dd.deployment_id = d.id
                  and dd.finished_at is null
                order by dd.device_id limit 1) is null
         limit $1",
        ROUND,
    )
    .fetch_all(db.hot())
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id.into(), row.id.into())).collect())
}
