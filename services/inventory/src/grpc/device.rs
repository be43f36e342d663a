//! `rota.inventory.v1.DeviceService`.

use rota_proto::inventory::v1::{
    DeviceAttributesRequest, DeviceAttributesResponse, device_service_server::DeviceService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::{Inventory, model::Upload};

#[tonic::async_trait]
impl DeviceService for Inventory {
    async fn replace_attributes(
        &self,
        request: Request<DeviceAttributesRequest>,
    ) -> Result<Response<DeviceAttributesResponse>, Status> {
        report(self, request, Upload::Replace).await
    }

    async fn merge_attributes(
        &self,
        request: Request<DeviceAttributesRequest>,
    ) -> Result<Response<DeviceAttributesResponse>, Status> {
        report(self, request, Upload::Merge).await
    }
}

async fn report(
    inventory: &Inventory,
    request: Request<DeviceAttributesRequest>,
    upload: fn(Vec<crate::model::Attribute>) -> Upload,
) -> Result<Response<DeviceAttributesResponse>, Status> {
    let caller = permitted(&request, Permission::Device)?;
    let attributes = convert::attributes(request.into_inner().attributes).map_err(to_status)?;
    inventory.report(&caller, upload(attributes)).await.map_err(to_status)?;
    Ok(Response::new(DeviceAttributesResponse {}))
}
