//! `rota.inventory.v1.InternalService`.

use futures::stream::{self, BoxStream, StreamExt};
use rota_proto::inventory::v1::{
    DeleteDeviceRequest, DeleteDeviceResponse, ProvisionDeviceRequest, ProvisionDeviceResponse,
    StreamTargetsRequest, TargetBatch, internal_service_server::InternalService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::{Inventory, TargetReader};

#[tonic::async_trait]
impl InternalService for Inventory {
    async fn provision_device(
        &self,
        request: Request<ProvisionDeviceRequest>,
    ) -> Result<Response<ProvisionDeviceResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let (id, word) = convert::provision(request.get_ref()).map_err(to_status)?;
        self.provision(&caller, id, word).await.map_err(to_status)?;
        Ok(Response::new(ProvisionDeviceResponse {}))
    }

    async fn delete_device(
        &self,
        request: Request<DeleteDeviceRequest>,
    ) -> Result<Response<DeleteDeviceResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let id = convert::stated_id(&request.get_ref().device_id).map_err(to_status)?;
        self.remove(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(DeleteDeviceResponse {}))
    }

    type StreamTargetsStream = BoxStream<'static, Result<TargetBatch, Status>>;

    async fn stream_targets(
        &self,
        request: Request<StreamTargetsRequest>,
    ) -> Result<Response<Self::StreamTargetsStream>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let (targets, after) = convert::targets(request.into_inner()).map_err(to_status)?;
        let reader = self.targets(&caller, targets, after);
        Ok(Response::new(stream::try_unfold(reader, next_batch).boxed()))
    }
}

async fn next_batch(
    mut reader: TargetReader,
) -> Result<Option<(TargetBatch, TargetReader)>, Status> {
    let batch = reader.next().await.map_err(to_status)?;
    Ok(batch.map(|ids| (TargetBatch { device_ids: convert::texts(&ids) }, reader)))
}
