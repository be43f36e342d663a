//! Static groups of devices.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use rota_proto::inventory::v1 as wire;
use rota_rest::inventory as rest;
use rota_runtime::within;
use tonic::{IntoRequest, Request};

use crate::{
    app::App,
    convert::inventory as convert,
    error::Problem,
    extract::{Lenient, Paging, PagingParameters, Path, Query, Who},
};

/// Lists groups.
#[utoipa::path(get, path = "/api/management/v1/inventory/groups", tag = "groups",
    params(("status" = Option<String>, Query)), responses((status = 200, body = [String])))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    query: Query,
) -> Result<Json<Vec<String>>, Problem> {
    let status = query.first("status").map(str::to_owned);
    let request = who.reads(wire::ListGroupsRequest { status });
    Ok(Json(app.inventory().list_groups(request).await?.into_inner().groups))
}

/// Takes all devices out of a group, so that it is no more.
#[utoipa::path(delete, path = "/api/management/v1/inventory/groups/{name}", tag = "groups",
    params(("name" = String, Path)), responses((status = 200, body = rest::Updated)))]
pub(crate) async fn dissolve(
    State(app): State<App>,
    who: Who,
    Path(group): Path<String>,
) -> Result<Json<rest::Updated>, Problem> {
    let request = at_length(&app, who.asks(wire::DissolveGroupRequest { group }));
    let counts = app.inventory().dissolve_group(request).await?.into_inner();
    Ok(Json(convert::updated(counts)))
}

/// Lists the ids of a group's devices.
#[utoipa::path(get, path = "/api/management/v1/inventory/groups/{name}/devices", tag = "groups",
    params(("name" = String, Path), PagingParameters),
    responses((status = 200, body = [String])))]
pub(crate) async fn members(
    State(app): State<App>,
    who: Who,
    Path(group): Path<String>,
    paging: Paging,
) -> Result<(HeaderMap, Json<Vec<String>>), Problem> {
    let (page, per_page) = (paging.number(), paging.size());
    let request = who.reads(wire::ListGroupDevicesRequest { group, page, per_page });
    let members = app.inventory().list_group_devices(request).await?.into_inner();
    Ok((paging.of_total(members.total), Json(members.ids)))
}

/// Puts devices into a group.
#[utoipa::path(patch, path = "/api/management/v1/inventory/groups/{name}/devices", tag = "groups",
    params(("name" = String, Path)), request_body = [String],
    responses((status = 200, body = rest::Updated)))]
pub(crate) async fn add(
    State(app): State<App>,
    who: Who,
    Path(group): Path<String>,
    Lenient(ids): Lenient<Vec<String>>,
) -> Result<Json<rest::Updated>, Problem> {
    let request = at_length(&app, who.asks(convert::members(group, ids)?));
    let counts = app.inventory().add_to_group(request).await?.into_inner();
    Ok(Json(convert::updated(counts)))
}

/// Takes devices out of a group.
#[utoipa::path(delete, path = "/api/management/v1/inventory/groups/{name}/devices",
    tag = "groups", params(("name" = String, Path)), request_body = [String],
    responses((status = 200, body = rest::Updated)))]
pub(crate) async fn remove(
    State(app): State<App>,
    who: Who,
    Path(group): Path<String>,
    Lenient(ids): Lenient<Vec<String>>,
) -> Result<Json<rest::Updated>, Problem> {
    let request = at_length(&app, who.asks(convert::members(group, ids)?));
    let counts = app.inventory().remove_from_group(request).await?.into_inner();
    Ok(Json(convert::updated(counts)))
}

/// Says which group a device is in.
#[utoipa::path(get, path = "/api/management/v1/inventory/devices/{id}/group", tag = "groups",
    params(("id" = String, Path)), responses((status = 200, body = rest::Group)))]
pub(crate) async fn of_device(
    State(app): State<App>,
    who: Who,
    Path(device_id): Path<String>,
) -> Result<Json<rest::Group>, Problem> {
    let request = who.reads(wire::GetDeviceGroupRequest { device_id });
    let group = app.inventory().get_device_group(request).await?.into_inner().group;
    Ok(Json(rest::Group { group }))
}

/// Puts a device into a group.
#[utoipa::path(put, path = "/api/management/v1/inventory/devices/{id}/group", tag = "groups",
    params(("id" = String, Path)), request_body = rest::Group, responses((status = 204)))]
pub(crate) async fn assign(
    State(app): State<App>,
    who: Who,
    Path(device_id): Path<String>,
    Lenient(body): Lenient<rest::Group>,
) -> Result<StatusCode, Problem> {
    let group = body.group.ok_or_else(|| Problem::invalid("group: cannot be blank"))?;
    let request = who.asks(wire::SetDeviceGroupRequest { device_id, group });
    app.inventory().set_device_group(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a device out of a group.
#[utoipa::path(delete, path = "/api/management/v1/inventory/devices/{id}/group/{name}",
    tag = "groups", params(("id" = String, Path), ("name" = String, Path)),
    responses((status = 204)))]
pub(crate) async fn unassign(
    State(app): State<App>,
    who: Who,
    Path((device_id, group)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let request = who.asks(wire::ClearDeviceGroupRequest { device_id, group });
    app.inventory().clear_device_group(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A call that changes devices some thousands at a time, each time for good: it gets all the time
/// that the request has. If that is not enough, the same request goes on where this one ended.
fn at_length<T>(app: &App, message: impl IntoRequest<T>) -> Request<T> {
    within(app.config.request_seconds, message)
}
