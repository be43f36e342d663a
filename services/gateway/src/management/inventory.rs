//! What is known of devices: lists, searches, tags.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
};
use rota_proto::inventory::v1 as wire;
use rota_rest::inventory as rest;

use crate::{
    app::App,
    convert::{inventory as convert, search as queries},
    error::Problem,
    extract::{Lenient, Paging, PagingParameters, Path, Query, Who, total_count},
};

/// Lists devices. Every parameter that is not named here is a condition on an attribute:
/// `[scope/]name=[eq:]value`.
#[utoipa::path(get, path = "/api/management/v1/inventory/devices", tag = "inventory",
    params(PagingParameters, ("sort" = Option<String>, Query), ("has_group" = Option<bool>, Query),
           ("group" = Option<String>, Query)),
    responses((status = 200, body = [rest::Device])))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    paging: Paging,
    query: Query,
) -> Result<(HeaderMap, Json<Vec<rest::Device>>), Problem> {
    let request = who.reads(queries::query(&query, &paging)?);
    let found = app.inventory().search(request).await?.into_inner();
    Ok((paging.of_total(found.total), Json(convert::devices(found.devices)?)))
}

/// Finds devices.
#[utoipa::path(post, path = "/api/management/v2/inventory/filters/search", tag = "inventory",
    request_body = rest::Search, responses((status = 200, body = [rest::Device])))]
pub(crate) async fn search(
    State(app): State<App>,
    who: Who,
    Lenient(body): Lenient<rest::Search>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Vec<rest::Device>>), Problem> {
    let request = who.reads(queries::search(body)?);
    let found = app.inventory().search(request).await?.into_inner();
    Ok(([total_count(found.total)], Json(convert::devices(found.devices)?)))
}

/// Lists the attributes that searches may name, the most frequent first.
#[utoipa::path(get, path = "/api/management/v2/inventory/filters/attributes", tag = "inventory",
    responses((status = 200, body = [rest::FilterAttribute])))]
pub(crate) async fn filter_attributes(
    State(app): State<App>,
    who: Who,
) -> Result<Json<Vec<rest::FilterAttribute>>, Problem> {
    let request = who.reads(wire::ListFilterAttributesRequest {});
    let attributes = app.inventory().list_filter_attributes(request).await?.into_inner().attributes;
    let attributes = attributes.into_iter().map(convert::filter_attribute);
    Ok(Json(attributes.collect::<Result<_, _>>()?))
}

/// Counts devices by status.
#[utoipa::path(get, path = "/api/management/v2/inventory/statistics", tag = "inventory",
    responses((status = 200, body = rest::Statistics)))]
pub(crate) async fn statistics(
    State(app): State<App>,
    who: Who,
) -> Result<Json<rest::Statistics>, Problem> {
    let request = who.reads(wire::GetStatisticsRequest {});
    let statistics = app.inventory().get_statistics(request).await?.into_inner();
    Ok(Json(convert::statistics(&statistics)))
}

/// Gets a device and its attributes.
#[utoipa::path(get, path = "/api/management/v1/inventory/devices/{id}", tag = "inventory",
    params(("id" = String, Path)),
    responses((status = 200, body = rest::Device, headers(("ETag" = String)))))]
pub(crate) async fn get(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
) -> Result<(HeaderMap, Json<rest::Device>), Problem> {
    let request = who.reads(wire::GetDeviceRequest { id });
    let mut device = app.inventory().get_device(request).await?.into_inner();
    let mut headers = HeaderMap::new();
    if let Some(etag) = device.etag.take().and_then(|etag| HeaderValue::try_from(etag).ok()) {
        headers.insert(header::ETAG, etag);
    }
    Ok((headers, Json(convert::device(device)?)))
}

/// Forgets what a device has told about itself.
#[utoipa::path(delete, path = "/api/management/v1/inventory/devices/{id}", tag = "inventory",
    params(("id" = String, Path)), responses((status = 204)))]
pub(crate) async fn clear(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.inventory().clear_inventory(who.asks(wire::ClearInventoryRequest { id })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces a device's tags.
#[utoipa::path(put, path = "/api/management/v1/inventory/devices/{id}/tags", tag = "inventory",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = [rest::Tag], responses((status = 200)))]
pub(crate) async fn replace_tags(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    headers: HeaderMap,
    Lenient(body): Lenient<Vec<rest::Tag>>,
) -> Result<(), Problem> {
    let request = who.asks(convert::tags(id, body, if_match(&headers))?);
    app.inventory().replace_tags(request).await?;
    Ok(())
}

/// Adds tags to a device, or changes them.
#[utoipa::path(patch, path = "/api/management/v1/inventory/devices/{id}/tags", tag = "inventory",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body = [rest::Tag], responses((status = 200)))]
pub(crate) async fn merge_tags(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    headers: HeaderMap,
    Lenient(body): Lenient<Vec<rest::Tag>>,
) -> Result<(), Problem> {
    let request = who.asks(convert::tags(id, body, if_match(&headers))?);
    app.inventory().merge_tags(request).await?;
    Ok(())
}

fn if_match(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::IF_MATCH).and_then(|etag| etag.to_str().ok())
}
