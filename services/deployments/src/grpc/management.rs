//! Deployments, for people.

use std::collections::HashMap;

use rota_proto::deployments::v1::{
    AbortDeploymentRequest, AbortDeploymentResponse, AbortDeviceRequest, AbortDeviceResponse,
    CreateDeploymentRequest, CreateDeploymentResponse, Deployment, DeploymentStatistics,
    DeviceHistoryEntry, GetDeploymentRequest, GetLogRequest, GetLogResponse, GetStatisticsRequest,
    GetStatisticsResponse, HideDeviceHistoryRequest, HideDeviceHistoryResponse,
    ListDeploymentDeviceIdsRequest, ListDeploymentDevicesRequest, ListDeploymentsRequest,
    ListDeploymentsResponse, ListDeviceDeploymentsResponse, ListDeviceHistoryRequest,
    ListDeviceHistoryResponse, ReplaceControlMapRequest, ReplaceControlMapResponse, Words,
    create_deployment_request, management_service_server::ManagementService,
};
use rota_runtime::to_status;
use rota_types::{DeploymentId, DeviceId, Page, Permission};
use tonic::{Request, Response, Status};

use super::{control_map, convert, filters, permitted};
use crate::{
    Deployments,
    error::Error,
    model::{
        deployment::{InvalidDeployment, NewDeployment, Target},
        status::StatusFilter,
    },
};

/// The largest page of a device's history (server API, device history).
const MAX_HISTORY_PAGE: u32 = 20;

