//! Creating deployments.

use rota_bus::EventType;
use rota_store::{
    outbox::{self, NewEvent, Origin},
    unique_violation,
};
use rota_types::{
    Caller, DeploymentId, DeviceId, TenantId,
    events::{DeploymentCreated, EventData},
};

use super::Result;
use crate::{
    Deployments,
    error::Error,
    model::deployment::{NewDeployment, Target},
    store::{
        artifacts, deployments, device_deployments,
        jobs::{self, Task},
    },
    targets,
};

const CREATED: EventType =
    EventType::new(DeploymentCreated::ENTITY, DeploymentCreated::TYPE, DeploymentCreated::VERSION);

/// How many devices one transaction writes; a list that is no longer is complete with the
/// answer to its creation.
pub(crate) const LIST_BATCH: usize = 1_000;

/// The beginning of a device list.
struct First {
    /// In order.
    devices: Vec<DeviceId>,
    /// How the rest is found, if there is any.
    rest: Option<Rest>,
}

/// The devices asked for, where they were named.
type Rest = Option<Vec<DeviceId>>;

impl Deployments {
    /// Creates a deployment. The first piece of the device list is written at once, so that
    /// small fleets find it complete; a job writes the rest.
    pub(crate) async fn create(
        &self,
        caller: &Caller,
        new: &NewDeployment,
    ) -> Result<DeploymentId> {
        new.validate()?;
        let first = self.first_devices(caller.tenant, &new.target).await?;
        if first.devices.is_empty() {
            return Err(Error::NoDevices);
        }
        let id = DeploymentId::mint();
        let origin = Origin::from(caller);
        let event = created(id, new);
        self.db()
            .in_tenant(caller.tenant, async |mut tx| {
                let now = self.now();
                if artifacts::hold_release(&mut tx, &new.artifact_name).await? == 0 {
                    return Err(Error::NoArtifact);
                }
                deployments::insert(&mut tx, id, new, now).await.map_err(exists_already)?;
                let devices = &first.devices;
                let written = device_deployments::insert(&mut tx, id, now, devices).await?;
                let complete_at = first.rest.is_none().then_some(now);
                deployments::count_listed(&mut tx, id, written, complete_at).await?;
                if let Some(named) = &first.rest {
                    let after = devices.last().copied();
                    let task = Task::Expand { deployment: id, devices: named.clone(), after };
                    jobs::add(&mut tx, &task).await?;
                }
                outbox::append(&mut tx, &origin, &event).await?;
                Ok(())
            })
            .await?;
        self.active_tenants().announce(caller.tenant);
        if first.rest.is_some() {
            self.ring();
        } else {
            // All of its devices may have been removed meanwhile.
            self.finish_if_done(caller.tenant, id).await;
        }
        tracing::info!(deployment = %id, artifact_name = new.artifact_name, "deployment created");
        Ok(id)
    }

    async fn first_devices(&self, tenant: TenantId, target: &Target) -> Result<First> {
        if let Target::Devices(named) = target {
            let devices = named.iter().copied().take(LIST_BATCH).collect();
            let rest = (named.len() > LIST_BATCH).then(|| Some(named.iter().copied().collect()));
            return Ok(First { devices, rest });
        }
        let group = match target {
            Target::Group(group) => Some(group.as_str()),
            Target::All | Target::Devices(_) => None,
        };
        let mut stream =
            targets::stream(&self.inventory(), tenant, self.now(), group, None).await?;
        let (devices, more) = stream.first(LIST_BATCH).await?;
        Ok(First { devices, rest: more.then_some(None) })
    }
}

fn created(id: DeploymentId, new: &NewDeployment) -> NewEvent {
    let data = DeploymentCreated {
        deployment: id,
        name: new.name.clone(),
        artifact_name: new.artifact_name.clone(),
    };
    NewEvent::new(CREATED, id, 1, &data)
}

fn exists_already(error: sqlx::Error) -> Error {
    match unique_violation(&error) {
        Some(deployments::SAME_REQUEST) => Error::DeploymentExists,
        _ => error.into(),
    }
}
