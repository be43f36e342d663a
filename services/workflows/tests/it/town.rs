//! The other services, as workflows sees them: they note every call, keep the effects, and
//! fail or fall silent when told to.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use rota_proto::{
    deployments::v1::{
        DecommissionDeviceRequest, DecommissionDeviceResponse, SetStorageLimitRequest,
        SetStorageLimitResponse, internal_service_server as deployments,
    },
    deviceauth::v1::{
        DeleteDeviceRequest, DeleteDeviceResponse, SetDeviceLimitRequest, SetDeviceLimitResponse,
        internal_service_server as deviceauth,
    },
    inventory::v1::{
        self as inventory_wire, ProvisionDeviceRequest, ProvisionDeviceResponse,
        StreamTargetsRequest, TargetBatch, internal_service_server as inventory,
    },
};
use rota_runtime::{Rpc, rpc};
use rota_types::{Permission, TenantId};
use tokio::sync::Notify;
use tonic::{Request, Response, Status, service::Routes};

/// A call that reached a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) service: &'static str,
    pub(crate) tenant: TenantId,
    pub(crate) device: String,
    pub(crate) request_id: String,
}

/// What a service does with a call instead of answering.
#[derive(Debug, Clone)]
pub(crate) enum Mood {
    /// Refuses.
    Refuse(Status),
    /// Carries it out, and never answers.
    FallSilent,
}

/// What is left of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traces {
    /// inventory's revision and status.
    pub(crate) inventory: Option<(i64, String)>,
    /// Times that something changed anywhere.
    pub(crate) effects: u32,
    /// Who has forgotten the device, in order.
    pub(crate) forgotten_by: Vec<&'static str>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    moods: HashMap<&'static str, VecDeque<Mood>>,
    devices: BTreeMap<(TenantId, String), Traces>,
}

/// The services together. Clones are the same town.
#[derive(Clone, Default)]
pub(crate) struct Town {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl Town {
    pub(crate) fn rpc(&self, service: &'static str) -> Rpc {
        let routes = match service {
            "inventory" => Routes::new(inventory::InternalServiceServer::new(self.clone())),
            "deployments" => Routes::new(deployments::InternalServiceServer::new(self.clone())),
            "deviceauth" => Routes::new(deviceauth::InternalServiceServer::new(self.clone())),
            other => panic!("no service {other}"),
        };
        rpc::in_process(service, routes)
    }

    /// The next call of the service meets this mood; called again, the one after it.
    pub(crate) fn put(&self, service: &'static str, mood: Mood) {
        self.state.lock().unwrap().moods.entry(service).or_default().push_back(mood);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn traces(&self, tenant: TenantId, device: &str) -> Traces {
        let state = self.state.lock().unwrap();
        state.devices.get(&(tenant, device.to_owned())).cloned().unwrap_or_default()
    }

    /// Waits until what is left of a device is as wanted.
    pub(crate) async fn until(
        &self,
        tenant: TenantId,
        device: &str,
        wanted: impl Fn(&Traces) -> bool,
    ) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if wanted(&self.traces(tenant, device)) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_mins(1), waiting).await;
        assert!(waited.is_ok(), "after a minute: {:?}", self.traces(tenant, device));
    }

    /// Takes a call in: its effect, then the mood of the service.
    async fn take<T>(
        &self,
        service: &'static str,
        request: &Request<T>,
        device: &str,
        effect: impl FnOnce(&mut Traces) -> bool,
    ) -> Result<(), Status> {
        let caller = rota_runtime::caller(request)?;
        assert!(caller.may(Permission::Internal), "{caller:?}");
        let mood = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(Call {
                service,
                tenant: caller.tenant,
                device: device.to_owned(),
                request_id: caller.request_id.clone(),
            });
            let mood = state.moods.get_mut(service).and_then(VecDeque::pop_front);
            if !matches!(mood, Some(Mood::Refuse(_))) {
                let traces = state.devices.entry((caller.tenant, device.to_owned())).or_default();
                if effect(traces) {
                    traces.effects += 1;
                }
            }
            mood
        };
        self.changed.notify_waiters();
        match mood {
            None => Ok(()),
            Some(Mood::Refuse(status)) => Err(status),
            Some(Mood::FallSilent) => std::future::pending().await,
        }
    }
}

/// Forgets a device, unless that has been done.
fn forget(service: &'static str) -> impl FnOnce(&mut Traces) -> bool {
    move |traces| {
        let first = !traces.forgotten_by.contains(&service);
        if first {
            traces.forgotten_by.push(service);
        }
        first
    }
}

#[tonic::async_trait]
impl inventory::InternalService for Town {
    async fn provision_device(
        &self,
        request: Request<ProvisionDeviceRequest>,
    ) -> Result<Response<ProvisionDeviceResponse>, Status> {
        let word = request.get_ref().clone();
        self.take("inventory", &request, &word.device_id, |traces| {
            let known = traces.inventory.as_ref().map_or(0, |(revision, _)| *revision);
            let news = word.revision > known && !traces.forgotten_by.contains(&"inventory");
            if news {
                traces.inventory = Some((word.revision, word.status));
            }
            news
        })
        .await?;
        Ok(Response::new(ProvisionDeviceResponse {}))
    }

    async fn delete_device(
        &self,
        request: Request<inventory_wire::DeleteDeviceRequest>,
    ) -> Result<Response<inventory_wire::DeleteDeviceResponse>, Status> {
        let device = request.get_ref().device_id.clone();
        self.take("inventory", &request, &device, |traces| {
            traces.inventory = None;
            forget("inventory")(traces)
        })
        .await?;
        Ok(Response::new(inventory_wire::DeleteDeviceResponse {}))
    }

    type StreamTargetsStream = futures::stream::Empty<Result<TargetBatch, Status>>;

    async fn stream_targets(
        &self,
        _: Request<StreamTargetsRequest>,
    ) -> Result<Response<Self::StreamTargetsStream>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

#[tonic::async_trait]
impl deployments::InternalService for Town {
    async fn decommission_device(
        &self,
        request: Request<DecommissionDeviceRequest>,
    ) -> Result<Response<DecommissionDeviceResponse>, Status> {
        let device = request.get_ref().device_id.clone();
        self.take("deployments", &request, &device, forget("deployments")).await?;
        Ok(Response::new(DecommissionDeviceResponse {}))
    }

    async fn set_storage_limit(
        &self,
        _: Request<SetStorageLimitRequest>,
    ) -> Result<Response<SetStorageLimitResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}

#[tonic::async_trait]
impl deviceauth::InternalService for Town {
    async fn delete_device(
        &self,
        request: Request<DeleteDeviceRequest>,
    ) -> Result<Response<DeleteDeviceResponse>, Status> {
        let device = request.get_ref().device_id.clone();
        self.take("deviceauth", &request, &device, forget("deviceauth")).await?;
        Ok(Response::new(DeleteDeviceResponse {}))
    }

    async fn set_device_limit(
        &self,
        _: Request<SetDeviceLimitRequest>,
    ) -> Result<Response<SetDeviceLimitResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }
}
