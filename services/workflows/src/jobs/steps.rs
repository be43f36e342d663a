//! Steps carried out: one call of another service each, in the name of workflows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prost_types::Timestamp;
use rota_proto::{
    deployments::v1::{self as deployments, internal_service_client as deployments_client},
    deviceauth::v1::{self as deviceauth, internal_service_client as deviceauth_client},
    inventory::v1::{self as inventory, internal_service_client as inventory_client},
};
use rota_runtime::{Clock, Failure, Rpc, SystemClock, idempotent, with_caller, within};
use rota_types::{Caller, ErrorCode, events::DeviceStatusChanged};
use tonic::{Request, Status};

use crate::{
    model::{Outcome, Step},
    store::work::Held,
};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long the statement about the caller holds.
const CALLER_HOLDS: TimeDelta = TimeDelta::minutes(1);

/// The clients of the other services.
#[derive(Clone)]
pub(crate) struct Steps {
    deviceauth: deviceauth_client::InternalServiceClient<Rpc>,
    inventory: inventory_client::InternalServiceClient<Rpc>,
    deployments: deployments_client::InternalServiceClient<Rpc>,
}

/// Why a step was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The service refused, failed, or was not there.
    #[error("{}: {}", .0.code, .0.message)]
    Service(Failure),
    /// The job's input is not the event's data.
    #[error("the job's input cannot be read: {0}")]
    Input(#[from] serde_json::Error),
}

impl From<Status> for StepError {
    fn from(status: Status) -> Self {
        Self::Service(status.into())
    }
}

impl StepError {
    /// Whether waiting may help by itself.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Service(failure) => match failure.code {
                ErrorCode::Unavailable
                | ErrorCode::Timeout
                | ErrorCode::TooMany
                | ErrorCode::Conflict => Outcome::Unavailable,
                _ => Outcome::Failed,
            },
            Self::Input(_) => Outcome::Failed,
        }
    }
}

impl Steps {
    pub(crate) fn new(deviceauth: Rpc, inventory: Rpc, deployments: Rpc) -> Self {
        Self {
            deviceauth: deviceauth_client::InternalServiceClient::new(deviceauth),
            inventory: inventory_client::InternalServiceClient::new(inventory),
            deployments: deployments_client::InternalServiceClient::new(deployments),
        }
    }

    /// Carries out one step of the job.
    pub(crate) async fn perform(&self, step: Step, job: &Held) -> Result<(), StepError> {
        let device_id = job.device.to_string();
        match step {
            Step::ProvisionInInventory => {
                let call = request(job, provision(job)?);
                self.inventory.clone().provision_device(call).await?;
            }
            Step::DecommissionInDeployments => {
                let call = request(job, deployments::DecommissionDeviceRequest { device_id });
                self.deployments.clone().decommission_device(call).await?;
            }
            Step::DeleteInInventory => {
                let call = request(job, inventory::DeleteDeviceRequest { device_id });
                self.inventory.clone().delete_device(call).await?;
            }
            Step::DeleteInDeviceauth => {
                let call = request(job, deviceauth::DeleteDeviceRequest { device_id });
                self.deviceauth.clone().delete_device(call).await?;
            }
        }
        Ok(())
    }
}

/// deviceauth's word on a device, as the event had it.
fn provision(job: &Held) -> Result<inventory::ProvisionDeviceRequest, serde_json::Error> {
    let word: DeviceStatusChanged = serde_json::from_str(&job.input)?;
    Ok(inventory::ProvisionDeviceRequest {
        device_id: word.device.to_string(),
        status: word.status,
        identity_data: serde_json::Value::Object(word.identity_data).to_string(),
        revision: word.revision,
        created: Some(timestamp(word.created)),
        check_in: word.check_in.map(timestamp),
    })
}

/// A call in the name of workflows that may be repeated, because every step may.
fn request<T>(job: &Held, message: T) -> Request<T> {
    let mut caller = Caller::service("workflows", job.tenant, SystemClock.now() + CALLER_HOLDS);
    caller.request_id.clone_from(&job.request_id);
    within(DEADLINE, idempotent(with_caller(Request::new(message), &caller)))
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    rota_proto::to_timestamp(time.timestamp(), time.timestamp_subsec_nanos())
}
