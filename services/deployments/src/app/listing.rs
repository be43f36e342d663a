//! What there is to see of deployments.

use std::collections::BTreeSet;

use rota_types::{Caller, DeploymentId, DeviceId, Page};

use super::Result;
use crate::{
    Deployments,
    error::Error,
    model::{
        artifact::ArtifactsById,
        deployment::{Deployment, DeploymentFilter, DeviceDeployment, Statistics},
        status::StatusFilter,
    },
    store::{artifacts, deployments, device_deployments, statistics},
};

/// The most deployments whose statistics one request may ask for (server API).
const MAX_STATISTICS: usize = 100;

/// One page of device records, with the Artifacts that they name.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) devices: Vec<DeviceDeployment>,
    pub(crate) artifacts: ArtifactsById,
    /// On all pages.
    pub(crate) total: i64,
}

impl Deployments {
    /// One page of the deployments that pass the filter, and how many there are in all.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        filter: &DeploymentFilter,
        page: Page,
    ) -> Result<(Vec<Deployment>, i64)> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        Ok(deployments::list(&mut tx, filter, page).await?)
    }

    /// One deployment.
    pub(crate) async fn get(&self, caller: &Caller, id: DeploymentId) -> Result<Deployment> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        let found = deployments::by_ids(&mut tx, &[id]).await?;
        found.into_iter().next().ok_or(Error::NotFound)
    }

    /// The statistics of several deployments; every one must be there.
    pub(crate) async fn statistics(
        &self,
        caller: &Caller,
        ids: &[DeploymentId],
    ) -> Result<Vec<(DeploymentId, Statistics)>> {
        if ids.len() > MAX_STATISTICS {
            let reason = "must name at most 100 deployments";
            return Err(Error::Field { field: "deployment_ids", reason });
        }
        let mut tx = self.db().tenant(caller.tenant).await?;
        let found = deployments::by_ids(&mut tx, ids).await?;
        if found.len() != ids.iter().collect::<BTreeSet<_>>().len() {
            return Err(Error::NotFound);
        }
        Ok(found.into_iter().map(|deployment| (deployment.id, deployment.statistics)).collect())
    }

    /// The records of a deployment's devices; all on one page without a page.
    pub(crate) async fn devices(
        &self,
        caller: &Caller,
        deployment: DeploymentId,
        filter: StatusFilter,
        page: Option<Page>,
    ) -> Result<Records> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        let all = deployments::device_count(&mut tx, deployment).await?.ok_or(Error::NotFound)?;
        let (records, total) = match filter.words() {
            None => (device_deployments::list(&mut tx, deployment, page).await?, all),
            Some(statuses) => {
                let total = statistics::of(&mut tx, deployment).await?.passing(filter);
                let list = device_deployments::list_at(&mut tx, deployment, &statuses, page);
                (list.await?, i64::try_from(total).unwrap_or(i64::MAX))
            }
        };
        let artifacts = artifacts::by_ids(&mut tx, &chosen(&records)).await?;
        Ok(Records { devices: records, artifacts, total })
    }

    /// The ids of a deployment's devices.
    pub(crate) async fn device_ids(
        &self,
        caller: &Caller,
        deployment: DeploymentId,
    ) -> Result<Vec<DeviceId>> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        deployments::device_count(&mut tx, deployment).await?.ok_or(Error::NotFound)?;
        Ok(device_deployments::device_ids(&mut tx, deployment).await?)
    }

    /// A device's records with their deployments, newest first.
    pub(crate) async fn history(
        &self,
        caller: &Caller,
        device: DeviceId,
        filter: StatusFilter,
        page: Page,
    ) -> Result<(Records, Vec<Deployment>)> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        let (records, total) = device_deployments::history(&mut tx, device, filter, page).await?;
        let artifacts = artifacts::by_ids(&mut tx, &chosen(&records)).await?;
        let ids: Vec<_> = records.iter().map(|record| record.deployment).collect();
        let deployments = deployments::by_ids(&mut tx, &ids).await?;
        Ok((Records { devices: records, artifacts, total }, deployments))
    }
}

fn chosen(records: &[DeviceDeployment]) -> Vec<rota_types::ArtifactId> {
    let chosen: BTreeSet<_> = records.iter().filter_map(|record| record.artifact).collect();
    chosen.into_iter().collect()
}
