//! `rota.inventory.v1.InternalService`.

use rota_proto::inventory::v1::{
    DeleteDeviceRequest, DeleteDeviceResponse, ProvisionDeviceRequest, ProvisionDeviceResponse,
    StreamTargetsRequest, TargetBatch, internal_service_server::InternalService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::{Inventory, TargetReader};

/// How many batches are read ahead of a slow reader.
const READ_AHEAD: usize = 2;

#[tonic::async_trait]
impl InternalService for Inventory {
    async fn provision_device(
        &self,
        request: Request<ProvisionDeviceRequest>,
    ) -> Result<Response<ProvisionDeviceResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let (id, word) = convert::provision(request.into_inner()).map_err(to_status)?;
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

    type StreamTargetsStream = ReceiverStream<Result<TargetBatch, Status>>;

    async fn stream_targets(
        &self,
        request: Request<StreamTargetsRequest>,
    ) -> Result<Response<Self::StreamTargetsStream>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let (targets, after) = convert::targets(request.into_inner()).map_err(to_status)?;
        let reader = self.targets(&caller, targets, after);
        let (batches, stream) = mpsc::channel(READ_AHEAD);
        // Ends with the stream: when the reader has gone, nobody takes the next batch.
        tokio::spawn(send_batches(reader, batches));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

async fn send_batches(
    mut reader: TargetReader,
    batches: mpsc::Sender<Result<TargetBatch, Status>>,
) {
    loop {
        let batch = match reader.next().await {
            Ok(None) => return,
            Ok(Some(ids)) => Ok(TargetBatch { device_ids: convert::texts(&ids) }),
            Err(error) => Err(to_status(error)),
        };
        let failed = batch.is_err();
        if batches.send(batch).await.is_err() || failed {
            return;
        }
    }
}
