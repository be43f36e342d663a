//! What holds a deployment's updates: operators replace it, and devices that wait ask for it.

use rota_types::{Caller, DeploymentId, DeviceId, TenantId};

use super::Result;
use crate::{
    Deployments,
    error::Error,
    model::control_map::ControlMap,
    store::{deployments, hot},
};

impl Deployments {
    /// Replaces the control map of an active deployment. Devices hear of it when they ask next; one
    /// that began without understanding maps does not ask.
    pub(crate) async fn replace_control_map(
        &self,
        caller: &Caller,
        deployment: DeploymentId,
        map: &ControlMap,
    ) -> Result<()> {
        self.db()
            .in_tenant(caller.tenant, async |mut tx| {
                if deployments::replace_control_map(&mut tx, deployment, map).await? {
                    return Ok(());
                }
                Err(match deployments::hold(&mut tx, deployment).await? {
                    None => Error::NotFound,
                    Some(held) if held.is_finished => Error::Over,
                    Some(_) => Error::NoControlMap,
                })
            })
            .await?;
        tracing::info!(%deployment, "control map replaced");
        Ok(())
    }

    /// The control map of an active deployment of the device, if it has one.
    pub(crate) async fn control_map(
        &self,
        tenant: TenantId,
        device: DeviceId,
        deployment: DeploymentId,
    ) -> Result<Option<ControlMap>> {
        let active = hot::active(self.db(), tenant, device, deployment).await?;
        Ok(active.ok_or(Error::NotFound)?.control_map)
    }
}
