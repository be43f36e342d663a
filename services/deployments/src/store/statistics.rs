//! How many devices of a deployment are where: counted when asked for, so that no report waits
//! for a counter, and written down once nothing can change any more.

use std::collections::{BTreeMap, HashMap};

use rota_store::TenantTx;
use rota_types::DeploymentId;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use super::{artifacts, column};
use crate::model::{deployment::Statistics, status::DeviceStatus};

/// Statistics as the column `final_statistics` holds them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Final {
    devices: BTreeMap<String, u64>,
    handed_out_bytes: u64,
}

impl From<&Statistics> for Final {
    fn from(statistics: &Statistics) -> Self {
        let devices = statistics
            .iter()
            .filter(|(_, devices)| *devices > 0)
            .map(|(status, devices)| (status.word().to_owned(), devices))
            .collect();
        Self { devices, handed_out_bytes: statistics.handed_out_bytes }
    }
}

impl TryFrom<Final> for Statistics {
    type Error = sqlx::Error;

    fn try_from(stored: Final) -> Result<Self, sqlx::Error> {
        let mut statistics = Self::default();
        for (word, devices) in stored.devices {
            let status: DeviceStatus = column::word("final_statistics", &word)?;
            statistics.add(status, devices);
        }
        statistics.handed_out_bytes = stored.handed_out_bytes;
        Ok(statistics)
    }
}

/// Counts the devices of these deployments.
///
/// Most devices of a large deployment are pending for most of the time, and those are what is
/// left of the list when all others are counted.
pub(super) async fn count(
    tx: &mut TenantTx,
    deployments: &[Uuid],
) -> Result<HashMap<DeploymentId, Statistics>, sqlx::Error> {
    if deployments.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select d.id, d.device_count, moved.status as "status?", moved.devices as "devices?",
                  moved.bytes as "bytes?",
                  (select sum(dd.handed_out_bytes)::bigint
                   from deployments.device_deployments dd
                   where dd.deployment_id = d.id
                     and dd.status = 'pending' and dd.handed_out_bytes > 0) as silent_bytes
           from deployments.deployments d
           left join lateral (
               select status, count(*) as devices, sum(handed_out_bytes)::bigint as bytes
               from (
                   select dd.status, dd.handed_out_bytes from deployments.device_deployments dd
                   where dd.deployment_id = d.id and dd.status < 'pending'
                   union all
                   select dd.status, dd.handed_out_bytes from deployments.device_deployments dd
                   where dd.deployment_id = d.id and dd.status > 'pending'
               ) as each
               group by status
           ) as moved on true
           where d.id = any($1)"#,
        deployments,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut counted: HashMap<DeploymentId, Statistics> = HashMap::new();
    let mut listed: HashMap<DeploymentId, u64> = HashMap::new();
    for row in rows {
        let id = row.id.into();
        let statistics = counted.entry(id).or_default();
        if listed.insert(id, column::unsigned("device_count", row.device_count)?).is_none() {
            statistics.handed_out_bytes =
                column::unsigned("handed_out_bytes", row.silent_bytes.unwrap_or(0))?;
        }
        if let (Some(status), Some(devices)) = (row.status, row.devices) {
            statistics.add(column::word("status", &status)?, column::unsigned("count", devices)?);
            statistics.handed_out_bytes +=
                column::unsigned::<u64>("handed_out_bytes", row.bytes.unwrap_or(0))?;
        }
    }
    for (id, statistics) in &mut counted {
        let all = listed.get(id).copied().unwrap_or(0);
        statistics.add(DeviceStatus::Pending, all.saturating_sub(statistics.devices()));
    }
    Ok(counted)
}

/// Counts the devices of one deployment.
pub(crate) async fn of(
    tx: &mut TenantTx,
    deployment: DeploymentId,
) -> Result<Statistics, sqlx::Error> {
    let mut counted = count(tx, &[deployment.uuid()]).await?;
    Ok(counted.remove(&deployment).unwrap_or_default())
}

/// Writes down what a finished deployment came to. Only for one whose devices have all come to
/// an end.
pub(crate) async fn freeze(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    artifact_name: &str,
) -> Result<(), sqlx::Error> {
    let statistics = of(tx, deployment).await?;
    let release = artifacts::ids_of_release(tx, artifact_name).await?;
    let release: Vec<Uuid> = release.into_iter().map(Uuid::from).collect();
    sqlx::query!(
        "update deployments.deployments
         set final_statistics = $2, final_artifacts = coalesce(final_artifacts, $3)
         where id = $1",
        deployment.uuid(),
        Json(Final::from(&statistics)) as _,
        &release,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
