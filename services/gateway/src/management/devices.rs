//! Devices, their auth sets and tokens.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use rota_proto::deviceauth::v1 as wire;
use rota_rest::devices as rest;
use rota_runtime::Failure;
use rota_types::ErrorCode;

use crate::{
    app::App,
    convert::devices as convert,
    error::Problem,
    extract::{Lenient, Paging, PagingParameters, Path, Query, Who},
};

type Listed = (HeaderMap, Json<Vec<rest::Device>>);

/// Lists devices.
#[utoipa::path(get, path = "/api/management/v2/devauth/devices", tag = "devices",
    params(PagingParameters, ("status" = Option<Vec<rest::Status>>, Query),
           ("id" = Option<Vec<String>>, Query)),
    responses((status = 200, body = [rest::Device])))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    paging: Paging,
    query: Query,
) -> Result<Listed, Problem> {
    select(&app, &who, &paging, query.all("status"), query.all("id")).await
}

/// Lists devices that a body describes.
#[utoipa::path(post, path = "/api/management/v2/devauth/devices/search", tag = "devices",
    params(PagingParameters), request_body = rest::Search,
    responses((status = 200, body = [rest::Device])))]
pub(crate) async fn search(
    State(app): State<App>,
    who: Who,
    paging: Paging,
    Lenient(body): Lenient<rest::Search>,
) -> Result<Listed, Problem> {
    select(&app, &who, &paging, body.status.into(), body.id.into()).await
}

async fn select(
    app: &App,
    who: &Who,
    paging: &Paging,
    statuses: Vec<String>,
    ids: Vec<String>,
) -> Result<Listed, Problem> {
    let request = wire::ListDevicesRequest {
        statuses: convert::statuses(&statuses)?,
        ids,
        page: paging.number(),
        per_page: paging.size(),
    };
    let answer = app.devices().list_devices(who.reads(request)).await?.into_inner();
    let devices = answer.devices.into_iter().map(convert::device).collect::<Result<_, _>>()?;
    Ok((paging.of_more(answer.more), Json(devices)))
}

/// Counts devices.
#[utoipa::path(get, path = "/api/management/v2/devauth/devices/count", tag = "devices",
    params(("status" = Option<rest::Status>, Query)),
    responses((status = 200, body = rest::Count)))]
pub(crate) async fn count(
    State(app): State<App>,
    who: Who,
    query: Query,
) -> Result<Json<rest::Count>, Problem> {
    let statuses = convert::statuses(&query.all("status"))?;
    let request = who.reads(wire::CountDevicesRequest { statuses });
    let count = app.devices().count_devices(request).await?.into_inner().count;
    Ok(Json(rest::Count { count }))
}

/// Gets a device.
#[utoipa::path(get, path = "/api/management/v2/devauth/devices/{id}", tag = "devices",
    params(("id" = String, Path)), responses((status = 200, body = rest::Device)))]
pub(crate) async fn get(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<rest::Device>, Problem> {
    let request = who.reads(wire::GetDeviceRequest { id });
    let device = app.devices().get_device(request).await?.into_inner();
    Ok(Json(convert::device(device)?))
}

/// Accepts a device before it has asked. 409 with the device where it exists already.
#[utoipa::path(post, path = "/api/management/v2/devauth/devices", tag = "devices",
    request_body = rest::Preauthorize,
    responses((status = 201, headers(("Location" = String))),
              (status = 409, body = rest::Device)))]
pub(crate) async fn preauthorize(
    State(app): State<App>,
    who: Who,
    Lenient(body): Lenient<rest::Preauthorize>,
) -> Result<Response, Problem> {
    let request = who.asks(convert::preauthorize(body)?);
    let failure = match app.devices().preauthorize(request).await {
        Ok(made) => {
            let location =
                format!("/api/management/v2/devauth/devices/{}", made.into_inner().device_id);
            return Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response());
        }
        Err(status) => Failure::from(status),
    };
    match failure.metadata.get("device_id") {
        Some(id) if failure.code == ErrorCode::AlreadyExists => {
            let device = get(State(app), who, Path(id.clone())).await?;
            Ok((StatusCode::CONFLICT, device).into_response())
        }
        _ => Err(failure.into()),
    }
}

/// Removes a device everywhere.
#[utoipa::path(delete, path = "/api/management/v2/devauth/devices/{id}", tag = "devices",
    params(("id" = String, Path)), responses((status = 204)))]
pub(crate) async fn decommission(
    State(app): State<App>,
    who: Who,
    Path(device_id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.devices().decommission(who.asks(wire::DecommissionRequest { device_id })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes an auth set.
#[utoipa::path(delete, path = "/api/management/v2/devauth/devices/{id}/auth/{aid}",
    tag = "devices", params(("id" = String, Path), ("aid" = String, Path)),
    responses((status = 204)))]
pub(crate) async fn dismiss(
    State(app): State<App>,
    who: Who,
    Path((device_id, auth_set_id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let request = who.asks(wire::DismissAuthSetRequest { device_id, auth_set_id });
    app.devices().dismiss_auth_set(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gets the status of an auth set.
#[utoipa::path(get, path = "/api/management/v2/devauth/devices/{id}/auth/{aid}/status",
    tag = "devices", params(("id" = String, Path), ("aid" = String, Path)),
    responses((status = 200, body = rest::AuthSetStatus)))]
pub(crate) async fn status(
    State(app): State<App>,
    who: Who,
    Path((device_id, auth_set_id)): Path<(String, String)>,
) -> Result<Json<rest::AuthSetStatus>, Problem> {
    let request = who.reads(wire::GetAuthSetStatusRequest { device_id, auth_set_id });
    let status = app.devices().get_auth_set_status(request).await?.into_inner().status;
    Ok(Json(rest::AuthSetStatus { status: convert::status_word(status)? }))
}

/// Accepts, rejects or resets an auth set.
#[utoipa::path(put, path = "/api/management/v2/devauth/devices/{id}/auth/{aid}/status",
    tag = "devices", params(("id" = String, Path), ("aid" = String, Path)),
    request_body = rest::AuthSetStatus, responses((status = 204)))]
pub(crate) async fn set_status(
    State(app): State<App>,
    who: Who,
    Path((device_id, auth_set_id)): Path<(String, String)>,
    Lenient(body): Lenient<rest::AuthSetStatus>,
) -> Result<StatusCode, Problem> {
    let status = convert::auth_set_status(&body.status)?.into();
    let request = who.asks(wire::SetAuthSetStatusRequest { device_id, auth_set_id, status });
    app.devices().set_auth_set_status(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Withdraws a token.
#[utoipa::path(delete, path = "/api/management/v2/devauth/tokens/{id}", tag = "devices",
    params(("id" = String, Path, description = "The token's `jti`")),
    responses((status = 204)))]
pub(crate) async fn revoke(
    State(app): State<App>,
    who: Who,
    Path(token_id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.devices().revoke_token(who.asks(wire::RevokeTokenRequest { token_id })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says how many devices may be accepted.
#[utoipa::path(get, path = "/api/management/v2/devauth/limits/{name}", tag = "devices",
    params(("name" = String, Path, description = "`max_devices`")),
    responses((status = 200, body = rest::Limit)))]
pub(crate) async fn limit(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
) -> Result<Json<rest::Limit>, Problem> {
    if name != "max_devices" {
        return Err(Problem::invalid(format!("unsupported limit {name}")));
    }
    let request = who.reads(wire::GetDeviceLimitRequest {});
    let limit = app.devices().get_device_limit(request).await?.into_inner().limit;
    Ok(Json(rest::Limit { limit }))
}
