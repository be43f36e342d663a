//! The table `device_deployments` as operators see it: lists of devices, and what is done to
//! many of them at once.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::{DeploymentId, DeviceId, Page};
use uuid::Uuid;

use super::{bounds, column};
use crate::model::{
    deployment::DeviceDeployment,
    status::{DeviceStatus, StatusFilter},
};

struct Row {
    id: Uuid,
    device_id: Uuid,
    deployment_id: Uuid,
    status: String,
    substate: String,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    device_type: String,
    has_log: bool,
    attempts: i32,
    artifact_id: Option<Uuid>,
}

impl TryFrom<Row> for DeviceDeployment {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id,
            device: row.device_id.into(),
            deployment: row.deployment_id.into(),
            status: column::word("status", &row.status)?,
            substate: row.substate,
            created: row.created_at,
            started: row.started_at,
            finished: row.finished_at,
            device_type: row.device_type,
            log: row.has_log,
            attempts: column::unsigned("attempts", row.attempts.into())?,
            artifact: row.artifact_id.map(Into::into),
        })
    }
}

/// Writes a piece of a deployment's device list; devices that stand there already are left as
/// they are. Gives how many were new. A device that was removed since the deployment began is
/// written as such; processes' clocks may differ by five minutes there.
pub(crate) async fn insert(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    created: DateTime<Utc>,
    devices: &[DeviceId],
) -> Result<u64, sqlx::Error> {
    let tenant = tx.tenant().uuid();
    let devices: Vec<Uuid> = devices.iter().map(|device| device.uuid()).collect();
    lists_are_written(tx).await?;
    let written = sqlx::query!(
        "insert into deployments.device_deployments
             (tenant_id, deployment_id, device_id, created_at, status, finished_at)
         select $1, $2, listed.device_id, $4,
                case when gone.device_id is null then 'pending' else 'decommissioned' end,
                gone.decommissioned_at
         from unnest($3::uuid[]) as listed (device_id)
         left join deployments.decommissioned_devices gone
             on gone.device_id = listed.device_id and gone.decommissioned_at + interval '5 minutes' >= $4
         on conflict do nothing",
        tenant,
        deployment.uuid(),
        &devices,
        created,
    )
    .execute(&mut **tx)
    .await?;
    Ok(written.rows_affected())
}

/// Keeps [`decommission`] away until the transaction ends; other lists are written meanwhile.
async fn lists_are_written(tx: &mut TenantTx) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant().to_string();
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(hashtextextended('deployments.lists.' || $1, 0))",
        tenant,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes a removed device out of everything that is active, and keeps it out of device lists
/// that are still being written. Gives the deployments that it was taken out of.
pub(crate) async fn decommission(
    tx: &mut TenantTx,
    device: DeviceId,
    now: DateTime<Utc>,
) -> Result<Vec<DeploymentId>, sqlx::Error> {
    let tenant = tx.tenant();
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('deployments.lists.' || $1, 0))",
        tenant.to_string(),
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "insert into deployments.decommissioned_devices (tenant_id, device_id, decommissioned_at)
         values ($1, $2, $3)
         on conflict (tenant_id, device_id) do update
         set decommissioned_at = excluded.decommissioned_at",
        tenant.uuid(),
        device.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await?;
    end_all_of_device(tx, device, DeviceStatus::Decommissioned, now).await
}

/// Ends everything active for a device with `status`. Gives the deployments that ended so.
pub(crate) async fn end_all_of_device(
    tx: &mut TenantTx,
    device: DeviceId,
    status: DeviceStatus,
    now: DateTime<Utc>,
) -> Result<Vec<DeploymentId>, sqlx::Error> {
    let ended = sqlx::query_scalar!(
        "update deployments.device_deployments set status = $2, finished_at = $3
         where device_id = $1 and finished_at is null returning deployment_id",
        device.uuid(),
        status.word(),
        now,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ended.into_iter().map(DeploymentId::from).collect())
}

