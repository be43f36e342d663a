//! Takes an aborted deployment back from the rest of its devices.

use rota_types::{DeploymentId, JobId, TenantId};

use super::work::LEASE;
use crate::{
    Deployments,
    app::{Result, ending::TAKE_BACK},
    error::Error,
    store::{deployments, device_deployments, jobs, statistics},
};

impl Deployments {
    /// Carries out [`Task::TakeBack`](jobs::Task::TakeBack).
    pub(super) async fn take_back(
        &self,
        tenant: TenantId,
        job: JobId,
        deployment: DeploymentId,
    ) -> Result<()> {
        loop {
            let now = self.now();
            let over = self
                .db()
                .in_tenant(tenant, async |mut tx| {
                    device_deployments::take_back(&mut tx, deployment, TAKE_BACK, now).await?;
                    if device_deployments::any_active(&mut tx, deployment).await? {
                        jobs::keep(&mut tx, job, LEASE).await?;
                        return Ok(false);
                    }
                    let held =
                        deployments::hold(&mut tx, deployment).await?.ok_or(Error::NotFound)?;
                    statistics::freeze(&mut tx, deployment, &held.artifact_name).await?;
                    jobs::done(&mut tx, job).await?;
                    Ok::<_, Error>(true)
                })
                .await?;
            if over {
                return Ok(());
            }
        }
    }
}
