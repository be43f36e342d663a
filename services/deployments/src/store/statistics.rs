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

/// Counts the devices of these deployments. A deployment without any is left out.
pub(super) async fn count(
    tx: &mut TenantTx,
    deployments: &[Uuid],
) -> Result<HashMap<DeploymentId, Statistics>, sqlx::Error> {
    if deployments.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select deployment_id, status, count(*) as "devices!",
                  sum(handed_out_bytes)::bigint as "handed_out_bytes!"
           from deployments.device_deployments where deployment_id = any($1)
           group by deployment_id, status"#,
        deployments,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut counted: HashMap<DeploymentId, Statistics> = HashMap::new();
    for row in rows {
        let statistics = counted.entry(row.deployment_id.into()).or_default();
        let devices = column::unsigned("count", row.devices)?;
        statistics.add(column::word("status", &row.status)?, devices);
        statistics.handed_out_bytes +=
            column::unsigned::<u64>("handed_out_bytes", row.handed_out_bytes)?;
    }
    Ok(counted)
}

/// Writes down what a finished deployment came to. Only for one whose devices have all come to
/// an end.
pub(crate) async fn freeze(
    tx: &mut TenantTx,
    deployment: DeploymentId,
    artifact_name: &str,
) -> Result<(), sqlx::Error> {
    let mut counted = count(tx, &[deployment.uuid()]).await?;
    let statistics = counted.remove(&deployment).unwrap_or_default();
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
