//! What services do among themselves.

use rota_proto::deployments::v1::{
    DecommissionDeviceRequest, DecommissionDeviceResponse, SetStorageLimitRequest,
    SetStorageLimitResponse, internal_service_server::InternalService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use tonic::{Request, Response, Status};

use super::permitted;
use crate::{Deployments, error::Error};

#[tonic::async_trait]
impl InternalService for Deployments {
    async fn decommission_device(
        &self,
        request: Request<DecommissionDeviceRequest>,
    ) -> Result<Response<DecommissionDeviceResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let device = request.get_ref().device_id.parse();
        let device = device.map_err(|error| to_status(Error::Id(error)))?;
        Self::decommission_device(self, &caller, device).await.map_err(to_status)?;
        Ok(Response::new(DecommissionDeviceResponse {}))
    }

    async fn set_storage_limit(
        &self,
        request: Request<SetStorageLimitRequest>,
    ) -> Result<Response<SetStorageLimitResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let limit = Some(request.get_ref().limit).filter(|limit| *limit > 0);
        Self::set_storage_limit(self, &caller, limit).await.map_err(to_status)?;
        Ok(Response::new(SetStorageLimitResponse {}))
    }
}
