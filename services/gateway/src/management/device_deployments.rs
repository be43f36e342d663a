//! What became of deployments on each device.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use rota_proto::deployments::v1 as wire;
use rota_rest::deployments as rest;

use crate::{
    app::App,
    convert::deployments as convert,
    error::Problem,
    extract::{HistoryPaging, Id, Paging, PagingParameters, Path, Query, Who},
};

/// Lists all devices of a deployment.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments/{id}/devices",
    tag = "device deployments", params(("id" = String, Path)),
    responses((status = 200, body = [rest::DeviceDeployment])))]
pub(crate) async fn list_all(
    State(app): State<App>,
    who: Who,
    Id(deployment_id): Id,
) -> Result<Json<Vec<rest::DeviceDeployment>>, Problem> {
    let request = wire::ListDeploymentDevicesRequest { deployment_id, ..Default::default() };
    let found = app.deployments().list_deployment_devices(who.reads(request)).await?.into_inner();
    Ok(Json(convert::device_deployments(found.devices)?))
}

/// Lists devices of a deployment.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments/{id}/devices/list",
    tag = "device deployments",
    params(("id" = String, Path), PagingParameters, ("status" = Option<String>, Query)),
    responses((status = 200, body = [rest::DeviceDeployment])))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    Id(deployment_id): Id,
    paging: Paging,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<rest::DeviceDeployment>>), Problem> {
    let request = wire::ListDeploymentDevicesRequest {
        deployment_id,
        status: convert::device_status(&query)?,
        page: paging.number(),
        per_page: paging.size(),
    };
    let found = app.deployments().list_deployment_devices(who.reads(request)).await?.into_inner();
    Ok((paging.of_total(found.total), Json(convert::device_deployments(found.devices)?)))
}

/// Lists the ids of the devices that a deployment is for.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments/{id}/device_list",
    tag = "device deployments", params(("id" = String, Path)),
    responses((status = 200, body = [String])))]
pub(crate) async fn ids(
    State(app): State<App>,
    who: Who,
    Id(deployment_id): Id,
) -> Result<Json<Vec<String>>, Problem> {
    let request = who.reads(wire::ListDeploymentDeviceIdsRequest { deployment_id });
    Ok(Json(app.deployments().list_deployment_device_ids(request).await?.into_inner().values))
}

/// Reads the log that a device handed in.
#[utoipa::path(get,
    path = "/api/management/v1/deployments/deployments/{id}/devices/{device_id}/log",
    tag = "device deployments", params(("id" = String, Path), ("device_id" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn log(
    State(app): State<App>,
    who: Who,
    Path((deployment_id, device_id)): Path<(String, String)>,
) -> Result<String, Problem> {
    let request = who.reads(wire::GetLogRequest { deployment_id, device_id });
    Ok(app.deployments().get_log(request).await?.into_inner().text)
}

/// Lists the deployments that a device was part of.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments/devices/{id}",
    tag = "device deployments",
    params(("id" = String, Path), PagingParameters, ("status" = Option<String>, Query)),
    responses((status = 200, body = [rest::HistoryEntry])))]
pub(crate) async fn history(
    State(app): State<App>,
    who: Who,
    Path(device_id): Path<String>,
    HistoryPaging(paging): HistoryPaging,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<rest::HistoryEntry>>), Problem> {
    let request = wire::ListDeviceHistoryRequest {
        device_id,
        status: convert::device_status(&query)?,
        page: paging.number(),
        per_page: paging.size(),
    };
    let found = app.deployments().list_device_history(who.reads(request)).await?.into_inner();
    let entries = found.entries.into_iter().map(convert::history_entry);
    Ok((paging.of_total(found.total), Json(entries.collect::<Result<_, _>>()?)))
}

/// Aborts everything that a device has before it.
#[utoipa::path(delete, path = "/api/management/v1/deployments/deployments/devices/{id}",
    tag = "device deployments", params(("id" = String, Path)), responses((status = 204)))]
pub(crate) async fn abort(
    State(app): State<App>,
    who: Who,
    Path(device_id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.deployments().abort_device(who.asks(wire::AbortDeviceRequest { device_id })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hides what a device has behind it.
#[utoipa::path(delete, path = "/api/management/v1/deployments/deployments/devices/{id}/history",
    tag = "device deployments", params(("id" = String, Path)), responses((status = 204)))]
pub(crate) async fn hide_history(
    State(app): State<App>,
    who: Who,
    Path(device_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let request = who.asks(wire::HideDeviceHistoryRequest { device_id });
    app.deployments().hide_device_history(request).await?;
    Ok(StatusCode::NO_CONTENT)
}
