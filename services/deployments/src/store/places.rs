//! The table `device_deployments` as one device moves through it: its places in the active
//! deployments, and what becomes of them.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::{DeploymentId, DeviceId};
use sqlx::types::Json;
use uuid::Uuid;

use super::{artifacts, column, control_map};
use crate::model::{
    artifact::{DEVICE_TYPE, Provides},
    decision::{Candidate, Device, Fit, Offer, Refusal},
    status::DeviceStatus,
};

/// How many active deployments of one device a poll looks at; the next poll sees the others.
const MAX_CANDIDATES: i64 = 16;

/// The device's places in the active deployments, oldest first, held until the transaction
/// ends.
pub(crate) async fn lock_candidates(
    tx: &mut TenantTx,
    device: DeviceId,
) -> Result<Vec<Candidate>, sqlx::Error> {
    // Whoever waits for a row here sees it as it was left, but rows joined to it as they were
    // before: what hangs on the row is read afterwards.
    let rows = sqlx::query!(
        r#"select dd.deployment_id, dd.status, dd.request as "request: Json<Provides>",
                  dd.artifact_id, d.artifact_name, d.force_installation,
                  d.control_map as "control_map: Json<control_map::Row>"
           from deployments.device_deployments dd
           join deployments.deployments d on d.tenant_id = dd.tenant_id and d.id = dd.deployment_id
           where dd.device_id = $1 and dd.finished_at is null and d.finished_at is null
           order by dd.created_at, dd.deployment_id
           limit $2
           for no key update of dd"#,
        device.uuid(),
        MAX_CANDIDATES,
    )
    .fetch_all(&mut **tx)
    .await?;
    let chosen: Vec<Uuid> = rows.iter().filter_map(|row| row.artifact_id).collect();
    let chosen = artifacts::fits_by_id(tx, &chosen).await?;
    let names: Vec<String> = rows
        .iter()
        .filter(|row| row.artifact_id.is_none())
        .map(|row| row.artifact_name.clone())
        .collect();
    let releases = artifacts::fits(tx, &names).await?;
    rows.into_iter()
        .map(|row| {
            let chosen = chosen.iter().find(|fit| Some(fit.id.uuid()) == row.artifact_id);
            let offer = match chosen {
                Some(fit) => Offer::Chosen(fit.clone()),
                None => Offer::Release(
                    releases.iter().filter(|fit| fit.name == row.artifact_name).cloned().collect(),
                ),
            };
            Ok(Candidate {
                deployment: row.deployment_id.into(),
                force_installation: row.force_installation,
                status: column::word("status", &row.status)?,
                request: row.request.map(|request| request.0),
                control_map: control_map::read(row.control_map)?,
                offer,
            })
        })
        .collect()
}

/// Ends the device's place in a deployment with the status of the refusal.
pub(crate) async fn refuse(
    tx: &mut TenantTx,
    device: DeviceId,
    asking: &Device,
    refusal: &Refusal,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.device_deployments
         set status = $3, started_at = coalesce(started_at, $4), finished_at = $4,
             device_type = coalesce($5, device_type), substate = coalesce($6, substate)
         where deployment_id = $1 and device_id = $2 and finished_at is null",
        refusal.deployment.uuid(),
        device.uuid(),
        refusal.reason.status().word(),
        refusal.at,
        asking.provides.get(DEVICE_TYPE),
        refusal.reason.substate(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Begins an attempt: keeps the device's question and the Artifact that it is given.
pub(crate) async fn hand_out(
    tx: &mut TenantTx,
    device: DeviceId,
    asking: &Device,
    deployment: DeploymentId,
    fit: &Fit,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.device_deployments
         set request = $3, artifact_id = $4, device_type = coalesce($5, device_type),
             attempts = attempts + 1, handed_out_bytes = handed_out_bytes + $6
         where deployment_id = $1 and device_id = $2",
        deployment.uuid(),
        device.uuid(),
        Json(&asking.provides) as _,
        fit.id.uuid(),
        asking.provides.get(DEVICE_TYPE),
        column::signed(fit.size_bytes),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Where a device is in a deployment, as a report finds it.
pub(crate) struct Place {
    /// [`DeviceStatus::Aborted`], too, where the deployment is aborted and the record not yet.
    pub(crate) status: DeviceStatus,
    pub(crate) substate: String,
    pub(crate) attempts: u32,
    pub(crate) retries: u32,
}

/// The device's place in a deployment, held until the transaction ends.
pub(crate) async fn lock(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    device: DeviceId,
) -> Result<Option<Place>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select dd.status, dd.substate, dd.attempts, d.retries,
                  d.aborted_at is not null as "aborted!"
           from deployments.device_deployments dd
           join deployments.deployments d on d.tenant_id = dd.tenant_id and d.id = dd.deployment_id
           where dd.deployment_id = $1 and dd.device_id = $2
           for no key update of dd"#,
        deployment.uuid(),
        device.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let status: DeviceStatus = column::word("status", &row.status)?;
    Ok(Some(Place {
        status: if row.aborted && status.is_active() { DeviceStatus::Aborted } else { status },
        substate: row.substate,
        attempts: column::unsigned("attempts", row.attempts.into())?,
        retries: column::unsigned("retries", row.retries.into())?,
    }))
}

/// Sets what the device reported.
pub(crate) async fn set_status(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    device: DeviceId,
    status: DeviceStatus,
    substate: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.device_deployments
         set status = $3, substate = $4, started_at = coalesce(started_at, $5), finished_at = $6
         where deployment_id = $1 and device_id = $2",
        deployment.uuid(),
        device.uuid(),
        status.word(),
        substate,
        now,
        (!status.is_active()).then_some(now),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Offers the deployment to the device once more: the next question begins another attempt.
pub(crate) async fn retry(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    device: DeviceId,
    substate: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.device_deployments
         set status = 'pending', substate = $3, request = null, artifact_id = null,
             started_at = coalesce(started_at, $4)
         where deployment_id = $1 and device_id = $2",
        deployment.uuid(),
        device.uuid(),
        substate,
        now,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that the device sent a log.
pub(crate) async fn set_log(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    device: DeviceId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deployments.device_deployments set has_log = true
         where deployment_id = $1 and device_id = $2",
        deployment.uuid(),
        device.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The record of the device's place in the deployment.
pub(crate) async fn record(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    device: DeviceId,
) -> Result<Option<Record>, sqlx::Error> {
    sqlx::query_as!(
        Record,
        "select id, has_log from deployments.device_deployments
         where deployment_id = $1 and device_id = $2",
        deployment.uuid(),
        device.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await
}

/// A place's own id, and whether there is a log under it.
pub(crate) struct Record {
    pub(crate) id: Uuid,
    pub(crate) has_log: bool,
}