/// Takes an aborted deployment back from at most `limit` of its devices. Gives how many there
/// were.
pub(crate) async fn take_back(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    limit: i64,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let taken = sqlx::query!(
        "with batch as materialized (
             select device_id from deployments.device_deployments
             where deployment_id = $1 and finished_at is null
             order by device_id limit $2 for no key update
         )
         update deployments.device_deployments dd
         set status = 'aborted', finished_at = $3
         from batch
         where dd.deployment_id = $1 and dd.device_id = batch.device_id
           and dd.finished_at is null",
        deployment.uuid(),
        limit,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(taken.rows_affected())
}

/// Whether a device of the deployment has not come to an end yet.
pub(crate) async fn any_active(
    tx: &mut TenantTx,
    deployment: DeploymentId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select (
               select device_id from deployments.device_deployments
               where deployment_id = $1 and finished_at is null
               order by device_id limit 1
           ) is not null as "active!""#,
        deployment.uuid(),
    )
    .fetch_one(&mut **tx)
    .await
}

/// Hides what has ended from a device's history.
pub(crate) async fn hide_history(tx: &mut TenantTx, device: DeviceId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.device_deployments set hidden = true
         where device_id = $1 and finished_at is not null and not hidden",
        device.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// All devices of a deployment, in the order of their ids: pages far back are found in the
/// index alone.
pub(crate) async fn list(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    page: Option<Page>,
) -> Result<Vec<DeviceDeployment>, sqlx::Error> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query_as!(
        Row,
        "select id, device_id, deployment_id, status, substate, created_at, started_at,
                finished_at, device_type, has_log, attempts, artifact_id
         from deployments.device_deployments
         where deployment_id = $1 and device_id = any(array(
             select device_id from deployments.device_deployments
             where deployment_id = $1 order by device_id limit $2 offset $3))
         order by device_id",
        deployment.uuid(),
        limit,
        offset,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(DeviceDeployment::try_from).collect()
}

/// The devices of a deployment at one of these statuses, in the order of their ids.
pub(crate) async fn list_at(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    statuses: &[String],
    page: Option<Page>,
) -> Result<Vec<DeviceDeployment>, sqlx::Error> {
    let (limit, offset) = bounds(page);
    let rows = sqlx::query_as!(
        Row,
        "select id, device_id, deployment_id, status, substate, created_at, started_at,
                finished_at, device_type, has_log, attempts, artifact_id
         from deployments.device_deployments
         where deployment_id = $1 and device_id = any(array(
             select device_id from deployments.device_deployments
             where deployment_id = $1 and status = any($2)
             order by device_id limit $3 offset $4))
         order by device_id",
        deployment.uuid(),
        statuses,
        limit,
        offset,
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter().map(DeviceDeployment::try_from).collect()
}

/// The ids of a deployment's devices, as far as its list is written.
pub(crate) async fn device_ids(
    tx: &mut TenantTx,
    deployment: DeploymentId,
) -> Result<Vec<DeviceId>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        "select device_id from deployments.device_deployments
         where deployment_id = $1 order by device_id",
        deployment.uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(ids.into_iter().map(DeviceId::from).collect())
}

/// A device's records, newest deployment first, without those that were hidden, and how many
/// there are on all pages.
pub(crate) async fn history(
    tx: &mut TenantTx,
    device: DeviceId,
    filter: StatusFilter,
    page: Page,
) -> Result<(Vec<DeviceDeployment>, i64), sqlx::Error> {
    let words = filter.words();
    let total = sqlx::query_scalar!(
        r#"select count(*) as "count!" from deployments.device_deployments
           where device_id = $1 and not hidden and ($2::text[] is null or status = any($2))"#,
        device.uuid(),
        words.as_deref(),
    )
    .fetch_one(&mut **tx)
    .await?;
    let rows = sqlx::query_as!(
        Row,
        "select id, device_id, deployment_id, status, substate, created_at, started_at,
                finished_at, device_type, has_log, attempts, artifact_id
         from deployments.device_deployments
         where device_id = $1 and not hidden and ($2::text[] is null or status = any($2))
         order by created_at desc, deployment_id desc limit $3 offset $4",
        device.uuid(),
        words.as_deref(),
        page.limit(),
        page.offset(),
    )
    .fetch_all(&mut **tx)
    .await?;
    let records = rows.into_iter().map(DeviceDeployment::try_from).collect::<Result<_, _>>()?;
    Ok((records, total))
}
