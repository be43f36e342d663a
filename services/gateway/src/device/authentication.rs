//! Devices asking for their token.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use rota_proto::deviceauth::v1::AuthenticateRequest;
use rota_rest::device as rest;

use crate::{
    app::App,
    error::Problem,
    extract::{Allowance, Who, expect_json, read},
};

const SIGNATURE: HeaderName = HeaderName::from_static("x-men-signature");

/// Proves a device's key and gets its token.
///
/// 401 until the device has been accepted; the first request makes it pending. The body is
/// signed byte for byte, so that it is handed on unread.
#[utoipa::path(post, path = "/api/devices/v1/authentication/auth_requests", tag = "device",
    request_body = rest::AuthRequest,
    params(("X-MEN-Signature" = String, Header, description = "Signature of the body, in base64")),
    responses((status = 200, body = String, content_type = "application/jwt")))]
pub(crate) async fn authenticate(
    State(app): State<App>,
    who: Who,
    request: Request<Body>,
) -> Result<Response, Problem> {
    app.limits.auth_request(request.extensions())?;
    let (parts, body) = request.into_parts();
    let body = read(&app, &parts, body, Allowance::PROOF).await?;
    expect_json(&parts.headers)?;
    let signature = parts.headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let request = AuthenticateRequest {
        body: body.into(),
        signature: signature.unwrap_or_default().to_owned(),
    };
    let answer = app.authentication().authenticate(who.asks(request)).await?.into_inner();
    Ok(([(header::CONTENT_TYPE, "application/jwt")], answer.token).into_response())
}
