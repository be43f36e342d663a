//! The devices that a deployment is for, as inventory streams them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rota_proto::inventory::v1::{
    StreamTargetsRequest, TargetBatch, internal_service_client::InternalServiceClient,
};
use rota_runtime::{Failure, Rpc, with_caller, within};
use rota_types::{Caller, DeviceId, TenantId};
use tonic::Streaming;

use crate::{app::Result, error::Error};

/// Until when inventory has to begin its answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long inventory may be silent within a stream.
const SILENCE: Duration = Duration::from_secs(30);

/// Accepted devices, in the order of their ids.
pub(crate) struct Targets {
    stream: Streaming<TargetBatch>,
    /// Received and not yet handed on.
    held: Vec<DeviceId>,
    ended: bool,
}

/// Begins to stream the members of a group, or all devices, with ids greater than `after`.
pub(crate) async fn stream(
    inventory: &Rpc,
    tenant: TenantId,
    now: DateTime<Utc>,
    group: Option<&str>,
    after: Option<DeviceId>,
) -> Result<Targets> {
    let request = StreamTargetsRequest {
        group: group.map(ToOwned::to_owned),
        device_ids: Vec::new(),
        after: after.map(|device| device.to_string()),
    };
    // Streams of large fleets outlive a single call's minute.
    let caller = Caller::service("deployments", tenant, now + TimeDelta::minutes(10));
    let origin = http::Uri::from_static("http://inventory");
    let mut client = InternalServiceClient::with_origin(inventory.clone(), origin);
    let response = client
        .stream_targets(within(DEADLINE, with_caller(request, &caller)))
        .await
        .map_err(|status| Error::Inventory(status.into()))?;
    Ok(Targets { stream: response.into_inner(), held: Vec::new(), ended: false })
}

impl Targets {
    /// At most `count` devices, and whether there are more behind them.
    pub(crate) async fn first(&mut self, count: usize) -> Result<(Vec<DeviceId>, bool)> {
        let devices = self.next(count).await?;
        let more = !self.held.is_empty() || self.receive().await?;
        Ok((devices, more))
    }

    /// The next devices, at most `count`; none: there are no more.
    pub(crate) async fn next(&mut self, count: usize) -> Result<Vec<DeviceId>> {
        while self.held.len() < count && self.receive().await? {}
        let rest = self.held.split_off(self.held.len().min(count));
        Ok(std::mem::replace(&mut self.held, rest))
    }

    /// Receives another batch. `false`: there is none.
    async fn receive(&mut self) -> Result<bool> {
        while !self.ended {
            let message = tokio::time::timeout(SILENCE, self.stream.message())
                .await
                .map_err(|_| tonic::Status::deadline_exceeded("inventory fell silent"))
                .and_then(|message| message)
                .map_err(|status| Error::Inventory(Failure::from(status)))?;
            let Some(batch) = message else {
                self.ended = true;
                break;
            };
            for id in &batch.device_ids {
                self.held.push(id.parse()?);
            }
            if !batch.device_ids.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
