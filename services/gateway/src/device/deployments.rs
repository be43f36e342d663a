//! Devices asking for their deployment and reporting about it.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use rota_proto::deployments::v1::{GetControlMapRequest, NextRequest};
use rota_rest::device as rest;

use crate::{
    app::App,
    convert::{control_maps, device as convert},
    error::Problem,
    extract::{Id, Lenient, Query, Who},
    links::Origin,
};

/// Asks for the next deployment, saying as much as the first clients do.
#[utoipa::path(get, path = "/api/devices/v1/deployments/device/deployments/next", tag = "device",
    params(("device_type" = String, Query), ("artifact_name" = String, Query)),
    responses((status = 200, body = rest::Instructions),
              (status = 204, description = "Nothing to do")))]
pub(crate) async fn next_by_query(
    State(app): State<App>,
    who: Who,
    origin: Origin,
    query: Query,
) -> Result<Response, Problem> {
    let provides = rest::DeviceProvides {
        device_type: query.text("device_type"),
        artifact_name: query.text("artifact_name"),
        ..rest::DeviceProvides::default()
    };
    next(&app, &who, &origin, convert::next(provides)?).await
}

/// Asks for the next deployment with all that the device provides.
#[utoipa::path(post, path = "/api/devices/v1/deployments/device/deployments/next", tag = "device",
    request_body = rest::DeviceProvides,
    responses((status = 200, body = rest::Instructions),
              (status = 204, description = "Nothing to do")))]
pub(crate) async fn next_v1(
    State(app): State<App>,
    who: Who,
    origin: Origin,
    Lenient(body): Lenient<rest::DeviceProvides>,
) -> Result<Response, Problem> {
    next(&app, &who, &origin, convert::next(body)?).await
}

/// Asks for the next deployment with all that the device provides.
#[utoipa::path(post, path = "/api/devices/v2/deployments/device/deployments/next", tag = "device",
    request_body = rest::NextRequest,
    responses((status = 200, body = rest::ControlledInstructions),
              (status = 204, description = "Nothing to do")))]
pub(crate) async fn next_v2(
    State(app): State<App>,
    who: Who,
    origin: Origin,
    Lenient(body): Lenient<rest::NextRequest>,
) -> Result<Response, Problem> {
    next(&app, &who, &origin, convert::next_v2(body)?).await
}

async fn next(
    app: &App,
    who: &Who,
    origin: &Origin,
    request: NextRequest,
) -> Result<Response, Problem> {
    let answer = app.device_deployments().next(who.reads(request)).await?.into_inner();
    let Some(instructions) = answer.instructions else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let instructions = convert::instructions(instructions, |uri| origin.absolute(app, uri))?;
    Ok(Json(instructions).into_response())
}

/// Asks again for the control map of the deployment that the device is in.
#[utoipa::path(get, tag = "device",
    path = "/api/devices/v2/deployments/device/deployments/{id}/update_control_map",
    params(("id" = String, Path)),
    responses((status = 200, body = rest::UpdateControlMap),
              (status = 204, description = "The deployment has none")))]
pub(crate) async fn control_map(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
) -> Result<Response, Problem> {
    let request = who.reads(GetControlMapRequest { deployment_id: id.clone() });
    let answer = app.device_deployments().get_control_map(request).await?.into_inner();
    let Some(map) = answer.control_map else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let update_control_map = control_maps::from_wire(id, map)?;
    Ok(Json(rest::UpdateControlMap { update_control_map }).into_response())
}

/// Reports how far the device is.
#[utoipa::path(put, path = "/api/devices/v1/deployments/device/deployments/{id}/status",
    tag = "device", params(("id" = String, Path)), request_body = rest::StatusReport,
    responses((status = 204)))]
pub(crate) async fn report_status(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
    Lenient(body): Lenient<rest::StatusReport>,
) -> Result<StatusCode, Problem> {
    let request = who.reads(convert::status_report(id, body)?);
    app.device_deployments().report_status(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hands in the log of a deployment; it replaces an earlier one.
#[utoipa::path(put, path = "/api/devices/v1/deployments/device/deployments/{id}/log",
    tag = "device", params(("id" = String, Path)), request_body = rest::DeploymentLog,
    responses((status = 204)))]
pub(crate) async fn store_log(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
    Lenient(body): Lenient<rest::DeploymentLog>,
) -> Result<StatusCode, Problem> {
    let request = who.reads(convert::log(id, body)?);
    app.device_deployments().store_log(request).await?;
    Ok(StatusCode::NO_CONTENT)
}
