//! Deployments.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
};
use rota_proto::deployments::v1 as wire;
use rota_rest::deployments as rest;

use crate::{
    app::App,
    convert::deployments as convert,
    error::Problem,
    extract::{Id, Lenient, Paging, PagingParameters, Path, Query, Who},
};

type Listed = (HeaderMap, Json<Vec<rest::Deployment>>);
type Created = (StatusCode, AppendHeaders<[(header::HeaderName, String); 1]>);

/// Creates a deployment to devices, or to all.
#[utoipa::path(post, path = "/api/management/v1/deployments/deployments", tag = "deployments",
    request_body = rest::NewDeployment,
    responses((status = 201, headers(("Location" = String)))))]
pub(crate) async fn create(
    State(app): State<App>,
    who: Who,
    Lenient(body): Lenient<rest::NewDeployment>,
) -> Result<Created, Problem> {
    create_from(&app, &who, convert::create(body)?).await
}

/// Creates a deployment to a group.
#[utoipa::path(post, path = "/api/management/v1/deployments/deployments/group/{name}",
    tag = "deployments", params(("name" = String, Path)), request_body = rest::NewDeployment,
    responses((status = 201, headers(("Location" = String)))))]
pub(crate) async fn create_for_group(
    State(app): State<App>,
    who: Who,
    Path(group): Path<String>,
    Lenient(body): Lenient<rest::NewDeployment>,
) -> Result<Created, Problem> {
    create_from(&app, &who, convert::create_for_group(group, body)?).await
}

async fn create_from(
    app: &App,
    who: &Who,
    request: wire::CreateDeploymentRequest,
) -> Result<Created, Problem> {
    let id = app.deployments().create_deployment(who.asks(request)).await?.into_inner().id;
    let location = format!("/api/management/v1/deployments/deployments/{id}");
    Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)])))
}

/// Lists deployments, the newest first.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments", tag = "deployments",
    params(PagingParameters, ("status" = Option<String>, Query), ("type" = Option<String>, Query),
           ("search" = Option<String>, Query), ("created_before" = Option<i64>, Query),
           ("created_after" = Option<i64>, Query), ("sort" = Option<String>, Query)),
    responses((status = 200, body = [rest::Deployment])))]
pub(crate) async fn list_v1(
    State(app): State<App>,
    who: Who,
    paging: Paging,
    query: Query,
) -> Result<Listed, Problem> {
    let found = select(&app, &who, convert::list(&query, &paging)?).await?;
    Ok((paging.of_total(found.total), Json(convert::deployments(found.deployments)?)))
}

/// Lists deployments, the newest first. Where no deployment has one of the names, those are
/// listed that hold a device which has it as the attribute that `id_attribute` and `id_scope`
/// name.
#[utoipa::path(get, path = "/api/management/v2/deployments/deployments", tag = "deployments",
    params(PagingParameters, ("id" = Option<Vec<String>>, Query),
           ("name" = Option<Vec<String>>, Query), ("status" = Option<String>, Query),
           ("type" = Option<String>, Query), ("created_before" = Option<i64>, Query),
           ("created_after" = Option<i64>, Query), ("sort" = Option<String>, Query),
           ("id_attribute" = Option<String>, Query), ("id_scope" = Option<String>, Query)),
    responses((status = 200, body = [rest::Deployment])))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    paging: Paging,
    query: Query,
) -> Result<Listed, Problem> {
    let request = convert::list_v2(&query, &paging)?;
    let mut found = select(&app, &who, request.clone()).await?;
    if let (0, Some(request)) = (found.total, request)
        && let Some(search) = convert::devices_behind_names(&query)?
    {
        let devices = app.inventory().search(who.reads(search)).await?.into_inner().devices;
        if !devices.is_empty() {
            let device_ids = devices.into_iter().map(|device| device.id).collect();
            let request = wire::ListDeploymentsRequest { names: Vec::new(), device_ids, ..request };
            found = select(&app, &who, Some(request)).await?;
        }
    }
    Ok((paging.of_total(found.total), Json(convert::deployments(found.deployments)?)))
}

async fn select(
    app: &App,
    who: &Who,
    request: Option<wire::ListDeploymentsRequest>,
) -> Result<wire::ListDeploymentsResponse, Problem> {
    let Some(request) = request else { return Ok(wire::ListDeploymentsResponse::default()) };
    Ok(app.deployments().list_deployments(who.reads(request)).await?.into_inner())
}

/// Gets a deployment.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments/{id}",
    tag = "deployments", params(("id" = String, Path)),
    responses((status = 200, body = rest::Deployment)))]
pub(crate) async fn get(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
) -> Result<Json<rest::Deployment>, Problem> {
    let request = who.reads(wire::GetDeploymentRequest { id });
    let deployment = app.deployments().get_deployment(request).await?.into_inner();
    Ok(Json(convert::deployment(deployment)?))
}

/// Aborts a deployment.
#[utoipa::path(put, path = "/api/management/v1/deployments/deployments/{id}/status",
    tag = "deployments", params(("id" = String, Path)), request_body = rest::NewStatus,
    responses((status = 204)))]
pub(crate) async fn abort(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
    Lenient(body): Lenient<rest::NewStatus>,
) -> Result<StatusCode, Problem> {
    if body.status != "aborted" {
        return Err(Problem::invalid("status: a deployment can only be aborted"));
    }
    app.deployments().abort_deployment(who.asks(wire::AbortDeploymentRequest { id })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces the control map of a deployment that has one.
#[utoipa::path(patch, path = "/api/management/v1/deployments/deployments/{id}",
    tag = "deployments", params(("id" = String, Path)), request_body = rest::NewControlMap,
    responses((status = 204)))]
pub(crate) async fn replace_control_map(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
    Lenient(body): Lenient<rest::NewControlMap>,
) -> Result<StatusCode, Problem> {
    let request = who.asks(convert::replace_control_map(id, body)?);
    app.deployments().replace_control_map(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Counts a deployment's devices by their status.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments/{id}/statistics",
    tag = "deployments", params(("id" = String, Path)),
    responses((status = 200, body = rest::Counts)))]
pub(crate) async fn statistics(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
) -> Result<Json<rest::Counts>, Problem> {
    let request = who.reads(wire::GetStatisticsRequest { deployment_ids: vec![id] });
    let found = app.deployments().get_statistics(request).await?.into_inner().statistics;
    match found.into_iter().next() {
        Some(statistics) => Ok(Json(convert::counts(statistics.by_status))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "Resource not found")),
    }
}

/// Counts the devices of several deployments by their status.
#[utoipa::path(post, path = "/api/management/v1/deployments/deployments/statistics/list",
    tag = "deployments", request_body = rest::StatisticsQuery,
    responses((status = 200, body = [rest::StatisticsOf])))]
pub(crate) async fn list_statistics(
    State(app): State<App>,
    who: Who,
    Lenient(body): Lenient<rest::StatisticsQuery>,
) -> Result<Response, Problem> {
    let deployment_ids = convert::statistics_ids(&body.deployment_ids)?;
    if deployment_ids.is_empty() {
        // Mender's answer to nothing is an object.
        return Ok(Json(serde_json::Map::new()).into_response());
    }
    let request = who.reads(wire::GetStatisticsRequest { deployment_ids });
    let found = app.deployments().get_statistics(request).await?.into_inner().statistics;
    let statistics = found.into_iter().map(|of| rest::StatisticsOf {
        id: of.deployment_id,
        stats: convert::counts(of.by_status),
    });
    Ok(Json(statistics.collect::<Vec<_>>()).into_response())
}
