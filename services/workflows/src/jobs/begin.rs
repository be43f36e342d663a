//! Events begin jobs: the event's id and the job commit together.

use async_trait::async_trait;
use rota_bus::{Event, EventType};
use rota_store::{Effect, EffectError, TenantTx};
use rota_types::{
    DeviceId,
    events::{DeviceDecommissioned, DeviceStatusChanged, EventData},
};

use crate::{
    model::Workflow,
    store::jobs::{self, NewJob},
};

/// The durable name of the consumer.
pub(crate) const CONSUMER: &str = "workflows";

const STATUS_CHANGED: EventType = event_type::<DeviceStatusChanged>();
const DECOMMISSIONED: EventType = event_type::<DeviceDecommissioned>();

/// The events that begin a job.
pub(crate) const EVENTS: [EventType; 2] = [STATUS_CHANGED, DECOMMISSIONED];

const fn event_type<T: EventData>() -> EventType {
    EventType::new(T::ENTITY, T::TYPE, T::VERSION)
}

/// Begins a job for each event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BeginJobs;

#[async_trait]
impl Effect for BeginJobs {
    async fn apply(&self, tx: &mut TenantTx, event: &Event) -> Result<(), EffectError> {
        let Some((workflow, device)) = read(event)? else {
            tracing::warn!(event = %event.id, kind = event.kind, "an event that begins nothing");
            return Ok(());
        };
        let job = NewJob {
            workflow,
            device,
            input: &event.data,
            request_id: &event.request_id,
            traceparent: event.traceparent.as_deref(),
        };
        jobs::begin(tx, &job).await?;
        metrics::counter!("rota_workflows_jobs_begun_total", "workflow" => workflow.word())
            .increment(1);
        Ok(())
    }
}

/// Which workflow the event begins, and for whom. The data is read here already, so that what
/// makes no sense is buried with its event and not with a job.
fn read(event: &Event) -> Result<Option<(Workflow, DeviceId)>, EffectError> {
    if event.is(&STATUS_CHANGED) {
        let data: DeviceStatusChanged = serde_json::from_value(event.data.clone())?;
        return Ok(Some((Workflow::ProvisionDevice, data.device)));
    }
    if event.is(&DECOMMISSIONED) {
        let data: DeviceDecommissioned = serde_json::from_value(event.data.clone())?;
        return Ok(Some((Workflow::DecommissionDevice, data.device)));
    }
    Ok(None)
}
