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
    end: End,
}

/// How a stream has ended.
enum End {
    NotYet,
    Well,
    /// It broke off: what came before is handed on first, so that a resumed stream is further.
    Broken(Error),
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
    Ok(Targets { stream: response.into_inner(), held: Vec::new(), end: End::NotYet })
}

impl Targets {
    /// At most `count` devices, and whether there are more behind them.
    pub(crate) async fn first(&mut self, count: usize) -> Result<(Vec<DeviceId>, bool)> {
        self.receive(count + 1).await;
        if let End::Broken(_) = self.end {
            return self.next(0).await.map(|devices| (devices, false));
        }
        let devices = self.take(count);
        Ok((devices, !self.held.is_empty()))
    }

    /// The next devices, at most `count`; none: there are no more.
    pub(crate) async fn next(&mut self, count: usize) -> Result<Vec<DeviceId>> {
        self.receive(count).await;
        let devices = self.take(count);
        if devices.is_empty()
            && let End::Broken(error) = std::mem::replace(&mut self.end, End::Well)
        {
            return Err(error);
        }
        Ok(devices)
    }

    fn take(&mut self, count: usize) -> Vec<DeviceId> {
        let rest = self.held.split_off(self.held.len().min(count));
        std::mem::replace(&mut self.held, rest)
    }

    /// Receives until so many devices are held, or there are no more.
    async fn receive(&mut self, count: usize) {
        while matches!(self.end, End::NotYet) && self.held.len() < count {
            match self.message().await {
                Ok(Some(devices)) => self.held.extend(devices),
                Ok(None) => self.end = End::Well,
                Err(error) => self.end = End::Broken(error),
            }
        }
    }

    async fn message(&mut self) -> Result<Option<Vec<DeviceId>>> {
        let message = tokio::time::timeout(SILENCE, self.stream.message())
            .await
            .map_err(|_| tonic::Status::deadline_exceeded("inventory fell silent"))
            .and_then(|message| message)
            .map_err(|status| Error::Inventory(Failure::from(status)))?;
        let Some(batch) = message else { return Ok(None) };
        let devices: Result<Vec<DeviceId>, _> =
            batch.device_ids.iter().map(|id| id.parse()).collect();
        Ok(Some(devices?))
    }
}
