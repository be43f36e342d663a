//! Artifacts and their storage.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use rota_proto::deployments::v1::{self as wire, NameMatch};
use rota_rest::artifacts as rest;

use crate::{
    app::App,
    convert::artifacts as convert,
    error::Problem,
    extract::{Id, Lenient, Paging, PagingParameters, Path, Query, Who, invalid},
    links::Origin,
};

/// What lists of Artifacts can be ordered by; the first is the default.
const SORTS: [&str; 4] = ["name:asc", "name:desc", "modified:asc", "modified:desc"];

/// The most names that a list may be narrowed to (server API, artifacts v2).
const MAX_NAMES: usize = 100;

/// Lists all Artifacts.
#[utoipa::path(get, path = "/api/management/v1/deployments/artifacts", tag = "artifacts",
    params(("name" = Option<String>, Query), ("description" = Option<String>, Query),
           ("device_type" = Option<String>, Query)),
    responses((status = 200, body = [rest::Artifact])))]
pub(crate) async fn list_all(
    State(app): State<App>,
    who: Who,
    query: Query,
) -> Result<Json<Vec<rest::Artifact>>, Problem> {
    let request = who.reads(v1_list(&query));
    let found = app.artifacts().list_artifacts(request).await?.into_inner();
    Ok(Json(convert::artifacts(found.artifacts)?))
}

/// Lists Artifacts.
#[utoipa::path(get, path = "/api/management/v1/deployments/artifacts/list", tag = "artifacts",
    params(PagingParameters, ("name" = Option<String>, Query),
           ("description" = Option<String>, Query), ("device_type" = Option<String>, Query),
           ("sort" = Option<String>, Query)),
    responses((status = 200, body = [rest::Artifact])))]
pub(crate) async fn list_v1(
    State(app): State<App>,
    who: Who,
    paging: Paging,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<rest::Artifact>>), Problem> {
    let sort = query.first("sort").unwrap_or(SORTS[0]);
    if !SORTS.contains(&sort) {
        return Err(invalid("sort", sort));
    }
    let request = wire::ListArtifactsRequest {
        page: paging.number(),
        per_page: paging.size(),
        sort: sort.to_owned(),
        ..v1_list(&query)
    };
    let found = app.artifacts().list_artifacts(who.reads(request)).await?.into_inner();
    Ok((paging.of_total(found.total), Json(convert::artifacts(found.artifacts)?)))
}

fn v1_list(query: &Query) -> wire::ListArtifactsRequest {
    wire::ListArtifactsRequest {
        names: query.first("name").into_iter().map(str::to_owned).collect(),
        name_match: NameMatch::Substring.into(),
        description: query.text("description"),
        device_type: query.text("device_type"),
        sort: SORTS[0].to_owned(),
        ..wire::ListArtifactsRequest::default()
    }
}

/// Lists Artifacts. A name that ends in `*` is the beginning of names.
#[utoipa::path(get, path = "/api/management/v2/deployments/artifacts", tag = "artifacts",
    params(PagingParameters, ("name" = Option<Vec<String>>, Query),
           ("description" = Option<String>, Query), ("device_type" = Option<String>, Query)),
    responses((status = 200, body = [rest::Artifact])))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    paging: Paging,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<rest::Artifact>>), Problem> {
    let names = query.all("name");
    if names.len() > MAX_NAMES {
        return Err(Problem::invalid(format!("name: at most {MAX_NAMES} are allowed")));
    }
    let request = wire::ListArtifactsRequest {
        names,
        name_match: NameMatch::ExactOrPrefix.into(),
        page: paging.number(),
        per_page: paging.size(),
        ..v1_list(&query)
    };
    let found = app.artifacts().list_artifacts(who.reads(request)).await?.into_inner();
    let more = i64::from(paging.number()) * i64::from(paging.size()) < found.total;
    Ok((paging.of_more(more), Json(convert::artifacts(found.artifacts)?)))
}

/// Gets an Artifact.
#[utoipa::path(get, path = "/api/management/v1/deployments/artifacts/{id}", tag = "artifacts",
    params(("id" = String, Path)), responses((status = 200, body = rest::Artifact)))]
pub(crate) async fn get(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
) -> Result<Json<rest::Artifact>, Problem> {
    let request = who.reads(wire::GetArtifactRequest { id });
    let artifact = app.artifacts().get_artifact(request).await?.into_inner();
    Ok(Json(convert::artifact(artifact)?))
}

/// Describes an Artifact.
#[utoipa::path(put, path = "/api/management/v1/deployments/artifacts/{id}", tag = "artifacts",
    params(("id" = String, Path)), request_body = rest::Description,
    responses((status = 204)))]
pub(crate) async fn describe(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
    Lenient(body): Lenient<rest::Description>,
) -> Result<StatusCode, Problem> {
    let description = body.description;
    let request = who.asks(wire::DescribeArtifactRequest { id, description });
    app.artifacts().describe_artifact(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes an Artifact that no active deployment uses.
#[utoipa::path(delete, path = "/api/management/v1/deployments/artifacts/{id}", tag = "artifacts",
    params(("id" = String, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    State(app): State<App>,
    who: Who,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    app.artifacts().delete_artifact(who.asks(wire::DeleteArtifactRequest { id })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Gets a link to download an Artifact with.
#[utoipa::path(get, path = "/api/management/v1/deployments/artifacts/{id}/download",
    tag = "artifacts", params(("id" = String, Path)),
    responses((status = 200, body = rest::Link)))]
pub(crate) async fn link(
    State(app): State<App>,
    who: Who,
    origin: Origin,
    Id(id): Id,
) -> Result<Json<rest::Link>, Problem> {
    let request = who.reads(wire::GetDownloadLinkRequest { id });
    let mut link = app.artifacts().get_download_link(request).await?.into_inner();
    link.uri = origin.absolute(&app, link.uri)?;
    Ok(Json(convert::link(link)?))
}

/// Says how much storage the tenant uses.
#[utoipa::path(get, path = "/api/management/v1/deployments/limits/{name}", tag = "artifacts",
    params(("name" = String, Path, description = "`storage`")),
    responses((status = 200, body = rest::StorageLimit)))]
pub(crate) async fn limit(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
) -> Result<Json<rest::StorageLimit>, Problem> {
    if name != "storage" {
        return Err(Problem::invalid(format!("unsupported limit {name}")));
    }
    let request = who.reads(wire::GetStorageUsageRequest {});
    let wire::StorageUsage { limit, usage } =
        app.artifacts().get_storage_usage(request).await?.into_inner();
    Ok(Json(rest::StorageLimit { limit, usage }))
}
