//! `rota.deviceauth.v1.ManagementService`.

use rota_proto::deviceauth::v1::{
    CountDevicesRequest, CountDevicesResponse, DecommissionRequest, DecommissionResponse, Device,
    DismissAuthSetRequest, DismissAuthSetResponse, GetAuthSetStatusRequest,
    GetAuthSetStatusResponse, GetDeviceLimitRequest, GetDeviceLimitResponse, GetDeviceRequest,
    ListDevicesRequest, ListDevicesResponse, PreauthorizeRequest, PreauthorizeResponse,
    RevokeTokenRequest, RevokeTokenResponse, SetAuthSetStatusRequest, SetAuthSetStatusResponse,
    management_service_server::ManagementService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::DeviceAuth;

#[tonic::async_trait]
impl ManagementService for DeviceAuth {
    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let (selection, page) = convert::selection(request.get_ref()).map_err(to_status)?;
        let (devices, more) =
            DeviceAuth::list_devices(self, &caller, &selection, page).await.map_err(to_status)?;
        let devices = devices.into_iter().map(Device::from).collect();
        Ok(Response::new(ListDevicesResponse { devices, more }))
    }

    async fn count_devices(
        &self,
        request: Request<CountDevicesRequest>,
    ) -> Result<Response<CountDevicesResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let statuses = convert::device_statuses(&request.get_ref().statuses).map_err(to_status)?;
        let count = DeviceAuth::count_devices(self, &caller, &statuses).await.map_err(to_status)?;
        Ok(Response::new(CountDevicesResponse { count }))
    }

    async fn get_device(
        &self,
        request: Request<GetDeviceRequest>,
    ) -> Result<Response<Device>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let id = convert::device_id(&request.get_ref().id).map_err(to_status)?;
        let device = self.device(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(device.into()))
    }

    async fn preauthorize(
        &self,
        request: Request<PreauthorizeRequest>,
    ) -> Result<Response<PreauthorizeResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let new = convert::preauthorization(request.get_ref()).map_err(to_status)?;
        let device = DeviceAuth::preauthorize(self, &caller, &new).await.map_err(to_status)?;
        Ok(Response::new(PreauthorizeResponse { device_id: device.to_string() }))
    }

    async fn get_auth_set_status(
        &self,
        request: Request<GetAuthSetStatusRequest>,
    ) -> Result<Response<GetAuthSetStatusResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let GetAuthSetStatusRequest { device_id, auth_set_id } = request.get_ref();
        let (device, set) = convert::pair(device_id, auth_set_id).map_err(to_status)?;
        let status = self.auth_set_status(&caller, device, set).await.map_err(to_status)?;
        Ok(Response::new(GetAuthSetStatusResponse { status: convert::status(status).into() }))
    }

    async fn set_auth_set_status(
        &self,
        request: Request<SetAuthSetStatusRequest>,
    ) -> Result<Response<SetAuthSetStatusResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let SetAuthSetStatusRequest { device_id, auth_set_id, status } = request.get_ref();
        let wanted = convert::auth_set_status(*status).map_err(to_status)?;
        let (device, set) = convert::pair(device_id, auth_set_id).map_err(to_status)?;
        DeviceAuth::set_auth_set_status(self, &caller, device, set, wanted)
            .await
            .map_err(to_status)?;
        Ok(Response::new(SetAuthSetStatusResponse {}))
    }

    async fn dismiss_auth_set(
        &self,
        request: Request<DismissAuthSetRequest>,
    ) -> Result<Response<DismissAuthSetResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let DismissAuthSetRequest { device_id, auth_set_id } = request.get_ref();
        let (device, set) = convert::pair(device_id, auth_set_id).map_err(to_status)?;
        DeviceAuth::dismiss_auth_set(self, &caller, device, set).await.map_err(to_status)?;
        Ok(Response::new(DismissAuthSetResponse {}))
    }

    async fn decommission(
        &self,
        request: Request<DecommissionRequest>,
    ) -> Result<Response<DecommissionResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let device = convert::device_id(&request.get_ref().device_id).map_err(to_status)?;
        DeviceAuth::decommission(self, &caller, device).await.map_err(to_status)?;
        Ok(Response::new(DecommissionResponse {}))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let set = convert::token_id(&request.get_ref().token_id).map_err(to_status)?;
        DeviceAuth::revoke_token(self, &caller, set).await.map_err(to_status)?;
        Ok(Response::new(RevokeTokenResponse {}))
    }

    async fn get_device_limit(
        &self,
        request: Request<GetDeviceLimitRequest>,
    ) -> Result<Response<GetDeviceLimitResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let limit = self.device_limit(&caller).await.map_err(to_status)?;
        Ok(Response::new(GetDeviceLimitResponse { limit: limit.unwrap_or(-1) }))
    }
}
