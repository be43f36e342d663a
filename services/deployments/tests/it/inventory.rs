//! An inventory that tests fill, spoken to over the real contract.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use futures::{StreamExt, stream, stream::BoxStream};
use rota_proto::inventory::v1::{
    DeleteDeviceRequest, DeleteDeviceResponse, ProvisionDeviceRequest, ProvisionDeviceResponse,
    StreamTargetsRequest, TargetBatch,
    internal_service_server::{InternalService, InternalServiceServer},
};
use rota_runtime::{Rpc, rpc::in_process};
use rota_types::{DeviceId, Permission, TenantId};
use tonic::{Request, Response, Status, service::Routes};

/// How many ids one message holds.
const BATCH: usize = 700;

#[derive(Clone, Default)]
pub(crate) struct FakeInventory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    devices: BTreeMap<TenantId, BTreeSet<DeviceId>>,
    groups: BTreeMap<(TenantId, String), BTreeSet<DeviceId>>,
    /// After how many more messages streams break off.
    breaks_after: Option<usize>,
    /// How many streams were asked for.
    asked: usize,
}

impl FakeInventory {
    pub(crate) fn rpc(&self) -> Rpc {
        in_process("inventory", Routes::new(InternalServiceServer::new(self.clone())))
    }

    pub(crate) fn accept(&self, tenant: TenantId, device: DeviceId) {
        self.0.lock().unwrap().devices.entry(tenant).or_default().insert(device);
    }

    pub(crate) fn group(&self, tenant: TenantId, name: &str, device: DeviceId) {
        let mut state = self.0.lock().unwrap();
        state.groups.entry((tenant, name.to_owned())).or_default().insert(device);
    }

    /// Lets every stream break off after so many messages, until further notice.
    pub(crate) fn break_after(&self, messages: Option<usize>) {
        self.0.lock().unwrap().breaks_after = messages;
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }
}

#[tonic::async_trait]
impl InternalService for FakeInventory {
    async fn provision_device(
        &self,
        _: Request<ProvisionDeviceRequest>,
    ) -> Result<Response<ProvisionDeviceResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn delete_device(
        &self,
        _: Request<DeleteDeviceRequest>,
    ) -> Result<Response<DeleteDeviceResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    type StreamTargetsStream = BoxStream<'static, Result<TargetBatch, Status>>;

    async fn stream_targets(
        &self,
        request: Request<StreamTargetsRequest>,
    ) -> Result<Response<Self::StreamTargetsStream>, Status> {
        let caller = rota_runtime::caller(&request)?;
        assert!(caller.may(Permission::Internal), "{caller:?}");
        let StreamTargetsRequest { group, after, .. } = request.into_inner();
        let after: Option<DeviceId> = after.map(|id| id.parse().unwrap());
        let mut state = self.0.lock().unwrap();
        state.asked += 1;
        let devices = match group {
            Some(group) => state.groups.get(&(caller.tenant, group)),
            None => state.devices.get(&caller.tenant),
        };
        let ids: Vec<String> = devices
            .into_iter()
            .flatten()
            .filter(|id| Some(**id) > after)
            .map(ToString::to_string)
            .collect();
        let mut messages: Vec<_> =
            ids.chunks(BATCH).map(|ids| Ok(TargetBatch { device_ids: ids.to_vec() })).collect();
        if let Some(count) = state.breaks_after {
            messages.truncate(count);
            messages.push(Err(Status::unavailable("broken off on purpose")));
        }
        Ok(Response::new(stream::iter(messages).boxed()))
    }
}
