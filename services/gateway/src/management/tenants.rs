//! The tenant of the person who asks.

use axum::{Json, extract::State};
use rota_proto::accounts::v1 as wire;
use rota_rest::tenants as rest;

use crate::{app::App, convert::users as convert, error::Problem, extract::Who};

/// Gets the tenant of the person who asks, with the token that its devices carry.
#[utoipa::path(get, path = "/api/management/v1/tenantadm/user/tenant", tag = "tenants",
    responses((status = 200, body = rest::Tenant)))]
pub(crate) async fn own(State(app): State<App>, who: Who) -> Result<Json<rest::Tenant>, Problem> {
    let request = who.reads(wire::GetOwnTenantRequest {});
    let tenant = app.accounts().get_own_tenant(request).await?.into_inner();
    Ok(Json(convert::tenant(tenant)?))
}
