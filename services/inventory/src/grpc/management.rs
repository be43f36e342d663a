//! `rota.inventory.v1.ManagementService`.

use rota_proto::inventory::v1::{
    ClearDeviceGroupRequest, ClearDeviceGroupResponse, ClearInventoryRequest,
    ClearInventoryResponse, Device, DissolveGroupRequest, GetDeviceGroupRequest,
    GetDeviceGroupResponse, GetDeviceRequest, GetStatisticsRequest, GetStatisticsResponse,
    GroupMembersRequest, ListFilterAttributesRequest, ListFilterAttributesResponse,
    ListGroupDevicesRequest, ListGroupDevicesResponse, ListGroupsRequest, ListGroupsResponse,
    SearchRequest, SearchResponse, SetDeviceGroupRequest, SetDeviceGroupResponse, TagsRequest,
    TagsResponse, UpdatedCount, management_service_server::ManagementService,
};
use rota_runtime::to_status;
use rota_types::Permission;
use tonic::{Request, Response, Status};

use super::{convert, permitted};
use crate::{
    Inventory,
    model::{Attribute, Upload},
};

#[tonic::async_trait]
impl ManagementService for Inventory {
    async fn get_device(
        &self,
        request: Request<GetDeviceRequest>,
    ) -> Result<Response<Device>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let id = convert::device_id(&request.get_ref().id).map_err(to_status)?;
        let device = self.device(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(convert::device(&device, |_, _| true)))
    }

    async fn clear_inventory(
        &self,
        request: Request<ClearInventoryRequest>,
    ) -> Result<Response<ClearInventoryResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        // What is no id names no device, and that a device is not there is no error here.
        if let Ok(id) = convert::device_id(&request.get_ref().id) {
            self.clear(&caller, id).await.map_err(to_status)?;
        }
        Ok(Response::new(ClearInventoryResponse {}))
    }

    async fn replace_tags(
        &self,
        request: Request<TagsRequest>,
    ) -> Result<Response<TagsResponse>, Status> {
        tag(self, request, Upload::Replace).await
    }

    async fn merge_tags(
        &self,
        request: Request<TagsRequest>,
    ) -> Result<Response<TagsResponse>, Status> {
        tag(self, request, Upload::Merge).await
    }

    async fn get_device_group(
        &self,
        request: Request<GetDeviceGroupRequest>,
    ) -> Result<Response<GetDeviceGroupResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let id = convert::device_id(&request.get_ref().device_id).map_err(to_status)?;
        let group = self.group_of(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(GetDeviceGroupResponse { group: group.map(String::from) }))
    }

    async fn set_device_group(
        &self,
        request: Request<SetDeviceGroupRequest>,
    ) -> Result<Response<SetDeviceGroupResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let SetDeviceGroupRequest { device_id, group } = request.into_inner();
        let group = convert::group(group).map_err(to_status)?;
        let id = convert::device_id(&device_id).map_err(to_status)?;
        self.set_group(&caller, id, &group).await.map_err(to_status)?;
        Ok(Response::new(SetDeviceGroupResponse {}))
    }

    async fn clear_device_group(
        &self,
        request: Request<ClearDeviceGroupRequest>,
    ) -> Result<Response<ClearDeviceGroupResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let ClearDeviceGroupRequest { device_id, group } = request.into_inner();
        let group = convert::existing_group(group).map_err(to_status)?;
        let id = convert::device_id(&device_id).map_err(to_status)?;
        self.clear_group(&caller, id, &group).await.map_err(to_status)?;
        Ok(Response::new(ClearDeviceGroupResponse {}))
    }

    async fn list_groups(
        &self,
        request: Request<ListGroupsRequest>,
    ) -> Result<Response<ListGroupsResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let status = convert::status(request.get_ref().status.as_deref()).map_err(to_status)?;
        let groups = self.groups(&caller, status).await.map_err(to_status)?;
        Ok(Response::new(ListGroupsResponse { groups }))
    }

    async fn dissolve_group(
        &self,
        request: Request<DissolveGroupRequest>,
    ) -> Result<Response<UpdatedCount>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let group = convert::existing_group(request.into_inner().group).map_err(to_status)?;
        let moved = self.dissolve_group(&caller, &group).await.map_err(to_status)?;
        Ok(Response::new(moved.into()))
    }

    async fn list_group_devices(
        &self,
        request: Request<ListGroupDevicesRequest>,
    ) -> Result<Response<ListGroupDevicesResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let ListGroupDevicesRequest { group, page, per_page } = request.into_inner();
        let page = convert::page(page, per_page).map_err(to_status)?;
        let group = convert::existing_group(group).map_err(to_status)?;
        let members = self.members(&caller, &group, page).await.map_err(to_status)?;
        let (ids, total) = (convert::texts(&members.ids), members.total);
        Ok(Response::new(ListGroupDevicesResponse { ids, total }))
    }

    async fn add_to_group(
        &self,
        request: Request<GroupMembersRequest>,
    ) -> Result<Response<UpdatedCount>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let GroupMembersRequest { group, device_ids } = request.into_inner();
        let group = convert::group(group).map_err(to_status)?;
        let ids = convert::device_ids(&device_ids).map_err(to_status)?;
        let moved = self.add_to_group(&caller, &group, &ids).await.map_err(to_status)?;
        Ok(Response::new(moved.into()))
    }

    async fn remove_from_group(
        &self,
        request: Request<GroupMembersRequest>,
    ) -> Result<Response<UpdatedCount>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let GroupMembersRequest { group, device_ids } = request.into_inner();
        let group = convert::existing_group(group).map_err(to_status)?;
        let ids = convert::device_ids(&device_ids).map_err(to_status)?;
        let moved = self.remove_from_group(&caller, &group, &ids).await.map_err(to_status)?;
        Ok(Response::new(moved.into()))
    }

    async fn list_filter_attributes(
        &self,
        request: Request<ListFilterAttributesRequest>,
    ) -> Result<Response<ListFilterAttributesResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let attributes = self.filter_attributes(&caller).await.map_err(to_status)?;
        let attributes = attributes.into_iter().map(Into::into).collect();
        Ok(Response::new(ListFilterAttributesResponse { attributes }))
    }

    async fn search(
        &self,
        request: Request<SearchRequest>,
    ) -> Result<Response<SearchResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let search = convert::search(request.into_inner()).map_err(to_status)?;
        let found = Inventory::search(self, &caller, &search).await.map_err(to_status)?;
        let selects = |scope, name: &str| search.selects(scope, name);
        let devices = found.devices.iter().map(|one| convert::device(one, selects)).collect();
        Ok(Response::new(SearchResponse { devices, total: found.total }))
    }

    async fn get_statistics(
        &self,
        request: Request<GetStatisticsRequest>,
    ) -> Result<Response<GetStatisticsResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let by_status = self.statistics(&caller).await.map_err(to_status)?;
        Ok(Response::new(GetStatisticsResponse { by_status: by_status.into_iter().collect() }))
    }
}

async fn tag(
    inventory: &Inventory,
    request: Request<TagsRequest>,
    upload: fn(Vec<Attribute>) -> Upload,
) -> Result<Response<TagsResponse>, Status> {
    let caller = permitted(&request, Permission::Manage)?;
    let TagsRequest { device_id, tags, if_match } = request.into_inner();
    let id = convert::device_id(&device_id).map_err(to_status)?;
    let tags = upload(convert::attributes(tags).map_err(to_status)?);
    inventory.tag(&caller, id, tags, if_match.as_deref()).await.map_err(to_status)?;
    Ok(Response::new(TagsResponse {}))
}
