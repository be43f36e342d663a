//! Devices telling about themselves.

use axum::extract::State;
use rota_rest::device as rest;

use crate::{
    app::App,
    convert::device as convert,
    error::Problem,
    extract::{Lenient, Who},
};

/// Replaces what the device has told about itself.
#[utoipa::path(put, path = "/api/devices/v1/inventory/device/attributes", tag = "device",
    request_body = [rest::Attribute], responses((status = 200)))]
pub(crate) async fn replace(
    State(app): State<App>,
    who: Who,
    Lenient(body): Lenient<Vec<rest::Attribute>>,
) -> Result<(), Problem> {
    let request = who.reads(convert::attributes(body)?);
    app.device_inventory().replace_attributes(request).await?;
    Ok(())
}

/// Adds to what the device has told about itself, or changes it.
#[utoipa::path(patch, path = "/api/devices/v1/inventory/device/attributes", tag = "device",
    request_body = [rest::Attribute], responses((status = 200)))]
pub(crate) async fn merge(
    State(app): State<App>,
    who: Who,
    Lenient(body): Lenient<Vec<rest::Attribute>>,
) -> Result<(), Problem> {
    let request = who.reads(convert::attributes(body)?);
    app.device_inventory().merge_attributes(request).await?;
    Ok(())
}

/// Replaces, under the address of the first API.
#[utoipa::path(put, path = "/api/0.1.0/attributes", tag = "device",
    request_body = [rest::Attribute], responses((status = 200)))]
pub(crate) async fn replace_legacy(
    app: State<App>,
    who: Who,
    body: Lenient<Vec<rest::Attribute>>,
) -> Result<(), Problem> {
    replace(app, who, body).await
}

/// Adds or changes, under the address of the first API.
#[utoipa::path(patch, path = "/api/0.1.0/attributes", tag = "device",
    request_body = [rest::Attribute], responses((status = 200)))]
pub(crate) async fn merge_legacy(
    app: State<App>,
    who: Who,
    body: Lenient<Vec<rest::Attribute>>,
) -> Result<(), Problem> {
    merge(app, who, body).await
}
