//! Releases: the Artifacts of one name.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use rota_proto::deployments::v1 as wire;
use rota_rest::releases as rest;

use crate::{
    app::App,
    convert::releases as convert,
    error::Problem,
    extract::{Lenient, Paging, PagingParameters, Path, Query, ReleasePaging, Who, invalid},
};

/// What releases can be ordered by, up and down.
const SORTS: [&str; 4] = ["name", "modified", "artifacts_count", "tags"];

const DEFAULT_SORT: &str = "name:asc";

/// Lists all releases.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments/releases",
    tag = "releases",
    params(("name" = Option<String>, Query), ("description" = Option<String>, Query),
           ("device_type" = Option<String>, Query), ("update_type" = Option<String>, Query)),
    responses((status = 200, body = [rest::ReleaseV1])))]
pub(crate) async fn list_all(
    State(app): State<App>,
    who: Who,
    query: Query,
) -> Result<Json<Vec<rest::ReleaseV1>>, Problem> {
    let request = who.reads(select(&query, None)?);
    let found = app.artifacts().list_releases(request).await?.into_inner();
    let releases = found.releases.into_iter().map(convert::release_v1);
    Ok(Json(releases.collect::<Result<_, _>>()?))
}

/// Lists releases.
#[utoipa::path(get, path = "/api/management/v1/deployments/deployments/releases/list",
    tag = "releases",
    params(PagingParameters, ("name" = Option<String>, Query),
           ("description" = Option<String>, Query), ("device_type" = Option<String>, Query),
           ("update_type" = Option<String>, Query), ("sort" = Option<String>, Query)),
    responses((status = 200, body = [rest::ReleaseV1])))]
pub(crate) async fn list_v1(
    State(app): State<App>,
    who: Who,
    paging: Paging,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<rest::ReleaseV1>>), Problem> {
    let request = who.reads(select(&query, Some(&paging))?);
    let found = app.artifacts().list_releases(request).await?.into_inner();
    let releases = found.releases.into_iter().map(convert::release_v1);
    Ok((paging.of_total(found.total), Json(releases.collect::<Result<_, _>>()?)))
}

/// Lists releases.
#[utoipa::path(get, path = "/api/management/v2/deployments/deployments/releases",
    tag = "releases",
    params(PagingParameters, ("name" = Option<String>, Query), ("tag" = Option<Vec<String>>, Query),
           ("update_type" = Option<String>, Query), ("sort" = Option<String>, Query)),
    responses((status = 200, body = [rest::Release])))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    ReleasePaging(paging): ReleasePaging,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<rest::Release>>), Problem> {
    let request = who.reads(select(&query, Some(&paging))?);
    let found = app.artifacts().list_releases(request).await?.into_inner();
    let releases = found.releases.into_iter().map(convert::release);
    Ok((paging.of_total(found.total), Json(releases.collect::<Result<_, _>>()?)))
}

fn select(query: &Query, paging: Option<&Paging>) -> Result<wire::ListReleasesRequest, Problem> {
    let sort = query.first("sort").unwrap_or(DEFAULT_SORT);
    let known = sort
        .split_once(':')
        .is_some_and(|(field, order)| SORTS.contains(&field) && matches!(order, "asc" | "desc"));
    if !known {
        return Err(invalid("sort", sort));
    }
    Ok(wire::ListReleasesRequest {
        name: query.text("name"),
        tags: query.all("tag"),
        update_type: query.text("update_type"),
        description: query.text("description"),
        device_type: query.text("device_type"),
        page: paging.map_or(0, Paging::number),
        per_page: paging.map_or(0, Paging::size),
        sort: sort.to_owned(),
    })
}

/// Gets a release.
#[utoipa::path(get, path = "/api/management/v2/deployments/deployments/releases/{name}",
    tag = "releases", params(("name" = String, Path)),
    responses((status = 200, body = rest::Release)))]
pub(crate) async fn get(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
) -> Result<Json<rest::Release>, Problem> {
    let request = who.reads(wire::GetReleaseRequest { name });
    let release = app.artifacts().get_release(request).await?.into_inner();
    Ok(Json(convert::release(release)?))
}

/// Deletes releases with their Artifacts; all of them or, where one is in use, none.
#[utoipa::path(delete, path = "/api/management/v2/deployments/deployments/releases",
    tag = "releases", params(("name" = Vec<String>, Query)),
    responses((status = 204), (status = 409, body = rota_rest::Error)))]
pub(crate) async fn delete(
    State(app): State<App>,
    who: Who,
    query: Query,
) -> Result<StatusCode, Problem> {
    let names = query.all("name");
    if names.is_empty() {
        return Err(Problem::invalid("name: at least one is needed"));
    }
    let request = who.asks(wire::DeleteReleasesRequest { names });
    let users = app.artifacts().delete_releases(request).await?.into_inner().active_deployments;
    if users.is_empty() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let error = "releases are used by active deployments";
    Err(Problem::new(StatusCode::CONFLICT, error).active_deployments(users))
}

/// Sets a release's notes.
#[utoipa::path(patch, path = "/api/management/v2/deployments/deployments/releases/{name}",
    tag = "releases", params(("name" = String, Path)), request_body = rest::ReleaseNotes,
    responses((status = 204)))]
pub(crate) async fn set_notes(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
    Lenient(body): Lenient<rest::ReleaseNotes>,
) -> Result<StatusCode, Problem> {
    let request = who.asks(wire::SetReleaseNotesRequest { name, notes: body.notes });
    app.artifacts().set_release_notes(request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces a release's tags.
#[utoipa::path(put, path = "/api/management/v2/deployments/deployments/releases/{name}/tags",
    tag = "releases", params(("name" = String, Path)), request_body = [String],
    responses((status = 204)))]
pub(crate) async fn set_tags(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
    Lenient(tags): Lenient<Vec<String>>,
) -> Result<StatusCode, Problem> {
    app.artifacts().set_release_tags(who.asks(wire::SetReleaseTagsRequest { name, tags })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the tags of all releases.
#[utoipa::path(get, path = "/api/management/v2/deployments/releases/all/tags", tag = "releases",
    responses((status = 200, body = [String])))]
pub(crate) async fn tags(State(app): State<App>, who: Who) -> Result<Json<Vec<String>>, Problem> {
    let request = who.reads(wire::ListReleaseTagsRequest {});
    Ok(Json(app.artifacts().list_release_tags(request).await?.into_inner().values))
}

/// Lists the payload types of all releases.
#[utoipa::path(get, path = "/api/management/v2/deployments/releases/all/types",
    tag = "releases", responses((status = 200, body = [String])))]
pub(crate) async fn types(State(app): State<App>, who: Who) -> Result<Json<Vec<String>>, Problem> {
    let request = who.reads(wire::ListUpdateTypesRequest {});
    Ok(Json(app.artifacts().list_update_types(request).await?.into_inner().values))
}
