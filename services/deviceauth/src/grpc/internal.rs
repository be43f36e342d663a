//! `rota.deviceauth.v1.InternalService`.

use rota_proto::deviceauth::v1::{
    DeleteDeviceRequest, DeleteDeviceResponse, SetDeviceLimitRequest, SetDeviceLimitResponse,
    internal_service_server::InternalService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::{DeviceAuth, error::Error};

#[tonic::async_trait]
impl InternalService for DeviceAuth {
    async fn delete_device(
        &self,
        request: Request<DeleteDeviceRequest>,
    ) -> Result<Response<DeleteDeviceResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let device = convert::device_id(&request.get_ref().device_id).map_err(to_status)?;
        DeviceAuth::delete_device(self, &caller, device).await.map_err(to_status)?;
        Ok(Response::new(DeleteDeviceResponse {}))
    }

    async fn set_device_limit(
        &self,
        request: Request<SetDeviceLimitRequest>,
    ) -> Result<Response<SetDeviceLimitResponse>, Status> {
        let caller = permitted(&request, Permission::Internal)?;
        let limit = match request.get_ref().limit {
            -1 => None,
            limit if limit >= 0 => Some(limit),
            _ => return Err(to_status(Error::Limit)),
        };
        DeviceAuth::set_device_limit(self, &caller, limit).await.map_err(to_status)?;
        Ok(Response::new(SetDeviceLimitResponse {}))
    }
}