#[tonic::async_trait]
impl ManagementService for Deployments {
    async fn create_deployment(
        &self,
        request: Request<CreateDeploymentRequest>,
    ) -> Result<Response<CreateDeploymentResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let new = new_deployment(request.into_inner()).map_err(to_status)?;
        let id = self.create(&caller, &new).await.map_err(to_status)?;
        Ok(Response::new(CreateDeploymentResponse { id: id.to_string() }))
    }

    async fn list_deployments(
        &self,
        request: Request<ListDeploymentsRequest>,
    ) -> Result<Response<ListDeploymentsResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let request = request.into_inner();
        let page = convert::paged(request.page, request.per_page).map_err(to_status)?;
        let filter = filters::deployments(request).map_err(to_status)?;
        let (deployments, total) = self.list(&caller, &filter, page).await.map_err(to_status)?;
        let deployments = deployments.iter().map(convert::deployment).collect();
        Ok(Response::new(ListDeploymentsResponse { deployments, total }))
    }

    async fn get_deployment(
        &self,
        request: Request<GetDeploymentRequest>,
    ) -> Result<Response<Deployment>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let id = id(&request.get_ref().id).map_err(to_status)?;
        let deployment = self.get(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(convert::deployment(&deployment)))
    }

    async fn abort_deployment(
        &self,
        request: Request<AbortDeploymentRequest>,
    ) -> Result<Response<AbortDeploymentResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let id = id(&request.get_ref().id).map_err(to_status)?;
        self.abort(&caller, id).await.map_err(to_status)?;
        Ok(Response::new(AbortDeploymentResponse {}))
    }

    async fn replace_control_map(
        &self,
        request: Request<ReplaceControlMapRequest>,
    ) -> Result<Response<ReplaceControlMapResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let ReplaceControlMapRequest { deployment_id, control_map } = request.into_inner();
        let deployment = id(&deployment_id).map_err(to_status)?;
        let reason = "must not be missing";
        let missing = Error::Field { field: "update_control_map", reason };
        let map = control_map.ok_or(missing).and_then(control_map::from_wire).map_err(to_status)?;
        Self::replace_control_map(self, &caller, deployment, &map).await.map_err(to_status)?;
        Ok(Response::new(ReplaceControlMapResponse {}))
    }

    async fn get_statistics(
        &self,
        request: Request<GetStatisticsRequest>,
    ) -> Result<Response<GetStatisticsResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let ids: Result<Vec<_>, _> =
            request.get_ref().deployment_ids.iter().map(|text| id(text)).collect();
        let ids = ids.map_err(to_status)?;
        let statistics = self.statistics(&caller, &ids).await.map_err(to_status)?;
        let statistics = statistics
            .iter()
            .map(|(id, statistics)| DeploymentStatistics {
                deployment_id: id.to_string(),
                by_status: convert::statistics(statistics),
            })
            .collect();
        Ok(Response::new(GetStatisticsResponse { statistics }))
    }

    async fn list_deployment_devices(
        &self,
        request: Request<ListDeploymentDevicesRequest>,
    ) -> Result<Response<ListDeviceDeploymentsResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let request = request.into_inner();
        let page = convert::page(request.page, request.per_page).map_err(to_status)?;
        let deployment = id(&request.deployment_id).map_err(to_status)?;
        let filter = status_filter(&request.status).map_err(to_status)?;
        let records = self.devices(&caller, deployment, filter, page).await.map_err(to_status)?;
        let devices = convert::records(&records);
        Ok(Response::new(ListDeviceDeploymentsResponse { devices, total: records.total }))
    }

    async fn list_deployment_device_ids(
        &self,
        request: Request<ListDeploymentDeviceIdsRequest>,
    ) -> Result<Response<Words>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let deployment = id(&request.get_ref().deployment_id).map_err(to_status)?;
        let ids = self.device_ids(&caller, deployment).await.map_err(to_status)?;
        Ok(Response::new(Words { values: ids.iter().map(ToString::to_string).collect() }))
    }

    async fn get_log(
        &self,
        request: Request<GetLogRequest>,
    ) -> Result<Response<GetLogResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let GetLogRequest { deployment_id, device_id } = request.get_ref();
        let deployment = id(deployment_id).map_err(to_status)?;
        let device = device_id.parse().map_err(|_| to_status(Error::NotFound))?;
        let text = self.log(&caller, deployment, device).await.map_err(to_status)?;
        Ok(Response::new(GetLogResponse { text }))
    }

    async fn list_device_history(
        &self,
        request: Request<ListDeviceHistoryRequest>,
    ) -> Result<Response<ListDeviceHistoryResponse>, Status> {
        let caller = permitted(&request, Permission::Read)?;
        let request = request.into_inner();
        let page = Page::new(request.page, request.per_page, MAX_HISTORY_PAGE)
            .map_err(|error| to_status(Error::from(error)))?;
        let device = device_id(&request.device_id).map_err(to_status)?;
        let filter = status_filter(&request.status).map_err(to_status)?;
        let (records, deployments) =
            self.history(&caller, device, filter, page).await.map_err(to_status)?;
        let deployments: HashMap<_, _> =
            deployments.iter().map(|each| (each.id, convert::deployment(each))).collect();
        let entries = records.devices.iter().map(|record| DeviceHistoryEntry {
            deployment: deployments.get(&record.deployment).cloned(),
            device: Some(convert::record(record, &records.artifacts)),
        });
        let entries = entries.collect();
        Ok(Response::new(ListDeviceHistoryResponse { entries, total: records.total }))
    }

    async fn abort_device(
        &self,
        request: Request<AbortDeviceRequest>,
    ) -> Result<Response<AbortDeviceResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let device = device_id(&request.get_ref().device_id).map_err(to_status)?;
        Self::abort_device(self, &caller, device).await.map_err(to_status)?;
        Ok(Response::new(AbortDeviceResponse {}))
    }

    async fn hide_device_history(
        &self,
        request: Request<HideDeviceHistoryRequest>,
    ) -> Result<Response<HideDeviceHistoryResponse>, Status> {
        let caller = permitted(&request, Permission::Manage)?;
        let device = device_id(&request.get_ref().device_id).map_err(to_status)?;
        self.hide_history(&caller, device).await.map_err(to_status)?;
        Ok(Response::new(HideDeviceHistoryResponse {}))
    }
}

fn new_deployment(request: CreateDeploymentRequest) -> Result<NewDeployment, Error> {
    use create_deployment_request::Target as Wire;
    let target = match request.target {
        Some(Wire::Devices(devices)) => {
            let ids: Result<_, _> = devices.values.iter().map(|id| id.parse()).collect();
            Target::Devices(ids?)
        }
        Some(Wire::AllDevices(true)) => Target::All,
        Some(Wire::Group(group)) => Target::Group(group),
        Some(Wire::AllDevices(false)) | None => return Err(InvalidDeployment::NoTarget.into()),
    };
    Ok(NewDeployment {
        name: request.name,
        artifact_name: request.artifact_name,
        target,
        force_installation: request.force_installation,
        retries: request.retries,
        control_map: request.control_map.map(control_map::from_wire).transpose()?,
    })
}

fn id(text: &str) -> Result<DeploymentId, Error> {
    text.parse().map_err(|_| Error::NotUuid)
}

fn device_id(text: &str) -> Result<DeviceId, Error> {
    Ok(text.parse()?)
}

fn status_filter(word: &str) -> Result<StatusFilter, Error> {
    Ok(StatusFilter::parse(word)?)
}
