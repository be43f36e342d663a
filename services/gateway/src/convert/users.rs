//! People and their tenant.

use rota_proto::accounts::v1 as wire;
use rota_rest::{tenants, users as rest};

use super::{Malformed, time};
use crate::{error::Problem, extract::Query};

/// A person.
pub(crate) fn user(user: wire::User) -> Result<rest::User, Malformed> {
    Ok(rest::User {
        id: user.id,
        email: user.email,
        created_ts: time::required(user.created, "user.created")?,
        updated_ts: time::required(user.updated, "user.updated")?,
        login_ts: time::optional(user.last_login)?,
        roles: user.roles,
        tenant_id: user.tenant_id,
    })
}

/// Which people a query asks for.
pub(crate) fn list(query: &Query) -> Result<wire::ListUsersRequest, Problem> {
    Ok(wire::ListUsersRequest {
        ids: query.all("id"),
        emails: query.all("email"),
        created_after: query.seconds("created_after")?,
        created_before: query.seconds("created_before")?,
        updated_after: query.seconds("updated_after")?,
        updated_before: query.seconds("updated_before")?,
    })
}

/// A new person.
pub(crate) fn create(body: rest::NewUser) -> Result<wire::CreateUserRequest, Problem> {
    if body.email.is_empty() {
        return Err(Problem::invalid("email: cannot be blank"));
    }
    let rest::NewUser { email, password, roles } = body;
    Ok(wire::CreateUserRequest { email, password, roles })
}

/// What to change of a person.
pub(crate) fn update(
    id: String,
    body: rest::UserUpdate,
) -> Result<wire::UpdateUserRequest, Problem> {
    if body == rest::UserUpdate::default() {
        return Err(Problem::invalid("no update information provided"));
    }
    Ok(wire::UpdateUserRequest {
        id,
        email: body.email,
        password: body.password,
        current_password: body.current_password,
        set_roles: body.roles.is_some(),
        roles: body.roles.unwrap_or_default(),
    })
}

/// What a person changes of himself; roles are for others to give.
pub(crate) fn update_self(body: rest::UserUpdate) -> Result<wire::UpdateSelfRequest, Problem> {
    if body.email.is_none() && body.password.is_none() {
        return Err(Problem::invalid("no update information provided"));
    }
    let rest::UserUpdate { email, password, current_password, roles: _ } = body;
    Ok(wire::UpdateSelfRequest { email, password, current_password })
}

/// A tenant.
pub(crate) fn tenant(tenant: wire::Tenant) -> Result<tenants::Tenant, Malformed> {
    let status = if tenant.suspended { "suspended" } else { "active" };
    Ok(tenants::Tenant {
        id: tenant.id,
        name: tenant.name,
        tenant_token: tenant.tenant_token,
        status: status.to_owned(),
        created_at: time::required(tenant.created, "tenant.created")?,
    })
}
