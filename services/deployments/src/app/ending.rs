//! How deployments and devices' places in them come to an end.

use rota_bus::EventType;
use rota_store::outbox::{self, NewEvent, Origin};
use rota_types::{
    Caller, DeploymentId, DeviceId, TenantId,
    events::{DeploymentAborted, EventData},
};

use super::Result;
use crate::{
    Deployments,
    error::Error,
    model::status::DeviceStatus,
    store::{
        deployments, device_deployments, hot,
        jobs::{self, Task},
        statistics,
    },
};

const ABORTED: EventType =
    EventType::new(DeploymentAborted::ENTITY, DeploymentAborted::TYPE, DeploymentAborted::VERSION);

/// Creation is a deployment's revision 1, and it is aborted once at the most.
const REVISION_ABORTED: i64 = 2;

/// From how many devices a deployment is taken back in one transaction.
pub(crate) const TAKE_BACK: i64 = 1_000;

impl Deployments {
    /// Finishes a deployment when its last device has come to an end. Every place's end calls
    /// this after its commit: the last of them to commit sees all the others. One that is
    /// killed in between, or fails here, is made up for by a task.
    pub(crate) async fn finish_if_done(&self, tenant: TenantId, deployment: DeploymentId) {
        if let Err(error) = self.try_finish(tenant, deployment).await {
            tracing::warn!(%deployment, error = &error as &dyn std::error::Error, "deployment is finished later");
        }
    }

    /// [`Self::finish_if_done`], with its failure.
    pub(crate) async fn try_finish(
        &self,
        tenant: TenantId,
        deployment: DeploymentId,
    ) -> Result<()> {
        if !hot::is_due_to_finish(self.db(), tenant, deployment).await? {
            return Ok(());
        }
        let now = self.now();
        self.db()
            .in_tenant(tenant, async |mut tx| {
                if let Some(artifact_name) =
                    deployments::finish_if_done(&mut tx, deployment, now).await?
                {
                    statistics::freeze(&mut tx, deployment, &artifact_name).await?;
                }
                Ok(())
            })
            .await
    }

    /// Aborts a deployment: from the commit on no device is offered it, and no report taken. A
    /// job writes the rest of a long list of devices.
    pub(crate) async fn abort(&self, caller: &Caller, deployment: DeploymentId) -> Result<()> {
        let now = self.now();
        let origin = Origin::from(caller);
        let event =
            NewEvent::new(ABORTED, deployment, REVISION_ABORTED, &DeploymentAborted { deployment });
        self.db()
            .in_tenant(caller.tenant, async |mut tx| {
                if !deployments::abort(&mut tx, deployment, now).await? {
                    return Err(Error::AlreadyFinished);
                }
                device_deployments::take_back(&mut tx, deployment, TAKE_BACK, now).await?;
                if device_deployments::any_active(&mut tx, deployment).await? {
                    jobs::add(&mut tx, &Task::TakeBack { deployment }).await?;
                } else if let Some(held) = deployments::hold(&mut tx, deployment).await? {
                    statistics::freeze(&mut tx, deployment, &held.artifact_name).await?;
                }
                outbox::append(&mut tx, &origin, &event).await?;
                Ok(())
            })
            .await?;
        self.ring();
        Ok(())
    }

    /// Aborts everything active for a device.
    pub(crate) async fn abort_device(&self, caller: &Caller, device: DeviceId) -> Result<()> {
        let now = self.now();
        let ended = self
            .db()
            .in_tenant(caller.tenant, async |mut tx| {
                let status = DeviceStatus::Aborted;
                device_deployments::end_all_of_device(&mut tx, device, status, now).await
            })
            .await?;
        self.finish_all(caller.tenant, &ended).await;
        Ok(())
    }

    /// Takes a device that was removed out of every deployment.
    pub(crate) async fn decommission_device(
        &self,
        caller: &Caller,
        device: DeviceId,
    ) -> Result<()> {
        let now = self.now();
        let ended = self
            .db()
            .in_tenant(caller.tenant, async |mut tx| {
                device_deployments::decommission(&mut tx, device, now).await
            })
            .await?;
        self.finish_all(caller.tenant, &ended).await;
        Ok(())
    }

    async fn finish_all(&self, tenant: TenantId, deployments: &[DeploymentId]) {
        for deployment in deployments {
            self.finish_if_done(tenant, *deployment).await;
        }
    }

    /// Hides what has ended from a device's history.
    pub(crate) async fn hide_history(&self, caller: &Caller, device: DeviceId) -> Result<()> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        device_deployments::hide_history(&mut tx, device).await?;
        tx.commit().await?;
        Ok(())
    }
}
